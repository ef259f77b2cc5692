"""The person's account: made, adopted or left to the directory; its first password, through PAM.

The tests that change a machine run on both machines in one go: what costs is each run of Ansible.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
RECORDS = RUN / "records/first-passwords"
MACHINES = ["debian12", "debian13"]
LOGIN = "mdurand"
NEW = "Pluie-et-Soleil-2026"
ALPHABET = "bcdefghjknprstuvxy"

Playbook = Callable[..., subprocess.CompletedProcess[str]]
Checks = Callable[[str], dict[str, dict[str, Any]]]
Root = Callable[[str, str], str]
on_each_machine = pytest.mark.parametrize("name", MACHINES)


class Dialogue:
    """A terminal on a machine, for programs that only talk to a person."""

    def __init__(self, machine: str, command: str) -> None:
        self.said = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            argv = ["ssh", "-F", str(RUN / "ssh_config"), "-tt", machine, command]
            os.execvp("ssh", argv)  # noqa: S606 - no shell is what we want

    def expect(self, pattern: str, seconds: float = 20) -> str:
        """Wait until the machine says something, and return all that it said before."""
        ends = time.monotonic() + seconds
        while not (found := re.search(pattern, self.said)):
            ready = select.select([self.terminal], [], [], max(ends - time.monotonic(), 0))[0]
            assert ready, f"no {pattern!r} within {seconds} s in: {self.said!r}"
            try:
                self.said += os.read(self.terminal, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"no {pattern!r} in: {self.said!r}") from None
        before, self.said = self.said[: found.end()], self.said[found.end() :]
        return before

    def type(self, line: str) -> None:
        time.sleep(0.1)  # the prompt comes a moment before the terminal's echo is off
        os.write(self.terminal, f"{line}\n".encode())

    def close(self) -> None:
        os.close(self.terminal)
        os.waitpid(self.pid, 0)


def log_in(machine: str, login: str, password: str) -> Dialogue:
    """Log in through the machine's own PAM stack, as an ordinary user who knows a password."""
    dialogue = Dialogue(machine, f"LC_ALL=C su --login {login}")
    dialogue.expect("Password: ")
    dialogue.type(password)
    return dialogue


def can_log_in(machine: str, login: str, password: str) -> bool:
    dialogue = log_in(machine, login, password)
    answer = dialogue.expect(r"Authentication failure|\$ |required to change")
    dialogue.close()
    return "failure" not in answer


def choose(machine: str, login: str, old: str, new: str) -> None:
    """Log in for the first time: the machine insists on a new password."""
    dialogue = log_in(machine, login, old)
    dialogue.expect("required to change your password immediately")
    dialogue.expect("Current password: ")
    dialogue.type(old)
    dialogue.expect("New password: ")
    dialogue.type(new)
    dialogue.expect("Retype new password: ")
    dialogue.type(new)
    dialogue.expect(r"\$ ")
    dialogue.type("id --user --name; exit")
    dialogue.expect(rf"[\r\n]{login}\r")
    dialogue.close()


def recorded(machine: str) -> str:
    """Return the first password as the town decrypts it."""
    return subprocess.run(
        ["age", "--decrypt", "--identity", RUN / "keys/town.age", RECORDS / f"{machine}.age"],
        capture_output=True,
        check=True,
    ).stdout.decode()


@pytest.fixture
def renew(playbook: Playbook) -> Callable[..., str]:
    """Renew the first passwords and return what Ansible said."""

    def run(*arguments: str, login: str = LOGIN) -> str:
        limit = f"--limit={','.join(MACHINES)}"
        done = playbook(
            "converge.yml", "--tags=password", limit, *arguments, workstation_login=login
        )
        assert done.returncode == 0
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def root(machine: Callable[[str], Any]) -> Root:
    """Run a command as root on a machine and return what it says."""

    def run(name: str, command: str) -> str:
        done = machine(name).run("sudo sh -c %s", command)
        assert done.rc == 0, f"{command}: {done.stderr}"
        return str(done.stdout)

    return run


def shadow(root: Root, name: str, login: str = LOGIN) -> str:
    return root(name, f"getent shadow {login}")


