"""The four actions of a rebuild on the controller: what they ask, refuse, show and keep."""

from __future__ import annotations

import importlib.util
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from ansible.errors import AnsibleActionFail, AnsibleActionSkip, AnsibleConnectionFailure
from ansible.utils.display import Display

from nomade import hostkeys, pending

ROOT = Path(__file__).parents[2]
AGE = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----"
SECONDS = 1_795_537_095.0

pytestmark = pytest.mark.usefixtures("english")

type Answer = dict[str, Any] | Exception


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        f"action_{name}", ROOT / f"plugins/action/{name}.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Action:
    """One of the actions, and its machine, which answers in turn, the last way for good."""

    def __init__(self, name: str) -> None:
        self.module = load(name)
        self.args: dict[str, Any] = {}
        self.answers: list[Answer] = []
        self.asked: list[str] = []
        self.given: list[bytes | None] = []

    def answer(self, rc: int = 0, stdout: str = "", stderr: str = "") -> Action:
        """Let the machine answer so, after what it was to answer before."""
        self.answers.append({"rc": rc, "stdout": stdout, "stderr": stderr})
        return self

    def execute(self, command: str, in_data: bytes | None = None) -> dict[str, Any]:
        """Stand in for the connection."""
        self.asked.append(command)
        self.given.append(in_data)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, check: bool = False, **variables: Any) -> dict[str, Any]:
        """Run it."""
        task = SimpleNamespace(args=self.args, check_mode=check, async_val=0, action="x")
        action = self.module.ActionModule(task, Mock(), Mock(), Mock(), Mock(), Mock())
        action._low_level_execute_command = self.execute
        result: dict[str, Any] = action.run(task_vars=variables)
        return result


@pytest.fixture
def action() -> Callable[[str], Action]:
    """action("rebuild_order") is ready to be told its arguments."""
    return Action


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a technician reads, without the clock in front of it."""
    shown: list[str] = []
    monkeypatch.setattr(Display, "display", lambda _self, text, **_more: shown.append(text[10:]))
    return shown


# --- rebuild_order ----------------------------------------------------------------------------


def machine(serial: str, state: str = "stock", **more: str) -> dict[str, str]:
    return {"fleet_serial_number": serial, "fleet_state": state, **more}


MACHINES = {
    "vb-1": machine("5CG-1"),
    "vb-2": machine("5CG-2", "recovered"),
    "vb-3": machine("5CG-3", "assigned"),
    "vb-4": machine(""),
    "vb-5": machine("5CG-5", "lost"),
}


def ordered(action: Callable[[str], Action], **args: object) -> dict[str, Any]:
    asked = action("rebuild_order")
    asked.args = args
    return asked.run(groups={"all": list(MACHINES)}, hostvars=MACHINES)


def test_several_machines_are_ordered_at_once(action: Callable[[str], Action]) -> None:
    result = ordered(action, asset="vb-1, vb-3,vb-1", wipe="5cg3")
    assert result == {
        "changed": False,
        "assets": ["vb-1", "vb-3"],
        "orders": [
            {"asset": "vb-1", "serial": "5CG-1", "wipe": ""},
            {"asset": "vb-3", "serial": "5CG-3", "wipe": "5CG-3"},
        ],
    }


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({}, "which machine? add -e asset=ASSET-TAG"),
        ({"asset": " ,"}, "which machine?"),
        ({"asset": "vb-1,vb-9"}, "vb-9 is not in the register: add its line to"),
        ({"asset": "vb-1,vb-3"}, "vb-3 is assigned: somebody's files are on its disk. Return it"),
        ({"asset": "vb-4"}, "vb-4: an order is for a serial number"),
        ({"asset": "vb-5", "wipe": "5CG-5"}, "vb-5 is lost in the register"),
        (
            {"asset": "vb-1", "wipe": "5CG-7"},
            "wipe names 5CG-7, which is the serial number of none",
        ),
    ],
)
def test_one_refusal_orders_nothing(
    action: Callable[[str], Action], args: dict[str, str], why: str
) -> None:
    result = ordered(action, **args)
    assert result["failed"]
    assert result["msg"].startswith(why)
    assert "\n" not in result["msg"]
    assert "orders" not in result


def test_refused_in_french(
    action: Callable[[str], Action], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert "est attribuée" in ordered(action, asset="vb-3")["msg"]
    assert "wipe nomme 5CG-7" in ordered(action, asset="vb-1", wipe="5CG-7")["msg"]


def test_what_is_ordered_already_is_only_watched(action: Callable[[str], Action]) -> None:
    result = ordered(action, asset="vb-1,vb-3", watch="True")
    assert (result["assets"], result["orders"]) == (["vb-1", "vb-3"], [])


# --- rebuild_watch ----------------------------------------------------------------------------


def order(
    number: int, state: str = "waiting", begun: float = SECONDS, **more: Any
) -> dict[str, Any]:
    """An order as the server tells it."""
    ended = state in ("done", "failed", "cancelled")
    stages = {
        "waiting": [],
        "taken": ["taken", "unpack"],
        "failed": ["taken", "failed"],
        "done": ["taken", "unpack", "up"],
    }.get(state, [])
    return {
        "id": f"id{number}",
        "asset_tag": f"vb-{number}",
        "serial_number": f"5CG-{number}",
        "state": state,
        "made": SECONDS - 60,
        "expires": SECONDS + 43_200,
        "stages": [{"name": name, "at": begun + 100 * n} for n, name in enumerate(stages)],
        **({"ended": begun + 300, "reason": ""} if ended else {}),
        **({"address": f"10.20.8.{number}", "escrow": AGE} if state == "done" else {}),
        **({"host_key": f"ssh-ed25519 AAAA{number} root@vb"} if state == "done" else {}),
        **more,
    }


class Watch:
    """A watch of rebuilds in a town."""

    def __init__(self, action: Action, town: Path) -> None:
        self.action, self.town = action, town
        self.known_hosts = town / "known_hosts"
        action.args = {
            "ids": {},
            "town_dir": str(town),
            "known_hosts": str(self.known_hosts),
            "every": 0,
        }

    def of(self, *numbers: int) -> Watch:
        """Say which orders are watched."""
        self.action.args["ids"] = {f"vb-{n}": f"id{n}" for n in numbers}
        return self

    def told(self, *orders: dict[str, Any]) -> Watch:
        """Let the server answer so, next."""
        self.action.answer(stdout=json.dumps({"orders": list(orders), "sent_bytes": 5}))
        return self

    def run(self, check: bool = False) -> dict[str, Any]:
        """Watch."""
        return self.action.run(check)

    def record(self, asset: str) -> dict[str, Any]:
        """Return a machine's record."""
        (path,) = (self.town / "records/rebuilds").glob(f"{asset}-*.json")
        record: dict[str, Any] = json.loads(path.read_text())
        return record

    def escrows(self) -> list[str]:
        """Return the asset tags of which a recovery passphrase is kept."""
        kept = (self.town / "records").glob("recovery-passphrases/*")
        return sorted(path.name.rsplit("-", 1)[0] for path in kept)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(Action("rebuild_watch"), tmp_path)


