"""What machines that start from the network are told, what they say, and which disk is erased."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tarfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nomade import pending

ROLE = Path(__file__).parents[2] / "roles/netboot_server/rootfs"
LIBRARY = ROLE / "usr/share/nomade/netboot/config/lib"
GB = 1000**3


def program(name: str, path: Path) -> ModuleType:
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


netboot = program("netboot", ROLE / "usr/lib/nomade/netboot")
disk = program("netboot_disk", LIBRARY / "disk.py")
announce = program("netboot_announce", LIBRARY / "announce.py")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """A server that has images and knows one machine."""
    settings = tmp_path / "netboot.json"
    settings.write_text(
        json.dumps(
            {
                "address": "10.20.8.2",
                "suites": ["trixie", "bookworm"],
                "order_hours": 12,
                "kernel_options": "quiet",
                "known": {"5CG-0001": "vb-0001", "with/slash": "vb-0002"},
            }
        )
    )
    (tmp_path / "state").mkdir()
    images = tmp_path / "images"
    (images / "images/20261124").mkdir(parents=True)
    (images / "current").symlink_to("images/20261124")
    return netboot.Store(tmp_path / "state", settings, images, tmp_path / "answers")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test may move."""
    now = [1_000_000.0]
    monkeypatch.setattr(netboot.time, "time", lambda: now[0])
    return now


def told(store: Any) -> dict[str, str]:
    """What GRUB reads of each file: the word behind nomade_answer."""
    store.publish()
    return {
        path.stem: path.read_text().split("nomade_answer=")[1].split()[0]
        for path in store.answers_root.iterdir()
    }


def order(store: Any, serial: str = "ABC1", wipe: str = "") -> dict[str, Any]:
    made: dict[str, Any] = store.order(serial, "vb-0007", 12, wipe, "trixie")
    return made


def test_known_and_unknown_machines_are_told_apart(store: Any) -> None:
    assert told(store) == {"unknown": "announce", "5cg-0001": "known"}
    unknown = (store.answers_root / "unknown.cfg").read_text()
    assert "FAI_ACTION=announce" in unknown
    assert "linux (tftp,10.20.8.2)/images/20261124/vmlinuz root=live:http://10.20.8.2/" in unknown


def test_an_order_is_taken_once(store: Any) -> None:
    order(store)
    assert told(store)["abc1"] == "order"
    assert "FAI_ACTION=install" in (store.answers_root / "abc1.cfg").read_text()
    taken = store.take("abc-1")  # whatever the separators
    assert taken["asset_tag"] == "vb-0007"
    assert told(store)["abc1"] == "known", "it starts from its new disk"
    with pytest.raises(netboot.RefusedError) as refused:
        store.take("ABC1")
    assert refused.value.status == 410


def test_an_order_expires(store: Any, clock: list[float]) -> None:
    order(store)
    clock[0] += 12 * 3600
    assert told(store)["abc1"] == "known"
    assert store.orders()[0]["state"] == "expired"
    with pytest.raises(netboot.RefusedError):
        store.take("ABC1")


def test_without_images_nothing_is_started(store: Any) -> None:
    (store.images_root / "current").unlink()
    order(store)
    assert told(store) == {"unknown": "unready", "5cg-0001": "known", "abc1": "unready"}


@pytest.mark.parametrize(
    ("serial", "wipe", "suite", "why"),
    [
        ("a b", "", "trixie", "cannot be ordered by"),
        ("../../etc", "", "trixie", "cannot be ordered by"),
        ("", "", "trixie", "cannot be ordered by"),
        ("ABC1", "ABC2", "trixie", "wipe names ABC2"),
        ("ABC1", "", "sid", "netboot_server_suites"),
    ],
)
def test_orders_that_are_refused(store: Any, serial: str, wipe: str, suite: str, why: str) -> None:
    with pytest.raises(netboot.RefusedError, match=why):
        store.order(serial, "vb-0007", 12, wipe, suite)
    assert store.orders() == []


def test_only_the_machine_that_took_the_order_reports(store: Any) -> None:
    order(store)
    token = store.take("ABC1")["token"]
    with pytest.raises(netboot.RefusedError):
        store.report("ABC1", "guessed", {"stage": "failed", "reason": "not so"})
    store.report("ABC1", token, {"stage": "keys", "escrow": "age..."})
    with pytest.raises(netboot.RefusedError, match="is running"):
        order(store)
    store.report("ABC1", token, {"stage": "installed", "host_key": "ssh-ed25519 AAAA"})
    store.report("ABC1", token, {"stage": "up", "address": "10.20.8.17"})
    (done,) = store.orders()
    assert (done["state"], done["address"], done["escrow"]) == ("done", "10.20.8.17", "age...")
    assert [stage["name"] for stage in done["stages"]] == ["taken", "keys", "installed", "up"]
    (record,) = (store.root / "records").iterdir()
    assert json.loads(record.read_text())["token"] == ""
    with pytest.raises(netboot.RefusedError):
        store.report("ABC1", token, {"stage": "failed"})


def test_a_failure_is_kept_with_its_reason(store: Any) -> None:
    order(store)
    token = store.take("ABC1")["token"]
    store.report("ABC1", token, {"stage": "failed", "reason": "no internal disk"})
    assert store.orders()[0]["reason"] == "no internal disk"
    order(store)  # and another may be ordered


def test_an_order_is_taken_back(store: Any) -> None:
    order(store)
    assert store.cancel("ABC1")["state"] == "cancelled"
    assert told(store)["abc1"] == "known"
    with pytest.raises(netboot.RefusedError):
        store.cancel("ABC1")


