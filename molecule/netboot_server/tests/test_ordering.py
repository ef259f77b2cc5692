"""What a technician does: hears of an unknown machine, writes it into the register, orders it.

The machine is the installer: FAI's action is the program that the server gives to machines; it
says what the container is. That an ordered machine installs, is in scripts/test-rebuild.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

testinfra_hosts = ["debian12"]

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
TOWN = RUN / "inventories/town"
VAR = RUN / "var/town"
SERIAL = "5CG-Tech01"
FLEET = (
    "asset_tag;serial_number;mac_address;model;owner_department;state;assignee_login;"
    "assignee_name;assignee_email;department;extension;wave;management_address\n"
    "vb-0060;5CGOTHER60;;;Voirie;recovered;;;;;;;\n"
)
SETTINGS = {
    "ansible_ssh_private_key_file": str(RUN / "id_ed25519"),
    "workstation_technicians": ["technicienne"],
    "nomade_hotline": "+33 1 99 00 42 42",
    "vpn_probe_name": "intranet.valbourg.example",
    "vpn_gateways": [
        {
            "name": "gateway",
            "endpoint": "198.51.100.10",
            "address_ipv4": "10.66.0.1",
            "address_ipv6": "fd66:6e6f:6d61::1",
        }
    ],
}
# The container's own devices, and a serial number of our choice among them.
ANNOUNCE = """
    set -e
    mkdir -p /run/class/dmi/id /run/announce
    cd /sys/class
    find . -type l -print0 | tar -c --null --files-from=- | tar -x --directory=/run/class
    echo %s > /run/class/dmi/id/product_serial
    mount --bind /run/class /sys/class
    curl --fail --silent http://10.164.0.2/nomade/config.tar.gz | tar -xzC /run/announce
    export FAI=/run/announce NOMADE_URL=http://10.164.0.2
    exec /run/announce/hooks/announce
