"""The town's book of VPN keys: one public key a machine, in `keys/vpn/<host>.pub`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from nomade import files
from nomade.hostkeys import write_atomically


class TwinError(Exception):
    """Two machines have one key, said in one sentence."""


def read(keys: Path, host: str) -> str:
    """Return a machine's public key, nothing where there is none."""
    try:
        return (keys / f"{host}.pub").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""


def publish(
    keys: Path, records: Path, host: str, key: str, *, dry: bool = False
) -> tuple[bool, str]:
    """Write a machine's public key down; return whether it was new, and the one that it replaces.

    The machine has proven who it is (host key, serial number), so a new key is accepted: a
    reinstalled laptop has one. It never replaces the old one in silence.
    """
    if read(keys, host) == key:
        return False, ""
    if dry:
        return True, read(keys, host)
    keys.mkdir(parents=True, exist_ok=True)
    # one at a time looks for twins and writes: Ansible's forks run side by side
    with files.locked(keys):
        if twins := sorted(p.stem for p in keys.glob("*.pub") if _is(p, key) and p.stem != host):
            raise TwinError(
                f"{host}: its VPN key is also that of {', '.join(twins)}: one disk was copied from "
                f"the other; remove /etc/wireguard/wg0.key on one of the machines and run again."
            )
        old = read(keys, host)
        if old:
            _remember(records / host, f"{old} replaced by {key}")
        write_atomically(keys / f"{host}.pub", key + "\n")
    return True, old


def withdraw(keys: Path, records: Path, host: str, *, dry: bool = False) -> str:
    """Take a machine's key out of the book, and return it: nobody may come in with it any more."""
    old = read(keys, host)
    if old and not dry:
        with files.locked(keys):
            _remember(records / host, f"{old} withdrawn")
            (keys / f"{host}.pub").unlink()
    return old


def _is(path: Path, key: str) -> bool:
    return path.read_text(encoding="utf-8", errors="replace").strip() == key


def _remember(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{now} {line}\n")
        file.flush()
        os.fsync(file.fileno())