def test_each_change_is_a_line_and_each_end_a_record(watch: Watch, screen: list[str]) -> None:
    watch.of(1, 2)
    watch.told(order(1), order(2))
    watch.told(order(1, "taken"), order(2))
    watch.told(order(1, "taken"), order(2))
    watch.told(order(1, "done"), order(2, "failed", reason="no internal disk"))
    result = watch.run()
    clock = time.strftime("%H:%M", time.localtime(max(SECONDS + 900, time.time() + 30)))
    assert screen == [
        "vb-1: start it from the network  (0 of 2)",
        "vb-2: start it from the network  (0 of 2)",
        f"vb-1: unpack  (0 of 2, done by {clock})",
        "vb-1: done in 300 s  (1 of 2, 1 failed)",
        "vb-2: failed: no internal disk  (1 of 2, 1 failed)",
    ]
    assert result["changed"]
    assert "failed" not in result, "one that fails keeps nobody from their machine"
    assert result["addresses"] == {"vb-1": "10.20.8.1"}
    assert result["failures"] == {"vb-2": "vb-2: failed: no internal disk"}
    assert result["stages"]["vb-1"] == {"taken": 100, "unpack": 100, "up": 100}
    assert watch.record("vb-1")["seconds"] == 300
    assert "@" in watch.record("vb-1")["who"]
    assert watch.record("vb-2")["reason"] == "no internal disk"
    assert watch.escrows() == ["vb-1"]
    assert hostkeys.pinned(watch.known_hosts, "vb-1") == [hostkeys.HostKey("ssh-ed25519", "AAAA1")]
    assert hostkeys.pinned(watch.known_hosts, "vb-2") == []


def test_watched_again_the_same_is_kept(watch: Watch) -> None:
    watch.of(1).told(order(1, "done"))
    first = watch.run()
    files = {path: path.read_bytes() for path in watch.town.rglob("*") if path.is_file()}
    assert watch.run() == first
    assert {path: path.read_bytes() for path in watch.town.rglob("*") if path.is_file()} == files


