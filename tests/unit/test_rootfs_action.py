"""rootfs on the controller: which files, rendered how, with which rights, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    path = ROOT / "plugins/action/rootfs.py"
    spec = importlib.util.spec_from_file_location("nomade_action_rootfs", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Controller:
    """A role and a town on the controller, and the action plugin run with them."""

    def __init__(self, plugin: ModuleType, place: Path) -> None:
        self.plugin = plugin
        self.role = place / "roles/demo"
        self.town = place / "town"
        (self.role / "rootfs").mkdir(parents=True)
        self.town.mkdir()
        self.variables: dict[str, Any] = {
            "role_path": str(self.role),
            "inventory_dir": str(self.town),
            "who": "monde",
        }
        self.delegate_to: str | None = None
        self.args: dict[str, Any] = {"role": "demo"}
        self.check = False

    def file(self, path: str, content: str | bytes = "", place: Path | None = None) -> Path:
        """Put a file into the tree of the role, or of the town."""
        target = (place or self.role / "rootfs") / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        target.chmod(0o644)
        return target

    def meta(self, text: str) -> None:
        """Write rootfs.yml."""
        (self.role / "rootfs.yml").write_text(text)

    def act(self, changed: bool = False, **more: Any) -> tuple[dict[str, Any], Mock]:
        """Run the plugin; return what it reports, and the module call that it may have made."""
        loader = DataLoader()
        task = SimpleNamespace(
            args=self.args, check_mode=self.check, delegate_to=self.delegate_to, async_val=0
        )
        self.variables |= more
        templar = Templar(loader=loader, variables=self.variables)
        action = self.plugin.ActionModule(task, Mock(), Mock(), loader, templar, Mock())
        action._execute_module = Mock(return_value={"changed": changed})
        return action.run(task_vars=self.variables), action._execute_module

    def call(self) -> dict[str, Any]:
        """Run the plugin; return the arguments of its one module call."""
        result, module = self.act()
        assert result == {"changed": False}
        module.assert_called_once()
        given: dict[str, Any] = module.call_args.kwargs
        assert given["module_name"] == "rootfs"
        assert given["task_vars"] is self.variables
        args: dict[str, Any] = given["module_args"]
        return args

    def payload(self) -> dict[str, Any]:
        """Return what the module would be told."""
        payload: dict[str, Any] = json.loads(self.call()["payload"])
        for node in payload["nodes"]:
            node["content"] = base64.b64decode(node["content"])
        return payload

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Return the nodes by path."""
        return {node["path"]: node for node in self.payload()["nodes"]}

    def contents(self) -> dict[str, str]:
        """Return path and content of each node."""
        return {path: node["content"].decode() for path, node in self.nodes().items()}

    def fault(self) -> str:
        """Return the sentence with which the tree is refused."""
        with pytest.raises(AnsibleError) as caught:
            self.call()
        return str(caught.value)


