"""nomade-check: definitions, running, publishing, showing."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROLE = Path(__file__).parents[2] / "roles/nomade_check"
PROGRAM = ROLE / "rootfs/usr/bin/nomade-check"


def load_program() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("nomade_check_program", str(PROGRAM))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module  # dataclasses look their module up
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


nc: Any = load_program()


class Machine:
    """A machine's directories, somewhere else."""

    def __init__(self, root: Path) -> None:
        self.paths = nc.Paths(root / "checks.d", root / "run", root / "hotline")
        self.paths.definitions.mkdir()
        self.number = 0

    def define(self, text: str, file: str = "role.toml") -> Path:
        path = Path(self.paths.definitions / file)
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
        return path

    def check(self, script: str, name: str = "", **keys: object) -> str:
        """Define a check that runs a shell script, with the rest as given."""
        self.number += 1
        name = name or f"check-{self.number}"
        values = {"capability": "vpn_client", "timeout": 5, **keys}
        self.define(
            f"[[check]]\nname = {json.dumps(name)}\n"
            + f"command = {json.dumps(['/bin/sh', '-c', script])}\n"
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
            + 'remedy.fr = "Rebranchez le câble."\nremedy.en = "Plug the cable in."\n'
        )
        return name

    def results(self) -> list[Any]:
        definitions, refused = nc.load(self.paths.definitions)
        assert refused == []
        found = {result.name: result for result in nc.run(definitions)}
        return [found[definition.name] for definition in definitions]

    def main(self, *argv: str) -> int:
        return int(nc.main(argv, self.paths))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine seen by an ordinary user who reads English."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for name in ("LC_ALL", "LC_MESSAGES", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "en_GB.UTF-8")
    return Machine(tmp_path)


