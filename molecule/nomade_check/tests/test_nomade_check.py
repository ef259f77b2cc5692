"""What people, programs and root get from nomade-check on a real machine."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

DEFINITIONS = "/etc/nomade/checks.d"
REMEDY = {"fr": "Rebranchez le câble.", "en": "Plug the cable in."}


@dataclass
class Checked:
    """What one run said."""

    rc: int
    checks: dict[str, dict[str, Any]]

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.checks[name]


Define = Callable[..., None]


def root(host: Any, command: str) -> str:
    with host.sudo():
        return str(host.check_output(command))


def write(host: Any, path: str, text: str) -> None:
    root(host, f"tee {path} > /dev/null <<'END'\n{text}\nEND")


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.5)
    return condition()


def check(host: Any, *options: str, as_root: bool = False) -> Checked:
    program = "sudo nomade-check" if as_root else "nomade-check"
    done = host.run(" ".join([program, "--json", *options]))
    assert done.stderr == ""
    report = json.loads(done.stdout)
    return Checked(done.rc, {entry["name"]: entry for entry in report["checks"]})


@pytest.fixture
def define(host: Any) -> Iterator[Define]:
    """Add checks to the machine; they are gone after the test, with what was published of them."""

    def add(name: str, command: list[str], **keys: Any) -> None:
        lines = {"name": name, "capability": "town", "command": command, "timeout": 5, **keys}
        remedy = [f"remedy.{language} = {json.dumps(text)}" for language, text in REMEDY.items()]
        body = [f"{key} = {json.dumps(value)}" for key, value in lines.items()]
        write(host, f"{DEFINITIONS}/test-{name}.toml", "\n".join(["[[check]]", *body, *remedy]))

    yield add
    root(host, f"sh -c 'rm -f {DEFINITIONS}/test-* && systemctl start nomade-publish.service'")


@pytest.fixture
def without_timer(host: Any) -> Iterator[None]:
    """The timer stands still, so that it publishes nothing between two lines of a test."""
    root(host, "systemctl stop nomade-publish.timer")
    yield
    root(host, "systemctl start nomade-publish.timer")


def publish(host: Any) -> None:
    root(host, "systemctl start nomade-publish.service")


def test_an_ordinary_user_runs_it(host: Any, define: Define) -> None:
    define("who", ["/usr/bin/id", "-un"])
    checked = check(host)
    assert checked.rc == 0
    assert checked["who"]["message"] == "nomade"
    assert checked["published-results"]["status"] == "OK"


@pytest.mark.usefixtures("without_timer")
def test_the_timer_publishes_what_only_root_sees(host: Any, define: Define) -> None:
    define("who", ["/usr/bin/id", "-un"], root=True)
    assert check(host)["who"]["message"] == "not published yet"
    root(host, "systemctl start nomade-publish.timer")  # as a boot does: it fires at once
    assert wait_until(lambda: check(host)["who"]["status"] == "OK")
    assert check(host)["who"]["message"] == "root"


def test_the_timer_fires_every_minute(host: Any) -> None:
    shown = "systemctl show nomade-publish.timer --value --property NextElapseUSecRealtime"
    wait = host.check_output(f'echo $(($(date --date "$({shown})" +%s) - $(date +%s)))')
    assert 0 <= int(wait) <= 66


def test_what_is_published_is_for_everybody_and_written_by_root_alone(
    host: Any, define: Define
) -> None:
    define("who", ["/usr/bin/id", "-un"], root=True)
    publish(host)
    folder, result = host.file("/run/nomade"), host.file("/run/nomade/who.json")
    assert (folder.user, folder.mode) == ("root", 0o755)
    assert (result.user, result.mode) == ("root", 0o644)
    assert host.run("touch /run/nomade/forged.json").rc != 0


@pytest.mark.parametrize(
    "command",
    [
        "grep -q ^root: /etc/shadow",
        "nft list ruleset",
        "ip link show",
        "systemctl is-active ssh.service",
        "test -w /run/nomade",
        "test -c /dev/net/tun",
    ],
)
def test_the_timers_sandbox_lets_checks_see(host: Any, define: Define, command: str) -> None:
    define("sees", ["/bin/sh", "-c", command], root=True)
    publish(host)
    assert check(host)["sees"]["status"] == "OK", check(host)["sees"]


def test_the_timers_sandbox_lets_no_check_change_the_machine(host: Any, define: Define) -> None:
    script = "touch /etc/changed /usr/changed /root/changed 2>/dev/null || exit 2"
    define("changes", ["/bin/sh", "-c", script], root=True)
    publish(host)
    assert check(host)["changes"]["status"] == "CRITICAL"
    assert not host.file("/etc/changed").exists


@pytest.mark.usefixtures("without_timer")
def test_a_root_check_cannot_be_run_by_an_ordinary_user(host: Any, define: Define) -> None:
    define("never", ["/usr/bin/touch", "/tmp/ran-by-nomade"], root=True)
    assert check(host)["never"]["status"] == "UNKNOWN"
    assert not host.file("/tmp/ran-by-nomade").exists


@pytest.mark.usefixtures("without_timer")
def test_a_stale_result_is_unknown_until_the_timer_is_back(host: Any, define: Define) -> None:
    define("who", ["/usr/bin/id", "-un"], root=True)
    publish(host)
    assert check(host)["who"]["status"] == "OK"
    record = json.loads(host.file("/run/nomade/who.json").content_string)
    record["boot_clock"] -= 600
    write(host, "/run/nomade/who.json", json.dumps(record))
    checked = check(host)
    assert (checked["who"]["status"], checked["who"]["message"]) == (
        "UNKNOWN",
        "the last result is 10 min old (OK: root)",
    )
    assert "nomade-publish.timer" in checked["who"]["remedy"]["en"]
    assert checked.rc == 2  # because the timer is stopped, which is a check of its own
    root(host, "systemctl start nomade-publish.timer")
    assert wait_until(lambda: check(host).rc == 0)
    assert check(host)["who"]["message"] == "root"


def test_published_results_turns_red_and_green(host: Any) -> None:
    name = "published-results"
    assert check(host)[name]["status"] == "OK"
    root(host, "systemctl stop nomade-publish.timer")
    try:
        checked = check(host)
        assert (checked.rc, checked[name]["status"]) == (2, "CRITICAL")
        assert checked[name]["message"] == "not running: nomade-publish.timer (inactive)"
        assert "systemctl enable --now nomade-publish.timer" in checked[name]["remedy"]["en"]
    finally:
        root(host, "systemctl enable --now nomade-publish.timer")
    assert check(host)[name]["status"] == "OK"


def test_a_broken_capability_is_red_with_its_remedy_in_the_readers_language(
    host: Any, define: Define
) -> None:
    script = 'test -e /tmp/cable && echo "OK - tenu" || { echo "CRITICAL - débranché"; exit 2; }'
    define("cable", ["/bin/sh", "-c", script])
    french = host.run("LC_ALL=fr_FR.UTF-8 nomade-check")
    assert french.rc == 2
    assert re.search(r"^!!  town +cable +débranché$", french.stdout, re.MULTILINE)
    assert "→ Rebranchez le câble.\n" in french.stdout
    assert "Besoin d'aide ? Support : poste 4000" in french.stdout
    assert "\033" not in french.stdout
    assert "→ Plug the cable in.\n" in host.run("LC_ALL=C.UTF-8 nomade-check").stdout
    host.check_output("touch /tmp/cable")
    repaired = host.run("LC_ALL=fr_FR.UTF-8 nomade-check")
    host.check_output("rm /tmp/cable")
    assert repaired.rc == 0
    assert re.search(r"^OK  town +cable +tenu$", repaired.stdout, re.MULTILINE)


def test_refresh_is_at_once(host: Any, define: Define) -> None:
    define("clock", ["/bin/date", "+%s.%N"], root=True)
    refreshed = check(host, "--refresh", as_root=True)["clock"]["message"]
    assert float(check(host)["clock"]["message"]) >= float(refreshed)


def test_root_trusts_nothing_that_others_can_write(host: Any, define: Define) -> None:
    define("home", ["/home/nomade/check"], root=True)
    host.check_output("printf '#!/bin/sh\\ntouch /tmp/ran-as-root\\n' > check && chmod 755 check")
    write(host, f"{DEFINITIONS}/test-theirs.toml", "[[check]]")
    root(host, f"chown nomade {DEFINITIONS}/test-theirs.toml")
    checked = check(host, "--refresh", as_root=True)
    assert checked["home"]["message"] == (
        "not run: somebody other than root can write /home/nomade"
    )
    assert checked["test-theirs.toml"]["message"].endswith(
        f"not used: somebody other than root can write {DEFINITIONS}/test-theirs.toml"
    )
    assert not host.file("/tmp/ran-as-root").exists
    assert check(host)["home"]["status"] == "UNKNOWN"


def test_a_check_that_hangs_costs_its_time_limit_and_leaves_nothing(
    host: Any, define: Define
) -> None:
    define("hangs", ["/bin/sh", "-c", "trap '' TERM; sleep 4321 & sleep 4321; true"], timeout=1)
    began = time.monotonic()
    checked = check(host)
    assert time.monotonic() - began < 5
    assert checked["hangs"]["message"] == "no answer within 1 s"
    assert checked["published-results"]["status"] == "OK"
    assert host.run("pgrep -f 'sleep 432[1]'").rc == 1


def test_a_definition_that_is_no_use_is_named(host: Any, define: Define) -> None:
    define("limit", ["/bin/true"], timeout="five")
    checked = check(host)
    assert checked.rc == 3
    assert checked["test-limit.toml"]["message"] == (
        f"{DEFINITIONS}/test-limit.toml: check 1: timeout: must be a number of seconds above 0 "
        "and at most 60, not 'five'"
    )


def test_publishing_is_quiet(host: Any) -> None:
    now = host.check_output("date '+%F %T'")
    publish(host)
    assert root(host, f"journalctl --unit nomade-publish.service --since '{now}' --quiet") == ""
