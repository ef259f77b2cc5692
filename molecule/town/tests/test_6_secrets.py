"""The real secrets are searched for wherever somebody could find them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from town import RUN, Processes

if TYPE_CHECKING:
    from town import Done, Machine, Town

# Every file that anybody on the machine can read; what to look for comes by standard input.
SEARCH = r"""
install --owner=nobody --mode=0400 /dev/stdin /run/searched
find / \( -path /proc -o -path /sys -o -path /dev -o -path /run/searched \) -prune \
    -o -type f -size -20M -print0 |
    setpriv --reuid=nobody --regid=nogroup --clear-groups \
        xargs -0 grep --files-with-matches --no-messages --fixed-strings --file=/run/searched
rm /run/searched
"""


@pytest.fixture(scope="module")
def secrets(
    town: Town, first_day: Done, laptop_12: Machine, laptop_13: Machine, gateway: Machine
) -> set[str]:
    """Return every secret there is, as it would stand somewhere."""
    assert first_day.machines
    done = town.play("enrol", "-vvv", "--tags=console_password", asset="laptop-13")
    assert done.code == 0
    assert [what for _, what in done.changes] == [
        "enrolment : Make the account for the machine's own keyboard"
    ]
    town.unseal_all()
    keys = {m.sh("cat /etc/wireguard/wg0.key").strip() for m in (laptop_12, laptop_13, gateway)}
    passwords = set(town.passwords)
    technician = (RUN / "id_ed25519").read_text().splitlines()[1:-1]
    identity = (town.var / "town.age-identity").read_text().split()[-1]
    assert len(keys) == 3
    assert len(passwords) >= 4
    assert all(len(secret) > 8 for secret in passwords)
    return keys | passwords | set(technician) | {identity}


def test_no_output_of_a_run_shows_one(town: Town, secrets: set[str]) -> None:
    logs = sorted((town.var / "log").glob("*.log"))
    assert len(logs) > 5
    verbose = [log for log in logs if "ESTABLISH SSH CONNECTION" in log.read_text(errors="replace")]
    assert {log.name.split("-", 1)[1] for log in verbose} >= {"laptop-12.log", "site.log"}
    found = [
        log.name for log in logs for secret in secrets if secret in log.read_text(errors="replace")
    ]
    assert found == []


def test_no_command_line_showed_one(secrets: set[str]) -> None:
    assert any(b"wg-quick" in line for line in Processes.seen)
    assert any(b"ansible-playbook" in line for line in Processes.seen)
    found = {line for line in Processes.seen for secret in secrets if secret.encode() in line}
    assert found == set()


@pytest.mark.parametrize("name", ["laptop_12", "laptop_13", "gateway"])
def test_no_file_that_anybody_can_read_holds_one(
    name: str, secrets: set[str], request: pytest.FixtureRequest
) -> None:
    machine: Machine = request.getfixturevalue(name)
    bait = "/var/tmp/found-if-the-search-works"
    machine.sh(f"cat > {bait} && chmod 644 {bait}", stdin="a bait for the search\n")
    found = machine.sh(SEARCH, stdin="\n".join([*secrets, "a bait for the search"])).split()
    machine.sh(f"rm {bait}")
    assert found == [bait]


@pytest.mark.parametrize("name", ["laptop_12", "laptop_13", "gateway"])
def test_no_journal_holds_one(name: str, secrets: set[str], request: pytest.FixtureRequest) -> None:
    machine: Machine = request.getfixturevalue(name)
    journal = machine.sh("journalctl --boot --no-pager --output=cat")
    assert "sudo" in journal
    assert [secret for secret in secrets if secret in journal] == []


def test_the_town_s_directories_show_none(town: Town, secrets: set[str]) -> None:
    found = []
    for folder in (town.directory, town.var):
        for place, _, names in os.walk(folder):
            for name in names:
                path = os.path.join(place, name)  # noqa: PTH118 - thousands of them
                if os.stat(path).st_mode & stat.S_IROTH:  # noqa: PTH116 - the same
                    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - the same
                        text = file.read()
                    found += [path for secret in secrets if secret in text]
    assert found == []
