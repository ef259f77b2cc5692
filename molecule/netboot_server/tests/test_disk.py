"""The disk's layout and its keys, by FAI's setup-storage and by the hook that follows it.

On a loop device, with the configuration space that the server gives to machines and an order taken
there. Containers have no device mapper: setup-storage stops where it opens the encrypted partition.
Before it, everything is its own work: partition table, file systems, LUKS header. Not covered here,
and covered by scripts/test-rebuild: the file system in the encrypted partition, the choice of the
disk (disk.py, which refuses a loop device; its rules are in tests/unit), and that it all starts.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

testinfra_hosts = ["installer"]

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
SERIAL = "5CGDISK01"
FOUND = "/var/tmp/installer"
MIB = 1024**2


@pytest.fixture(scope="module")
def server(machine):
    return machine("debian12")


@pytest.fixture(scope="module")
def installed(host, server):
    """The machine's files after the disk has got its keys, and how it ended."""
    server.check_output(f"sudo nomade-netboot order {SERIAL} vb-0050")
    done = host.run(f"sudo installer {SERIAL} http://10.164.0.2 {FOUND}")
    log = host.run(f"sudo grep -v '^(STDOUT) 0' {FOUND}/setup-storage.log").stdout
    assert done.rc == 0, f"{done.stderr}\n{log[-4000:]}"
    yield lambda name: host.check_output(f"sudo cat {FOUND}/{name}")
    server.check_output(f"sudo nomade-netboot cancel {SERIAL}")


@pytest.fixture(scope="module")
def opens(host):
    """opens(file) says whether a file's content opens the disk; its header is all that it takes."""
    test = f"sudo cryptsetup open --test-passphrase --key-file %s {FOUND}/header"
    return lambda file: host.run(test, file).rc == 0


def test_partitions_by_name_size_and_type(installed):
    table = json.loads(installed("table.json"))["partitiontable"]
    assert table["label"] == "gpt"
    parts = [(p["name"], p["size"] * 512 // MIB, p["type"]) for p in table["partitions"]]
    assert parts[:2] == [
        # firmware need not look for loaders in a partition of another type
        ("nomade-efi", 512, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"),
        ("nomade-boot", 1024, "0FC63DAF-8483-4772-8E79-3D69D8477DE4"),
    ]
    name, size, _ = parts[2]
    assert name == "nomade-luks"
    assert size == pytest.approx(10 * 1024 - 1536, abs=4), "the rest of the disk"
    assert all(part["start"] % 2048 == 0 for part in table["partitions"])
    assert installed("types").split() == ["vfat", "ext4", "crypto_LUKS"]


def test_the_encrypted_partition_is_luks2_without_a_slow_derivation(installed):
    header = json.loads(installed("formatted.json"))
    (slot,) = header["keyslots"].values()
    assert (slot["type"], slot["key_size"], slot["area"]["encryption"]) == (
        "luks2",
        64,
        "aes-xts-plain64",
    )
    assert (slot["kdf"]["type"], slot["kdf"]["iterations"]) == ("pbkdf2", 1000)
    (segment,) = header["segments"].values()
    assert (segment["type"], segment["encryption"]) == ("crypt", "aes-xts-plain64")


def test_only_the_towns_keys_open_it(installed, host, server, opens):
    slots = json.loads(installed("keys.json"))["keyslots"].values()
    assert [slot["kdf"]["iterations"] for slot in slots] == [1000, 1000]
    assert not opens(f"{FOUND}/first"), "setup-storage has logged it"
    assert not opens(f"{FOUND}/key"), "setup-storage has left it in its log's directory"
    assert opens(f"{FOUND}/preparation")
    left = installed("left").split()
    assert "recovery" not in left
    assert "first" not in left

    orders = json.loads(server.check_output("sudo nomade-netboot status --json"))["orders"]
    (escrow,) = [order["escrow"] for order in orders if order["serial_number"] == SERIAL]
    recovery = subprocess.run(
        ["age", "--decrypt", "--identity", RUN / "town.key"],
        input=escrow.encode(),
        check=True,
        capture_output=True,
    ).stdout.decode()
    assert len(recovery) == 32
    host.check_output(f"sudo sh -c 'printf %s {recovery} > {FOUND}/recovery'")
    assert opens(f"{FOUND}/recovery")


def test_what_others_can_read_holds_no_key(installed, host, server):
    space = "curl --silent http://10.164.0.2/nomade/config.tar.gz | tar -xzO"
    assert 'luks:"ONETIME"' in host.check_output(f"{space} ./disk_config/INSTALL")
    recovery = host.check_output(f"sudo cat {FOUND}/recovery")
    journal = server.check_output("sudo journalctl --no-pager --boot")
    assert "/nomade/report" in journal
    assert recovery not in journal
    places = "/var/lib/nomade-netboot /usr/share/nomade /etc/nomade /run/nomade-netboot"
    assert server.run(f"sudo grep -rlF -e {recovery} {places}").stdout == ""


def test_killed_half_way_its_disk_is_free_again(installed, host, server, wait_until):
    server.check_output("sudo nomade-netboot order 5CGDISK02 vb-0051")
    command = f"installer 5CGDISK02 http://10.164.0.2 {FOUND}-killed"
    host.check_output(f"sudo systemd-run --unit=killed {command}")
    disks = "cat /sys/block/loop*/loop/backing_file"  # there is no such file where there is none
    wait_until(lambda: f"{FOUND}-killed/disk.raw" in host.run(disks).stdout)
    host.check_output("sudo systemctl kill --signal=KILL killed")
    wait_until(lambda: FOUND not in host.run(disks).stdout)
    assert host.check_output("systemctl show --property=Result killed") == "Result=signal"
    server.check_output("sudo nomade-netboot cancel 5CGDISK02")
