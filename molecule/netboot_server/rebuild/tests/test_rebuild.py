"""The first days of a laptop that nobody knows: it says what it is, is left alone, then rebuilt.

The tests go on from one another, as the machine does. Each prints how long its stages took.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
TOWN = RUN / "town"
SERIAL = "5CG9X042RB"
LAPTOP = "/var/lib/laptops/rebuilt"
DISK = f"{LAPTOP}/disk.raw"
LUKS = "/dev/disk/by-partlabel/nomade-luks"
FLEET = (
    "asset_tag;serial_number;mac_address;model;owner_department;state;assignee_login;"
    "assignee_name;assignee_email;department;extension;wave;management_address\n"
    f"vb-0042;{SERIAL};;;Voirie;recovered;;;;;;;\n"
)

testinfra_hosts = ["bench"]


@pytest.fixture(scope="module")
def server(machine):
    return machine("server")


@pytest.fixture(scope="module")
def bench(machine):
    return machine("bench")


@pytest.fixture(scope="module", autouse=True)
def town():
    """A town that has this laptop in its register, and the netboot server."""
    for folder in ("keys/technicians", "group_vars/all"):
        (TOWN / folder).mkdir(parents=True, exist_ok=True)
    (TOWN / "fleet.csv").write_text(FLEET)
    (TOWN / "known_hosts").write_text((RUN / "known_hosts").read_text())
    (TOWN / "keys/town.age.pub").write_text((RUN / "town.age.pub").read_text())
    key = RUN / "id_ed25519"
    (TOWN / "keys/technicians/demo.pub").write_text(key.with_suffix(".pub").read_text())
    (TOWN / "group_vars/all/town.yml").write_text(
        f"workstation_technicians: [demo]\nansible_ssh_private_key_file: {key}\n"
    )
    (TOWN / "servers.yml").write_text(
        "servers: {children: {netboot_servers: {hosts: {server: {ansible_host: 10.166.0.2}}}}}\n"
    )
    return TOWN


@pytest.fixture(scope="module")
def rebuild():
    """rebuild("-e", "wipe=...") runs the playbook as a technician does."""

    def run(*arguments):
        command = ["ansible-playbook", "playbooks/rebuild.yml", "-i", str(TOWN)]
        return subprocess.run(
            [*command, "-e", "asset=vb-0042", *arguments],
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def start(bench):
    bench.check_output(f"sudo laptop rebuilt eth0 {SERIAL} 3072")
    return time.monotonic()


def stop(bench):
    bench.check_output("sudo systemctl stop laptop-rebuilt")


def screen(bench):
    text = bench.check_output(f"sudo cat {LAPTOP}/serial.log | tr -d '\\000\\r'")
    return re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", text)


def wait(bench, what, condition, seconds):
    """Wait for a condition; a failure shows the end of the laptop's screen."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not in {seconds} s\n{screen(bench)[-6000:]}"
        time.sleep(2)


def pending(server):
    said = server.run("sudo sh -c 'cat /var/lib/nomade-netboot/pending/*.json'").stdout
    return json.loads(said) if said else {}


