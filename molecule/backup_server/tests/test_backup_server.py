"""Two backup servers; each is the other's laptop."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import pytest

NAME = "vb-0001-20260131T093000Z"
BASE = "/srv/nomade-archives"

type Machine = Any


def ask(host: Machine, command: str, **given: object) -> Any:
    """Run nomade-archive as the playbook does."""
    return host.run(f"sudo nomade-archive {command} <<'E'\n{json.dumps(given)}\nE\n")


@pytest.fixture
def opened(host: Machine) -> str:
    """Open an archive for a key that this machine itself holds, and return how to get there."""
    host.check_output("rm -f ~/k ~/k.pub; ssh-keygen -q -t ed25519 -N '' -f ~/k")
    public = host.check_output("cat ~/k.pub").strip()
    host.run(f"sudo rm -rf {BASE}/{NAME}")
    answer = ask(
        host, "open", name=NAME, asset="vb-0001", public_key=public, bytes=10, expires="2999-01-01"
    )
    assert answer.rc == 0, answer.stderr
    keys = json.loads(answer.stdout)["host_keys"]
    known = "\n".join(f"archive {key}" for key in keys)
    host.check_output(f"echo '{known}' > ~/known; echo secret > ~/password; rm -rf ~/home")
    host.check_output("mkdir ~/home && head -c 300000 /dev/urandom > ~/home/file")
    return "ssh -i k -o UserKnownHostsFile=known -o HostKeyAlias=archive nomade-archive@localhost"


def restic(host: Machine, ssh: str, words: str) -> Any:
    """Run restic as a laptop does."""
    repository = f"--repo rclone:x --no-cache --option rclone.program='{ssh}'"
    repository += " --option rclone.args=x --password-file password"
    return host.run(f"cd && timeout 60 restic {repository} {words}")


def test_a_laptop_adds_to_its_archive_and_deletes_nothing(host: Machine, opened: str) -> None:
    for words in ("init", "backup home", "check --read-data"):
        done = restic(host, opened, words)
        assert done.rc == 0, done.stderr
    before = host.check_output(f"sudo find {BASE}/{NAME}/repository/data -type f | sort")
    assert before
    restic(host, opened, "forget --prune --unsafe-allow-remove-all --keep-last 1 latest")
    assert host.check_output(f"sudo find {BASE}/{NAME}/repository/data -type f | sort") == before
    assert restic(host, opened, "check").rc == 0


def test_its_key_starts_nothing_else(host: Machine, opened: str) -> None:
    for words in ("id", "cat /etc/passwd", "-t sh", "rclone ls /"):
        said = host.run(f"cd && timeout 5 {opened} {words} < /dev/null | tr -dc '[:print:]'")
        assert "uid=" not in said.stdout
        assert "root:" not in said.stdout
    forward = f"{opened} -N -o ExitOnForwardFailure=yes -R 9999:localhost:22"
    # its exit code is ssh's 255, which would be taken for our own connection's
    assert host.run(f"cd && timeout 5 {forward}; echo ended with $?").stdout == "ended with 255\n"


def test_a_complete_archive_takes_no_more(host: Machine, opened: str) -> None:
    assert restic(host, opened, "init").rc == 0
    assert ask(host, "seal", name=NAME, sealed="age text").rc == 0
    assert host.check_output(f"sudo cat {BASE}/{NAME}/key.age") == "age text"
    assert restic(host, opened, "backup home").rc != 0
    refused = ask(host, "close", name=NAME)
    assert refused.rc == 1
    assert "is complete" in refused.stderr
    assert NAME in host.check_output("sudo nomade-archive list")
    assert host.run(f"sudo nomade-archive remove {NAME}").rc == 0
    assert NAME not in host.check_output("sudo nomade-archive list")


def test_a_broken_attempt_is_removed(host: Machine, opened: str) -> None:
    assert opened
    assert ask(host, "close", name=NAME).rc == 0
    assert host.run(f"sudo test -e {BASE}/{NAME}").rc
    assert host.check_output("cat /etc/ssh/authorized_keys.d/nomade-archive") == ""


def test_what_would_not_fit_or_is_no_name_is_refused(host: Machine) -> None:
    key = "ssh-ed25519 " + "A" * 60
    given = {"name": NAME, "asset": "x", "public_key": key, "bytes": 10, "expires": "2999-01-01"}
    for change, why in (
        ({"bytes": 10**18}, "MB left"),
        ({"name": "../../etc-20260131T093000Z"}, "is no archive's name"),
        ({"public_key": f'command="sh" {key}'}, "no ssh-ed25519 key"),
        ({"expires": "tomorrow"}, "isoformat"),
    ):
        refused = ask(host, "open", **{**given, **change})
        assert refused.rc == 1
        assert why in refused.stderr


def test_nobody_else_reads_archives(host: Machine, opened: str) -> None:
    assert opened
    for path in (f"{BASE}/{NAME}/archive.json", f"{BASE}/{NAME}/repository"):
        assert host.run(f"sudo -u nobody cat {path}; sudo -u nobody ls {path}").stdout == ""


# Side effect: one archive is over, one is not.


def test_an_archive_whose_time_is_over_is_seen_and_removed(
    host: Machine, checks: Callable[[str], Mapping[str, dict[str, Any]]]
) -> None:
    name = host.backend.get_hostname()
    assert checks(name)["backup-server-expiry"]["status"] == "CRITICAL"
    assert "old-20200101T000000Z" in checks(name)["backup-server-expiry"]["message"]
    host.check_output("sudo systemctl start nomade-archive-expire")
    assert checks(name)["backup-server-expiry"]["status"] == "OK"
    left = host.check_output("sudo nomade-archive list")
    assert "old-" not in left
    assert "new-20250101T000000Z" in left
    assert host.check_output("systemctl is-enabled nomade-archive-expire.timer") == "enabled"


def test_a_lent_archive_is_read_and_not_changed(host: Machine, opened: str) -> None:
    assert restic(host, opened, "init").rc == 0
    assert restic(host, opened, "backup home").rc == 0
    key = host.check_output("cat ~/k.pub").strip()
    refused = ask(host, "lend", name=NAME, public_key=key)
    assert "is not complete" in refused.stderr
    assert ask(host, "seal", name=NAME, sealed="age text").rc == 0
    assert restic(host, opened, "snapshots --no-lock").rc != 0
    assert ask(host, "lend", name=NAME, public_key=key).rc == 0
    got = restic(host, opened, "dump --no-lock latest /home/file | cmp - home/file")
    assert got.rc == 0, got.stderr
    # as the account that the key belongs to; restic itself would try again for a minute
    for folder in ("data", "locks", "snapshots"):
        refused = host.run(f"sudo -u nomade-archive touch {BASE}/{NAME}/repository/{folder}/x")
        assert "Permission denied" in refused.stderr
    assert ask(host, "recall", name=NAME).rc == 0
    assert restic(host, opened, "snapshots --no-lock").rc != 0
    # a restore that was killed recalls nothing; the night does
    assert ask(host, "lend", name=NAME, public_key=key).rc == 0
    assert host.run("sudo nomade-archive expire").rc == 0
    assert host.check_output("cat /etc/ssh/authorized_keys.d/nomade-archive") == ""


def test_its_checks_turn_red_and_green(
    host: Machine, checks: Callable[[str], Mapping[str, dict[str, Any]]]
) -> None:
    name = host.backend.get_hostname()
    rules = "/etc/ssh/sshd_config.d/03-nomade-archive.conf"
    assert checks(name)["backup-server-ready"]["status"] == "OK"
    host.check_output(f"sudo mv {rules} /root/rules")
    red = checks(name)["backup-server-ready"]
    host.check_output(f"sudo mv /root/rules {rules}")
    assert red["status"] == "CRITICAL"
    assert "servers.yml" in str(red["remedy"])
    assert checks(name)["backup-server-ready"]["status"] == "OK"

    host.check_output(f"sudo mount -t tmpfs -o size=1M tmpfs {BASE}")
    red = checks(name)["backup-server-space"]
    host.check_output(f"sudo umount {BASE}")
    assert red["status"] == "CRITICAL"
    assert "nomade-archive list" in str(red["remedy"])
    assert checks(name)["backup-server-space"]["status"] == "OK"


def test_a_directory_of_the_system_is_refused(
    playbook: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = playbook("converge.yml", "--limit=debian13", backup_server_directory="/srv")
    assert done.returncode
    assert "write a directory of its own below /srv" in " ".join(done.stdout.split())


def test_it_stands_alone_and_goes_with_what_it_brought(
    playbook: Callable[..., subprocess.CompletedProcess[str]], machine: Callable[[str], Machine]
) -> None:
    host = machine("debian12")
    assert playbook("absent.yml", "--limit=debian12").returncode == 0
    assert host.run("command -v rclone || command -v restic || getent passwd nomade-archive").rc
    assert host.run("sudo ls /etc/ssh/authorized_keys.d/nomade-archive").rc
    assert "new-20250101T000000Z" in host.check_output(f"ls {BASE}")
    assert playbook("tests/alone.yml", "--limit=debian12").returncode == 0
    assert '"directory": "/srv/autres"' in host.check_output("cat /etc/nomade/backup-server.json")
