"""The right machine is known by its serial number or its host key; the wrong one is left alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

Playbook = Callable[..., CompletedProcess[str]]
PROVEN = {"debian12": "serial_number", "debian13": "host_key"}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG0b8rYnB9kCk8m8sZk8b9oQeS7mT0yqv1wq0o4yXn3P"
testinfra_hosts = ["debian12", "debian13"]


@pytest.mark.parametrize("name", PROVEN)
def test_the_right_machine_goes_on(machine: Callable[[str], Any], name: str) -> None:
    assert found(machine(name))["proven_by"] == PROVEN[name]


def found(host: Any) -> dict[str, Any]:
    """Return what the play learned from the machine, as the roles that follow see it."""
    facts: dict[str, Any] = json.loads(host.file("/srv/identity.json").content_string)
    return facts


def refusals(done: CompletedProcess[str]) -> list[str]:
    """Return the messages of the tasks that failed, each on one line."""
    texts = re.findall(r"^fatal: \[.*?\n    msg: (.*?)\n\n", done.stdout, re.S | re.M)
    return [" ".join(text.split()).replace("''", "'") for text in texts]


@pytest.mark.parametrize(
    ("name", "variables", "sentence"),
    [
        ("debian12", {"fleet_serial_number": "PF9OTHER"}, "serial number PF9OTHER, this one has"),
        ("debian13", {"fleet_serial_number": "PF9OTHER"}, "this machine's firmware has none"),
        # what says Debian 12's own serial number is behind Debian 13's address
        ("debian13", {"identity_dmi_dir": "/srv/other"}, "PF2ABCDE is debian12's in the register"),
        ("debian13", {"identity_asset_tag": "debian12"}, "its host key is not the one pinned"),
        ("debian13", {"identity_asset_tag": "vb-999"}, "enrol it first"),
    ],
)
def test_the_wrong_machine_gets_one_sentence_and_no_change(
    machine: Callable[[str], Any],
    playbook: Playbook,
    name: str,
    variables: dict[str, str],
    sentence: str,
) -> None:
    host = machine(name)
    host.check_output("sudo sh -c 'mkdir -p /srv/other; echo PF2ABCDE > /srv/other/product_serial'")
    host.check_output("sudo rm -f /srv/identity.json; sudo touch /srv/before")
    done = playbook("converge.yml", f"--limit={name}", **variables)
    assert done.returncode != 0
    (refusal,) = refusals(done)
    assert sentence in refusal
    assert not host.file("/srv/identity.json").exists
    newer = (
        "sudo find /etc /usr /var/lib /home /srv -newer /srv/before -not -path '/var/lib/systemd/*'"
    )
    assert host.check_output(newer + " -type f") == ""
    assert playbook("converge.yml", f"--limit={name}").returncode == 0


def test_what_is_there_is_listed(machine: Callable[[str], Any], playbook: Playbook) -> None:
    host = machine("debian12")
    script = f"""
        useradd --create-home --shell /bin/bash jdupont; echo jdupont:secret12345 | chpasswd
        usermod --append --groups sudo jdupont
        mkdir -p /home/jdupont/.ssh; echo '{KEY} jean@poste' > /home/jdupont/.ssh/authorized_keys
        useradd --system --shell /bin/bash daemonlike
        printf 'jdupont ALL=(root) NOPASSWD: /usr/bin/apt\\n' > /etc/sudoers.d/jdupont
        echo 'TrustedUserCAKeys /etc/ssh/ca.pub' > /etc/ssh/sshd_config.d/90-ca.conf
        mkdir -p /etc/sssd; echo '[sssd]' > /etc/sssd/sssd.conf"""
    host.check_output("sudo sh -c %s", script)
    assert playbook("converge.yml", "--limit=debian12").returncode == 0
    facts = found(host)
    assert facts["foreign_accounts"] == [
        {"name": "user:jdupont", "detail": "uid 1001, /bin/bash, password, in sudo"}
    ]
    (key,) = facts["foreign_keys"]
    assert key["name"].startswith("key:jdupont:SHA256:")
    assert key["detail"] == "ssh-ed25519 jean@poste"
    assert facts["foreign_sudoers"] == [
        {
            "name": "sudoers:/etc/sudoers.d/jdupont",
            "detail": "jdupont ALL=(root) NOPASSWD: /usr/bin/apt",
        }
    ]
    (ca,) = facts["foreign_sshd"]
    assert ca["name"] == "sshd:TrustedUserCAKeys"
    assert facts["directory_services"] == ["sssd"]
    assert facts["accounts"] == {"nomade": "local", "jdupont": "local"}
    assert facts["password_set"] == {"nomade": False, "jdupont": True}
    assert (facts["vendor"], facts["model"]) == ("LENOVO", "ThinkPad T480")
    assert (facts["os_id"], facts["os_version_id"]) == ("debian", "12")
    host.check_output(
        "sudo sh -c 'userdel --remove jdupont; userdel daemonlike; "
        "rm -r /etc/sssd /etc/sudoers.d/jdupont /etc/ssh/sshd_config.d/90-ca.conf'"
    )
