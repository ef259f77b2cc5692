"""rootfs killed at any moment, and on a full disk: nothing is lost, and the next run converges.

The kill is real: a child process replaces the functions of `os` that change a file system by ones
that count, and sends itself SIGKILL before the n-th change.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., dict[str, Any]]
ROOT = Path(__file__).parents[2]
CHANGES = ("open", "fsync", "fchmod", "replace", "unlink", "mkdir", "rmdir", "chmod", "symlink")


@pytest.fixture(autouse=True)
def _no_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the disk: a killed process loses nothing that it has written, synced or not."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


def killed(action: Callable[[], object], count: int) -> bool:
    """Run in a child that is killed before its n-th change; say whether it came that far."""
    child = os.fork()
    if child == 0:
        left = count

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **more: Any) -> Any:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **more)

            return call

        for name in CHANGES:
            setattr(os, name, counted(getattr(os, name)))
        try:
            action()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def leftovers(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if "nomade-new" in p.name or p.name == "staged"]


@pytest.fixture
def versions(node: Make) -> dict[str, list[dict[str, Any]]]:
    """Return two versions of a role: one file changes, one is new, one leaves, a link turns."""
    unit = {"restart": ["a.service"]}
    return {
        "old": [
            node("etc/a", "old a\n", **unit),
            node("etc/d/leaves", "old leaves\n", **unit),
            node("etc/l", "a", kind="link"),
            node("etc/theirs", "old\n"),
        ],
        "new": [
            node("etc/a", "new a\n", **unit),
            node("etc/n/comes", "new comes\n", mode=0o600, **unit),
            node("etc/l", "n/comes", kind="link", **unit),
            node("etc/n", kind="directory", mode=0o700),
            node("etc/theirs", "new\n"),
        ],
    }


def moments(
    machine: Any, prepare: Callable[[], None], action: Callable[[], object]
) -> Iterator[int]:
    """Kill the action before its first, second, ... change, each time on a fresh machine."""
    for count in range(1, 500):
        shutil.rmtree(machine.root)
        machine.root.mkdir()
        prepare()
        if not killed(action, count):
            assert count > 30, "this run changed next to nothing: the test is broken"
            return
        yield count


CHECK = {"command": ["grep", "-q", "new", "{staged}/etc/a"]}


@pytest.mark.parametrize("first", ["old", None])
def test_killed_at_any_moment(
    machine: Any, manager: Any, versions: dict[str, Any], first: str | None
) -> None:
    manager.add("a.service", manager.running)

    def prepare() -> None:
        machine.write("etc/theirs", "before\n")
        if first:
            machine.wants(*versions[first]).run()
            machine.run("settled")
        machine.wants(*versions["new"], validate=[CHECK])

    before: dict[str, Any] = {}
    after: dict[str, Any] = {}

    def whole() -> None:
        """Whatever is there is the old version or the new one, and what is new is marked."""
        there = machine.tree()
        for path, (mode, content) in there.items():
            if path.endswith(".nomade-new") or mode.startswith("4"):
                continue
            assert content in (before.get(path, ("", None))[1], after.get(path, ("", None))[1])
        changed = {p for p in ("etc/a", "etc/l", "etc/n/comes") if there.get(p) != before.get(p)}
        if changed:
            assert machine.manifest()["pending"] == {"a.service": "restart"}, changed

    prepare()
    before = machine.tree()
    machine.run()
    after = machine.tree()

    for _ in moments(machine, prepare, machine.run):
        whole()
        manager.orders.clear()
        told = machine.run(check=True)
        result = machine.run()
        assert told == result
        assert result["changed"]
        assert result["pending"] == {"a.service": "restart"}, "the handler is notified again"
        assert machine.tree() == after
        assert leftovers(machine.root) == []
        machine.run("settled")
        assert manager.orders == ["restart a.service"]
        assert not machine.run()["changed"]
        # and what was there before the role was not forgotten on the way
        machine.run("absent")
        assert machine.tree() == {"etc": ("40755", ""), "etc/theirs": ("100644", "before\n")}


def test_removal_killed_at_any_moment(machine: Any, manager: Any, versions: dict[str, Any]) -> None:
    manager.add("a.service", manager.running)

    def prepare() -> None:
        machine.write("etc/theirs", "before\n")
        machine.wants(*versions["old"]).run()
        machine.run("settled")

    for _ in moments(machine, prepare, lambda: machine.run("absent")):
        gone = "etc/a" not in machine.tree()
        if (machine.root / "var/lib/nomade/rootfs/demo/manifest.json").exists() and gone:
            assert machine.manifest()["pending"] or not machine.manifest()["nodes"]
        machine.run("absent")
        assert machine.tree() == {"etc": ("40755", ""), "etc/theirs": ("100644", "before\n")}
        assert not machine.run("absent")["changed"]
        assert leftovers(machine.root) == []


def test_restart_killed_at_any_moment(machine: Any, manager: Any, versions: dict[str, Any]) -> None:
    manager.add("a.service", manager.running)
    machine.wants(*versions["new"]).run()
    for count in range(1, 50):
        machine.write("etc/a", "by hand\n")
        machine.run()
        if not killed(lambda: machine.run("settled"), count):
            return
        manager.orders.clear()
        machine.run("settled")
        # restarted in the child or here: never neither
        assert machine.manifest()["pending"] == {}


# -- a full disk ------------------------------------------------------------------------------


def test_full_disk_at_any_write(
    machine: Any, manager: Any, versions: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.add("a.service", manager.running)
    machine.write("etc/theirs", "before\n")
    machine.wants(*versions["old"]).run()
    machine.run("settled")
    before, manifest = machine.tree(), machine.manifest()
    machine.wants(*versions["new"], validate=[CHECK])
    real = os.fsync
    refused = 0
    for count in range(1, 100):
        left = count

        def full(handle: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            result = machine.run()
        if not result.get("failed"):
            break
        refused += 1
        message = str(result["msg"])
        assert " is full (" in message
        assert message.endswith("make room and run again. No file was left half-written.")
        assert leftovers(machine.root) == []
        if machine.tree() != before:
            # met while names were made safe, after all contents were: the marks are set
            assert machine.manifest()["pending"] == {"a.service": "restart"}
            break
        assert machine.manifest() == manifest
    assert refused > 5
    machine.run()
    assert machine.read("etc/a") == "new a\n"
    machine.run("settled")
    assert manager.orders[-1] == "restart a.service"


PROGRAM = """
import sys, pathlib
sys.path.insert(0, {site!r})
import ansible.module_utils
ansible.module_utils.__path__.append({utils!r})
from ansible.module_utils.testing import patch_module_args
import importlib.util, json, runpy
with patch_module_args(json.load(sys.stdin)):
    runpy.run_path({module!r}, run_name="__main__")