@pytest.fixture
def controller(plugin: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Controller:
    monkeypatch.chdir(tmp_path)
    return Controller(plugin, tmp_path)


# -- the tree ---------------------------------------------------------------------------------


def test_files_and_templates(controller: Controller) -> None:
    controller.file("etc/plain", "{{ who }} stays\n")
    controller.file("etc/made.j2", "bonjour {{ who }} \\d\n{% if true %}\nyes\n{% endif %}\n\n")
    controller.file("usr/bin/blob", b"\0\xff")
    controller.file("etc/number.j2", "{{ 5 }}")
    controller.file("etc/nothing.j2", "{{ none }}")
    nodes = controller.nodes()
    assert {path: node["content"] for path, node in nodes.items()} == {
        "etc/plain": b"{{ who }} stays\n",
        "etc/made": b"bonjour monde \\d\nyes\n\n",
        "usr/bin/blob": b"\0\xff",
        "etc/number": b"5",
        "etc/nothing": b"",
    }
    assert {(node["kind"], node["mode"]) for node in nodes.values()} == {("file", 0o644)}


def test_template_is_rendered_as_ansible_s_own_module_does(controller: Controller) -> None:
    controller.file(
        "a.j2", "{% for n in [1, 2] %}\n  {% if n %}\n{{ n }}\n  {% endif %}\n{% endfor %}"
    )
    assert controller.contents() == {"a": "  1\n    2\n  "}


def test_value_that_looks_like_a_template_is_text(controller: Controller) -> None:
    controller.variables["who"] = "{{ lookup('pipe', 'id') }}"
    controller.file("a.j2", "{{ who }}\n")
    assert controller.contents() == {"a": "{{ lookup('pipe', 'id') }}\n"}


def test_template_may_include_its_neighbours(controller: Controller) -> None:
    controller.file("etc/a.j2", "{% include 'part.inc' %}|{% include 'etc/other.inc' %}")
    controller.file("etc/part.inc", "one")
    controller.file("etc/other.inc", "two")
    assert controller.contents()["etc/a"] == "one|two"


def test_executable_in_the_tree(controller: Controller) -> None:
    controller.file("usr/bin/tool").chmod(0o755)
    controller.file("usr/bin/odd").chmod(0o755)
    controller.meta('files: {usr/bin/odd: {mode: "0700"}}')
    nodes = controller.nodes()
    assert (nodes["usr/bin/tool"]["mode"], nodes["usr/bin/odd"]["mode"]) == (0o755, 0o700)


def test_links_in_the_tree(controller: Controller) -> None:
    controller.file("etc/d/a")
    (controller.role / "rootfs/etc/l").symlink_to("d/a")
    (controller.role / "rootfs/etc/ld").symlink_to("d")
    (controller.role / "rootfs/etc/nowhere.j2").symlink_to("/dev/null")
    nodes = controller.nodes()
    assert [(p, n["kind"], n["content"]) for p, n in nodes.items() if n["kind"] == "link"] == [
        ("etc/l", "link", b"d/a"),
        ("etc/ld", "link", b"d"),
        ("etc/nowhere.j2", "link", b"/dev/null"),
    ]


@pytest.mark.parametrize(
    "name", ["a~", ".a.swp", ".~lock.a#", "#a#", ".DS_Store", ".gitkeep", ".gitignore"]
)
def test_what_editors_leave_behind_is_not_installed(controller: Controller, name: str) -> None:
    controller.file(f"etc/sudoers.d/{name}")
    assert controller.nodes() == {}


def test_other_trees_and_other_names(controller: Controller) -> None:
    controller.file("etc/a", "x", controller.role / "rootfs_peers")
    (controller.role / "rootfs_peers.yml").write_text("enable: [a.timer]")
    controller.args = {"role": "demo", "tree": "rootfs_peers", "name": "demo_peers"}
    assert controller.call()["name"] == "demo_peers"
    assert controller.payload()["enable"] == ["a.timer"]
    assert set(controller.nodes()) == {"etc/a"}


# -- which role, which town -------------------------------------------------------------------


def test_role_of_the_task_is_the_default(controller: Controller) -> None:
    controller.file("etc/a")
    controller.args, controller.variables["role_name"] = {}, "demo"
    args = controller.call()
    assert (args["role"], args["name"], args["state"], args["root"]) == (
        "demo",
        "demo",
        "present",
        "/",
    )


def test_role_beside_the_playbook_or_in_the_roles_path(
    controller: Controller, plugin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller.file("etc/a")
    del controller.variables["role_path"]
    monkeypatch.setattr(plugin.C, "DEFAULT_ROLES_PATH", [str(controller.role.parent)])
    assert set(controller.nodes()) == {"etc/a"}
    monkeypatch.setattr(plugin.C, "DEFAULT_ROLES_PATH", ["/nowhere"])
    assert controller.fault() == "role demo: no demo/rootfs in /nowhere"
    controller.variables["playbook_dir"] = str(controller.role.parents[1])
    assert set(controller.nodes()) == {"etc/a"}


def test_no_role_at_all(controller: Controller) -> None:
    controller.args = {}
    assert controller.fault() == "rootfs: say which role's tree it is (role: NAME)."


def test_argument_that_does_not_exist(controller: Controller) -> None:
    controller.args["stat"] = "absent"
    assert "stat" in controller.fault()


@pytest.fixture
def overlaid(controller: Controller) -> Controller:
    """Lay a town's file and metadata over the role's."""
    controller.file("etc/a.j2", "role {{ who }}\n")
    controller.file("etc/b", "role\n")
    controller.meta('files: {etc/b: {mode: "0600", restart: [b.service]}}\nenable: [a.timer]')
    town = controller.town / "rootfs/demo"
    controller.file("etc/a", "town {{ who }}\n", town)
    controller.file("etc/c.j2", "town {{ who }}\n", town)
    (controller.town / "rootfs/demo.yml").write_text(
        'files: {etc/c: {mode: "0640"}, etc/b: {mode: "0644"}}\nenable: [c.timer]'
    )
    return controller


def test_overlay_of_the_town(overlaid: Controller) -> None:
    assert overlaid.contents() == {
        "etc/a": "town {{ who }}\n",
        "etc/b": "role\n",
        "etc/c": "town monde\n",
    }
    nodes = overlaid.nodes()
    assert (nodes["etc/b"]["mode"], nodes["etc/c"]["mode"]) == (0o644, 0o640)
    # what the town doesn't mention stays
    assert nodes["etc/b"]["restart"] == ["b.service"]
    assert overlaid.payload()["enable"] == ["a.timer", "c.timer"]


def test_overlay_under_delegation(overlaid: Controller, tmp_path: Path) -> None:
    overlaid.delegate_to = "gateway"
    # of the machine that is worked on, where it has a town
    other = {"inventory_dir": str(tmp_path / "none")}
    overlaid.variables["ansible_delegated_vars"] = {"gateway": other}
    assert overlaid.contents()["etc/a"] == "role monde\n"
    # which the implicit localhost has not: then of the host of the play
    overlaid.variables["ansible_delegated_vars"] = {"gateway": {"inventory_dir": None}}
    assert overlaid.contents()["etc/a"] == "town {{ who }}\n"


def test_host_without_a_town(overlaid: Controller) -> None:
    del overlaid.variables["inventory_dir"]
    assert overlaid.contents() == {"etc/a": "role monde\n", "etc/b": "role\n"}


# -- the metadata -----------------------------------------------------------------------------


def test_metadata_of_a_file(controller: Controller) -> None:
    controller.file("etc/a.j2", "x")
    controller.file("etc/b", "x")
    controller.meta("""
files:
  etc/*: {owner: "{{ who }}", mode: "0600"}
  /etc/a.j2: {group: adm, mode: "4755", secret: true, restart: x, reload: [y.socket, "{{ z }}"]}
""")
    controller.variables["z"] = ["z1", "z2.timer"]
    nodes = controller.nodes()
    assert {k: v for k, v in nodes["etc/a"].items() if k not in ("content", "kind", "path")} == {
        "owner": "monde",
        "group": "adm",
        "mode": 0o4755,
        "secret": True,
        "restart": ["x.service"],
        "reload": ["y.socket", "z1.service", "z2.timer"],
    }
    assert (nodes["etc/b"]["mode"], nodes["etc/b"]["owner"]) == (0o600, "monde")


def test_numbers_and_nothing(controller: Controller) -> None:
    controller.file("etc/a")
    controller.meta("files: {etc/a: {owner: 0, group: '{{ 5 }}', restart: , reload: []}}")
    node = controller.nodes()["etc/a"]
    assert [node[key] for key in ("owner", "group", "restart", "reload")] == ["0", "5", [], []]


def test_directories_links_rules_and_units(controller: Controller) -> None:
    controller.meta("""
directories: {etc/d: {mode: "0700"}, etc/e: {}, etc/no: {when: "{{ false }}"}}
links: {etc/l: "d/{{ who }}", etc/m: {target: x, restart: [a]}, etc/no: {target: x, when: false}}
validate:
  - {command: [look, "{staged}/{{ who }}"], when_changed: [etc/d]}
  - {command: [never], when: "{{ who == 'nobody' }}"}
enable: "{{ ['a', 'b.timer'] }}"
""")
    payload = controller.payload()
    nodes = {node["path"]: node for node in payload["nodes"]}
    assert {path: (n["kind"], n.get("mode"), n["content"]) for path, n in nodes.items()} == {
        "etc/d": ("directory", 0o700, b""),
        "etc/e": ("directory", 0o755, b""),
        "etc/l": ("link", None, b"d/monde"),
        "etc/m": ("link", None, b"x"),
    }
    assert nodes["etc/m"]["restart"] == ["a.service"]
    assert payload["validate"] == [
        {"command": ["look", "{staged}/monde"], "when_changed": ["etc/d"]}
    ]
    assert payload["enable"] == ["a.service", "b.timer"]


def test_for_each(controller: Controller) -> None:
    controller.file("etc/{name}.conf.j2", "{{ item.name }} of {{ who }}: {{ item.ip }}\n")
    controller.file("etc/{item}.txt", "the same\n")
    controller.meta("""
files:
  etc/{name}.conf.j2: {for_each: "{{ peers }}", owner: "{{ item.name }}"}
  etc/{item}.txt: {for_each: [one, 2]}
""")
    controller.variables["peers"] = [{"name": "a", "ip": 1}, {"name": "b.c", "ip": 2}]
    assert controller.contents() == {
        "etc/a.conf": "a of monde: 1\n",
        "etc/b.c.conf": "b.c of monde: 2\n",
        "etc/one.txt": "the same\n",
        "etc/2.txt": "the same\n",
    }
    assert controller.nodes()["etc/b.c.conf"]["owner"] == "b.c"
    controller.variables["peers"] = []
    assert set(controller.nodes()) == {"etc/one.txt", "etc/2.txt"}


@pytest.mark.parametrize("name", ["../../etc/shadow", "a/b", "", "..", "a\nb"])
def test_for_each_with_a_name_that_is_none(controller: Controller, name: str) -> None:
    controller.file("etc/{name}.conf")
    controller.meta('files: {"etc/{name}.conf": {for_each: "{{ peers }}"}}')
    controller.variables["peers"] = [{"name": name}]
    assert controller.fault() == (
        f"role demo: etc/{{name}}.conf: {name!r} (name) can't be part of a file's name"
    )


def test_for_each_with_one_name_twice(controller: Controller) -> None:
    controller.file("etc/{name}")
    controller.meta('files: {"etc/{name}": {for_each: [{name: a}, {name: a}]}}')
    assert controller.fault() == (
        "role demo: etc/a: comes twice: for_each needs a name that differs"
    )


def test_for_each_without_a_list(controller: Controller) -> None:
    controller.file("etc/{name}")
    controller.meta('files: {"etc/{name}": {for_each: "{{ who }}"}}')
    assert controller.fault() == "role demo: etc/{name}: for_each wants a list, not 'monde'"


def test_when(controller: Controller) -> None:
    for name in "abc":
        controller.file(name)
    controller.meta("""
files:
  a: {when: "{{ who == 'nobody' }}", owner: "{{ not_even_looked_at }}"}
  b: {when: "{{ who == 'monde' }}"}
  c: {when: false}
""")
    assert set(controller.nodes()) == {"b"}


def test_file_left_out_by_when_is_not_even_rendered(controller: Controller) -> None:
    controller.file("a.j2", "{{ not_even_looked_at }}")
    controller.meta("files: {a: {when: false}}")
    assert controller.nodes() == {}


# -- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("file: {}", "rootfs.yml: 'file' is not known here; write files"),
        (
            "files: {etc/a: {mdoe: '0600'}}",
            "rootfs.yml: etc/a: 'mdoe' is not known here; write mode",
        ),
        (
            "files: {etc/a: {mode: 0600}}",
            'rootfs.yml: etc/a: write the mode in quotes, as in "0600"',
        ),
        ("files: {etc/a: {mode: u+x}}", "etc/a: 'u+x' is no octal mode"),
        ("files: {etc/a: {mode: '{{ [] }}'}}", "etc/a: [] is no octal mode"),
        ("files: {etc/a: {secret: 'yes'}}", "etc/a: secret must be true or false, not 'yes'"),
        ("files: {etc/aa: {}}", "rootfs.yml: etc/aa: the tree has no such file; is etc/a meant?"),
        ("files: {usr/x: {}}", "rootfs.yml: usr/x: the tree has no such file"),
        ("files: {etc/a: {when: '{{ who }}'}}", "etc/a: when must be true or false, not 'monde'"),
        ("files: {etc/a: {owner: '{{ nope }}'}}", "etc/a: 'nope' is undefined"),
        ("files: {etc/a: [x]}", "rootfs.yml: etc/a: a mapping is wanted here, not ['x']"),
        ("[files]", "rootfs.yml: a mapping is wanted here, not ['files']"),
        ("files: [etc/a]", "rootfs.yml: files: a mapping is wanted here, not ['etc/a']"),
        ("links: {etc/l: {}}", "rootfs.yml: etc/l: a link needs a target"),
        ("links: {etc/a: x}", "etc/a: comes twice: for_each needs a name that differs"),
        (
            "validate: [{comand: [x]}]",
            "rootfs.yml: validate: 'comand' is not known here; write command",
        ),
        (
            "validate: [{when_changed: [x]}]",
            "validate: command must be a list of words",
        ),
        ("validate: [{command: sshd -t}]", "validate: command must be a list of words"),
        ("enable: ['{{ nope }}']", "enable: 'nope' is undefined"),
    ],
)
def test_fault_in_the_metadata(controller: Controller, text: str, fault: str) -> None:
    controller.file("etc/a")
    controller.meta(text)
    assert controller.fault() == f"role demo: {fault}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ nope }}", "'nope' is undefined"),
        ("{{ who.nope }}", "object of type 'str' has no attribute 'nope'"),
        ("{% if who %}", "Syntax error in template: Unexpected end of template."),
        ("{{ 1 / 0 }}", "Error rendering template: division by zero"),
    ],
)
def test_fault_in_a_template(controller: Controller, text: str, fault: str) -> None:
    controller.file("etc/a.j2", text)
    assert controller.fault().startswith(f"role demo: roles/demo/rootfs/etc/a.j2: {fault}")


