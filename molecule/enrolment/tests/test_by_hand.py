"""A Debian installed by hand: passwords, su, no Python. Each test goes on from the one before."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
NAME = "by-hand"
USER = ["-u", "installateur"]
PASSWORDS = {
    "password": "password of the installer",
    "become_password": "password of root",
}
Enrol = Callable[..., Any]
Keyboard = Callable[..., str]
testinfra_hosts: list[str] = []


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        ([], {"asset": "vb-999"}, "vb-999 is not in the register: add its line to"),
        ([], {"asset": ""}, "which machine? add -e asset=ASSET-TAG"),
        ([], {"address": ""}, "by-hand: where is it? add -e address=ADDRESS"),
        ([], {"ansible_port": 2222}, "sh /media/usb/enrol.sh by-hand"),
        ([], {}, "give an account that it knows, -u ACCOUNT --ask-pass --ask-become-pass"),
        ([], {"fingerprint": "SHA256:" + 43 * "A"}, "doesn't show the host key SHA256:AAAA"),
        (USER, {"password": "no"}, "lets in neither nomade by key nor installateur with this"),
        (USER, {**PASSWORDS, "become_password": ""}, "type root's password (su)"),
        # the machine that the register calls vb-other, at by-hand's address
        (USER, {**PASSWORDS, "asset": "vb-other"}, "VB-HAND-1 is by-hand's in the register"),
        (["--check", *USER], PASSWORDS, "it has no Python, without which check mode sees nothing"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    enrol: Enrol,
    keyboard: Keyboard,
    address: Callable[[str], str],
    arguments: list[str],
    variables: dict[str, Any],
    sentence: str,
) -> None:
    given = {"address": address(NAME), **variables}
    done = enrol(given.pop("asset", NAME), *arguments, **given)
    assert done.code != 0
    assert done.output.count("fatal: ") == 1
    assert sentence in done.words
    assert "Traceback" not in done.output
    assert keyboard(NAME, "command -v python3; getent passwd nomade", check=False) == ""


def test_an_unknown_machine_gets_its_line_proposed(enrol: Enrol) -> None:
    assert "vb-999;;;;;recovered;;;;;;;" in enrol("by-hand,vb-999").words


def test_it_stops_until_the_installers_account_is_accepted(
    enrol: Enrol, keyboard: Keyboard
) -> None:
    done = enrol(NAME, *USER, **PASSWORDS)
    assert done.code != 0
    assert "user:installateur (uid 1000, /bin/bash, password)" in done.words
    assert '{"enrolment_accept": ["user:installateur"]}' in done.words
    assert keyboard(NAME, "getent passwd nomade secours", check=False) == ""


def test_it_is_enrolled_by_its_password(
    enrol: Enrol, keyboard: Keyboard, town: Path, address: Callable[[str], str]
) -> None:
    accept = ["user:installateur"]
    started = time.monotonic()
    done = enrol(NAME, *USER, **PASSWORDS, enrolment_accept=accept)
    print(f"{time.monotonic() - started:.0f} s")
    assert done.code == 0
    assert "entering as installateur, su" in done.output
    assert "fit to be handed out" in done.output
    assert "by-hand --login ... --name ..., then: ansible-playbook" in done.words

    key = keyboard(NAME, "cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
    assert f"{NAME} {' '.join(key)}\n" in (town / "known_hosts").read_text()
    assert f"\n{NAME}," in (town / "allocations.csv").read_text()
    record = json.loads((town / "records" / "enrolments" / f"{NAME}.json").read_text())
    assert record["serial_number"] == "VB-HAND-1"
    assert (record["fit"], record["accepted"]) == (True, accept)
    assert record["hardware"]["ram_mib"] > 500


def test_a_second_run_needs_no_password_and_changes_nothing(enrol: Enrol) -> None:
    done = enrol(NAME)
    assert (done.code, done.changed) == (0, ["0", "0"])
    assert "as pinned" in done.output
    done = enrol(NAME, "--check", "--diff")
    assert (done.code, done.changed) == (0, ["0", "0"])


def test_the_wrong_machine_is_left_alone(
    enrol: Enrol, keyboard: Keyboard, town: Path, address: Callable[[str], str]
) -> None:
    keyboard(NAME, "touch /srv/before")
    changed = "find /etc /usr /var/lib/nomade /home -newer /srv/before -type f"
    other_serial = enrol("vb-other", address=address(NAME))
    assert other_serial.code != 0
    assert "VB-HAND-1 is by-hand's in the register: nothing was changed" in other_serial.words
    assert other_serial.output.count("fatal: ") == 1
    known_hosts = town / "known_hosts"
    pinned = known_hosts.read_text()
    known_hosts.write_text(
        f"{NAME} ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG0b8rYnB9kCk8m8sZk8b9oQeS7mT0yqv1wq0o4yXn3P\n"
    )
    other_key = enrol(NAME)
    known_hosts.write_text(pinned)
    assert other_key.code != 0
    assert "if the machine was reinstalled, forget the old key: ssh-keygen -R" in other_key.words
    assert other_key.output.count("fatal: ") == 1
    assert keyboard(NAME, changed) == ""


def test_the_console_password_works_at_the_keyboard_and_nowhere_else(
    opened: Callable[[Path], str],
    log_in: Callable[[str, str, str], bool],
    ssh_by_password: Callable[[str, str, str], int],
    keyboard: Keyboard,
    town: Path,
) -> None:
    password = opened(town / "records" / "console-passwords" / f"{NAME}.age")
    assert len(password) >= 20
    assert log_in(NAME, "secours", password)
    assert not log_in(NAME, "secours", password[:-1])
    assert ssh_by_password(NAME, "installateur", PASSWORDS["password"]) == 0
    assert ssh_by_password(NAME, "secours", password) != 0
    # nor with a key that somebody gave it
    keyboard(NAME, "install -d -o secours -m 700 ~secours/.ssh")
    public = (RUN / "id_ed25519.pub").read_text()
    keyboard(NAME, "cat > ~secours/.ssh/authorized_keys", stdin=public)
    ssh = ["ssh", "-F", str(RUN / "ssh_config"), "-o", "ControlPath=none", "-o", "BatchMode=yes"]
    ssh += ["-o", f"UserKnownHostsFile={town}/known_hosts", "-o", f"HostKeyAlias={NAME}"]
    ip = keyboard(NAME, "hostname -I").split()[0]
    assert subprocess.run([*ssh, f"nomade@{ip}", "true"], check=False).returncode == 0
    assert subprocess.run([*ssh, f"secours@{ip}", "true"], check=False).returncode != 0
    keyboard(NAME, "rm -r ~secours/.ssh")


def test_the_password_is_renewed_on_demand_and_seen_nowhere(
    enrol: Enrol,
    opened: Callable[[Path], str],
    log_in: Callable[[str, str, str], bool],
    keyboard: Keyboard,
    town: Path,
) -> None:
    record = town / "records" / "console-passwords" / f"{NAME}.age"
    old = opened(record)
    watcher = subprocess.Popen(
        ["python3", "-c", WATCH], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    done = enrol(NAME, "--tags", "console_password", "-vvv")
    lines, _ = watcher.communicate("\n")
    assert done.code == 0
    new = opened(record)
    assert new != old
    assert log_in(NAME, "secours", new)
    assert not log_in(NAME, "secours", old)
    assert not record.with_name(record.name + ".new").exists()
    hashed = keyboard(NAME, "getent shadow secours").split(":")[1]
    assert "ansible-playbook" in lines  # it did watch
    for secret in (new, hashed):
        assert secret not in done.output
        assert secret not in lines
        assert secret not in keyboard(NAME, "journalctl --no-pager")
        found = "find / -xdev -type f -perm -o=r -not -path '/proc/*' -exec grep -lF -f /run/s {} +"
        keyboard(NAME, "umask 077; cat > /run/s", stdin=secret + "\n")
        assert keyboard(NAME, found, check=False) == ""
    for path in (RUN / "inventories").rglob("*"):
        assert not path.is_file() or new not in path.read_text(errors="replace")


WATCH = """
import select, sys
from pathlib import Path
seen = set()
while not select.select([sys.stdin], [], [], 0)[0]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            seen.add(path.read_bytes().replace(b"\\0", b" ").decode(errors="replace"))
        except OSError:
            pass
print("\\n".join(seen))
"""


def test_a_renewal_that_was_killed_is_made_good(
    enrol: Enrol,
    opened: Callable[[Path], str],
    log_in: Callable[[str, str, str], bool],
    town: Path,
) -> None:
    record = town / "records" / "console-passwords" / f"{NAME}.age"
    before = opened(record)
    # killed after the new record was written and before the machine heard of it
    record.with_name(record.name + ".new").write_bytes(record.read_bytes())
    assert enrol(NAME).code == 0
    after = opened(record)
    assert after != before
    assert log_in(NAME, "secours", after)
    assert not record.with_name(record.name + ".new").exists()