"""


def test_really_full_file_system(tmp_path: Path, node: Make) -> None:
    """A file system of 64 kB in memory, in a mount namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    nodes = [node("etc/a", "new\n"), node("etc/b", "x" * 100_000)]
    args = {
        "role": "demo",
        "root": str(disk),
        "payload": json.dumps({"nodes": nodes, "validate": [], "enable": []}),
    }
    program = tmp_path / "program.py"
    program.write_text(
        PROGRAM.format(
            site=str(Path(sys.modules["ansible"].__file__ or "").parents[1]),
            utils=str(ROOT / "plugins/module_utils"),
            module=str(ROOT / "plugins/modules/rootfs.py"),
        )
    )
    script = """
    mount -t tmpfs -o size=64k,mode=755 tmpfs "$1" && mkdir "$1/etc" && echo old > "$1/etc/a"
    "$2" "$3"
    cat "$1/etc/a"
    find "$1" -type f
    """
    alone = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    done = subprocess.run(
        [*alone, "sh", "-c", script, "sh", str(disk), sys.executable, str(program)],
        input=json.dumps(args),
        capture_output=True,
        text=True,
        check=True,
    )
    result, *rest = done.stdout.strip().splitlines()
    message = json.loads(result)["msg"]
    assert message.startswith(f"demo: The file system {disk} is full (")
    assert "up to 98 kB needed" in message
    # the only file there is the old one, and a copy of it that was put aside
    kept = f"{disk}/var/lib/nomade/rootfs/demo/original/etc/a"
    assert sorted(rest) == sorted(["old", f"{disk}/etc/a", kept])
