#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Destroy the keys of a machine's encrypted disks: whoever knows a passphrase reads no more."""

from __future__ import annotations

import fcntl
import json
import os
import struct
import subprocess
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: disk_keys_destroyed
short_description: Destroy the keys of a machine's encrypted disks
description:
  - Destroys every key slot of each LUKS device (C(cryptsetup luksErase)), then overwrites the whole
    region before its data, which holds the header and its copy, and reads it back.
  - Removes copies of headers (C(cryptsetup luksHeaderBackup)) from the file systems outside.
  - A system that runs from such a disk runs on until it is restarted, and never starts again.
options:
  state:
    description:
      - V(destroyed) destroys them. V(looked) only says in RV(encrypted) whether everything that the
        machine writes to its own disks is encrypted, so that destroying keys is enough.
    type: str
    choices: [looked, destroyed]
    default: destroyed
  devices:
    description: The devices. Default is every LUKS device that the machine has.
    type: list
    elements: path
  copies:
    description: Where copies of headers are looked for.
    type: list
    elements: path
    default: [/boot]
author: The Nomade authors
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Destroy the keys of the disks
  disk_keys_destroyed:
"""

RETURN = r"""
encrypted:
  description: Whether all mounted file systems and swap lie on LUKS, but for C(/boot) and sticks.
  type: bool
  returned: V(looked)
destroyed:
  description: The devices, each with its C(uuid), its C(version) and the C(bytes) overwritten.
  type: list
  returned: V(destroyed)
copies:
  description: Copies of headers that were removed.
  type: list
  returned: V(destroyed)
"""

MAGIC = (b"LUKS\xba\xbe", b"SKUL\xba\xbe")  # the header, and the copy that LUKS2 has of it
MEMORY = Path("/run/nomade-return/disk-keys.json")
BLOCK = 1 << 20
BLKDISCARD = 0x1277  # linux/fs.h


class RefusedError(Exception):
    """Why it can't be, in one sentence."""