@pytest.fixture
def root(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The same machine seen by root, whose temporary files nobody else can write."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(nc, "weak_spot", lambda _path: None)
    return machine


def alive(marker: str) -> list[str]:
    """Return the processes whose command line has the marker, zombies left out."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        if marker in command and process.name != str(os.getpid()):
            found.append(command)
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


# --- the program itself ------------------------------------------------------------------------


def test_it_needs_python_3_11_and_its_standard_library_alone() -> None:
    tree = ast.parse(PROGRAM.read_text(encoding="utf-8"), feature_version=(3, 11))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= set(sys.stdlib_module_names)


def test_it_ignores_the_environment_of_python() -> None:
    first = PROGRAM.read_text(encoding="utf-8").splitlines()[0]
    assert first == "#!/usr/bin/python3 -IS"
    assert os.access(PROGRAM, os.X_OK)


# --- definitions -------------------------------------------------------------------------------

GOOD = """[[check]]
name = "vpn-handshake"
capability = "vpn_client"
command = ["/bin/true"]
remedy.fr = "Redémarrez."
remedy.en = "Restart."
"""


def test_a_definition_with_all_its_keys(machine: Machine) -> None:
    machine.define(
        GOOD + 'timeout = 2.5\nroot = true\nheavy = true\ntitle = {fr = "VPN", en = "Tunnel"}\n'
    )
    (definition,), refused = nc.load(machine.paths.definitions)
    assert refused == []
    assert (definition.name, definition.capability) == ("vpn-handshake", "vpn_client")
    assert definition.command == ("/bin/true",)
    assert (definition.timeout, definition.root, definition.heavy) == (2.5, True, True)
    assert definition.title == {"fr": "VPN", "en": "Tunnel"}
    assert definition.remedy == {"fr": "Redémarrez.", "en": "Restart."}


def test_what_a_definition_need_not_say(machine: Machine) -> None:
    machine.define(GOOD)
    (definition,), _ = nc.load(machine.paths.definitions)
    assert (definition.timeout, definition.root, definition.heavy) == (10.0, False, False)
    assert definition.title == {"fr": "vpn-handshake", "en": "vpn-handshake"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "vpn-handshake"\n', "", "name: must be lower-case letters"),
        ('"vpn-handshake"', '"../../etc/cron.d/x"', "name: must be lower-case letters"),
        ('"vpn-handshake"', '"VPN"', "not 'VPN'"),
        ('"vpn-handshake"', "7", "not 7"),
        ('capability = "vpn_client"\n', "", "capability: must be"),
        ('["/bin/true"]', '"/bin/true"', "command: must be a list of words"),
        ('["/bin/true"]', "[]", "command: must be a list of words"),
        ('["/bin/true"]', '["true"]', "the first an absolute path, not ['true']"),
        ('["/bin/true"]', '["/bin/true", 1]', "command: must be a list of words"),
        ('["/bin/true"]', '["/bin/true", "\\u0000"]', "command: must be a list of words"),
        ("[[check]]\n", "[[check]]\ntimeout = 0\n", "timeout: must be a number of seconds"),
        ("[[check]]\n", "[[check]]\ntimeout = 61\n", "at most 60, not 61"),
        ("[[check]]\n", "[[check]]\ntimeout = nan\n", "timeout: must be"),
        ("[[check]]\n", "[[check]]\ntimeout = true\n", "timeout: must be"),
        ("[[check]]\n", '[[check]]\ntimeout = "5"\n', "not '5'"),
        ("[[check]]\n", '[[check]]\nroot = "yes"\n', "root: must be true or false, not 'yes'"),
        ("[[check]]\n", "[[check]]\nheavy = 1\n", "heavy: must be true or false, not 1"),
        ("[[check]]\n", "[[check]]\ntime = 5\n", "time: unknown, a check has name, capability,"),
        ('remedy.en = "Restart."\n', "", 'remedy: must have two texts, "fr" and "en"'),
        ('"Restart."', '""', 'remedy: must have two texts, "fr" and "en"'),
        ("[[check]]\n", '[[check]]\ntitle = "VPN"\n', 'title: must have two texts, "fr" and "en"'),
    ],
)
def test_a_wrong_definition_is_refused_by_file_and_key(
    machine: Machine, old: str, new: str, message: str
) -> None:
    path = machine.define(GOOD.replace(old, new))
    definitions, (refused,) = nc.load(machine.paths.definitions)
    assert definitions == []
    assert refused.status == "UNKNOWN"
    assert refused.message.startswith(f"{path}: check 1: ")
    assert message in refused.message
    assert refused.remedy == nc.EQUIP_AGAIN


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[[check]\n", "line 1"),
        (b"\xff\xfe", "utf-8"),
        (b"", "no [[check]] here"),
        (b"[check]\nname = 1\n", "no [[check]] here"),
        (b"check = 1\n", "no [[check]] here"),
        (b"check = [1]\n", "check 1: must be a [[check]] table"),
        (b"[[checks]]\n", "checks: unknown, write [[check]]"),
    ],
)
def test_a_file_that_is_no_list_of_checks_is_refused(
    machine: Machine, content: bytes, message: str
) -> None:
    path = machine.paths.definitions / "bad.toml"
    path.write_bytes(content)
    definitions, (refused,) = nc.load(machine.paths.definitions)
    assert definitions == []
    assert refused.message.startswith(f"{path}: ")
    assert message in refused.message


def test_one_wrong_definition_leaves_the_others(machine: Machine) -> None:
    machine.define("[[check]]\nname = 1\n" + GOOD)
    machine.define(GOOD.replace("vpn-handshake", "other"), "other.toml")
    definitions, refused = nc.load(machine.paths.definitions)
    assert [definition.name for definition in definitions] == ["other", "vpn-handshake"]
    assert len(refused) == 1


def test_a_name_is_taken_once(machine: Machine) -> None:
    first, second = machine.define(GOOD, "a.toml"), machine.define(GOOD, "b.toml")
    definitions, (refused,) = nc.load(machine.paths.definitions)
    assert len(definitions) == 1
    assert refused.message == (
        f'{second}: check 1: name: "vpn-handshake" is already taken by {first}'
    )


def test_other_files_are_no_definitions(machine: Machine) -> None:
    machine.define("nonsense", "role.toml.dpkg-old")
    assert nc.load(machine.paths.definitions) == ([], [])


def test_a_refusal_is_in_french_for_who_reads_french(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")
    path = machine.define(GOOD.replace('["/bin/true"]', "[]"))
    _, (refused,) = nc.load(machine.paths.definitions)
    assert refused.message == (
        f"{path}: contrôle 1 : command : il faut une liste de mots, le premier étant un chemin "
        "absolu, et non []"
    )


# --- what root may run -------------------------------------------------------------------------


@pytest.fixture
def owned_by_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in which our files look like root's, and whose parents are safe."""
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        if not path.is_relative_to(tmp_path):
            return real(Path("/usr"))
        found = list(real(path))
        found[4] = 0 if found[4] == os.getuid() else found[4]
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", lstat)
    (tmp_path / "bin").mkdir(mode=0o755)
    (tmp_path / "bin").chmod(0o755)
    tmp_path.chmod(0o755)
    command = tmp_path / "bin/check"
    command.write_text("#!/bin/sh\n", encoding="utf-8")
    command.chmod(0o755)
    return tmp_path


def test_what_only_root_writes_has_no_weak_spot(owned_by_root: Path) -> None:
    assert nc.weak_spot(owned_by_root / "bin/check") is None


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
@pytest.mark.parametrize("part", ["bin/check", "bin", "."])
def test_a_part_that_others_write_is_a_weak_spot(owned_by_root: Path, part: str, mode: int) -> None:
    (owned_by_root / part).chmod(mode)
    assert nc.weak_spot(owned_by_root / "bin/check") == owned_by_root / part


def test_links_are_followed_all_the_way(owned_by_root: Path) -> None:
    home = owned_by_root / "home"
    home.mkdir()
    (home / "middle").symlink_to("../bin/check")
    link = owned_by_root / "bin/link"
    link.symlink_to(home / "middle")
    assert nc.weak_spot(link) is None
    home.chmod(0o777)
    assert nc.weak_spot(link) == home


def test_links_in_a_circle_are_a_weak_spot(owned_by_root: Path) -> None:
    (owned_by_root / "a").symlink_to("b")
    (owned_by_root / "b").symlink_to("a")
    assert nc.weak_spot(owned_by_root / "a") in {owned_by_root / "a", owned_by_root / "b"}


def test_somebody_elses_file_is_a_weak_spot(
    owned_by_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        found = list(roots(path))
        found[4] = 1000 if path.name == "bin" else found[4]
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", lstat)
    assert nc.weak_spot(owned_by_root / "bin/check") == owned_by_root / "bin"


def test_root_uses_no_definition_that_others_can_write(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.check("echo ran > /dev/null")
    source = machine.paths.definitions / "role.toml"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(nc, "weak_spot", lambda path: path if path == source else None)
    definitions, (refused,) = nc.load(machine.paths.definitions)
    assert definitions == []
    assert refused.message == f"{source}: not used: somebody other than root can write {source}"


def test_root_runs_no_command_that_others_can_write(
    root: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.check(f"touch {tmp_path}/ran")
    monkeypatch.setattr(
        nc, "weak_spot", lambda path: Path("/bin") if path == Path("/bin/sh") else None
    )
    (result,) = root.results()
    assert result.status == "UNKNOWN"
    assert result.message == "not run: somebody other than root can write /bin"
    assert not (tmp_path / "ran").exists()


# --- running -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status", "message", "perfdata"),
    [
        ("echo 'OK - handshake 12 s ago | age=12s;180'", "OK", "handshake 12 s ago", "age=12s;180"),
        ("echo 'WARNING - 3 % left'; exit 1", "WARNING", "3 % left", ""),
        (
            "echo 'DISK CRITICAL - free space: / 0 MB|/=1'; exit 2",
            "CRITICAL",
            "free space: / 0 MB",
            "/=1",
        ),
        ("echo 'PROCS UNKNOWN: no idea'; exit 3", "UNKNOWN", "no idea", ""),
        ("echo 'as it comes'", "OK", "as it comes", ""),
        ("echo; echo 'OK - second line'; echo third", "OK", "second line", ""),
        (
            "echo 'OK - but the exit code counts'; exit 2",
            "CRITICAL",
            "but the exit code counts",
            "",
        ),
        ("true", "OK", "the check said nothing", ""),
        ("exit 4", "UNKNOWN", "exit code 4", ""),
        ("echo text; exit 127", "UNKNOWN", "exit code 127: text", ""),
        (
            "echo first >&2; echo 'No such module' >&2; exit 64",
            "UNKNOWN",
            "exit code 64: No such module",
            "",
        ),
        ("kill -9 $$", "UNKNOWN", "exit code -9", ""),
        ("printf '\\377OK\\n'", "OK", "\ufffdOK", ""),
        ("printf 'OK - \\033[31mred\\033]0;title\\007\\r\\n'", "OK", "[31mred ]0;title", ""),
        ("cat", "OK", "the check said nothing", ""),
    ],
)
def test_what_a_check_says(
    machine: Machine, script: str, status: str, message: str, perfdata: str
) -> None:
    machine.check(script)
    (result,) = machine.results()
    assert (result.status, result.message, result.perfdata) == (status, message, perfdata)
    assert result.remedy == {"fr": "Rebranchez le câble.", "en": "Plug the cable in."}


def test_checks_run_side_by_side(machine: Machine) -> None:
    for _ in range(6):
        machine.check("sleep 0.5")
    began = time.monotonic()
    assert len(machine.results()) == 6
    assert time.monotonic() - began < 2


def test_a_check_that_does_not_answer_is_unknown_and_leaves_no_process(machine: Machine) -> None:
    marker = f"31.{os.getpid()}1"
    machine.check(
        f"trap '' TERM INT HUP; sleep {marker} & (sleep {marker}; true) & sleep {marker}; true",
        timeout=0.5,
    )
    machine.check("echo 'OK - not held up'")
    began = time.monotonic()
    slow, quick = machine.results()
    assert time.monotonic() - began < 3
    assert (slow.status, slow.message) == ("UNKNOWN", "no answer within 0.5 s")
    assert (quick.status, quick.message) == ("OK", "not held up")
    assert wait_until(lambda: alive(marker) == [])


def test_what_a_check_leaves_behind_is_ended_and_not_waited_for(machine: Machine) -> None:
    marker = f"32.{os.getpid()}2"
    machine.check(f"sleep {marker} & echo 'OK - done'")
    began = time.monotonic()
    (result,) = machine.results()
    assert time.monotonic() - began < 3
    assert result.message == "done"
    assert wait_until(lambda: alive(marker) == [])


def test_a_process_that_left_the_group_holds_nobody_up(machine: Machine) -> None:
    machine.check("setsid sleep 4 & sleep 0.1; echo 'OK - done'")
    began = time.monotonic()
    (result,) = machine.results()
    assert time.monotonic() - began < 3
    assert result.message == "done"


def test_endless_output_is_cut(machine: Machine) -> None:
    machine.check("yes 'OK - again and again'", timeout=0.5)
    machine.check("head -c 20000000 /dev/zero | tr '\\0' x")
    endless, long = machine.results()
    assert endless.status == "UNKNOWN"
    assert (long.status, len(long.message)) == ("OK", nc.MESSAGE_LIMIT)
    assert long.message.endswith("x…")


def test_a_missing_command_is_unknown(machine: Machine) -> None:
    machine.define(GOOD.replace("/bin/true", "/nowhere/check"))
    (result,) = machine.results()
    assert (result.status, result.message) == ("UNKNOWN", "/nowhere/check is not installed")
    assert result.remedy == nc.EQUIP_AGAIN


def test_a_command_that_is_no_program_is_unknown(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program", encoding="utf-8")
    machine.define(GOOD.replace("/bin/true", str(tmp_path / "text")))
    (result,) = machine.results()
    assert (result.status, result.message) == ("UNKNOWN", f"{tmp_path}/text: Permission denied")


def test_checks_hear_the_readers_language_and_a_decimal_point(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/1000")
    machine.check('echo "$LANG ${LC_ALL-unset} $LC_NUMERIC $XDG_RUNTIME_DIR $PATH"')
    (result,) = machine.results()
    assert result.message == f"fr_FR.UTF-8 unset C /run/user/1000 {nc.SYSTEM_PATH}"


def test_roots_checks_see_nothing_of_the_environment(
    root: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "of somebody")
    root.check("env | sort | grep -v -e ^PWD= -e ^_= -e ^SHLVL= -e ^OLDPWD= | tr '\\n' ' '")
    (result,) = root.results()
    assert result.message == f"LANG=en_GB.UTF-8 LC_NUMERIC=C PATH={nc.SYSTEM_PATH}"


# --- waiting -----------------------------------------------------------------------------------


def test_waiting_runs_again_what_does_not_hold_yet(machine: Machine, tmp_path: Path) -> None:
    ready, runs = tmp_path / "ready", tmp_path / "runs"
    machine.check(f"test -e {ready} || {{ touch {ready}; exit 2; }}")
    machine.check(f"echo x >> {runs}")
    began = time.monotonic()
    assert machine.main("--wait", "20") == 0
    assert time.monotonic() - began < 5
    assert runs.read_text() == "x\n"  # what holds is not run again


def test_waiting_ends(machine: Machine) -> None:
    machine.check("exit 2")
    began = time.monotonic()
    assert machine.main("--wait", "0.3") == 2
    assert 0.3 <= time.monotonic() - began < 3


def test_what_is_only_to_watch_is_not_waited_for(machine: Machine) -> None:
    machine.check("exit 1")
    began = time.monotonic()
    assert machine.main("--wait", "20") == 1
    assert time.monotonic() - began < 5


# --- publishing --------------------------------------------------------------------------------


def test_root_publishes_roots_checks_for_everybody(
    root: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root.check("echo 'OK - 12 s ago | age=12'", "handshake", root=True)
    root.check(f"touch {tmp_path}/ran", "mine")
    old = os.umask(0o077)
    try:
        assert root.main("--publish") == 0
    finally:
        os.umask(old)
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "ran").exists()
    assert [path.name for path in root.paths.published.iterdir()] == ["handshake.json"]
    assert (root.paths.published / "handshake.json").stat().st_mode & 0o777 == 0o644
    assert root.paths.published.stat().st_mode & 0o777 == 0o755

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert root.main("--json") == 0
    handshake, mine = json.loads(capsys.readouterr().out)["checks"]
    assert (handshake["status"], handshake["message"]) == ("OK", "12 s ago")
    assert handshake["perfdata"] == "age=12"
    assert (mine["name"], mine["status"]) == ("mine", "OK")


def test_publishing_succeeds_whatever_the_checks_find(root: Machine) -> None:
    root.check("echo broken; exit 2", "handshake", root=True)
    assert root.main("--publish") == 0
    assert json.loads((root.paths.published / "handshake.json").read_text())["status"] == "CRITICAL"


def test_refresh_publishes_and_shows(root: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    root.check("echo now; exit 1", "handshake", root=True)
    root.check("echo fine", "mine")
    assert root.main("--refresh", "--json") == 1
    assert [check["name"] for check in json.loads(capsys.readouterr().out)["checks"]] == [
        "handshake",
        "mine",
    ]
    assert [path.name for path in root.paths.published.iterdir()] == ["handshake.json"]


def test_root_without_refresh_runs_all_and_publishes_nothing(
    root: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    root.check("echo now", root=True)
    assert root.main("--json") == 0
    assert json.loads(capsys.readouterr().out)["checks"][0]["message"] == "now"
    assert not root.paths.published.exists()


def test_what_is_no_longer_defined_is_no_longer_published(root: Machine) -> None:
    root.check("true", "gone", root=True)
    assert root.main("--publish") == 0
    (root.paths.definitions / "role.toml").unlink()
    root.check("true", "stays", root=True)
    assert root.main("--publish") == 0
    assert [path.name for path in root.paths.published.iterdir()] == ["stays.json"]


def test_a_refresh_of_one_capability_leaves_the_others_published(root: Machine) -> None:
    root.check("true", "a", root=True)
    root.check("true", "b", root=True, capability="hardening")
    assert root.main("--publish") == 0
    assert root.main("--refresh", "--capability", "hardening") == 0
    assert sorted(path.name for path in root.paths.published.iterdir()) == ["a.json", "b.json"]


@pytest.mark.parametrize(
    "secret",
    [
        "eFZzcm1vbmtleXRoYXRpc25vdGFrZXlidXQzMmJ5dHM=",
        "AGE-SECRET-KEY-1QQPQYQ5YZ",
        "-----BEGIN OPENSSH PRIVATE " + "KEY----- b3BlbnNz",
    ],
)
def test_nothing_that_looks_like_a_key_is_published(root: Machine, secret: str) -> None:
    root.check(f"echo 'OK - peer {secret} | key={secret}'", "key", root=True)
    root.check(f"echo '{secret}' >&2; exit 9", "errors", root=True)
    assert root.main("--publish") == 0
    for path in root.paths.published.iterdir():
        assert secret not in path.read_text()
    assert (
        json.loads((root.paths.published / "errors.json").read_text())["message"] == "exit code 9"
    )


def test_a_directory_that_cannot_be_written_is_one_sentence(
    root: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    root.check("true", "a", root=True)
    root.paths.published.write_text("a file")
    assert root.main("--publish") == 3
    assert str(root.paths.published) in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--refresh", "--publish"])
def test_publishing_needs_root(
    machine: Machine, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        machine.main(option)
    assert ended.value.code == 3
    assert capsys.readouterr().err == "nomade-check: --refresh and --publish need root.\n"


def published(machine: Machine, monkeypatch: pytest.MonkeyPatch, clock: float) -> Any:
    """Publish at 1000 s after boot, read at another time."""
    machine.check("echo 'OK - fine'", "handshake", root=True)
    definitions, _ = nc.load(machine.paths.definitions)
    monkeypatch.setattr(nc, "boot_clock", lambda: 1000.0)
    nc.publish(nc.run(definitions), machine.paths.published, ["handshake"])
    monkeypatch.setattr(nc, "boot_clock", lambda: clock)
    return nc.published(definitions[0], machine.paths.published)


@pytest.mark.parametrize(
    ("age", "status", "message"),
    [
        (0, "OK", "fine"),
        (180, "OK", "fine"),
        (181, "UNKNOWN", "the last result is 3 min old (OK: fine)"),
        (7199, "UNKNOWN", "the last result is 120 min old (OK: fine)"),
        (90000, "UNKNOWN", "the last result is 25 h old (OK: fine)"),
        (-1, "UNKNOWN", "the published result can't be read"),
    ],
)
def test_what_is_old_says_nothing(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, age: float, status: str, message: str
) -> None:
    result = published(machine, monkeypatch, 1000 + age)
    assert (result.status, result.message) == (status, message)
    assert (result.remedy == nc.RESTART_TIMER) is (status == "UNKNOWN")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "{", '{"status": "FINE"}', "\x00", '{"boot_clock": "soon"}']
)
def test_what_was_published_badly_is_unknown(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    published(machine, monkeypatch, 1000)
    (machine.paths.published / "handshake.json").write_text(content)
    (definition,), _ = nc.load(machine.paths.definitions)
    result = nc.published(definition, machine.paths.published)
    assert (result.status, result.message) == ("UNKNOWN", "the published result can't be read")


def test_what_was_never_published_is_unknown(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.check("echo never run by us", root=True)
    assert machine.main() == 3
    assert "not published yet" in capsys.readouterr().out


# --- showing -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([0, 0], 0),
        ([0, 1], 1),
        ([1, 3], 3),
        ([3, 2, 1], 2),
        ([2, 9], 2),
    ],
)
def test_the_exit_code_is_the_worst(machine: Machine, codes: list[int], worst: int) -> None:
    for code in codes:
        machine.check(f"exit {code}")
    assert machine.main() == worst


def test_the_report_for_programs(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.check("echo 'WARNING - 3 % | free=3%'; exit 1", "disk", capability="workstation")
    assert machine.main("--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report.pop("host") == os.uname().nodename
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", report.pop("generated"))
    assert 0 <= report["checks"][0].pop("seconds") < 5
    assert report == {
        "status": "WARNING",
        "checks": [
            {
                "name": "disk",
                "capability": "workstation",
                "status": "WARNING",
                "message": "3 %",
                "perfdata": "free=3%",
                "remedy": {"fr": "Rebranchez le câble.", "en": "Plug the cable in."},
                "title": {"fr": "disk", "en": "disk"},
                "heavy": False,
            }
        ],
    }


def test_the_table_in_french(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANG", "fr_FR.UTF-8")
    machine.paths.hotline.write_text("Support : poste 4000\n", encoding="utf-8")
    machine.check("echo 'OK - établi'", "tunnel")
    machine.check("echo 'presque plein'; exit 1", "disk", capability="workstation")
    machine.check("echo 'coupé'; exit 2", "micro")
    machine.check("exit 3", "quoi")
    assert machine.main() == 2
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\S+  \d\d/\d\d/\d{4} \d\d:\d\d", lines[0])
    assert lines[1:] == [
        "",
        "OK  vpn_client   tunnel  établi",
        "!   workstation  disk    presque plein",
        "                         → Rebranchez le câble.",
        "!!  vpn_client   micro   coupé",
        "                         → Rebranchez le câble.",
        "??  vpn_client   quoi    le contrôle n'a rien dit",
        "                         → Rebranchez le câble.",
        "",
        "1 OK, 1 à surveiller, 1 à réparer, 1 sans réponse",
        "Besoin d'aide ? Support : poste 4000",
    ]


def test_the_table_when_all_is_well(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.paths.hotline.write_text("call 4000\n")
    machine.check("echo 'OK - up'", "tunnel", title="")
    (machine.paths.definitions / "role.toml").write_text(
        GOOD + 'title = {fr = "Tunnel", en = "Tunnel up"}\n'
    )
    assert machine.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["OK  vpn_client  Tunnel up  the check said nothing", "", "1 OK"]


def test_a_narrow_terminal_gets_messages_beneath(machine: Machine) -> None:
    machine.check(
        "echo 'a message that is much too long for one line of a narrow terminal'; exit 2"
    )
    text = nc.as_table(machine.results(), "nmd-0042", "", colour=False, width=40)
    assert all(len(line) <= 40 for line in text.splitlines())
    assert "!!  vpn_client  check-1\n    a message that is much too long for" in text


def test_colour_only_where_it_is_wanted(machine: Machine) -> None:
    machine.check("exit 2")
    assert "\033" not in nc.as_table(machine.results(), "h", "", colour=False, width=80)
    assert "\033[1;31m!!\033[0m" in nc.as_table(machine.results(), "h", "", colour=True, width=80)


def test_the_list_runs_nothing(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.check(f"touch {tmp_path}/ran", "mine")
    machine.check("true", "roots", root=True, timeout=1.5)
    assert machine.main("--list") == 0
    assert capsys.readouterr().out == (
        f"vpn_client  mine  -  5 s  /bin/sh -c touch {tmp_path}/ran\n"
        "vpn_client  roots  root  1.5 s  /bin/sh -c true\n"
    )
    assert not (tmp_path / "ran").exists()


def test_the_list_names_what_it_cannot_read(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    path = machine.define("[[check]]\n")
    assert machine.main("--list") == 3
    assert str(path) in capsys.readouterr().err


def test_one_capability_alone(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.check("exit 2", "vpn")
    machine.check("exit 0", "disk", capability="workstation")
    assert machine.main("--capability", "workstation", "--json") == 0
    assert [check["name"] for check in json.loads(capsys.readouterr().out)["checks"]] == ["disk"]


def test_a_heavy_one_that_was_well_recently_is_not_repeated(
    root: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, state = tmp_path / "runs", tmp_path / "state"
    state.write_text("0")
    root.check(f"echo run >> {runs}; exit $(cat {state})", "office", heavy=True)
    root.check(f"echo run >> {runs}", "light")

    def look(*arguments: str) -> tuple[int, list[str]]:
        runs.write_text("")
        code = root.main("--refresh", "--json", *arguments)
        found = json.loads(capsys.readouterr().out)["checks"]
        assert sorted(check["name"] for check in found) == ["light", "office"]
        return code, runs.read_text().splitlines()

    assert look("--recent", "600") == (0, ["run"] * 2)  # nothing is known yet
    state.write_text("2")
    assert look("--recent", "600") == (0, ["run"])
    assert root.main("--publish") == 0  # the timer's turn leaves it there
    assert look("--recent", "600") == (0, ["run"])
    assert look("--recent", "0.001") == (2, ["run"] * 2)
    assert look("--recent", "600") == (2, ["run"] * 2)  # what wasn't well is asked again
    assert look() == (2, ["run"] * 2)
    with pytest.raises(SystemExit):
        root.main("--recent", "600")


def test_without_the_heavy_ones(
    root: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root.check("exit 0", "disk")
    root.check("exit 0", "mine", root=True)
    root.check(f"touch {tmp_path / 'ran'}", "office", heavy=True)
    assert root.main("--light", "--json") == 0
    assert not (tmp_path / "ran").exists()
    found = json.loads(capsys.readouterr().out)["checks"]
    assert [check["name"] for check in found] == ["disk", "mine"]
    assert root.main("--json") == 0
    found = json.loads(capsys.readouterr().out)["checks"]
    assert {check["name"]: check["heavy"] for check in found} == {
        "disk": False,
        "mine": False,
        "office": True,
    }


def test_one_capability_alone_still_names_a_definition_that_is_no_use(machine: Machine) -> None:
    machine.check("exit 0", "disk", capability="workstation")
    machine.define("[[check]]\n")
    assert machine.main("--capability", "workstation") == 3


def test_a_capability_without_checks_is_no_good_news(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.check("exit 0")
    assert machine.main("--capability", "vpn") == 3
    assert "no check for the capability vpn (there are: vpn_client)" in capsys.readouterr().out


def test_some_checks_alone(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("vpn", "disk", "clock"):
        machine.check("exit 0", name)
    assert machine.main("--check", "vpn", "--check", "clock", "--json") == 0
    found = json.loads(capsys.readouterr().out)["checks"]
    assert [check["name"] for check in found] == ["vpn", "clock"]


def test_a_check_that_nobody_defined_is_no_good_news(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.check("exit 0", "vpn")
    assert machine.main("--check", "vpn", "--check", "disc") == 3
    assert "no check has the name disc (there are: vpn)" in capsys.readouterr().out


def test_no_checks_at_all_are_no_good_news(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.main("--json") == 3
    report = json.loads(capsys.readouterr().out)
    assert report["status"] == "UNKNOWN"
    assert report["checks"][0]["message"] == f"no check in {machine.paths.definitions}"


@pytest.mark.parametrize(
    "argv",
    [
        ["--nonsense"],
        ["--refresh", "--publish"],
        ["--jso"],
        ["x"],
        ["--wait", "-1"],
        ["--wait", "nan"],
        ["--wait", "inf"],
        ["--wait", "soon"],
    ],
)
def test_a_wrong_command_line_is_unknown_and_not_critical(
    machine: Machine, argv: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        machine.main(*argv)
    assert ended.value.code == 3


@pytest.mark.parametrize(
    ("environ", "french"),
    [
        ({"LANG": "fr_FR.UTF-8"}, True),
        ({"LANG": "fr_CA"}, True),
        ({"LANG": "en_GB.UTF-8"}, False),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8"}, True),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": "C"}, False),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": ""}, True),
        ({}, False),
    ],
)
def test_the_language_is_that_of_messages(environ: dict[str, str], *, french: bool) -> None:
    assert nc.message_locale(environ).startswith("fr") is french


# --- as a command ------------------------------------------------------------------------------

DRIVER = """
import importlib.machinery, importlib.util, os, pathlib, sys
os.geteuid = lambda: 1000  # the tests' files are not trusted by root
sys.dont_write_bytecode = True
loader = importlib.machinery.SourceFileLoader("program", sys.argv[1])
module = importlib.util.module_from_spec(importlib.util.spec_from_loader("program", loader))
sys.modules["program"] = module
loader.exec_module(module)
module.program(sys.argv[3:], module.Paths(*(pathlib.Path(sys.argv[2], name) for name in
               ("checks.d", "run", "hotline"))))
"""


@pytest.fixture
def command(machine: Machine) -> list[str]:
    """The program as a process, on the machine's own Python."""
    return [
        "/usr/bin/python3",
        "-IS",
        "-c",
        DRIVER,
        str(PROGRAM),
        str(machine.paths.definitions.parent),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_stops_it_stops_the_checks(
    machine: Machine, command: list[str], number: signal.Signals
) -> None:
    marker = f"33.{os.getpid()}{int(number)}"
    machine.check(f"sleep {marker} & sleep {marker}; true", timeout=50)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert wait_until(lambda: len(alive(f"\0{marker}\0")) == 2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert errors == b""
    assert wait_until(lambda: alive(f"\0{marker}\0") == [])


def on_terminal(command: list[str], **environ: str) -> Iterator[bytes]:
    """Run the command on a terminal and return what it wrote."""
    ours, its = pty.openpty()
    try:
        subprocess.run(command, stdout=its, stdin=its, env={**os.environ, **environ}, check=True)
        os.close(its)
        while True:
            try:
                if not (chunk := os.read(ours, 4096)):
                    return
            except OSError:  # EIO: the other end is closed
                return
            yield chunk
    finally:
        os.close(ours)


@pytest.mark.parametrize(
    ("environ", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_a_terminal_gets_colour_unless_it_is_not_wanted(
    machine: Machine, command: list[str], environ: dict[str, str], *, coloured: bool
) -> None:
    machine.check("echo fine")
    assert (b"\033[32mOK" in b"".join(on_terminal(command, **environ))) is coloured


def test_a_pipe_gets_no_colour_and_any_encoding_is_survived(
    machine: Machine, command: list[str]
) -> None:
    machine.check("echo 'Clé à café'; exit 2")
    for locale in ("C", "fr_FR.UTF-8", "en_US.ISO-8859-1", "POSIX"):
        done = subprocess.run(
            command, capture_output=True, env={"LC_ALL": locale, "TERM": "xterm"}, check=False
        )
        assert (done.returncode, done.stderr) == (2, b"")
        assert b"\033" not in done.stdout


# --- unit-active -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lang", "units", "code", "line"),
    [
        ("C", ["a.service", "b.timer"], 0, "OK - active: a.service b.timer"),
        ("fr_FR.UTF-8", ["a.service"], 0, "OK - actif : a.service"),
        (
            "C",
            ["a.service", "failed.service"],
            2,
            "CRITICAL - not running: failed.service (failed)",
        ),
        (
            "fr_FR.UTF-8",
            ["failed.service"],
            2,
            "CRITICAL - ne tourne pas : failed.service (failed)",
        ),
    ],
)
def test_unit_active(tmp_path: Path, lang: str, units: list[str], code: int, line: str) -> None:
    fake = tmp_path / "systemctl"
    fake.write_text(
        '#!/bin/sh\n[ "$1 $2" = "is-active --" ] || exit 64\n'
        "case $3 in failed*) echo failed; exit 3 ;; *) echo active ;; esac\n"
    )
    fake.chmod(0o755)
    done = subprocess.run(
        [ROLE / "rootfs/usr/lib/nomade/checks/unit-active", *units],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "LANG": lang},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, line + "\n", "")