def ssh(address, command):
    options = f"-i {RUN / 'id_ed25519'} -o UserKnownHostsFile={TOWN / 'known_hosts'}"
    return subprocess.run(
        ["ssh", *shlex.split(options), "-o", "HostKeyAlias=vb-0042", f"nomade@{address}", command],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def foreign_disk(bench):
    """A disk of somebody's: a partition with a file system and a file. Returns its hash."""
    script = f"""
        set -e
        mkdir -p {LAPTOP}
        truncate -s 10G {DISK}
        printf 'label: gpt\\nstart=2048, size=400MiB, name="Basic data"\\n' | sfdisk -q {DISK}
        truncate -s 400M /tmp/part
        mkdir -p /tmp/files
        echo 'le bilan de la voirie' > /tmp/files/bilan.txt
        mkfs.ext4 -q -F -d /tmp/files /tmp/part
        dd if=/tmp/part of={DISK} bs=1M seek=1 conv=notrunc status=none
    """
    bench.check_output(f"sudo sh -c {shlex.quote(script)}")
    return digest(bench)


def digest(bench):
    """What is on the disk, and where: its holes are skipped, which saves half a minute."""
    return bench.check_output(f"sudo tar --sparse --mtime=@0 --create --file=- {DISK} | md5sum")


def test_an_unknown_machine_says_what_it_is_and_stays_as_it_was(bench, server, foreign_disk):
    begun = start(bench)
    wait(bench, "announcement", lambda: pending(server), 400)
    print(f"power on to announcement: {time.monotonic() - begun:.0f} s")
    said = pending(server)
    assert (said["serial_number"], said["firmware"], said["fit"]) == (SERIAL, "uefi", True), said
    (disk,) = said["disks"]
    (part,) = disk["partitions"]
    assert part["file_system"] == "ext4"
    assert 0 < part["used_bytes"] < 100_000_000
    text = screen(bench)
    assert SERIAL in text
    assert "APTE / FIT" in text
    assert "Secure boot enabled" in text or "Kernel is locked down" in text
    stop(bench)
    assert digest(bench) == foreign_disk


def test_ordered_without_leave_to_wipe_it_refuses(bench, server, foreign_disk, rebuild):
    start(bench)
    refused = rebuild()
    print(refused.stdout, refused.stderr)
    assert refused.returncode != 0
    assert "holds what Nomade did not make" in refused.stdout
    assert "installation interrompue" in screen(bench)
    stop(bench)
    assert digest(bench) == foreign_disk
    (record,) = (TOWN / "records/rebuilds").iterdir()
    assert json.loads(record.read_text())["state"] == "failed"


def test_ordered_it_becomes_a_machine_of_the_town(bench, server, rebuild):
    begun = start(bench)
    done = rebuild("-e", f"wipe={SERIAL}")
    print(done.stdout, done.stderr)
    assert done.returncode == 0, screen(bench)[-6000:]
    print(f"power on to a machine that can be entered: {time.monotonic() - begun:.0f} s")
    record = json.loads(sorted((TOWN / "records/rebuilds").iterdir())[-1].read_text())
    print("seconds of its stages:", record["seconds_of_stages"])
    assert record["state"] == "done"
    assert ssh(record["address"], "hostname").stdout.strip() == "vb-0042"


def last_record():
    return json.loads(sorted((TOWN / "records/rebuilds").iterdir())[-1].read_text())


def test_its_disk_is_encrypted_and_the_escrowed_passphrase_opens_it(bench):
    address = last_record()["address"]
    mounted = ssh(address, "lsblk --noheadings --output NAME,FSTYPE,MOUNTPOINTS").stdout
    assert "crypto_LUKS" in mounted
    assert re.search(r"nomade_root\s+ext4\s+/", mounted), mounted
    (sealed,) = (TOWN / "records/recovery-passphrases").iterdir()
    passphrase = subprocess.run(
        ["age", "--decrypt", "--identity", RUN / "town.key", sealed],
        check=True,
        capture_output=True,
    ).stdout
    opened = subprocess.run(
        [
            *("ssh", "-i", RUN / "id_ed25519", "-o", f"UserKnownHostsFile={TOWN / 'known_hosts'}"),
            *("-o", "HostKeyAlias=vb-0042", f"nomade@{address}"),
            f"sudo cryptsetup open --test-passphrase --key-file - {LUKS}",
        ],
        input=passphrase,
        check=False,
        capture_output=True,
    )
    assert opened.returncode == 0, opened.stderr
    # nor does it lie anywhere in clear: neither on the machine nor in the configuration space
    search = f"sudo grep -rIlF -e {passphrase.decode()} /boot /etc /root /var /home; true"
    assert ssh(address, search).stdout == ""


def test_the_key_that_the_installer_logged_opens_nothing():
    dump = f"sudo cryptsetup luksDump --dump-json-metadata {LUKS}"
    slots = ssh(last_record()["address"], dump).stdout
    assert len(json.loads(slots)["keyslots"]) == 2  # recovery and preparation


def test_the_persons_passphrase_takes_the_place_of_the_key_that_opens_it_by_itself(rebuild):
    address = last_record()["address"]
    command = ["ansible", "vb-0042", "-i", str(TOWN), "-e", f"ansible_host={address}"]
    command += ["--become", "-m", "disk_passphrase"]
    task = {
        "recipient": str(TOWN / "keys/town.age.pub"),
        "record": str(TOWN / "records/disk-passphrases/vb-0042.age"),
    }
    for word in ("CHANGED", "SUCCESS"):  # the second time it is left alone
        done = subprocess.run(
            [*command, "-a", json.dumps(task)],
            cwd=PROJECT,
            env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert word in done.stdout
    assert ssh(address, "sudo sh -c 'ls /boot/nomade-preparation*'").stdout == ""


def opened(record):
    return subprocess.run(
        ["age", "--decrypt", "--identity", RUN / "town.key", record],
        check=True,
        capture_output=True,
    ).stdout.decode()


def test_started_again_from_the_network_it_asks_for_the_passphrase(bench):
    stop(bench)
    begun = start(bench)
    wait(bench, "GRUB", lambda: "vb-0042 starts from its disk" in screen(bench), 120)
    wait(bench, "question", lambda: "phrase de passe du disque" in screen(bench), 300)
    typed = opened(TOWN / "records/disk-passphrases/vb-0042.age")
    say = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX);"
        " s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + b'\\r')"
    )
    bench.check_output("sudo python3 -c %s %s %s", say, f"{LAPTOP}/serial.sock", typed)
    wait(bench, "login", lambda: "login:" in screen(bench), 400)
    print(f"power on to login from its own disk: {time.monotonic() - begun:.0f} s")
    stop(bench)