def cryptsetup(*words: str, expected: tuple[int, ...] = (0,)) -> str:
    """Run cryptsetup."""
    try:
        done = subprocess.run(["cryptsetup", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise RefusedError("cryptsetup is not installed on this machine") from None
    if done.returncode not in expected:
        raise RefusedError(f"cryptsetup {words[0]}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def encrypted() -> list[str]:
    """Return the LUKS devices of this machine."""
    done = subprocess.run(
        ["blkid", "--cache-file", "/dev/null", "-t", "TYPE=crypto_LUKS", "-o", "device"],
        capture_output=True,
        text=True,
        check=False,
    )
    return sorted(done.stdout.split())


def is_encrypted(tree: list[dict[str, Any]]) -> bool:
    """Say whether all that the machine writes is encrypted, by lsblk's tree of its disks."""
    found: dict[str, bool] = {}
    for disk in tree:
        _look_below(disk, found, below=False)
    return bool(found) and all(found.values())


def _look_below(node: dict[str, Any], found: dict[str, bool], *, below: bool) -> None:
    if str(node["name"]).startswith("zram"):
        return  # memory
    below = below or node.get("fstype") == "crypto_LUKS"
    for place in filter(None, node.get("mountpoints") or []):
        # what starts the machine holds nobody's files, and a stick goes home with its owner
        if not f"{place}/".startswith(("/boot/", "/media/", "/run/media/", "/mnt/")):
            found[place] = below
    for child in node.get("children") or []:
        _look_below(child, found, below=below)


def disks() -> list[dict[str, Any]]:
    """Return the disks with what lies on them and where it is mounted, swap included."""
    done = subprocess.run(
        ["lsblk", "--json", "--output", "NAME,FSTYPE,MOUNTPOINTS"],
        capture_output=True,
        text=True,
        check=False,
    )
    tree: list[dict[str, Any]] = json.loads(done.stdout or "{}").get("blockdevices", [])
    return tree


def remembered(path: Path = MEMORY) -> list[dict[str, Any]]:
    """Return what a run that was killed had begun to destroy since the machine was started."""
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return found


def remember(found: list[dict[str, Any]], path: Path = MEMORY) -> None:
    """Write down, in memory only, what is about to be destroyed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(json.dumps(found), encoding="utf-8")


def describe(device: str) -> dict[str, Any]:
    """Return what the header says: uuid, version, and where the data begin."""
    with Path(device).open("rb") as file:
        head = file.read(4096)
    if not head.startswith(MAGIC[0]):
        raise RefusedError(f"{device} is not encrypted by LUKS: nothing was destroyed")
    version = struct.unpack(">H", head[6:8])[0]
    uuid = head[168:208].rstrip(b"\0").decode("ascii", "replace")
    if version == 1:
        data = struct.unpack(">I", head[104:108])[0] * 512
    else:
        said = json.loads(cryptsetup("luksDump", "--dump-json-metadata", device))
        data = min(int(segment["offset"]) for segment in said["segments"].values())
    # a detached header would have its data begin at 0: then the device holds nothing but header
    size = size_of(device)
    return {"device": device, "uuid": uuid, "version": version, "bytes": min(data or size, size)}


def size_of(device: str) -> int:
    """Return the size of a device or file."""
    with Path(device).open("rb") as file:
        return file.seek(0, os.SEEK_END)


def destroy(device: str, count: int) -> None:
    """Destroy the key slots, then everything in front of the data, and look."""
    if has_header(device):
        cryptsetup("luksErase", "--batch-mode", device)
    for content in (os.urandom, bytes):
        with Path(device).open("r+b", buffering=0) as file:
            left = count
            while left > 0:
                left -= file.write(content(min(left, BLOCK)))
            os.fsync(file.fileno())
    discard(device, count)
    with Path(device).open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, count, os.POSIX_FADV_DONTNEED)
        left = count
        while left > 0:
            block = file.read(min(left, BLOCK))
            left -= len(block) or left
            if any(magic in block for magic in MAGIC) or block.count(0) != len(block):
                raise RefusedError(f"{device}: its header is still there after it was overwritten")
    if has_header(device):
        raise RefusedError(f"{device}: cryptsetup still finds a header")


def has_header(device: str) -> bool:
    """Say whether cryptsetup takes it for a LUKS device."""
    return subprocess.run(["cryptsetup", "isLuks", device], check=False).returncode == 0


def discard(device: str, count: int) -> None:
    """Tell an SSD that it may forget these blocks; one that can't is left as it is."""
    try:
        with Path(device).open("r+b", buffering=0) as file:
            fcntl.ioctl(file, BLKDISCARD, struct.pack("QQ", 0, count))
            file.write(bytes(4096))  # what is read back afterwards is written, not guessed
            left = count - 4096
            while left > 0:
                left -= file.write(bytes(min(left, BLOCK)))
            os.fsync(file.fileno())
    except OSError:
        return


def copies_of_headers(folders: list[str]) -> list[Path]:
    """Return the files that are copies of headers."""
    found = []
    for folder in folders:
        for path in Path(folder).rglob("*"):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    if file.read(6) in MAGIC:
                        found.append(path)
    return sorted(found)


def wipe(path: Path) -> None:
    """Overwrite a file and remove it."""
    with path.open("r+b", buffering=0) as file:
        left = path.stat().st_size
        while left > 0:
            left -= file.write(bytes(min(left, BLOCK)))
        os.fsync(file.fileno())
    path.unlink()


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["looked", "destroyed"], "default": "destroyed"},
            "devices": {"type": "list", "elements": "path"},
            "copies": {"type": "list", "elements": "path", "default": ["/boot"]},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "looked":
        module.exit_json(changed=False, encrypted=is_encrypted(disks()))
    try:
        found = remembered()
        known = [one["device"] for one in found]
        chosen = module.params["devices"]
        devices = encrypted() if chosen is None else chosen
        found += [describe(device) for device in devices if device not in known]
        if not found:
            raise RefusedError(
                "no disk of this machine is encrypted, so that no key can be destroyed: "
                "take -e return_method=clean"
            )
        copies = copies_of_headers(module.params["copies"])
        if not module.check_mode:
            remember(found)
            for path in copies:
                wipe(path)
            for one in found:
                destroy(one["device"], one["bytes"])
    except (RefusedError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, destroyed=found, copies=[str(path) for path in copies])


if __name__ == "__main__":
    main()