def test_fault_in_a_template_of_the_town(controller: Controller) -> None:
    controller.file("etc/a.j2", "{{ nope }}", controller.town / "rootfs/demo")
    assert controller.fault() == "role demo: town/rootfs/demo/etc/a.j2: 'nope' is undefined"


def test_template_that_is_no_text(controller: Controller) -> None:
    controller.file("etc/a.j2", b"\xff\xfe")
    assert controller.fault() == (
        "role demo: roles/demo/rootfs/etc/a.j2: a template must be UTF-8 text"
    )


# -- states -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "check", "rendered"),
    [
        ("present", False, True),
        ("present", True, True),
        ("settled", False, False),
        ("settled", True, True),  # nothing was marked, so it looks what would have been
        ("absent", False, False),
        ("absent", True, False),
    ],
)
def test_when_the_tree_is_rendered(
    controller: Controller, state: str, check: bool, rendered: bool
) -> None:
    controller.file("etc/a.j2", "{{ who }}")
    controller.args["state"], controller.check = state, check
    assert ("payload" in controller.call()) is rendered


def roles_with_a_tree() -> list[Path]:
    return sorted(path for path in ROOT.glob("roles/*/rootfs*.yml") if path.is_file())


@pytest.mark.parametrize("metadata", roles_with_a_tree(), ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_metadata_of_every_role_is_understood(plugin: ModuleType, metadata: Path) -> None:
    tree = metadata.with_suffix("")
    plugin.Tree(metadata.parent.name, [tree], DataLoader())


def surveyed(controller: Controller) -> dict[str, str]:
    """Return what a survey says of a machine on which the tree stands."""
    payload = controller.call()["payload"]
    return {"demo": hashlib.sha256(payload.encode()).hexdigest()}


def test_tree_that_a_survey_has_seen(controller: Controller) -> None:
    controller.file("etc/b/two")
    controller.file("etc/a/one")
    controller.file("etc/c")
    result, module = controller.act(changed=True, rootfs_holding=surveyed(controller))
    module.assert_not_called()
    assert result["changed"] is False
    assert result["installed"] == result["restarted"] == []
    controller.file("etc/c", "new")
    result, module = controller.act(changed=True, rootfs_holding={"demo": "of before"})
    module.assert_called_once()
    assert result["ansible_facts"] == {"rootfs_changed": True}


def test_survey_is_not_believed_once_something_was_changed(controller: Controller) -> None:
    controller.file("etc/a")
    known = surveyed(controller)
    _, module = controller.act(
        changed=True, rootfs_holding=known, ansible_facts={"rootfs_changed": True}
    )
    module.assert_called_once()


def test_survey_of_another_machine(controller: Controller) -> None:
    controller.file("etc/a")
    known = surveyed(controller)
    controller.delegate_to = "gateway"
    _, module = controller.act(changed=True, rootfs_holding=known)
    module.assert_called_once()
    controller.delegate_to = None
    controller.args["root"] = "/srv/image"
    _, module = controller.act(changed=True, rootfs_holding=known)
    module.assert_called_once()
