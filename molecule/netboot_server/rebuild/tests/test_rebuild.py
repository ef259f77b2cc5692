"""The life of a laptop that nobody knows: left alone, rebuilt, equipped, returned, rebuilt again.

The tests go on from one another, as the machine does. Each prints how long its stages took.
"""

from __future__ import annotations

import csv
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
TOWN = RUN / "inventories/town"
SERIAL = "5CG9X042RB"
LAPTOP = "/var/lib/laptops/rebuilt"
DISK = f"{LAPTOP}/disk.raw"
LUKS = "/dev/disk/by-partlabel/nomade-luks"
# how long a LUKS2 header with its key slots is, at most what is looked at (LUKS2 specification)
HEADER = 32 << 20
PERSON = "anacarat"

testinfra_hosts = ["bench"]


@pytest.fixture(scope="module")
def server(machine):
    return machine("server")


@pytest.fixture(scope="module")
def bench(machine):
    return machine("bench")


def play(name, *arguments):
    """Run a playbook as a technician does."""
    return subprocess.run(
        ["ansible-playbook", f"playbooks/{name}.yml", "-i", str(TOWN), *arguments],
        cwd=PROJECT,
        env={**os.environ, "ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def rebuild():
    """rebuild("-e", "wipe=...") runs the playbook."""

    def run(*arguments):
        return play("rebuild", "-e", "asset=vb-0042", *arguments)

    return run


def cells():
    """The laptop's line of the register."""
    with (TOWN / "fleet.csv").open(newline="") as stream:
        lines = csv.DictReader(stream, delimiter=";")
        return next(line for line in lines if line["asset_tag"] == "vb-0042")


def fleet(*words):
    subprocess.run(["fleet", words[0], "-i", str(TOWN), *words[1:]], check=True)


def assign(login, name):
    who = ("--login", login, "--name", name, "--email", f"{login}@example.org")
    fleet("assign", "vb-0042", *who, "--department", "Voirie")


def report(name):
    (machine,) = json.loads((RUN / f"var/town/{name}.json").read_text())["machines"]
    return machine


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


def sent(server):
    """How many bytes the server has sent so far."""
    return int(server.check_output("cat /sys/class/net/eth0/statistics/tx_bytes"))


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


def test_the_technician_types_only_its_asset_tag():
    done = play("pending")
    assert done.returncode == 0, done.stdout + done.stderr
    fleet("add", "vb-0042")
    assert (cells()["serial_number"], cells()["state"]) == (SERIAL, "recovered")
    assert cells()["mac_address"]


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
    before = sent(server)
    begun = start(bench)
    done = rebuild("-e", f"wipe={SERIAL}")
    print(done.stdout, done.stderr)
    assert done.returncode == 0, screen(bench)[-6000:]
    record = last_record()
    figures = {name: record[name] for name in ("seconds", "seconds_of_stages")}
    figures["bytes"] = sent(server) - before
    print("a rebuild:", figures)
    (PROJECT / "var/rebuild.json").write_text(json.dumps(figures))  # for `make bench`
    print(f"power on to enrolled: {time.monotonic() - begun:.0f} s")
    assert record["state"] == "done"
    assert ssh(record["address"], "hostname").stdout.strip() == "vb-0042"
    assert cells()["state"] == "stock"
    # the account for its keyboard, and what the machine is, as for one that was adopted
    assert (TOWN / "records/console-passwords/vb-0042.age").exists()
    enrolled = json.loads((TOWN / "records/enrolments/vb-0042.json").read_text())
    assert enrolled["fit"], enrolled


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


def opened(record):
    return subprocess.run(
        ["age", "--decrypt", "--identity", RUN / "town.key", record],
        check=True,
        capture_output=True,
    ).stdout.decode()


def test_equipped_for_somebody_its_disk_asks_for_a_passphrase(bench):
    assign(PERSON, "Anne Nacarat")
    text = (TOWN / "fleet.csv").read_text().rstrip("\n")
    (TOWN / "fleet.csv").write_text(f"{text}{last_record()['address']}\n")
    begun = time.monotonic()
    done = play("equip")
    print(done.stdout[-3000:])
    print(f"equip: {time.monotonic() - begun:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert report("equip")["capabilities"] == {"workstation": "ok", "vpn_client": "ok"}
    address = cells()["management_address"]
    assert ssh(address, "sudo sh -c 'ls /boot/nomade-preparation*'").stdout == ""
    # its check sees it if one day the disk opens by itself again
    asked = "sudo sh -c '%s; LC_ALL=fr_FR.UTF-8 nomade-check --check {}'".format("passphrase")
    red = ssh(address, asked % "touch /boot/nomade-preparation.key").stdout
    assert "s'ouvre tout seul" in red
    assert "equip.yml" in red
    assert "s'ouvre tout seul" not in ssh(address, asked % "rm /boot/nomade-preparation.key").stdout


def test_started_again_from_the_network_it_asks_for_it_and_is_well(bench):
    stop(bench)
    begun = start(bench)
    wait(bench, "GRUB", lambda: "vb-0042 starts from its disk" in screen(bench), 120)
    wait(bench, "question", lambda: "phrase de passe du disque" in screen(bench), 300)
    typed = opened(TOWN / "records/disk-passphrases/vb-0042.age")
    keys = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        "for key in sys.argv[2] + chr(13): s.send(key.encode()); time.sleep(0.05)\n"
        "time.sleep(2)"  # what was not read yet goes with the connection
    )
    bench.check_output("sudo python3 -c %s %s %s", keys, f"{LAPTOP}/serial.sock", typed)
    wait(bench, "login", lambda: "login:" in screen(bench), 400)
    print(f"power on to login from its own disk: {time.monotonic() - begun:.0f} s")
    done = play("check", "--limit", "vb-0042")
    print(done.stdout[-2000:])
    assert done.returncode == 0, done.stdout + done.stderr
    assert report("check")["capabilities"] == {"workstation": "ok", "vpn_client": "ok"}


def header(bench, name):
    """Copy the head of the encrypted partition into a file of its own."""
    table = json.loads(bench.check_output("sudo sfdisk --json %s", DISK))["partitiontable"]
    part = next(p for p in table["partitions"] if p["name"] == "nomade-luks")
    where = f"skip={part['start']} count={HEADER // 512}"
    bench.check_output(f"sudo dd if={DISK} of={LAPTOP}/{name} bs=512 {where} status=none")
    return f"{LAPTOP}/{name}"


def opens(bench, head, passphrase):
    said = "import sys; sys.stdout.write(sys.argv[1])"
    command = f"python3 -c %s %s | sudo cryptsetup open --test-passphrase --key-file - {head}"
    return bench.run(command, said, passphrase).rc == 0


def test_returned_by_method_rebuild_no_passphrase_opens_it(bench):
    address = cells()["management_address"]
    made = f"sudo -u {PERSON} sh -c 'echo \"le budget\" > ~{PERSON}/budget.txt; sync'"
    assert ssh(address, made).returncode == 0
    person = opened(TOWN / "records/disk-passphrases/vb-0042.age")
    (sealed,) = (TOWN / "records/recovery-passphrases").iterdir()
    recovery = opened(sealed)
    before = header(bench, "before")
    assert opens(bench, before, person)
    assert opens(bench, before, recovery)

    begun = time.monotonic()
    done = play("return", "-e", "asset=vb-0042", "-e", f"erase={SERIAL}")
    print(done.stdout[-3000:])
    print(f"return: {time.monotonic() - begun:.0f} s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rebuild" in done.stdout
    stop(bench)
    after = header(bench, "after")
    assert not opens(bench, after, person)
    assert not opens(bench, after, recovery)
    assert bench.run(f"sudo cryptsetup isLuks {after}").rc != 0
    # nor does a copy of the header begin anywhere else (GRUB's modules have the word in them, too)
    magic = r"LUKS\xba\xbe|SKUL\xba\xbe"
    search = f"grep --text --only-matching --byte-offset -P '{magic}' {DISK} | cut -d : -f 1"
    found = bench.run("sudo env LC_ALL=C sh -c %s", search).stdout
    offsets = [int(line) for line in found.splitlines() if line.isdigit()]
    assert offsets, "GRUB's own modules have it in them"
    assert [offset for offset in offsets if offset % 512 == 0] == []
    assert cells()["state"] == "stock"
    assert cells()["assignee_login"] == ""


def test_it_is_rebuilt_over_its_old_disk_and_equipped_for_whom_the_register_says(bench, rebuild):
    assign("bsinople", "Basile Sinople")
    begun = start(bench)
    done = rebuild("-e", "watch=yes")
    print(done.stdout, done.stderr)
    assert done.returncode == 0, screen(bench)[-6000:]
    print("seconds of its stages:", last_record()["seconds_of_stages"])
    print(f"power on to equipped: {time.monotonic() - begun:.0f} s")
    address = last_record()["address"]
    assert ssh(address, "hostname").stdout.strip() == "vb-0042"
    assert ssh(address, f"id {PERSON}").returncode != 0
    assert ssh(address, "id bsinople").returncode == 0
    assert report("equip")["capabilities"] == {"workstation": "ok", "vpn_client": "ok"}
    # another disk, another passphrase
    assert ssh(address, "sudo sh -c 'ls /boot/nomade-preparation*'").stdout == ""
    assert len(list((TOWN / "records/recovery-passphrases").iterdir())) == 2
    assert len(list((TOWN / "records/disk-passphrases").iterdir())) == 1
    stop(bench)