def first_password(checks: Checks, name: str) -> tuple[str, str]:
    check = checks(name)["first-password"]
    return check["status"], check["perfdata"].partition(";")[0]


# The password was set eight days ago.
AGE_THE_MARK = """
python3 - /var/lib/nomade/accounts/mdurand.json <<'END'
import json, pathlib, sys
mark = pathlib.Path(sys.argv[1])
content = json.loads(mark.read_text())
mark.write_text(json.dumps({**content, "set": content["set"] - 8 * 86400}))
END
"""


def changes(output: str) -> dict[str, int]:
    return {
        host: int(count)
        for host, count in re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", output, re.MULTILINE)
    }


# --- the account -------------------------------------------------------------------------------


def test_the_person_has_an_account_without_being_administrator(host: Any) -> None:
    user = host.user(LOGIN)
    assert user.exists
    assert user.gecos == "Éléonore d'Urand"
    assert set(user.groups) >= {"netdev", "lpadmin", "audio", "video", "plugdev"}
    assert "sudo" not in user.groups
    listed = host.run(f"LC_ALL=C sudo --list --other-user={LOGIN}")
    assert "not allowed to run sudo" in listed.stdout + listed.stderr
    assert host.file(f"/home/{LOGIN}").user == LOGIN
    assert host.file(f"/home/{LOGIN}").mode == 0o700


def test_the_life_of_a_first_password(
    renew: Callable[..., str], playbook: Playbook, checks: Checks, root: Root
) -> None:
    renew()
    first = {name: recorded(name) for name in MACHINES}
    for name in MACHINES:
        assert re.fullmatch(f"[{ALPHABET}]{{20}}", first[name])
        assert (RECORDS / f"{name}.age").stat().st_mode & 0o077 == 0
        (RECORDS / f"{name}.changed").unlink(missing_ok=True)
        assert first_password(checks, name) == ("OK", "changed=0")

    # Nobody replaces it: the record stays, and after a week the check says so.
    assert changes(playbook("record.yml").stdout) == dict.fromkeys(MACHINES, 0)
    assert [recorded(name) for name in MACHINES] == list(first.values())
    for name in MACHINES:
        root(name, AGE_THE_MARK)
        assert first_password(checks, name) == ("WARNING", "changed=0")
        assert "--tags password" in checks(name)["first-password"]["remedy"]["fr"]

    # The person logs in, through the machine's own PAM stack.
    for name in MACHINES:
        assert not can_log_in(name, LOGIN, f"{first[name]}x")
        choose(name, LOGIN, first[name], NEW)
        assert not can_log_in(name, LOGIN, first[name])
        dialogue = log_in(name, LOGIN, NEW)
        assert "required to change" not in dialogue.expect(r"\$ ")
        dialogue.close()
        assert first_password(checks, name) == ("OK", "changed=1")

    # The town forgets it.
    playbook("record.yml")
    assert not list(RECORDS.glob("*.age"))
    for name in MACHINES:
        note = (RECORDS / f"{name}.changed").read_text()
        assert re.match(r"\d{4}-\d\d-\d\dT\S+Z the first password was replaced", note)
    assert changes(playbook("record.yml").stdout) == dict.fromkeys(MACHINES, 0)

    # No ordinary run sets another one: not with all tags, not with the role's own, record or not.
    before = {name: shadow(root, name) for name in MACHINES}
    for arguments in ([], ["--tags=workstation"]):
        done = playbook("converge.yml", *arguments)
        assert done.returncode == 0
        assert changes(done.stdout) == dict.fromkeys(MACHINES, 0)
    assert {name: shadow(root, name) for name in MACHINES} == before
    assert not list(RECORDS.glob("*.age"))


def test_passwords_are_renewed_only_for_machines_named_one_by_one(
    playbook: Playbook, root: Root
) -> None:
    before = {name: shadow(root, name) for name in MACHINES}
    for arguments in ([], ["--limit=all"], ["--limit=debian*"]):
        done = playbook("converge.yml", "--tags=password", *arguments)
        assert done.returncode != 0
        assert "debian12: --tags password replaces the password" in " ".join(done.stdout.split())
    assert {name: shadow(root, name) for name in MACHINES} == before