def test_progress_of_forty(store: Any, clock: list[float]) -> None:
    for number in range(40):
        store.order(f"S{number}", f"vb-{number:04}", 12, "", "trixie")
    for number in range(39):
        token = store.take(f"S{number}")["token"]
        if number < 38:
            clock[0] += 1
            store.report(f"S{number}", token, {"stage": "installed"})
            clock[0] += 599
            store.report(f"S{number}", token, {"stage": "up"})
    text = netboot.summary(store.orders(), clock[0])
    end = netboot.time.strftime("%H:%M", netboot.time.localtime(clock[0] + 600))
    assert text == f"38 of 40 done, the running ones by {end}"


def test_the_configuration_space_is_packed_for_root(tmp_path: Path) -> None:
    (tmp_path / "hooks").mkdir()
    (tmp_path / "hooks/announce").write_text("#!/bin/sh\n")
    (tmp_path / "hooks/announce").chmod(0o755)
    packed = netboot.config_space(tmp_path)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        member = tar.getmember("./hooks/announce")
    assert (member.mode & 0o777, member.uid, member.uname) == (0o755, 0, "root")


# --- announcements ----------------------------------------------------------------------------


def test_an_announcement_is_what_fleet_reads(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "disks", list)
    said = announce.describe(3500, 60)
    said["mac_addresses"] = said["mac_addresses"] or ["52:54:00:77:00:01"]
    store.announce(said)
    store.announce(said)  # again: in its place
    assert [one["model"] for one in store.pending()] == [said["model"]]
    (read,), errors = pending.read(store.root / "pending")
    assert errors == []
    assert read.unfit_reasons[-1] == "disk: none of 60 GB or more"


@pytest.mark.parametrize("said", [{}, {"serial_number": "..", "mac_addresses": []}])
def test_who_says_no_name_is_not_kept(store: Any, said: dict[str, Any]) -> None:
    with pytest.raises(netboot.RefusedError):
        store.announce(said)


def test_what_makes_a_machine_unfit() -> None:
    said = {"ram_mb": 1984, "firmware": "bios", "smart": "failed", "disks": [{"size_bytes": GB}]}
    reasons = announce.unfit(said, 3500, 60)
    assert [reason.split(":")[0] for reason in reasons] == ["memory", "firmware", "disk", "disk"]
    good = {"ram_mb": 3500, "firmware": "uefi", "smart": "unknown"}
    assert announce.unfit({**good, "disks": [{"size_bytes": 60 * GB}]}, 3500, 60) == []


# --- which disk -------------------------------------------------------------------------------


def device(name: str, **said: Any) -> dict[str, Any]:
    plain = {"type": "disk", "rm": False, "ro": False, "tran": "sata", "size": 256 * GB}
    return {"name": name, "path": f"/dev/{name}", "fstype": None, **plain, **said}


def part(name: str, fstype: str | None = None, label: str | None = None) -> dict[str, Any]:
    return {"name": name, "fstype": fstype, "partlabel": label}


OURS = [part("sda1", "vfat", "nomade-efi"), part("sda2", "ext4", "nomade-boot")]


@pytest.mark.parametrize(
    ("devices", "chosen"),
    [
        ([device("sda"), device("nvme0n1", tran="nvme")], "/dev/nvme0n1"),
        ([device("sda", tran="usb"), device("sdb")], "/dev/sdb"),
        ([device("sda", rm=True), device("mmcblk0", tran=None)], "/dev/mmcblk0"),
        ([device("sda", children=[*OURS, part("sda3", None, "nomade-luks")])], "/dev/sda"),
    ],
)
def test_the_internal_disk_is_taken(devices: list[dict[str, Any]], chosen: str) -> None:
    assert disk.judge({"blockdevices": devices}, wipe=False) == chosen


@pytest.mark.parametrize(
    "found",
    [
        {"children": [part("sda1", "ntfs", "Basic data partition")]},
        {"children": [part("sda1")]},
        {"children": [*OURS, part("sda3", "crypto_LUKS", "nomade-luks"), part("sda4", "ext4")]},
        {"fstype": "ext4"},
    ],
)
def test_a_foreign_disk_is_refused_unless_it_may_be_wiped(found: dict[str, Any]) -> None:
    listed = {"blockdevices": [device("sda", **found)]}
    with pytest.raises(disk.RefusedError, match="nothing was erased"):
        disk.judge(listed, wipe=False)
    assert disk.judge(listed, wipe=True) == "/dev/sda"


@pytest.mark.parametrize("devices", [[], [device("sda", tran="usb")], [device("sda", size=GB)]])
def test_no_disk_is_said(devices: list[dict[str, Any]]) -> None:
    with pytest.raises(disk.RefusedError, match="no internal disk"):
        disk.judge({"blockdevices": devices}, wipe=True)


# --- a stick ----------------------------------------------------------------------------------


def test_a_stick_asks_the_server_and_else_starts_what_lies_on_it(store: Any) -> None:
    text = store.stick()
    asked, own = text.split("set root=$nomade_stick\n")
    assert 'if net_bootp; then source "(tftp,10.20.8.2)/grub/grub.cfg"; fi' in asked
    assert "linux ($root)/images/20261124/vmlinuz root=live:http://10.20.8.2/images/2026" in own
    assert "FAI_ACTION=install" in own
    (store.images_root / "current").unlink()
    assert "the server has no images yet" in store.stick()
