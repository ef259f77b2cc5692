# SPDX-License-Identifier: MIT
"""Render a role's tree on the controller, and have it installed by one module call."""

from __future__ import annotations

import base64
import difflib
import fnmatch
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812 (its name everywhere in Ansible)
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

SECTIONS = ("files", "directories", "links", "validate", "enable")
FILE_KEYS = ("owner", "group", "mode", "secret", "restart", "reload", "when", "for_each")
KEYS = {
    "files": FILE_KEYS,
    "directories": ("owner", "group", "mode", "when"),
    "links": ("target", "restart", "reload", "when"),
    "validate": ("command", "when_changed", "when"),
}
# what the module returns as lists
LISTS = ("installed", "removed", "enabled", "disabled", "restarted")
UNIT_TYPES = ("service", "socket", "timer", "path", "mount", "target", "slice", "swap", "automount")
# what editors, file managers and git leave behind is no configuration
IGNORED = ("*~", ".*.sw?", "#*#", ".~lock.*", ".DS_Store", ".gitkeep", ".gitignore")

Meta = dict[str, Any]


class RootfsFailure(AnsibleActionFail):
    """One sentence that names role, file and fault."""


@dataclass
class Source:
    """A file of the tree on the controller, and where it goes on the machine."""

    place: Path
    tree: Path

    @property
    def is_template(self) -> bool:
        """Say whether the file is rendered."""
        return self.place.suffix == ".j2" and not self.place.is_symlink()

    @property
    def target(self) -> str:
        """Return the path on the machine, without the slash in front."""
        name = self.place.relative_to(self.tree).as_posix()
        return name.removesuffix(".j2") if self.is_template else name


class Tree:
    """A role's tree with its metadata, and the town's overlay laid over both."""

    def __init__(self, role: str, places: list[Path], loader: Any) -> None:
        """Read trees and metadata; what comes later wins."""
        self.role = role
        self.sources: dict[str, Source] = {}
        self.meta: dict[str, Any] = {"files": {}, "directories": {}, "links": {}}
        self.meta |= {"validate": [], "enable": []}
        for tree in places:
            for source in self._walk(tree):
                self.sources[source.target] = source
            metadata = tree.with_name(f"{tree.name}.yml")
            if metadata.is_file():
                self._merge(metadata, loader)
        self._refuse_stray_keys(places)

    @staticmethod
    def _walk(tree: Path) -> Iterator[Source]:
        for folder, directories, files in os.walk(tree):
            links = [name for name in directories if (Path(folder) / name).is_symlink()]
            for name in sorted([*files, *links]):
                if not any(fnmatch.fnmatch(name, pattern) for pattern in IGNORED):
                    yield Source(Path(folder) / name, tree)

    def _merge(self, file: Path, loader: Any) -> None:
        data = loader.load_from_file(str(file), cache="none", trusted_as_template=True) or {}
        self._refuse_unknown(data, SECTIONS, file.name)
        for section, value in data.items():
            where = f"{file.name}: {section}"
            if section in ("files", "directories", "links"):
                self._refuse_unknown(value or {}, None, where)
                for path, entry in (value or {}).items():
                    self._add(section, path, entry, f"{file.name}: {path}")
                continue
            values = [value] if isinstance(value, str) else value or []  # a template makes a list
            for rule in values if section == "validate" else []:
                self._refuse_unknown(rule, KEYS["validate"], where)
            self.meta[section] += values

    def _add(self, section: str, path: str, raw: Any, where: str) -> None:
        entry: Any = {"target": raw} if section == "links" and isinstance(raw, str) else raw or {}
        self._refuse_unknown(entry, KEYS[section], where)
        if section == "links" and "target" not in entry:
            raise self.fault(where, "a link needs a target")
        if not isinstance(entry.get("mode", ""), str):
            raise self.fault(where, 'write the mode in quotes, as in "0600"')
        key = path.strip("/").removesuffix(".j2" if section == "files" else "")
        self.meta[section][key] = {**self.meta[section].get(key, {}), **entry}

    def fault(self, where: str, what: str) -> RootfsFailure:
        """Return the sentence for a fault."""
        return RootfsFailure(f"role {self.role}: {where}: {what}")

    def _refuse_unknown(self, data: Any, known: tuple[str, ...] | None, where: str) -> None:
        if not isinstance(data, dict):
            raise self.fault(where, f"a mapping is wanted here, not {data!r}")
        for key in data if known else ():
            if known and key not in known:
                near = difflib.get_close_matches(str(key), known, 1) or known
                raise self.fault(where, f"{key!r} is not known here; write {' or '.join(near)}")

    def _refuse_stray_keys(self, places: list[Path]) -> None:
        for key in self.meta["files"]:
            if not fnmatch.filter(self.sources, key) and key not in self.sources:
                near = difflib.get_close_matches(key, self.sources, 1)
                hint = f"; is {near[0]} meant?" if near else ""
                raise self.fault(f"{places[0].name}.yml: {key}", f"the tree has no such file{hint}")

    def of_file(self, target: str) -> Meta:
        """Return the metadata of a file: what globs say, then what its own entry says."""
        entry: Meta = {}
        for key, value in self.meta["files"].items():
            if key != target and fnmatch.fnmatchcase(target, key):
                entry |= value
        own: Meta = self.meta["files"].get(target, {})
        return entry | own


