# SPDX-License-Identifier: MIT
"""What several modules ask of the machine that they run on, and how they end when it refuses."""

from __future__ import annotations

import pwd
from collections.abc import Collection
from pathlib import Path
from typing import NoReturn

from ansible.module_utils.basic import AnsibleModule

# Types of file systems on the machine's own disks (filesystems(5)).
LOCAL = frozenset(
    ("ext2", "ext3", "ext4", "btrfs", "xfs", "f2fs", "overlay", "zfs", "vfat", "exfat")
)


def account(login: str) -> pwd.struct_passwd | None:
    """Return the person's account, if the machine has it."""
    try:
        return pwd.getpwnam(login)
    except KeyError:
        return None


def local_mounts(kinds: Collection[str] = LOCAL, mounts: str = "/proc/mounts") -> list[str]:
    """Return where file systems of these types are mounted, each file system once."""
    found: dict[int, str] = {}
    for line in Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines():
        _, where, kind = line.split()[:3]
        where = where.encode().decode("unicode_escape")
        if kind in kinds and Path(where).is_dir():
            found.setdefault(Path(where).stat().st_dev, where)
    return sorted(found.values())


def fail(module: AnsibleModule, message: str) -> NoReturn:
    """End the module; fail_json does not return, which its types don't say."""
    module.fail_json(msg=message)
    raise AssertionError