def test_check_mode_renews_nothing(renew: Callable[..., str], root: Root) -> None:
    before = {name: shadow(root, name) for name in MACHINES}
    records = {path: path.read_bytes() for path in RECORDS.glob("*.age")}
    output = renew("--check", "--diff")
    assert "password: a new first password" in output
    assert changes(output) == dict.fromkeys(MACHINES, 1)
    assert {name: shadow(root, name) for name in MACHINES} == before
    assert {path: path.read_bytes() for path in RECORDS.glob("*.age")} == records


# --- the secret --------------------------------------------------------------------------------


@contextlib.contextmanager
def processes_watched() -> Iterator[set[bytes]]:
    """Collect all command lines and environments, here and in the machines (one kernel)."""
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    with contextlib.suppress(OSError):
                        seen.add((process / name).read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_the_first_password_is_nowhere_in_the_clear(renew: Callable[..., str], root: Root) -> None:
    with processes_watched() as seen:
        output = renew("-vvv", "--diff")
    assert any(b"chpasswd" in line for line in seen)  # the watcher was quick enough to see this
    for name in MACHINES:
        first = recorded(name)
        hashed = shadow(root, name).split(":")[1]
        assert hashed.startswith("$y$")
        for secret in (first, hashed):
            assert secret not in output
            assert not [line for line in seen if secret.encode() in line]
        # /proc and /sys hold no files of anybody's; the search itself must not be found
        places = "/etc /home /opt /root /run /srv /tmp /usr/local /var"
        search = f"grep --recursive --files-with-matches --no-messages --devices=skip {{}} {places}"
        pattern = f"'[{first[0]}]{first[1:]}'"
        assert root(name, f"{search.format(pattern)} | cat") == ""
        # the controller's disk: the run's directory, and where Ansible keeps temporary files
        for place in (RUN, Path("~/.ansible/tmp").expanduser(), Path("/tmp"), Path("/dev/shm")):
            found = subprocess.run(
                ["grep", "-rls", "--devices=skip", f"[{first[0]}]{first[1:]}", place],
                capture_output=True,
                text=True,
                check=False,
            )
            assert found.stdout == ""


def test_a_town_without_key_makes_no_account(playbook: Playbook, root: Root) -> None:
    done = playbook(
        "account.yml", workstation_login="nokey", workstation_age_recipient="/nowhere/town.pub"
    )
    assert done.returncode != 0
    assert "/nowhere/town.pub: the town's public key is missing" in " ".join(done.stdout.split())
    for name in MACHINES:
        assert root(name, "getent passwd nokey || echo none") == "none\n"


# --- accounts that were there before -----------------------------------------------------------


LIVED_IN = """
useradd --uid 1742 --create-home --shell /bin/dash --groups sudo,audio alebrun
printf '%s' 'alebrun:Mon-Secret-A-Moi' | chpasswd
install -d -o alebrun -g alebrun /home/alebrun/Documents /home/alebrun/.config/dconf
echo 'ma lettre' > /home/alebrun/Documents/lettre.txt
head --bytes 4096 /dev/urandom > /home/alebrun/.config/dconf/user
echo 'alias ll="ls -l"' > /home/alebrun/.profile
chown -R alebrun: /home/alebrun
"""
WHAT_IS_THEIRS = (
    "getent passwd alebrun | cut -d: -f1-4,6-; getent shadow alebrun;"
    " find /home/alebrun -printf '%p %m %u %g %T@ %s\\n' | sort;"
    " find /home/alebrun -type f -exec sha256sum {} + | sort"
)


def test_an_account_that_is_lived_in_is_adopted_and_left_as_it_is(
    playbook: Playbook, root: Root
) -> None:
    for name in MACHINES:
        root(name, LIVED_IN)
    before = {name: root(name, WHAT_IS_THEIRS) for name in MACHINES}
    assert playbook("account.yml", workstation_login="alebrun").returncode == 0
    assert {name: root(name, WHAT_IS_THEIRS) for name in MACHINES} == before
    for name in MACHINES:
        assert "alebrun" not in {path.stem for path in RECORDS.glob("*.age")}
        groups = set(root(name, "id --groups --name alebrun").split())
        assert groups >= {"netdev", "lpadmin", "audio", "video"}
        assert "sudo" not in groups
        assert root(name, "getent passwd alebrun").split(":")[4] == "Éléonore d'Urand"
        assert can_log_in(name, "alebrun", "Mon-Secret-A-Moi")
    again = playbook("account.yml", workstation_login="alebrun")
    assert changes(again.stdout) == dict.fromkeys(MACHINES, 0)
    assert {name: root(name, WHAT_IS_THEIRS) for name in MACHINES} == before


def test_a_home_that_outlived_its_account_goes_back_to_its_owner(
    playbook: Playbook, root: Root
) -> None:
    for name in MACHINES:
        root(name, "install -d -m 0700 -o 1888 -g 1888 /home/revenant")
    assert playbook("account.yml", workstation_login="revenant").returncode == 0
    for name in MACHINES:
        assert root(name, "id --user revenant").strip() == "1888"


DIRECTORY = """
DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes install libnss-extrausers > /dev/null
sed --in-place 's/^\\(passwd\\|group\\):.*/& extrausers/' /etc/nsswitch.conf
mkdir -p /var/lib/extrausers
echo 'nmartin:x:20017:20017:Nora Martin:/home/nmartin:/bin/bash' > /var/lib/extrausers/passwd
echo 'nmartin:x:20017:' > /var/lib/extrausers/group
install -d -m 0700 -o 20017 -g 20017 /home/nmartin
"""


def test_a_directory_keeps_its_accounts(playbook: Playbook, root: Root) -> None:
    for name in MACHINES:
        root(name, DIRECTORY)
    records = {path: path.read_bytes() for path in RECORDS.glob("*.age")}
    done = playbook(
        "account.yml", workstation_login="nmartin", workstation_directory_services=["sssd"]
    )
    assert done.returncode == 0
    for name in MACHINES:
        assert root(name, "grep nmartin /etc/passwd /etc/shadow | cat") == ""
        groups = set(root(name, "id --groups --name nmartin").split())
        assert groups >= {"netdev", "lpadmin"}
    again = playbook(
        "account.yml", workstation_login="nmartin", workstation_directory_services=["sssd"]
    )
    assert changes(again.stdout) == dict.fromkeys(MACHINES, 0)

    stranger = playbook(
        "account.yml", workstation_login="unknown", workstation_directory_services=["sssd"]
    )
    assert stranger.returncode != 0
    assert "this machine asks sssd for its accounts and finds no such login" in " ".join(
        stranger.stdout.split()
    )
    renewal = playbook(
        "account.yml",
        "--tags=password",
        "--limit=debian13",
        workstation_login="nmartin",
        workstation_directory_services=["sssd"],
    )
    assert "the account is the directory's; renew its password there" in " ".join(
        renewal.stdout.split()
    )
    assert {path: path.read_bytes() for path in RECORDS.glob("*.age")} == records
    for name in MACHINES:
        assert root(name, "getent passwd unknown || echo none") == "none\n"
        root(name, "sed --in-place 's/ extrausers$//' /etc/nsswitch.conf")


def test_a_run_killed_before_the_password_was_set_is_finished_by_the_next(
    playbook: Playbook, root: Root
) -> None:
    for name in MACHINES:
        root(name, "! id interrupted 2> /dev/null || userdel --remove interrupted 2> /dev/null")
        root(name, "printf '#!/bin/sh\\nkill -KILL $PPID\\n' > /run/deadly; chmod 755 /run/deadly")
        root(name, "mount --bind /run/deadly /usr/sbin/chpasswd")
    try:
        # The module dies by SIGKILL where it would set the password: the account exists by then.
        killed = playbook("account.yml", workstation_login="interrupted")
    finally:
        for name in MACHINES:
            root(name, "umount /usr/sbin/chpasswd")
    assert killed.returncode != 0
    orphaned = {name: recorded(name) for name in MACHINES}
    assert {shadow(root, name, "interrupted").split(":")[1] for name in MACHINES} == {"!"}
    assert playbook("account.yml", workstation_login="interrupted").returncode == 0
    for name in MACHINES:
        assert recorded(name) != orphaned[name]
        choose(name, "interrupted", recorded(name), NEW)


# --- faults ------------------------------------------------------------------------------------


WRONG = {
    "workstation_login": ("a;b", 'workstation_login is "a;b"; write a small letter'),
    "workstation_full_name": ("Durand:Marie", "leave out colons, commas and line breaks"),
    "workstation_locale": ("french", "write it as in fr_FR.UTF-8"),
    "workstation_timezone": ("../../etc/passwd", "write it as in Europe/Paris"),
    "workstation_keyboard_layout": ('fr"; rm', "is no name of xkeyboard-config(7)"),
    "workstation_disk_critical": (20, "make the critical one smaller"),
    "workstation_groups": (["sudo"], "workstation_groups and workstation_root_groups both name"),
    "workstation_desktop_entries": (
        [{"name": "a/b", "title": "A\nB"}, {"name": "a/b", "title": "A"}],
        "give each its own, of small letters, digits, hyphens and underscores."
        " each of workstation_desktop_entries opens a url or starts a program (exec); write one of"
        " the two, not both. a text of workstation_desktop_entries has a line break",
    ),
}


def test_wrong_settings_are_refused_all_at_once_before_the_first_change(
    playbook: Playbook,
) -> None:
    done = playbook(
        "converge.yml", "--limit=debian13", **{name: value for name, (value, _) in WRONG.items()}
    )
    assert done.returncode != 0
    assert changes(done.stdout)["debian13"] == 0
    for _, said in WRONG.values():
        assert said in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"workstation_login": "root"}, "workstation_login is root, an account of the machine's"),
        ({"workstation_firmware": "maybe"}, "unable to convert to bool"),
        ({"workstation_desktop_entries": [{"name": "a"}]}, "missing required arguments: title"),
    ],
)
def test_a_wrong_setting_is_refused_before_the_first_change(
    playbook: Playbook, variables: dict[str, object], said: str
) -> None:
    done = playbook("converge.yml", "--limit=debian13", **variables)
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split())
    assert changes(done.stdout)["debian13"] == 0


