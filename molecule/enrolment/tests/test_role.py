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
Playbook = Callable[..., CompletedProcess[str]]
each_machine = pytest.mark.parametrize("name", MACHINES)
testinfra_hosts = MACHINES


@pytest.mark.parametrize("sleep", SLEEPS)
def test_no_sleep_on_mains(host: Any, sleep: str) -> None:
    # A machine without a battery counts as on mains (systemd.unit(5), ConditionACPower).
    unit = f"systemd-{sleep}.service"
    # never ask for a sleep that nothing would stop
    assert "\nConditionACPower=false\n" in host.check_output(f"systemctl cat {unit}") + "\n"
    host.check_output(f"sudo systemctl start {unit}")
    shown = host.check_output(f"systemctl show {unit} -p ConditionResult -p ExecMainStartTimestamp")
    assert "ConditionResult=no" in shown
    assert "ExecMainStartTimestamp=\n" in shown + "\n"


def test_each_machine_has_a_password_of_its_own(opened: Callable[[Path], str]) -> None:
    records = [ALONE / "records" / "console-passwords" / f"{name}.age" for name in MACHINES]
    assert len({opened(record) for record in records}) == len(MACHINES)


def test_the_account_is_no_persons(host: Any) -> None:
    user = host.user("secours")
    assert user.uid < 1000  # the login screen doesn't show it
    assert "denyusers secours" in host.check_output("sudo sshd -T")


def test_handed_over_it_may_sleep_again(host: Any, playbook: Playbook) -> None:
    name = host.check_output("hostname")
    assert playbook("change.yml", f"--limit={name}", entry="handover").returncode == 0
    for sleep in SLEEPS:
        unit = f"systemd-{sleep}.service"
        assert host.check_output(f"systemctl show {unit} -p DropInPaths --value") == ""
        assert "ConditionACPower" not in host.check_output(f"systemctl cat {unit}")
    assert host.user("secours").exists


def test_removed_it_leaves_nothing(host: Any, playbook: Playbook) -> None:
    name = host.check_output("hostname")
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