def test_forty_at_once(watch: Watch, screen: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = SECONDS + 320
    monkeypatch.setattr(time, "time", lambda: now)
    watch.of(*range(1, 41))
    done = [order(number, "done") for number in range(1, 39)]
    others = [order(39, "taken", begun=SECONDS + 200), order(40, "taken")]
    watch.told(*done, *others, order(77, "failed"))  # another technician's
    watch.told(*(order(number, "done") for number in range(1, 41)))
    assert len(watch.run()["addresses"]) == 40
    # 300 seconds each, as the others took
    end = time.strftime("%H:%M", time.localtime(SECONDS + 500))
    assert f"vb-40: unpack  (38 of 40, done by {end})" in screen
    assert screen[-1] == "vb-40: done in 300 s  (40 of 40)"
    assert len(watch.escrows()) == 40


def test_how_fast_it_is_sent(
    watch: Watch, screen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic", itertools.count(0, 10).__next__)
    watch.of(1)
    for sent, state in ((1000, "waiting"), (410_001_000, "taken"), (500_000_000, "done")):
        answer = {"orders": [order(1, state)], "sent_bytes": sent}
        watch.action.answer(stdout=json.dumps(answer))
    assert watch.run()["sent_bytes"] == 499_999_000
    assert [line.endswith(", 41.0 MB/s)") for line in screen] == [False, True, False]


def test_the_summary_in_french(
    watch: Watch, screen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    watch.of(1, 2).told(order(1, "taken"), order(2, "failed", reason="disque"))
    watch.told(order(1, "done"), order(2, "failed", reason="disque"))
    watch.run()
    assert screen[0].startswith("vb-1: unpack  (0 sur 2, échec : 1, fini vers ")
    assert screen[-1] == "vb-1: terminée en 300 s  (1 sur 2, échec : 1)"


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"escrow": "bcdfg hjknp"}, "its recovery passphrase did not come encrypted"),
        ({"escrow": ""}, "its recovery passphrase did not come: rebuild it again"),
        ({"host_key": "ssh-ed25519"}, "its host key did not come: rebuild it again"),
    ],
)
def test_what_is_not_kept_is_no_machine_of_the_town(
    watch: Watch, wrong: dict[str, str], why: str
) -> None:
    watch.of(1, 2).told(order(1, "done", **wrong), order(2, "done"))
    result = watch.run()
    assert result["addresses"] == {"vb-2": "10.20.8.2"}
    assert result["failures"]["vb-1"].startswith(f"vb-1: {why}")
    assert watch.escrows() == ["vb-2"]
    assert hostkeys.pinned(watch.known_hosts, "vb-1") == []
    assert watch.record("vb-1")["state"] == "failed"
    kept = "".join(path.read_text() for path in watch.town.rglob("*") if path.is_file())
    assert "bcdfg" not in kept


def test_records_that_cannot_be_written_are_named(watch: Watch) -> None:
    (watch.town / "records").write_text("in the way")
    watch.of(1).told(order(1, "done"))
    (said,) = watch.run()["failures"].values()
    assert said.startswith("vb-1: ")
    assert said.endswith(": Not a directory")


def test_a_replaced_order_is_said_and_the_others_go_on(watch: Watch) -> None:
    watch.of(1, 2).told(order(1), order(2))
    watch.told(order(1, id="another"), order(2, "taken"))
    watch.told(order(1, "done", id="another"), order(2, "done"))
    result = watch.run()
    assert result["failures"] == {
        "vb-1": "vb-1: another order has replaced this one: look at nomade-netboot status there"
    }
    assert result["addresses"] == {"vb-2": "10.20.8.2"}
    assert watch.escrows() == ["vb-2"]


def test_an_interrupted_watch_is_taken_up_again(watch: Watch) -> None:
    watch.action.args["ids"] = {"vb-1": "", "vb-9": ""}
    watch.told(order(1, "done"), order(1, "cancelled", id="old", made=SECONDS - 900))
    result = watch.run()
    assert result["addresses"] == {"vb-1": "10.20.8.1"}
    assert result["failures"]["vb-9"].startswith("vb-9: nothing was ordered for it")
    assert watch.record("vb-1")["id"] == "id1"


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_other_ends(watch: Watch, state: str) -> None:
    watch.of(1).told(order(1, state))
    result = watch.run()
    said = {"cancelled": "vb-1: taken back", "expired": "vb-1: nobody started it in time"}
    assert result["failures"] == {"vb-1": said[state]}
    assert watch.record("vb-1")["state"] == state


