"""Each role with nothing but a ten-line playbook, in a directory of its user's own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
SCENARIO = Path(__file__).parents[1]
PROJECT = SCENARIO.parents[1]
HOME = RUN / "home"
PLAYBOOKS = sorted(file.stem for file in (SCENARIO / "playbooks").glob("*.yml"))
MACHINES = {
    name: yaml.safe_load((SCENARIO / f"playbooks/{name}.yml").read_text())[0]["hosts"]
    for name in PLAYBOOKS
}


def make_home() -> None:
    """Make what a user of one role has: an inventory, their keys, the playbooks."""
    shutil.rmtree(HOME, ignore_errors=True)
    shutil.copytree(SCENARIO / "playbooks", HOME)
    for folder in ("keys", "records"):
        (HOME / folder).mkdir()
    shutil.copy(RUN / "id_ed25519.pub", HOME / "keys/technicienne.pub")
    secret = HOME / "town.age-identity"
    subprocess.run(["age-keygen", "-o", secret], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", secret], check=True, capture_output=True)
    (HOME / "keys/town.age.pub").write_bytes(public.stdout)
    rig: dict[str, Any] = yaml.safe_load((RUN / "inventory/rig.yml").read_text())["all"]["hosts"]
    hosts = {
        name: {
            "ansible_host": known["ansible_host"],
            "ansible_user": known["ansible_user"],
            "ansible_ssh_common_args": known["ansible_ssh_common_args"],
            "packages_cache_url": known["package_cache_url"],  # the rig has no other way to them
        }
        for name, known in rig.items()
    }
    (HOME / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))


def play(name: str) -> tuple[int, str]:
    """Run a playbook as its user does."""
    done = subprocess.run(
        ["ansible-playbook", "-i", HOME / "hosts.yml", HOME / f"{name}.yml"],
        check=False,
        capture_output=True,
        text=True,
        cwd=HOME,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
    )
    return done.returncode, done.stdout + done.stderr


def twice(names: list[str]) -> dict[str, list[tuple[int, str]]]:
    """Run the playbooks of one machine one after the other, each of them twice."""
    return {name: [play(name), play(name)] for name in names}


@pytest.fixture(scope="session")
def played() -> dict[str, list[tuple[int, str]]]:
    """Run all playbooks, the machines side by side."""
    make_home()
    names = [
        [name for name in PLAYBOOKS if MACHINES[name] == machine]
        for machine in sorted(set(MACHINES.values()))
    ]
    with ThreadPoolExecutor(2) as pool:
        return {name: runs for some in pool.map(twice, names) for name, runs in some.items()}


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_it_works(played: dict[str, list[tuple[int, str]]], name: str) -> None:
    for code, output in played[name]:
        assert code == 0, output


@pytest.mark.parametrize("name", PLAYBOOKS)
def test_the_second_run_changes_nothing(
    played: dict[str, list[tuple[int, str]]], name: str
) -> None:
    assert re.search(rf"^{MACHINES[name]} .* changed=0 ", played[name][1][1], re.MULTILINE)


@pytest.mark.usefixtures("played")
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("package_cache", "nomade-check --check package-cache-answers"),
        ("vpn_gateway", "sudo wg show wg0"),
        ("vpn_client", "sudo nomade-check --refresh --check vpn-interface"),
        ("workstation", "id mdurand"),
        ("management_account", "sudo grep --recursive technicienne /etc/ssh/authorized_keys.d"),
        ("nomade_check", "nomade-check --list"),
        ("packages", "figlet Valbourg"),
        ("enrolment", "systemctl cat systemd-suspend.service | grep nomade-awake"),
    ],
)
def test_it_does_what_it_is_for(machine: Callable[[str], Any], name: str, command: str) -> None:
    assert machine(MACHINES[name]).run(command).rc == 0


def test_the_first_password_is_the_towns_to_read(played: dict[str, list[tuple[int, str]]]) -> None:
    assert played
    record = HOME / "records/first-passwords/laptop-2.age"
    opened = subprocess.run(
        ["age", "--decrypt", "--identity", HOME / "town.age-identity", record],
        check=True,
        capture_output=True,
        text=True,
    )
    assert len(opened.stdout.strip()) == 20


def test_every_role_has_such_a_playbook() -> None:
    """Here, or as `alone.yml` in its own scenario."""
    roles = {path.name for path in (PROJECT / "roles").iterdir() if path.is_dir()}
    elsewhere = {
        path.parts[-2 if path.parent.name in roles else -3]
        for path in (PROJECT / "molecule").glob("*/**/alone.yml")
    }
    assert roles - elsewhere == set(PLAYBOOKS)