"""


@pytest.fixture(scope="module", autouse=True)
def town(addresses):
    """A town that has another laptop in its register, and the netboot server."""
    for place in (TOWN, VAR):
        shutil.rmtree(place, ignore_errors=True)
    (TOWN / "group_vars/all").mkdir(parents=True)
    (TOWN / "keys/technicians").mkdir(parents=True)
    (TOWN / "fleet.csv").write_text(FLEET)
    for source, target in (
        ("known_hosts", "known_hosts"),
        ("town.age.pub", "keys/town.age.pub"),
        ("id_ed25519.pub", "keys/technicians/technicienne.pub"),
    ):
        (TOWN / target).write_text((RUN / source).read_text())
    (TOWN / "group_vars/all/town.yml").write_text(json.dumps(SETTINGS))
    groups = {
        "netboot_servers": {"debian12": {"ansible_host": addresses["debian12"]["lan"]["ipv4"]}},
        "vpn_gateways": {"gateway": {"ansible_host": "198.51.100.10"}},
    }
    children = {name: {"hosts": hosts} for name, hosts in groups.items()}
    (TOWN / "servers.yml").write_text(json.dumps({"servers": {"children": children}}))


def started(*command):
    """Start a command as a technician does, in this repository."""
    return subprocess.Popen(
        command,
        cwd=PROJECT,
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg"),
            "ANSIBLE_INVENTORY": str(TOWN),
            "PYTHONUNBUFFERED": "yes",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def typed(*command):
    """Return how a command ended and what it showed."""
    process = started(*command)
    shown, _ = process.communicate(timeout=120)
    print(shown)
    return process.returncode, shown


def play(name, *arguments):
    return typed("ansible-playbook", f"playbooks/{name}.yml", *arguments)


@pytest.fixture(scope="module")
def waiting(machine):
    """The unknown machine: it announces itself and waits; waiting() is what its screen shows."""
    installer = machine("installer")
    script = shlex.quote(ANNOUNCE % shlex.quote(SERIAL))
    installer.check_output(
        f"sudo systemd-run --unit=announce --collect --property=PrivateMounts=yes sh -c {script}"
    )
    yield lambda: installer.check_output("sudo journalctl --unit=announce --output=cat")
    installer.run("sudo systemctl stop announce")


def test_an_unknown_machine_is_heard_of(waiting, wait_until, host, post):
    wait_until(lambda: "Announced, waiting" in waiting())
    # somebody on that network talks nonsense
    assert post("announce", {"serial_number": "5CGWRONG1", "mac_addresses": ["x"]})[0] == 200

    checked, shown = play("pending", "--check")
    assert checked == 0
    assert not (VAR / "pending").exists()
    ended, shown = play("pending")
    assert ended == 0
    (refused,) = re.findall(r"^/var/lib/nomade-netboot/pending/5cgwrong1.json: .*", shown, re.M)
    assert 'mac_addresses: "x": is missing or not what it must be' in refused
    assert host.run("sudo test -e /var/lib/nomade-netboot/pending/5cgwrong1.json").rc == 0
    assert [path.name for path in (VAR / "pending").iterdir()] == ["5cgtech01.json"]
    assert re.search(r"changed=0 ", play("pending")[1])

    ended, shown = typed("fleet", "pending", "--json")
    (said,) = json.loads(shown)["machines"]
    assert (ended, said["serial_number"], said["asset_tag"]) == (0, SERIAL, None)
    assert said["fit"] is False, "a container has no firmware"
    host.check_output("sudo rm /var/lib/nomade-netboot/pending/5cgwrong1.json")
    ended, shown = typed("fleet", "pending")
    assert f"unknown; type: fleet add -i {TOWN} TAG --serial {SERIAL}" in shown
    assert "UNFIT: firmware: legacy BIOS, UEFI wanted" in shown


def grub(host, serial):
    """What GRUB is told on the machine with that serial number, as a word."""
    answer = host.run(f"sudo cat /run/nomade-netboot/answers/{serial.lower()}.cfg").stdout
    return re.search(r"nomade_answer=(\w+)|$", answer)[1]


def test_ordered_it_is_told_so_once(waiting, host, post, wait_until):
    assert typed("fleet", "add", "vb-0061", "--serial", SERIAL)[0] == 0
    said = {"serial_number": SERIAL}
    ended, shown = play("rebuild", "-e", "asset=vb-0061", "--check")
    assert (ended, grub(host, SERIAL)) == (0, None), shown

    rebuild = started("ansible-playbook", "playbooks/rebuild.yml", "-e", "asset=vb-0061")
    wait_until(lambda: grub(host, SERIAL) == "order", seconds=60)
    wait_until(lambda: "Ordered, starting again" in waiting())
    status, answer = post("take", said)
    assert (status, grub(host, SERIAL)) == (200, "known"), "it starts from its new disk"
    assert post("take", said)[0] == 410
    token = json.loads(answer)["token"]
    for stage in ({"stage": "partition"}, {"stage": "failed", "reason": "no internal disk"}):
        assert post("report", {**said, **stage, "token": token})[0] == 200
    shown, _ = rebuild.communicate(timeout=60)
    print(shown)
    assert rebuild.returncode != 0
    assert "vb-0061: start it from the network  (0 of 1)" in shown
    assert "vb-0061: failed: no internal disk  (0 of 1, 1 failed)" in shown
    (record,) = (TOWN / "records/rebuilds").iterdir()
    kept = json.loads(record.read_text())
    assert (kept["state"], kept["asset_tag"]) == ("failed", "vb-0061")
    assert "token" not in kept

    # taken up by another run, as after one that was interrupted: nothing is ordered
    record.unlink()
    ended, shown = play("rebuild", "-e", "asset=vb-0061", "-e", "watch=yes")
    assert (ended != 0, record.exists(), grub(host, SERIAL)) == (True, True, "known")
