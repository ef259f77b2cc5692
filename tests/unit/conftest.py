"""What tests share: a machine below a directory, a service manager of straw, Ansible itself."""

from __future__ import annotations

import base64
import grp
import importlib
import importlib.util
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import ansible.module_utils
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

ROOT = Path(__file__).parents[2]
ME = pwd.getpwuid(os.geteuid()).pw_name
MY_GROUP = grp.getgrgid(os.getegid()).gr_name

# The same examples each time, however slow the machine; what it keeps stands with our caches.
set_hypothesis_home_dir(ROOT / ".cache/hypothesis")
settings.register_profile("nomade", derandomize=True, deadline=None, database=None)
settings.load_profile("nomade")

# On a machine Ansible packs our module_utils with the module; here they are found where they lie.
ansible.module_utils.__path__.append(str(ROOT / "plugins/module_utils"))


def load(name: str) -> ModuleType:
    """Load one of our modules, which lie in no package."""
    path = ROOT / f"plugins/modules/{name}.py"
    spec = importlib.util.spec_from_file_location(f"nomade_module_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def module_named() -> Callable[[str], ModuleType]:
    """module_named("disk_search") is our module of that name."""
    return load


def make_node(
    path: str, content: str | bytes = "", kind: str = "file", **more: Any
) -> dict[str, Any]:
    """Return a node as the action plugin sends it, owned by whoever runs the tests."""
    data = content.encode() if isinstance(content, str) else content
    mode = 0o755 if kind == "directory" else 0o644
    rights = {"mode": mode, "owner": ME, "group": MY_GROUP}
    return {
        "path": path,
        "kind": kind,
        "content": base64.b64encode(data).decode(),
        **rights,
        **more,
    }


class Machine:
    """A machine's file system below a directory, and the module run on it in this process."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.module = load("rootfs")
        self.capsys = capsys
        self.output = ""
        self.asked: dict[str, Any] = {"nodes": [], "validate": [], "enable": []}

    def wants(self, *nodes: dict[str, Any], **more: Any) -> Machine:
        """Say what the controller asks for from now on."""
        self.asked = {"nodes": list(nodes), "validate": [], "enable": [], **more}
        return self

    def run(
        self, state: str = "present", check: bool = False, name: str = "demo"
    ) -> dict[str, Any]:
        """Run the module; return what it reports."""
        args = {
            "role": name,
            "state": state,
            "root": str(self.root),
            "payload": json.dumps(self.asked),
            "_ansible_check_mode": check,
            "_ansible_inject_invocation": True,
        }
        # where the controller's code is loaded as well, Ansible would send warnings to the screen
        warnings: list[str] = []
        warn = patch.object(self.module.AnsibleModule, "warn", lambda _self, w: warnings.append(w))
        with warn, patch_module_args(args), pytest.raises(SystemExit):
            self.module.main()
        self.output = self.capsys.readouterr().out
        result: dict[str, Any] = json.loads(self.output)
        return {**result, "warnings": warnings}

    def fails(self, state: str = "present", check: bool = False) -> str:
        """Run the module, which must fail; return the sentence."""
        before = self.tree()
        result = self.run(state, check)
        assert result["failed"], result
        if state == "present":
            assert self.tree() == before, "something was touched"
        return str(result["msg"])

    def tree(self) -> dict[str, tuple[str, str]]:
        """Return all that a role can install: path -> rights, content."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            mode = f"{path.lstat().st_mode:o}"
            if name.startswith("var/lib") or name == "var":
                continue
            if path.is_symlink():
                found[name] = (mode, str(path.readlink()))
            else:
                found[name] = (mode, "" if path.is_dir() else path.read_bytes().decode("latin-1"))
        return found

    def write(self, path: str, content: str = "") -> Path:
        """Put a file on the machine by hand."""
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        return place

    def read(self, path: str) -> str:
        """Return the content of a file."""
        return (self.root / path).read_text()

    def manifest(self, name: str = "demo") -> dict[str, Any]:
        """Return the manifest."""
        file = self.root / f"var/lib/nomade/rootfs/{name}/manifest.json"
        result: dict[str, Any] = json.loads(file.read_text())
        return result


@pytest.fixture
def machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Machine:
    root = tmp_path / "machine"
    root.mkdir()
    return Machine(root, capsys)


def states(load: str, active: str, file: str) -> dict[str, str]:
    """Return the properties of a unit that matter most."""
    return {"LoadState": load, "ActiveState": active, "UnitFileState": file}


class Manager:
    """A service manager of straw: units with properties, and the orders that it got."""

    absent = states("not-found", "inactive", "")
    disabled = states("loaded", "inactive", "disabled")
    running = states("loaded", "active", "enabled")

    def __init__(self) -> None:
        self.units: dict[str, dict[str, str]] = {}
        self.orders: list[str] = []
        self.refuses: set[str] = set()
        self.dies: set[str] = set()

    def add(self, unit: str, properties: dict[str, str], **more: str) -> None:
        """Make a unit known."""
        self.units[unit] = {**properties, **more}

    def command(self, *words: str, timeout: int | None = None) -> tuple[int, str]:  # noqa: ARG002 - the signature of what it stands for
        """Stand in for rootfs_units.command."""
        if words[0] == "journalctl":
            return 0, f"last words of {words[2]}"
        assert words[0] == "systemctl"
        if words[1] == "show":
            shown = [self.units.get(unit, self.absent) for unit in words[4:]]
            return 0, "\n\n".join("\n".join(f"{k}={v}" for k, v in s.items()) for s in shown)
        self.orders.append(" ".join(words[1:]))
        if self.orders[-1] in self.refuses:
            return 1, f"{self.orders[-1]} refused"
        for unit in words[2:]:
            self._obey(words[1], self.units[unit])
            if unit in self.dies:
                self.units[unit]["ActiveState"] = "failed"
        return 0, ""

    @staticmethod
    def _obey(order: str, unit: dict[str, str]) -> None:
        if order in ("start", "restart", "reload-or-restart"):
            unit["ActiveState"] = "active"
        elif order == "stop":
            unit["ActiveState"] = "inactive"
        elif order in ("enable", "disable"):
            unit["UnitFileState"] = f"{order}d"


@pytest.fixture
def manager(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Manager:
    units = importlib.import_module("ansible.module_utils.rootfs_units")
    manager = Manager()

    def running(self: Any, root: Path) -> None:  # noqa: ARG001 - the signature of what it stands for
        self.running, self.offline = True, []

    monkeypatch.setattr(units, "command", manager.command)
    monkeypatch.setattr(units.Systemd, "__init__", running)
    monkeypatch.setattr(machine.module, "SETTLE_SECONDS", 0)
    return manager


@pytest.fixture
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speak English, and know of no town that a technician has chosen."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.delenv("ANSIBLE_INVENTORY", raising=False)


@pytest.fixture
def node() -> Callable[..., dict[str, Any]]:
    return make_node


def play_rules(
    directory: Path, roles: list[str], tasks: list[dict[str, Any]], **variables: Any
) -> None:
    """Have Ansible run tasks with the defaults and vars of roles, and without the roles."""
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": variables,
        "vars_files": [
            str(ROOT / f"roles/{role}/{folder}/main.yml")
            for role in roles
            for folder in ("defaults", "vars")
        ],
        "tasks": tasks,
    }
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = directory / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": local}}}))
    book = directory / "rules.yml"
    book.write_text(yaml.safe_dump([play], sort_keys=False))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(inventory), str(book)],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session", name="play_rules")
def play_rules_fixture() -> Callable[..., None]:
    """play_rules(directory, ["vpn_client"], tasks, name="value"): see there."""
    return play_rules
