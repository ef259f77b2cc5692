"""The host keys that a town pins in known_hosts, one name per machine: its asset tag."""

from __future__ import annotations

import base64
import binascii
import hashlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from nomade import files


class NoAnswerError(Exception):
    """Nothing answered as an SSH server does; the message is what ssh said."""


@dataclass(frozen=True)
class HostKey:
    """A public host key: its type and its base64 text."""

    kind: str
    blob: str

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint as OpenSSH prints it."""
        return fingerprint(self.blob)


def fingerprint(blob: str) -> str:
    """Return OpenSSH's SHA256 fingerprint of a base64 key, or an empty string if it is none."""
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except (binascii.Error, ValueError):
        return ""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def pinned(known_hosts: Path, name: str) -> list[HostKey]:
    """Return the keys that known_hosts has under this name."""
    if not known_hosts.exists():
        return []
    return [key for names, key in _lines(known_hosts.read_text("utf-8")) if name in names]


def _lines(text: str) -> Iterator[tuple[list[str], HostKey]]:
    for line in text.splitlines():
        fields = line.split()
        if len(fields) >= 3 and not fields[0].startswith(("#", "@")):
            yield fields[0].split(","), HostKey(fields[1], fields[2])


def scan(
    address: str, port: int = 22, prefer: str = "", arguments: Sequence[str] = ()
) -> list[HostKey]:
    """Ask an SSH server for its host key, without logging in.

    By ssh itself and not by ssh-keyscan: ssh goes through the jump hosts that a town may have
    (`arguments`), and shows the key of the type that later connections will be held to.
    """
    with tempfile.TemporaryDirectory() as folder:
        seen = Path(folder) / "seen"
        options = {
            "UserKnownHostsFile": str(seen),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "accept-new",
            "HashKnownHosts": "no",
            "UpdateHostKeys": "no",
            "HostKeyAlias": "machine",
            "PreferredAuthentications": "none",
            "BatchMode": "yes",
            "ControlPath": "none",
            "ConnectTimeout": "8",
            **({"HostKeyAlgorithms": f"^{prefer}"} if prefer else {}),
        }
        command = ["ssh", "-p", str(port)]
        command += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        run = subprocess.run(
            [*command, *arguments, "--", address, "true"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        keys = pinned(seen, "machine")
    if not keys:
        said = [line for line in run.stderr.splitlines() if line.strip()]
        raise NoAnswerError(said[-1].strip().rstrip(".") if said else "no answer")
    return keys


def pin(known_hosts: Path, name: str, key: HostKey, *, dry_run: bool = False) -> bool:
    """Pin a key under a name, in one step and one writer at a time; say whether it was new.

    Raises ValueError if another key of the same type is pinned: forgetting one is for a person.
    """
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(known_hosts.parent):
        old = pinned(known_hosts, name)
        if key in old:
            return False
        if any(other.kind == key.kind for other in old):
            raise ValueError(f"another {key.kind} key is pinned under {name} in {known_hosts}")
        if not dry_run:
            text = known_hosts.read_text("utf-8") if known_hosts.exists() else ""
            text += "" if text.endswith("\n") or not text else "\n"
            write_atomically(known_hosts, f"{text}{name} {key.kind} {key.blob}\n")
        return True


def replace(known_hosts: Path, name: str, key: HostKey) -> bool:
    """Pin a key in the place of all others under a name: the machine was installed anew by us."""
    known_hosts.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(known_hosts.parent):
        if pinned(known_hosts, name) == [key]:
            return False
        text = known_hosts.read_text("utf-8") if known_hosts.exists() else ""
        kept = [line for line in text.splitlines() if not any(name in n for n, _ in _lines(line))]
        lines = [*kept, f"{name} {key.kind} {key.blob}", ""]
        write_atomically(known_hosts, "\n".join(lines))
        return True


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a crash, finds the old one or the new one."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, text.encode(), files.mode_of(path, mode))
