"""What was installed, what was recorded, what an interruption left, and what removal takes away."""

from __future__ import annotations

from typing import Any

import pytest

RECORDS = "/var/lib/nomade/packages"


def recorded(host: Any, capability: str) -> set[str]:
    file = host.file(f"{RECORDS}/{capability}")
    lines = file.content_string.splitlines() if file.exists else []
    return {line for line in lines if not line.startswith("#")}


@pytest.fixture(autouse=True)
def as_root(host: Any) -> Any:
    with host.sudo():
        yield


def test_services_were_held_back(host: Any) -> None:
    assert host.package("cron").is_installed
    assert not host.service("cron").is_running
    assert not host.file("/usr/sbin/policy-rc.d").exists


def test_records_name_what_was_new_and_nothing_else(host: Any) -> None:
    assert recorded(host, "timetable") == {"cron", "tree"}


def test_an_interrupted_installation_was_finished(host: Any) -> None:
    assert host.run("dpkg --audit").stdout == ""
    assert host.run("hello").rc == 0


def test_no_recommended_package_came_along(host: Any) -> None:
    # cron recommends a mail server
    assert not host.package("exim4-daemon-light").is_installed


def test_one_impossible_package_costs_one_capability(host: Any) -> None:
    assert host.package("cowsay").is_installed
    assert "no-such-package" in host.file("/root/impossible").content_string


def test_removal_takes_what_the_capability_brought_and_leaves_what_was_there(host: Any) -> None:
    assert not host.package("figlet").is_installed
    assert host.package("sudo").is_installed, "it was there before"
    assert host.package("tree").is_installed, "another capability brought it as well"
    assert not host.file(f"{RECORDS}/drawing").exists


def test_removal_leaves_what_something_else_has_come_to_need(host: Any) -> None:
    assert not host.file(f"{RECORDS}/possible").exists
    assert host.package("herd").is_installed
    assert host.package("cowsay").is_installed
