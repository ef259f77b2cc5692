#!/usr/bin/python3 -IS
# SPDX-License-Identifier: MIT
"""Choose the disk to install on, and refuse one that may not be erased: disk.py true|false."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

Json = dict[str, Any]

SMALLEST = 8 * 1000**3
OURS = {"nomade-efi", "nomade-boot", "nomade-luks"}
COLUMNS = "NAME,PATH,TYPE,SIZE,RM,RO,TRAN,FSTYPE,PTTYPE,PARTLABEL,LABEL,MODEL"


class RefusedError(Exception):
    """No disk, or none that may be erased; the message says why."""


def choose(listed: Json) -> Json:
    """Return the internal disk: not removable, not on USB, NVMe before others, then the first."""
    disks: list[Json] = [
        disk
        for disk in listed["blockdevices"]
        if disk["type"] == "disk"
        and not disk["rm"]
        and not disk["ro"]
        and disk.get("tran") != "usb"
        and disk["size"] >= SMALLEST
        and not disk["name"].startswith(("zram", "ram", "loop", "sr", "fd"))
    ]
    if not disks:
        raise RefusedError(f"no internal disk of {SMALLEST // 1000**3} GB or more")
    return min(disks, key=lambda disk: (disk.get("tran") != "nvme", disk["name"]))


def foreign(disk: Json) -> str:
    """Return what Nomade did not make on the disk; nothing for a blank disk or one of ours."""
    parts = disk.get("children") or []
    if parts and {part.get("partlabel") for part in parts} == OURS:
        return ""
    found = [f"{part['name']} {part.get('fstype') or '?'}" for part in parts]
    if disk.get("fstype"):
        found.append(f"{disk['name']} {disk['fstype']}")
    return ", ".join(found)


def judge(listed: Json, wipe: bool) -> str:
    """Return the path of the disk, or refuse."""
    disk = choose(listed)
    found = foreign(disk)
    if found and not wipe:
        raise RefusedError(
            f"{disk['path']} holds what Nomade did not make ({found}): nothing was erased; "
            "order it again with -e wipe=<serial number> if it may go"
        )
    return str(disk["path"])


def main() -> None:
    """Print the path of the disk."""
    listed = json.loads(
        subprocess.run(
            ["lsblk", "--json", "--bytes", "--tree", "--output", COLUMNS],
            check=True,
            stdout=subprocess.PIPE,
        ).stdout
    )
    try:
        print(judge(listed, sys.argv[1] == "true"))
    except RefusedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
