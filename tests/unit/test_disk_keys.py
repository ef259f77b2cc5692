"""Whether destroying keys is enough: all that a machine writes to its own disks is encrypted."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

type Node = dict[str, Any]


def node(name: str, *places: str, fstype: str = "ext4", below: tuple[Node, ...] = ()) -> Node:
    """Return a line of lsblk's tree."""
    return {"name": name, "fstype": fstype, "mountpoints": [*places, None], "children": [*below]}


ROOT = node("nomade", "/")
LUKS = node("vda3", fstype="crypto_LUKS", below=(ROOT,))
BOOT = node("vda2", "/boot")
EFI = node("vda1", "/boot/efi", fstype="vfat")
STICK = node("sda", fstype="", below=(node("sda1", "/media/anne/STICK", fstype="vfat"),))
ZRAM = node("zram0", "[SWAP]", fstype="swap")
LVM = node("vda3", fstype="crypto_LUKS", below=(node("pv", below=(ROOT, node("s", "[SWAP]"))),))


@pytest.mark.parametrize(
    ("tree", "encrypted"),
    [
        ([node("vda", below=(EFI, BOOT, LUKS))], True),
        ([node("vda", below=(EFI, BOOT, LUKS)), STICK, ZRAM], True),
        ([node("vda", below=(BOOT, LVM))], True),
        ([node("vda", below=(EFI, node("vda2", "/")))], False),
        ([node("vda", below=(LUKS,)), node("vdb", below=(node("vdb1", "/home"),))], False),
        ([node("vda", below=(LUKS, node("vda4", "[SWAP]", fstype="swap")))], False),
        # a stick that is encrypted says nothing of the disk
        (
            [node("vda", "/"), node("sda", fstype="crypto_LUKS", below=(node("x", "/media/x"),))],
            False,
        ),
        ([], False),
    ],
)
def test_the_whole_disk_or_none_of_it(
    module_named: Callable[[str], ModuleType], tree: list[Node], encrypted: bool
) -> None:
    assert module_named("disk_keys_destroyed").is_encrypted(tree) is encrypted
