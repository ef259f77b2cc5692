"""Whether one look at a machine tells which trees stand as they were installed."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

Make = Callable[..., dict[str, Any]]
Holding = Callable[[], dict[str, str]]


@pytest.fixture
def holding(machine: Any) -> Holding:
    survey = importlib.import_module("ansible.module_utils.rootfs_survey")
    return lambda: dict(survey.holding(machine.root))


@pytest.fixture
def installed(machine: Any, manager: Any, node: Make) -> Any:
    manager.add("demo.service", manager.disabled)
    machine.wants(
        node("etc/demo/main.conf", "one\n", mode=0o640, restart=["demo.service"]),
        node("etc/demo/default", "main.conf", kind="link"),
        enable=["demo.service"],
    ).run()
    machine.run("settled")
    return machine


def asked(machine: Any) -> str:
    return hashlib.sha256(json.dumps(machine.asked).encode()).hexdigest()


def test_a_tree_that_stands(installed: Any, holding: Holding) -> None:
    assert holding() == {"demo": asked(installed)}
    assert not installed.run()["changed"]
    assert holding() == {"demo": asked(installed)}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda root: (root / "etc/demo/main.conf").write_text("two\n"),
        lambda root: (root / "etc/demo/main.conf").chmod(0o644),
        lambda root: (root / "etc/demo/main.conf").unlink(),
        lambda root: (root / "etc/demo/default").unlink(),
        lambda root: shutil.rmtree(root / "etc/demo"),
    ],
    ids=["content", "mode", "file", "link", "all"],
)
def test_what_was_changed_by_hand(
    installed: Any, holding: Holding, spoil: Callable[[Any], object]
) -> None:
    spoil(installed.root)
    assert holding() == {}
    assert installed.run()["changed"]
    installed.run("settled")
    assert holding() == {"demo": asked(installed)}


def test_a_directory_that_the_role_needs_and_does_not_name(
    installed: Any, holding: Holding
) -> None:
    """Its rights are its owner's business: rootfs looks, and takes note of them."""
    (installed.root / "etc/demo").chmod(0o700)
    assert holding() == {}
    assert not installed.run()["changed"]
    assert holding() == {"demo": asked(installed)}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "value"), [("UnitFileState", "disabled"), ("ActiveState", "failed")]
)
def test_a_unit_that_no_longer_runs(manager: Any, holding: Holding, name: str, value: str) -> None:
    manager.units["demo.service"][name] = value
    assert holding() == {}


def test_a_restart_that_waits(installed: Any, node: Make, holding: Holding) -> None:
    one = node("etc/demo/main.conf", "two\n", restart=["demo.service"])
    installed.wants(one, enable=["demo.service"]).run()
    assert holding() == {}
    installed.run("settled")
    assert holding() == {"demo": asked(installed)}


def test_a_run_that_failed_on_the_way_to_something_else(
    installed: Any, manager: Any, holding: Holding
) -> None:
    """The files of the new tree are all there, and what was asked for before is not."""
    before = installed.asked
    manager.add("more.service", manager.disabled)
    manager.refuses.add("enable more.service")
    installed.wants(*before["nodes"], enable=["demo.service", "more.service"])
    assert installed.run()["failed"]
    assert holding() == {}
    installed.asked = before
    installed.run()
    assert holding() == {"demo": asked(installed)}


def test_a_manifest_of_before_or_a_damaged_one(installed: Any, holding: Holding) -> None:
    file = installed.root / "var/lib/nomade/rootfs/demo/manifest.json"
    kept = json.loads(file.read_text())
    del kept["asked"]
    file.write_text(json.dumps(kept))
    assert holding() == {}
    assert not installed.run()["changed"]
    assert holding() == {"demo": asked(installed)}
    file.write_text("{")
    assert holding() == {}


def test_a_tree_that_was_removed(installed: Any, holding: Holding) -> None:
    installed.run("absent")
    assert holding() == {}


def test_an_image_without_a_running_system(machine: Any, node: Make, holding: Holding) -> None:
    machine.wants(node("etc/demo.conf", "one\n")).run()
    assert holding() == {}