def test_a_system_account_is_nobodys(playbook: Playbook, root: Root) -> None:
    before = {name: root(name, "getent shadow www-data; id www-data") for name in MACHINES}
    done = playbook("account.yml", workstation_login="www-data")
    assert done.returncode != 0
    assert "on this machine that is a system account" in " ".join(done.stdout.split())
    assert {name: root(name, "getent shadow www-data; id www-data") for name in MACHINES} == before


# --- checks ------------------------------------------------------------------------------------


# what breaks it, what mends it, and what the check says on a machine that speaks French
BROKEN_ACCOUNTS = [
    (f"gpasswd --delete {LOGIN} netdev", f"gpasswd --add {LOGIN} netdev", "le groupe netdev"),
    (f"gpasswd --add {LOGIN} sudo", f"gpasswd --delete {LOGIN} sudo", "devenir root (sudo)"),
    (
        f"echo '{LOGIN} ALL=(ALL) ALL' > /etc/sudoers.d/x",
        "rm /etc/sudoers.d/x",
        "devenir root (sudo)",
    ),
    (f"usermod --lock {LOGIN}", f"usermod --unlock {LOGIN}", "n'a pas de mot de passe"),
    (f"chage --expiredate 0 {LOGIN}", f"chage --expiredate -1 {LOGIN}", "a expiré"),
    (f"mv /home/{LOGIN} /home/x", f"mv /home/x /home/{LOGIN}", "n'existe pas"),
]


@on_each_machine
def test_check_of_the_account(name: str, root: Root, checks: Checks) -> None:
    command = "/usr/lib/nomade/checks/workstation account mdurand netdev,lpadmin sudo,disk"
    assert checks(name)["account"]["status"] == "OK"
    for breaks, mends, says in BROKEN_ACCOUNTS:
        root(name, breaks)
        try:
            answer = root(name, f"LANG=fr_FR.UTF-8 {command} || true")
            through_nomade_check = checks(name)["account"] if says == "a expiré" else None
        finally:
            root(name, mends)
        assert answer.startswith("CRITICAL - ")
        assert says in answer
        if through_nomade_check:
            assert through_nomade_check["status"] == "CRITICAL"
            assert "for this machine again" in through_nomade_check["remedy"]["en"]
            assert "relancer equip.yml" in through_nomade_check["remedy"]["fr"]
    assert checks(name)["account"]["status"] == "OK"