class ActionModule(ActionBase):
    """The controller's half of rootfs."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Meta | None = None) -> Meta:
        """Compute what is wanted, and call the module once."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _, args = self.validate_argument_spec(
            {
                "role": {"type": "str", "default": variables.get("role_name")},
                "name": {"type": "str"},
                "tree": {"type": "str", "default": "rootfs"},
                "state": {"choices": ["present", "settled", "absent"], "default": "present"},
                "root": {"type": "path", "default": "/"},
            }
        )
        role = args["role"]
        if not role:
            raise RootfsFailure("rootfs: say which role's tree it is (role: NAME).")
        args["name"] = args["name"] or role
        if args["state"] == "present" or (args["state"] == "settled" and self._task.check_mode):
            places = [self._find(role, args["tree"], variables)]
            overlay = self._overlay(role, args["tree"], variables)
            tree = Tree(role, places + overlay, self._loader)
            args["payload"] = json.dumps(self._payload(tree), sort_keys=True)
            if args["state"] == "present" and args["root"] == "/" and self._holds(args, variables):
                return {"changed": False, "diff": [], "pending": {}} | {key: [] for key in LISTS}
        result: Meta = self._execute_module(
            module_name="rootfs", module_args=args, task_vars=variables
        )
        if result.get("changed"):
            result["ansible_facts"] = {"rootfs_changed": True}
        return result

    def _holds(self, args: Meta, variables: Meta) -> bool:
        """Say whether a survey of this run has seen the very tree, and nothing was changed since.

        `rootfs_holding` is what module_utils/rootfs_survey returned, by name.
        """
        if self._task.delegate_to or variables.get("ansible_facts", {}).get("rootfs_changed"):
            return False
        holding = self._templar.template(variables.get("rootfs_holding")) or {}
        asked = hashlib.sha256(args["payload"].encode()).hexdigest()
        return bool(holding.get(args["name"]) == asked)

    def _find(self, role: str, tree: str, variables: Meta) -> Path:
        own = variables.get("role_path")
        roots = [Path(own).parent] if own else []
        if "playbook_dir" in variables:
            roots.append(Path(variables["playbook_dir"]) / "roles")
        roots += [Path(path) for path in C.DEFAULT_ROLES_PATH]
        for root in roots:
            place = root / role / tree
            if place.is_dir() or place.with_name(f"{tree}.yml").is_file():
                return place
        looked = ", ".join(map(str, dict.fromkeys(roots)))
        raise RootfsFailure(f"role {role}: no {role}/{tree} in {looked}")

    def _overlay(self, role: str, tree: str, variables: Meta) -> list[Path]:
        delegated = variables.get("ansible_delegated_vars", {}).get(self._task.delegate_to, {})
        town = delegated.get("inventory_dir") or variables.get("inventory_dir")
        return [Path(town) / tree / role] if town else []

    def _payload(self, tree: Tree) -> Meta:
        nodes = [node for source in tree.sources.values() for node in self._file(tree, source)]
        for path, entry in tree.meta["directories"].items():
            if self._wanted(tree, path, entry):
                values = self._values(tree, path, entry)
                nodes.append({"mode": 0o755, **values, "path": path, "kind": "directory"})
        for path, entry in tree.meta["links"].items():
            if self._wanted(tree, path, entry):
                values = self._values(tree, path, entry)
                content = base64.b64encode(values.pop("target").encode()).decode()
                nodes.append({**values, "path": path, "kind": "link", "content": content})
        self._refuse_doubles(tree, nodes)
        rules = [self._rule(tree, rule) for rule in tree.meta["validate"]]
        return {
            "nodes": sorted(nodes, key=lambda node: str(node["path"])),
            "validate": [rule for rule in rules if rule],
            "enable": self._units(self._template(tree, "enable", tree.meta["enable"])),
        }

    def _rule(self, tree: Tree, raw: Meta) -> Meta:
        if not self._wanted(tree, "validate", raw):
            return {}
        rule = self._values(tree, "validate", raw)
        if not isinstance(rule.get("command"), list):
            raise tree.fault("validate", "command must be a list of words")
        return rule

    def _refuse_doubles(self, tree: Tree, nodes: list[Meta]) -> None:
        seen = set()
        for node in nodes:
            node.setdefault("content", "")
            if node["path"] in seen:
                raise tree.fault(node["path"], "comes twice: for_each needs a name that differs")
            seen.add(node["path"])

    def _file(self, tree: Tree, source: Source) -> Iterator[Meta]:
        entry = tree.of_file(source.target)
        if not self._wanted(tree, source.target, entry):
            return
        if "for_each" not in entry:
            yield self._node(tree, source, entry, source.target, {})
            return
        items = self._template(tree, source.target, entry["for_each"])
        if not isinstance(items, list):
            raise tree.fault(source.target, f"for_each wants a list, not {items!r}")
        for item in items:
            path = self._path(tree, source.target, item)
            yield self._node(tree, source, entry, path, {"item": item})

    def _path(self, tree: Tree, pattern: str, item: Any) -> str:
        names = item if isinstance(item, dict) else {"item": item}
        for name, value in names.items():
            if f"{{{name}}}" in pattern:
                text = str(value)
                if not text or "/" in text or text in (".", "..") or not text.isprintable():
                    raise tree.fault(pattern, f"{text!r} ({name}) can't be part of a file's name")
                pattern = pattern.replace(f"{{{name}}}", text)
        return pattern

    def _node(self, tree: Tree, source: Source, entry: Meta, path: str, item: Meta) -> Meta:
        values = self._values(tree, source.target, entry, item)
        if source.place.is_symlink():
            content, kind = os.fsencode(source.place.readlink()), "link"
        else:
            # vault-encrypted files of the town arrive decrypted
            content = Path(self._loader.get_real_file(str(source.place))).read_bytes()
            kind = "file"
            values.setdefault("mode", 0o755 if os.access(source.place, os.X_OK) else 0o644)
        if source.is_template:
            where = os.path.relpath(source.place)
            try:
                template = trust_as_template(content.decode())
            except UnicodeDecodeError:
                raise tree.fault(where, "a template must be UTF-8 text") from None
            text = self._template(tree, where, template, item, source)
            content = b"" if text is None else str(text).encode()
        return {
            **values,
            "path": path,
            "kind": kind,
            "content": base64.b64encode(content).decode(),
        }

    def _wanted(self, tree: Tree, where: str, entry: Meta) -> bool:
        answer = self._template(tree, where, entry.get("when", True))
        if isinstance(answer, bool):
            return answer
        raise tree.fault(where, f"when must be true or false, not {answer!r}")

    def _values(self, tree: Tree, where: str, entry: Meta, item: Meta | None = None) -> Meta:
        raw = {key: value for key, value in entry.items() if key not in ("when", "for_each")}
        values: Meta = self._template(tree, where, raw, item or {})
        if "mode" in values:
            try:
                values["mode"] = int(values["mode"], 8)
            except (TypeError, ValueError):
                raise tree.fault(where, f"{values['mode']!r} is no octal mode") from None
        for key in ("owner", "group", "target"):
            if key in values:
                values[key] = str(values[key])
        for key in ("restart", "reload"):
            if key in values:
                values[key] = self._units(values[key] or [])
        if not isinstance(values.get("secret", True), bool):
            raise tree.fault(where, f"secret must be true or false, not {values['secret']!r}")
        return values

    @staticmethod
    def _units(value: Any) -> list[str]:
        flat: list[str] = []
        for entry in [value] if isinstance(value, str) else value:
            flat += entry if isinstance(entry, list) else [entry]
        full = (u if u.rpartition(".")[2] in UNIT_TYPES else f"{u}.service" for u in flat)
        return list(dict.fromkeys(full))

    def _template(
        self,
        tree: Tree,
        where: str,
        value: Any,
        item: Meta | None = None,
        source: Source | None = None,
    ) -> Any:
        templar = self._templar
        if item or source:
            path = [str(source.place.parent), str(source.tree)] if source else None
            templar = templar.copy_with_new_env(
                searchpath=path, available_variables={**templar.available_variables, **(item or {})}
            )
        try:
            # as ansible.builtin.template does: a backslash in a file is just a backslash
            return templar.template(value, escape_backslashes=source is None)
        except AnsibleError as error:
            raise tree.fault(where, str(error)) from None
