"""rootfs on the machine: no lost handler, and units that are enabled, restarted and put back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., dict[str, Any]]
CONF = {"restart": ["a.service"]}


# -- pending marks ----------------------------------------------------------------------------


def test_change_marks_and_settled_clears(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.running)
    manager.add("b.service", manager.running)
    machine.wants(
        node("etc/a", "one\n", restart=["a.service"], reload=["b.service"]),
        node("etc/b", "one\n", reload=["a.service"]),
    )
    told = [machine.run(check=True), machine.run("settled", check=True)]
    assert told[0]["pending"] == {"a.service": "restart", "b.service": "reload"}
    assert machine.run() == told[0]
    assert manager.orders == []
    assert machine.run("settled") == told[1]
    assert told[1]["restarted"] == ["a.service", "b.service"]
    assert manager.orders == ["restart a.service", "reload-or-restart b.service"]
    for state in ("present", "settled"):
        for check in (False, True):
            assert not machine.run(state, check=check)["changed"]


def test_only_the_units_of_what_changed_are_marked(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.running)
    machine.wants(node("etc/a", "one\n", **CONF), node("etc/b", "x\n", restart=["b.service"]))
    machine.run()
    manager.add("b.service", manager.running)
    machine.run("settled")
    machine.wants(node("etc/a", "two\n", **CONF), node("etc/b", "x\n", restart=["b.service"]))
    assert machine.run()["pending"] == {"a.service": "restart"}


def test_mark_that_was_not_obeyed_notifies_again(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.running)
    machine.wants(node("etc/a", "one\n", **CONF)).run()
    # here the run was killed, before its handler
    for check in (True, False):
        again = machine.run(check=check)
        assert again["changed"]
        assert again["installed"] == []
        assert again["pending"] == {"a.service": "restart"}
    assert machine.run("settled", check=True)["restarted"] == ["a.service"]
    machine.run("settled")
    assert manager.orders == ["restart a.service"]
    assert not machine.run()["changed"]


def test_a_refused_tree_leaves_no_mark(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.running)
    refuse = {"command": ["test", "-d", "{staged}/none"]}
    machine.wants(node("etc/a", "one\n", **CONF), validate=[refuse])
    assert machine.run()["failed"]
    machine.wants()
    assert not machine.run()["changed"]


# -- settled ----------------------------------------------------------------------------------


def test_unit_that_cannot_be_restarted(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.running)
    manager.add("b.service", manager.running)
    manager.refuses.add("restart a.service")
    machine.wants(node("etc/a", "one\n", restart=["a.service", "b.service"])).run()
    assert (
        machine.fails("settled") == "demo: systemctl restart a.service: restart a.service refused"
    )
    # the other was restarted nevertheless, and only the one that failed waits
    assert manager.orders[-1] == "restart b.service"
    assert machine.run()["pending"] == {"a.service": "restart"}
    manager.refuses.clear()
    assert machine.run("settled")["restarted"] == ["a.service"]


@pytest.mark.parametrize("order", ["restart", "reload"])
def test_unit_that_does_not_stay_up(machine: Any, manager: Any, node: Make, order: str) -> None:
    manager.add("a.service", manager.running)
    manager.dies.add("a.service")
    machine.wants(node("etc/a", "one\n", **{order: ["a.service"]})).run()
    assert machine.fails("settled") == (
        "demo: a.service doesn't stay up.\nThe journal of a.service ends with:\n"
        "last words of a.service"
    )
    assert machine.run()["pending"] == {"a.service": order}


def test_unit_that_systemd_starts_again_and_again(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.running, SubState="auto-restart")
    machine.wants(node("etc/a", "one\n", **CONF)).run()
    assert "doesn't stay up" in machine.fails("settled")


def test_unit_that_is_not_installed(machine: Any, manager: Any, node: Make) -> None:
    machine.wants(node("etc/a", "one\n", **CONF))
    assert machine.run(check=True)["pending"] == {"a.service": "restart"}
    assert machine.run("settled", check=True)["restarted"] == ["a.service"]
    machine.run()
    manager.refuses.add("restart a.service")
    assert "systemctl restart a.service" in machine.fails("settled")
    assert machine.run()["changed"]


def test_manager_reads_new_unit_files(machine: Any, manager: Any, node: Make) -> None:
    unit = "etc/systemd/system/a.service"
    manager.add("a.service", manager.disabled)
    machine.wants(node(unit, "[Service]\n"))
    assert machine.run(check=True)["changed"]
    assert machine.run("settled", check=True)["changed"]
    machine.run()
    assert machine.run()["changed"], "systemd still has to be told"
    assert machine.run("settled")["changed"]
    assert manager.orders == ["daemon-reload"]
    assert not machine.run()["changed"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("usr/lib/systemd/system/a.timer", True),
        ("etc/systemd/system/b.service.d/x.conf", True),
        ("etc/containers/systemd/a.container", True),
        ("etc/systemd/timesyncd.conf.d/x.conf", False),
        ("usr/share/doc/etc/systemd/system/a", False),
    ],
)
def test_what_systemd_has_to_be_told(
    machine: Any, manager: Any, node: Make, path: str, told: bool
) -> None:
    machine.wants(node(path, "x\n")).run()
    machine.run("settled")
    assert manager.orders == (["daemon-reload"] if told else [])


def test_units_of_a_removed_file(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.running)
    machine.wants(node("etc/a", "one\n", **CONF)).run()
    machine.run("settled")
    result = machine.wants().run()
    assert result["pending"] == {"a.service": "restart"}
    machine.run("settled")
    assert manager.orders[1:] == ["try-restart a.service"]
    assert not machine.run()["changed"]


def test_unit_whose_own_file_is_removed(machine: Any, manager: Any, node: Make) -> None:
    machine.wants(node("etc/systemd/system/a.service", "[Service]\n", **CONF)).run()
    manager.add("a.service", manager.running)
    machine.run("settled")
    # its file goes, but it still runs
    manager.add("a.service", {**manager.absent, "ActiveState": "active"})
    machine.wants().run()
    machine.run("settled")
    assert manager.orders[2:] == ["daemon-reload", "stop a.service"]
    # gone for good
    del manager.units["a.service"]
    assert not machine.run()["changed"]


# -- enable -----------------------------------------------------------------------------------


def test_enable_enables_and_starts(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.timer", manager.disabled)
    manager.add("b.service", manager.running)
    machine.wants(
        node("usr/lib/systemd/system/a.timer", "[Timer]\n", restart=["a.timer"]),
        enable=["a.timer", "b.service"],
    )
    told, done = machine.run(check=True), machine.run()
    assert told == done
    assert done["enabled"] == ["a.timer"]
    assert manager.orders == ["daemon-reload", "enable a.timer", "start a.timer"]
    # what was started with the new file needs no restart
    assert done["pending"] == {}
    for state in ("settled", "present"):
        for check in (True, False):
            assert not machine.run(state, check=check)["changed"]


def test_enable_on_a_machine_that_has_no_such_unit_yet(
    machine: Any, manager: Any, node: Make
) -> None:
    machine.wants(node("usr/lib/systemd/system/a.timer", "[Timer]\n"), enable=["a.timer"])
    told = machine.run(check=True)
    assert told["enabled"] == ["a.timer"]
    assert manager.orders == []
    machine.wants(enable=["b.service"])
    assert machine.run()["msg"] == "demo: b.service can't be enabled: systemd says not-found."


def test_stopped_unit_is_started_again(machine: Any, manager: Any) -> None:
    manager.add("a.service", manager.running, ActiveState="inactive")
    machine.wants(enable=["a.service"])
    assert machine.run(check=True)["enabled"] == ["a.service"]
    assert machine.run()["enabled"] == ["a.service"]
    assert manager.orders == ["start a.service"]


def test_unit_that_rests(machine: Any, manager: Any) -> None:
    once = {"Type": "oneshot", "RemainAfterExit": "no"}
    manager.add("once.service", manager.running, ActiveState="inactive", **once)
    manager.add("never.service", manager.running, ActiveState="inactive", ConditionResult="no")
    manager.units["never.service"]["ConditionTimestampMonotonic"] = "12345"
    machine.wants(enable=["once.service", "never.service"])
    assert not machine.run()["changed"]
    # but one that was never enabled does its work once
    manager.add("once.service", manager.disabled, **once)
    assert machine.run()["enabled"] == ["once.service"]
    assert manager.orders == ["enable once.service", "start once.service"]


def test_masked_unit(machine: Any, manager: Any) -> None:
    manager.add("a.service", manager.disabled, LoadState="masked")
    machine.wants(enable=["a.service"])
    assert machine.run()["msg"] == "demo: a.service can't be enabled: systemd says masked."


def test_unit_that_does_not_start(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.disabled, ActiveState="failed")
    manager.refuses.add("start a.service")
    machine.wants(node("etc/a", "one\n", **CONF), enable=["a.service"])
    assert machine.run()["msg"] == (
        "demo: systemctl start a.service: start a.service refused\n"
        "The journal of a.service ends with:\nlast words of a.service"
    )
    # the mark stays, so the next run notifies
    manager.refuses.clear()
    manager.add("a.service", manager.running)
    assert machine.run()["pending"] == {"a.service": "restart"}


def test_unit_that_the_new_version_lacks_is_disabled_before_its_file_goes(
    machine: Any, manager: Any, node: Make
) -> None:
    manager.add("a.service", manager.disabled)
    machine.wants(node("etc/systemd/system/a.service", "x\n", **CONF), enable=["a.service"]).run()
    place = machine.root / "etc/systemd/system/a.service"
    seen: list[tuple[str, bool]] = []
    obey = manager._obey

    def look(order: str, unit: dict[str, str]) -> None:
        seen.append((order, place.exists()))
        obey(order, unit)

    manager._obey = look
    machine.wants()
    told, done = machine.run(check=True), machine.run()
    assert told == done
    assert done["disabled"] == ["a.service"]
    assert seen == [("disable", True), ("stop", True)]
    assert not place.exists()


def test_absent_puts_units_back_and_needs_no_handler(
    machine: Any, manager: Any, node: Make
) -> None:
    manager.add("ours.service", manager.disabled)
    manager.add("theirs.service", manager.running)
    manager.add("idle.service", manager.running, ActiveState="inactive")
    units = ["ours.service", "theirs.service", "idle.service"]
    machine.wants(node("etc/a", "one\n", restart=["theirs.service"]), enable=units).run()
    machine.run("settled")
    manager.orders.clear()
    told, done = machine.run("absent", check=True), machine.run("absent")
    assert told == done
    assert done["disabled"] == ["ours.service"]
    assert done["restarted"] == ["theirs.service"]
    assert manager.orders == [
        "stop idle.service",
        "disable ours.service",
        "stop ours.service",
        "try-restart theirs.service",
    ]
    assert not (machine.root / "var/lib/nomade/rootfs/demo").exists()
    assert not machine.run("absent")["changed"]


def test_absent_when_the_units_are_gone_already(machine: Any, manager: Any, node: Make) -> None:
    manager.add("a.service", manager.disabled)
    machine.wants(node("etc/a", "one\n", **CONF), enable=["a.service"]).run()
    manager.orders.clear()
    del manager.units["a.service"]
    assert machine.run("absent")["removed"] == ["/etc/a", "/etc"]
    assert manager.orders == []


# -- an image or a chroot ---------------------------------------------------------------------


def test_image_without_a_running_systemd(machine: Any, node: Make) -> None:
    unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    machine.wants(
        node("etc/systemd/system/a.service", unit, restart=["a.service"]), enable=["a.service"]
    )
    done = machine.run()
    assert done["enabled"] == ["a.service"]
    assert str(done["warnings"]).count("a.service will start at boot") == 1
    wanted = machine.root / "etc/systemd/system/multi-user.target.wants/a.service"
    assert wanted.readlink() == Path("/etc/systemd/system/a.service")
    assert "will start at boot" in str(machine.run("settled")["warnings"])
    assert not machine.run()["changed"]
    machine.run("absent")
    assert not wanted.is_symlink()


@pytest.mark.usefixtures("manager")
def test_machine_without_systemctl(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = (127, "systemctl is not installed")
    monkeypatch.setattr(machine.module.Systemd, "order", lambda *_words: missing)
    machine.wants(enable=["a.service"])
    assert machine.run()["msg"] == (
        "demo: systemctl show a.service failed: systemctl is not installed"
    )