def test_a_server_that_is_mute_for_a_while(watch: Watch, screen: list[str]) -> None:
    watch.action.answers = [AnsibleConnectionFailure("no route\nto host")]
    watch.action.answer(1, stderr="sudo: a password is required")
    watch.action.answer(stdout="not yet")
    watch.of(1).told(order(1, "done"))
    assert watch.run()["addresses"] == {"vb-1": "10.20.8.1"}
    assert screen[:2] == ["to host", "sudo: a password is required"]
    assert "Expecting value" in screen[2]


def test_a_server_that_stays_mute(watch: Watch) -> None:
    watch.of(1, 2).action.answer(1, stderr="Traceback:\nOSError: disk full\n")
    with pytest.raises(AnsibleActionFail) as failed:
        watch.run()
    said = str(failed.value)
    assert "does not say how far it is (OSError: disk full); what is ordered goes on" in said
    assert said.endswith("playbooks/rebuild.yml -e asset=vb-1,vb-2 -e watch=yes")
    assert len(watch.action.asked) == watch.action.module.TRIES


def test_there_is_nothing_to_watch_in_check_mode(watch: Watch) -> None:
    with pytest.raises(AnsibleActionSkip):
        watch.of(1).run(check=True)
    assert watch.action.asked == []


# --- netboot_pending --------------------------------------------------------------------------

SAID: dict[str, Any] = {
    "serial_number": "5CG-7 XY",
    "mac_addresses": ["3c:52:82:0a:1b:2c"],
    "model": "HP EliteBook 840 G6",
    "ram_mb": 7812,
    "firmware": "uefi",
    "battery": None,
    "smart": "passed",
    "wifi": True,
    "camera": True,
    "microphone": False,
    "disks": [],
    "fit": True,
    "unfit_reasons": [],
    "seen": "2026-11-24T09:12:00+01:00",
}


def heard(directory: Path, *said: Any, check: bool = False) -> dict[str, Any]:
    fetch = Action("netboot_pending").answer(stdout=json.dumps(said))
    fetch.args = {"directory": str(directory)}
    result = fetch.run(check)
    assert fetch.asked == ["/usr/sbin/nomade-netboot pending"]
    return result


def test_announcements_are_brought_home_once(tmp_path: Path) -> None:
    place = tmp_path / "pending"
    other = {**SAID, "serial_number": "", "mac_addresses": ["02:00:00:00:00:01"]}
    assert heard(place, SAID, other, check=True) == {"changed": True, "new": 2, "refused": []}
    assert not place.exists()
    assert heard(place, SAID, other) == {"changed": True, "new": 2, "refused": []}
    assert {path.name for path in place.iterdir()} == {"5cg7xy.json", "020000000001.json"}
    assert heard(place, SAID, other) == {"changed": False, "new": 0, "refused": []}
    # started again: it takes the place of what it said before
    later = {**SAID, "seen": "2026-11-25T09:12:00+01:00", "ram_mb": 3906}
    assert heard(place, later, other)["new"] == 1
    found, errors = pending.read(place)
    assert ([said.ram_mb for said in found], errors) == ([3906, 7812], [])


@pytest.mark.parametrize(
    ("wrong", "file", "field"),
    [
        ({"ram_mb": "much"}, "5cg7xy", 'ram_mb: "much"'),
        ({"serial_number": "\x1b[2J\x07", "mac_addresses": ["\x1b[1m"]}, "2j", "mac_addresses"),
        ({"serial_number": 7, "mac_addresses": None}, "7", "mac_addresses"),
        ({"serial_number": "", "mac_addresses": ["xy"]}, "xy", 'mac_addresses: "xy"'),
    ],
)
def test_what_has_not_the_shape_is_left_and_named(
    tmp_path: Path, wrong: dict[str, Any], file: str, field: str
) -> None:
    result = heard(tmp_path, {**SAID, **wrong}, SAID)
    (said,) = result["refused"]
    assert said.startswith(f"/var/lib/nomade-netboot/pending/{file}.json: {field}")
    assert said.isprintable(), "it comes from anybody on that network"
    assert "start that machine from the network again" in said
    assert [path.name for path in tmp_path.iterdir()] == ["5cg7xy.json"]


def test_a_server_that_fails_is_quoted(tmp_path: Path) -> None:
    fetch = Action("netboot_pending").answer(1, stderr="nomade-netboot: no settings\n")
    fetch.args = {"directory": str(tmp_path)}
    with pytest.raises(AnsibleActionFail, match=r"^nomade-netboot: no settings$"):
        fetch.run()


