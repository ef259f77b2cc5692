"""A machine that others use already: it stops until each of their ways in is accepted by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "adopted"
USER = ["-u", "admin"]
Enrol = Callable[..., Any]
Keyboard = Callable[..., str]
testinfra_hosts: list[str] = []


def listed(output: str) -> list[str]:
    """Return the names that the refusal asks to accept, as a technician copies them."""
    words = " ".join(output.split()).replace("''", "'")
    match = re.search(r"-e '(\{\"enrolment_accept\": .*?\})'", words)
    assert match, "the refusal has nothing to copy"
    names: list[str] = json.loads(match[1])["enrolment_accept"]
    return names


def test_it_stops_until_everything_is_accepted(enrol: Enrol, keyboard: Keyboard) -> None:
    done = enrol(NAME, *USER)
    assert done.code != 0
    names = listed(done.output)
    (key,) = [name for name in names if name.startswith("key:admin:SHA256:")]
    assert sorted(names) == sorted(
        ["directory:extrausers", "user:admin", "user:jdupont", "sudoers:/etc/sudoers.d/admin", key]
    )
    assert "in sudo" in done.words
    done = enrol(NAME, *USER, enrolment_accept=[n for n in names if n != "user:jdupont"])
    assert done.code != 0
    assert listed(done.output) == ["user:jdupont"]
    assert keyboard(NAME, "getent passwd nomade secours; ls /var/lib/nomade", check=False) == ""


def test_a_directorys_account_never_gets_a_local_namesake(
    enrol: Enrol, keyboard: Keyboard, town: Path
) -> None:
    names = listed(enrol(NAME, *USER).output)
    done = enrol(NAME, *USER, enrolment_accept=names, enrolment_console_account="ldupond")
    assert done.code != 0
    assert "ldupond: on this machine that is a directory's account" in done.words
    assert keyboard(NAME, "grep -c ldupond /etc/passwd /etc/shadow", check=False).count(":0") == 2
    assert not (town / "records" / "console-passwords" / f"{NAME}.age").exists()


def test_it_is_adopted_and_what_was_accepted_is_remembered(
    enrol: Enrol, keyboard: Keyboard, town: Path
) -> None:
    done = enrol(NAME, *USER, "--check")
    names = listed(done.output)
    done = enrol(NAME, *USER, enrolment_accept=names)
    assert done.code == 0
    assert f"playbooks/equip.yml --limit {NAME}" in done.words
    record = json.loads((town / "records" / "enrolments" / f"{NAME}.json").read_text())
    assert sorted(record["accepted"]) == sorted(names)
    # the person's machine is as it was
    assert "jdupont" in keyboard(NAME, "getent group sudo")
    again = enrol(NAME)
    assert (again.code, again.changed) == (0, ["0", "0"])


def test_who_comes_later_is_not_accepted_with_them(enrol: Enrol, keyboard: Keyboard) -> None:
    keyboard(NAME, "useradd --create-home --shell /bin/bash latecomer")
    done = enrol(NAME)
    assert done.code != 0
    assert listed(done.output) == ["user:latecomer"]
    keyboard(NAME, "userdel --remove latecomer")
    assert enrol(NAME).code == 0


def test_an_unfit_machine_says_why(enrol: Enrol, town: Path) -> None:
    done = enrol(NAME, enrolment_ram_mib=9_000_000)
    assert done.code == 0
    assert "UNFIT: memory:" in done.output
    assert "add memory" in done.words
    record = json.loads((town / "records" / "enrolments" / f"{NAME}.json").read_text())
    assert record["fit"] is False
    assert enrol(NAME).code == 0
