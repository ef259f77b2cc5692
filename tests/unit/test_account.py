"""The account module on a machine of straw: what it decides, does and refuses."""

from __future__ import annotations

import grp
import importlib.util
import json
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("account_module", ROOT / "plugins/modules/account.py")
assert spec
assert spec.loader
account: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(account)

HASH = "$y$j9T$salt$hash"


class Machine:
    """Accounts and groups in dictionaries, and the commands that were run."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
        self.folder, self.capsys = folder, capsys
        self.users: dict[str, Any] = {}
        self.directory: set[str] = set()
        self.groups: dict[str, list[str]] = {"netdev": [], "lpadmin": [], "audio": [], "sudo": []}
        self.commands: list[str] = []
        self.typed: list[str] = []
        self.fails_at = ""
        patch = monkeypatch.setattr
        patch(account, "MARKS", folder)
        patch(account, "is_local", lambda login: login in self.users.keys() - self.directory)
        patch(account, "known", self.users.get)
        patch(account, "fingerprint", lambda _login: "digest")
        patch(grp, "getgrall", self.all_groups)
        patch(grp, "getgrgid", lambda _number: SimpleNamespace(gr_name="own"))
        patch(pwd, "getpwuid", self.by_number)
        patch(account.AnsibleModule, "run_command", self.run_command)

    def add(self, login: str, uid: int = 1500, gecos: str = "Somebody") -> None:
        self.users[login] = SimpleNamespace(pw_uid=uid, pw_gid=uid, pw_gecos=gecos, pw_name=login)

    def all_groups(self) -> list[Any]:
        return [SimpleNamespace(gr_name=name, gr_mem=who) for name, who in self.groups.items()]

    def by_number(self, number: int) -> Any:
        for user in self.users.values():
            if user.pw_uid == number:
                return user
        raise KeyError(number)

    def run_command(self, argv: list[str], data: str | None = None) -> tuple[int, str, str]:
        if argv[0] == self.fails_at:
            return 1, "", f"{argv[0]}: cannot lock /etc/passwd\n"
        self.commands.append(" ".join(argv))
        if data:
            self.typed.append(data)
        if argv[0] == "useradd":
            self.add(argv[-1])
        elif argv[:2] == ["gpasswd", "--add"]:
            self.groups[argv[3]].append(argv[2])
        return 0, "", ""

    def mark(self, login: str = "mdurand") -> Any:
        return json.loads((self.folder / f"{login}.json").read_text())

    def run(self, check: bool = False, **arguments: object) -> dict[str, Any]:
        args = {
            "login": "mdurand",
            "full_name": "Marie Durand",
            "required_groups": ["netdev", "lpadmin"],
            "groups": ["audio", "scanner"],
            "forbidden_groups": ["sudo"],
            "_ansible_check_mode": check,
            **arguments,
        }
        with patch_module_args(args), pytest.raises(SystemExit):
            account.main()
        result: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return result


@pytest.fixture
def machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Machine:
    return Machine(tmp_path / "accounts", monkeypatch, capsys)


def test_without_a_hash_nothing_is_done(machine: Machine) -> None:
    result = machine.run()
    assert (result["changed"], result["password_needed"]) == (False, True)
    assert machine.commands == []
    assert not machine.folder.exists()


def test_a_new_account_gets_its_password_last_and_must_change_it(machine: Machine) -> None:
    result = machine.run(password_hash=HASH)
    assert (result["changed"], result["account"]) == (True, "created")
    assert [command.split()[0] for command in machine.commands] == [
        "useradd", "gpasswd", "gpasswd", "gpasswd", "chpasswd", "chage",
    ]  # fmt: skip
    assert "--key HOME_MODE=0700" in machine.commands[0]
    assert machine.commands[-1] == "chage --lastday 0 mdurand"
    assert machine.typed == [f"mdurand:{HASH}"]
    assert not [command for command in machine.commands if HASH in command]
    assert machine.mark()["sha256"] == "digest"
    again = machine.run()
    assert (again["changed"], again["account"], again["password_needed"]) == (False, "kept", False)


def test_the_hash_is_never_returned(machine: Machine) -> None:
    assert HASH not in json.dumps(machine.run(password_hash=HASH))


@pytest.mark.parametrize("tool", ["useradd", "gpasswd", "chpasswd", "chage"])
def test_a_run_that_failed_anywhere_is_finished_by_the_next(machine: Machine, tool: str) -> None:
    machine.fails_at = tool
    failed = machine.run(password_hash=HASH)
    assert failed["msg"] == f"mdurand: {tool} failed: {tool}: cannot lock /etc/passwd"
    assert machine.mark() == {"pending": True}
    machine.fails_at = ""
    assert machine.run()["password_needed"]
    assert machine.run(password_hash=HASH)["changed"]
    assert machine.commands[-1] == "chage --lastday 0 mdurand"
    assert "pending" not in machine.mark()


def test_a_mark_that_was_cut_short_counts_as_pending(machine: Machine) -> None:
    machine.add("mdurand")
    machine.folder.mkdir()
    for text in ("", "{", "[]"):
        (machine.folder / "mdurand.json").write_text(text)
        assert machine.run()["password_needed"]


def test_an_account_that_was_there_is_adopted(machine: Machine) -> None:
    machine.add("mdurand")
    machine.groups["sudo"].append("mdurand")
    result = machine.run()
    assert (result["changed"], result["account"]) == (True, "kept")
    assert machine.commands == [
        "gpasswd --add mdurand audio",
        "gpasswd --add mdurand lpadmin",
        "gpasswd --add mdurand netdev",
        "gpasswd --delete mdurand sudo",
    ]
    assert not machine.folder.exists()
    assert "group: sudo" in result["diff"]["before"]
    assert "group: sudo" not in result["diff"]["after"]


def test_only_an_empty_name_is_filled(machine: Machine) -> None:
    machine.add("mdurand", gecos=",,,")
    machine.run()
    assert "usermod --comment Marie Durand mdurand" in machine.commands


def test_a_directory_account_only_joins_groups(machine: Machine) -> None:
    machine.add("mdurand", uid=200017)
    machine.directory.add("mdurand")
    result = machine.run(directory_services=["sssd"])
    assert result["account"] == "directory"
    assert {command.split()[0] for command in machine.commands} == {"gpasswd"}
    refused = machine.run(renew=True)
    assert refused["msg"] == "mdurand: the account is the directory's; renew its password there"


def test_a_directory_that_does_not_know_the_login_stops_it(machine: Machine) -> None:
    refused = machine.run(directory_services=["sssd", "winbind"], password_hash=HASH)
    assert refused["msg"].startswith("mdurand: this machine asks sssd, winbind for its accounts")
    assert machine.commands == []


@pytest.mark.parametrize("uid", [0, 33, 999, 65534])
def test_a_system_account_is_refused(machine: Machine, uid: int) -> None:
    machine.add("mdurand", uid=uid)
    assert f"that is a system account (uid {uid})" in machine.run()["msg"]
    assert machine.commands == []


def test_a_missing_group_is_named_with_its_remedy(machine: Machine) -> None:
    del machine.groups["netdev"]
    refused = machine.run(password_hash=HASH)
    assert refused["msg"] == (
        "mdurand: the group netdev doesn't exist on this machine;"
        " install the package that brings it"
    )
    assert machine.run(check=True)["changed"]  # its package isn't here yet either


def test_check_mode_tells_and_does_nothing(machine: Machine) -> None:
    result = machine.run(check=True)
    assert result["changed"]
    assert "password: a new first password" in result["diff"]["after"]
    assert machine.commands == []
    assert not machine.folder.exists()


def test_renewal_sets_a_new_password_and_nothing_else(machine: Machine) -> None:
    machine.add("mdurand")
    machine.run()
    machine.commands.clear()
    assert machine.run(renew=True)["password_needed"]
    assert machine.run(renew=True, password_hash=HASH)["changed"]
    assert machine.commands == ["chpasswd --encrypted", "chage --lastday 0 mdurand"]