# --- disk_passphrase --------------------------------------------------------------------------


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    """A town's key pair; returns its private half."""
    private = tmp_path / "town.key"
    subprocess.run(["age-keygen", "-o", private], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", private], check=True, capture_output=True)
    (tmp_path / "town.age.pub").write_bytes(public.stdout)
    return private


def passphrase_of(directory: Path) -> Action:
    action = Action("disk_passphrase")
    action.args = {
        "recipient": str(directory / "town.age.pub"),
        "record": str(directory / "records/disk-passphrases/vb-1.age"),
    }
    return action


def test_the_passphrase_is_sealed_first_and_goes_by_standard_input(
    tmp_path: Path, identity: Path
) -> None:
    action = passphrase_of(tmp_path).answer().answer()
    record = Path(action.args["record"])
    sealed_before: list[bool] = []
    execute = action.execute

    def look(command: str, in_data: bytes | None = None) -> dict[str, Any]:
        sealed_before.append(record.exists())
        return execute(command, in_data)

    action.execute = look  # type: ignore[method-assign]
    result = action.run()
    assert result == {"changed": True}, "nothing of the passphrase"
    assert sealed_before == [False, True]
    opened = subprocess.run(
        ["age", "--decrypt", "--identity", identity, record], check=True, capture_output=True
    )
    assert action.given == [None, opened.stdout]
    assert len(opened.stdout) == 20
    assert action.asked == [
        "test -e /boot/nomade-preparation.key",
        "/usr/lib/nomade/disk-passphrase",
    ]
    assert record.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("identity")
def test_a_disk_that_has_one_is_left_alone(tmp_path: Path) -> None:
    action = passphrase_of(tmp_path).answer(1)
    assert action.run() == {"changed": False}
    assert action.asked == ["test -e /boot/nomade-preparation.key"]
    assert not (tmp_path / "records").exists()


@pytest.mark.usefixtures("identity")
def test_check_mode_makes_no_passphrase(tmp_path: Path) -> None:
    action = passphrase_of(tmp_path).answer()
    assert action.run(check=True) == {"changed": True}
    assert len(action.asked) == 1
    assert not (tmp_path / "records").exists()


def test_without_the_towns_key_the_disk_stays_as_it_is(tmp_path: Path) -> None:
    action = passphrase_of(tmp_path).answer()
    result = action.run()
    assert result["failed"]
    assert result["msg"].startswith(f"{tmp_path}/town.age.pub: the town's public key is missing;")
    assert len(action.asked) == 1


@pytest.mark.usefixtures("identity")
@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (
            [(0, ""), (2, "x\na passphrase of 12 characters at least is needed\n")],
            "a passphrase of",
        ),
        ([(0, ""), (1, "")], "?"),
        ([(127, "sh: test: not found")], "sh: test: not found"),
    ],
)
def test_a_machine_that_refuses_is_quoted(
    tmp_path: Path, answers: list[tuple[int, str]], said: str
) -> None:
    action = passphrase_of(tmp_path)
    for rc, stderr in answers:
        action.answer(rc, stderr=stderr)
    result = action.run()
    assert result["failed"]
    assert result["msg"].split(": ", 1)[1].startswith(said)


# --- the playbook -----------------------------------------------------------------------------


def test_the_playbook_refuses_before_any_machine_is_asked(tmp_path: Path) -> None:
    """By Ansible itself, in check mode too; no machine of this town can be reached."""
    columns = "asset_tag;serial_number;mac_address;model;owner_department;state;assignee_login;"
    columns += "assignee_name;assignee_email;department;extension;wave;management_address\n"
    (tmp_path / "fleet.csv").write_text(f"{columns}vb-0001;5CG-1;;;Voirie;stock;;;;;;;\n")
    server: dict[str, Any] = {"ansible_host": "192.0.2.1", "ansible_ssh_timeout": 1}
    groups = {"servers": {"children": {"netboot_servers": {"hosts": {"netboot": server}}}}}
    for servers, arguments, said in (
        (groups, ("asset=vb-0009",), "vb-0009 is not in the register"),
        (groups, ("asset=vb-0001", "wipe=5CG-2"), "wipe names 5CG-2"),
        ({"servers": {}}, ("asset=vb-0001",), "This town has no netboot server"),
    ):
        (tmp_path / "servers.yml").write_text(yaml.safe_dump(servers))
        extra = itertools.chain.from_iterable(("-e", argument) for argument in arguments)
        done = subprocess.run(
            [
                *(Path(sys.executable).parent / "ansible-playbook", "playbooks/rebuild.yml"),
                *("-i", tmp_path, *extra),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert said in done.stdout + done.stderr
        assert "Order the rebuilds" not in done.stdout
