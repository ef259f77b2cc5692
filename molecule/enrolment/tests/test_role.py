"""What the role leaves on a machine, and what the hand-over and the removal take away."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

ALONE = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "alone"
MACHINES = ["debian12", "debian13"]
SLEEPS = ["suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate"]
Connect = Callable[[str], Any]
Playbook = Callable[..., CompletedProcess[str]]
each_machine = pytest.mark.parametrize("name", MACHINES)
testinfra_hosts = MACHINES


@each_machine
@pytest.mark.parametrize("sleep", SLEEPS)
def test_no_sleep_on_mains(machine: Connect, name: str, sleep: str) -> None:
    host = machine(name)
    # A machine without a battery counts as on mains (systemd.unit(5), ConditionACPower).
    unit = f"systemd-{sleep}.service"
    # never ask for a sleep that nothing would stop
    assert "\nConditionACPower=false\n" in host.check_output(f"systemctl cat {unit}") + "\n"
    host.check_output(f"sudo systemctl start {unit}")
    shown = host.check_output(f"systemctl show {unit} -p ConditionResult -p ExecMainStartTimestamp")
    assert "ConditionResult=no" in shown
    assert "ExecMainStartTimestamp=\n" in shown + "\n"


@each_machine
def test_the_sealed_password_opens_the_machine(
    name: str, opened: Callable[[Path], str], log_in: Callable[[str, str, str], bool]
) -> None:
    record = ALONE / "records" / "console-passwords" / f"{name}.age"
    assert record.stat().st_mode & 0o077 == 0
    assert log_in(name, "secours", opened(record))


def test_each_machine_has_a_password_of_its_own(opened: Callable[[Path], str]) -> None:
    records = [ALONE / "records" / "console-passwords" / f"{name}.age" for name in MACHINES]
    assert len({opened(record) for record in records}) == len(MACHINES)


@each_machine
def test_the_account_is_no_persons(machine: Connect, name: str) -> None:
    host = machine(name)
    user = host.user("secours")
    assert user.uid < 1000  # the login screen doesn't show it
    assert "denyusers secours" in host.check_output("sudo sshd -T")


@each_machine
def test_handed_over_it_may_sleep_again(machine: Connect, playbook: Playbook, name: str) -> None:
    host = machine(name)
    assert playbook("change.yml", f"--limit={name}", entry="handover").returncode == 0
    for sleep in SLEEPS:
        unit = f"systemd-{sleep}.service"
        assert host.check_output(f"systemctl show {unit} -p DropInPaths --value") == ""
        assert "ConditionACPower" not in host.check_output(f"systemctl cat {unit}")
    assert host.user("secours").exists


@each_machine
def test_removed_it_leaves_nothing(machine: Connect, playbook: Playbook, name: str) -> None:
    host = machine(name)
    assert playbook("change.yml", f"--limit={name}", entry="absent").returncode == 0
    assert not host.user("secours").exists
    assert not host.package("smartmontools").is_installed
    with host.sudo():
        for path in (
            "/etc/sudoers.d/nomade-console",
            "/etc/ssh/sshd_config.d/01-nomade-console.conf",
        ):
            assert not host.file(path).exists
    assert "denyusers" not in host.check_output("sudo sshd -T")
