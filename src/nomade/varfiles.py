"""Variables as they stand in a town's files: name, value, file and line.

Ansible merges all files before anyone can ask it where a value came from, and it leaves files out
without a word when their names are not to its taste. Preflight needs both, hence this reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

VAULT_HEADER = b"$ANSIBLE_VAULT;"
# What ansible.builtin.host_group_vars looks for, in this order; the first one found wins alone.
SUFFIXES = ("", ".yml", ".yaml", ".json")


class Vaulted:
    """Stand in for a value that is encrypted with ansible-vault."""


VAULTED = Vaulted()


@dataclass(frozen=True)
class Assignment:
    """One variable set in one place."""

    name: str
    value: object
    path: Path | None = None  # None: on the command line
    line: int | None = None  # None: the file is encrypted as a whole
    text: str | None = None  # how a plain scalar is written: 0612 and 394 are the same number
    lost: int | None = None  # the line of the same file that set it before, in vain
    host: str | None = None  # whose it is, when an inventory sets it for one host
    secret: bool = False  # from a file that is encrypted as a whole


class UnreadableError(Exception):
    """A file that is not the YAML that Ansible expects, with the line where it goes wrong."""

    def __init__(self, path: Path, line: int | None, problem: str) -> None:
        """Keep the place apart from the problem, for the message."""
        super().__init__(problem)
        self.path = path
        self.line = line
        self.problem = problem


# The C parser is ten times faster, and a platform may lack it.
FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(FastLoader):
    """Safe YAML that knows Ansible's two tags."""


_Loader.add_constructor("!vault", lambda _loader, _node: VAULTED)
_Loader.add_constructor("!vault-encrypted", lambda _loader, _node: VAULTED)
_Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def is_vaulted(path: Path) -> bool:
    """Say whether the whole file is encrypted with ansible-vault."""
    with path.open("rb") as file:
        return file.read(len(VAULT_HEADER)) == VAULT_HEADER


def _compose(path: Path) -> tuple[yaml.SafeLoader, yaml.Node | None]:
    """Return the loader and the root node of a YAML file (None when it is empty)."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        return loader, loader.get_single_node()
    except UnicodeDecodeError as error:
        raise UnreadableError(path, None, f"not UTF-8 at byte {error.start}") from error
    except yaml.YAMLError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: yaml.YAMLError) -> UnreadableError:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or error)
    return UnreadableError(path, mark.line + 1 if mark else None, problem)


def _assignments(
    path: Path, loader: yaml.SafeLoader, node: yaml.Node | None, host: str | None = None
) -> Iterator[Assignment]:
    """Yield the variables of one mapping node, doubled ones too."""
    if not isinstance(node, yaml.MappingNode):
        return
    loader.flatten_mapping(node)
    lines: dict[str, int] = {}
    for key, value in node.value:
        try:
            name, content = loader.construct_object(key), loader.construct_object(value, deep=True)
        except yaml.YAMLError as error:
            raise _unreadable(path, error) from error
        text = value.value if isinstance(value, yaml.ScalarNode) and not value.style else None
        line = key.start_mark.line + 1
        yield Assignment(str(name), content, path, line, text, lines.get(str(name)), host)
        lines[str(name)] = line


def read_vars(path: Path) -> list[Assignment]:
    """Read a file of variables."""
    loader, node = _compose(path)
    if node is not None and not isinstance(node, yaml.MappingNode) and node.value:
        raise UnreadableError(path, node.start_mark.line + 1, "not a list of names and values")
    return list(_assignments(path, loader, node))


def read_inventory(path: Path) -> list[Assignment]:
    """Read the variables that stand inside a YAML inventory, of groups and of hosts."""
    loader, root = _compose(path)

    def child(node: yaml.Node | None, wanted: str) -> yaml.Node | None:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        return next((value for key, value in pairs if key.value == wanted), None)

    def walk(groups: yaml.Node | None) -> Iterator[Assignment]:
        for _name, group in groups.value if isinstance(groups, yaml.MappingNode) else ():
            yield from _assignments(path, loader, child(group, "vars"))
            hosts = child(group, "hosts")
            for host, node in hosts.value if isinstance(hosts, yaml.MappingNode) else ():
                yield from _assignments(path, loader, node, str(host.value))
            yield from walk(child(group, "children"))

    return list(walk(root))


@dataclass(frozen=True)
class Candidates:
    """What a group_vars/ or host_vars/ directory holds for one group or host."""

    name: str
    read: Path  # what Ansible reads
    ignored: tuple[Path, ...]  # what it leaves out without a word, because of `read`

    def files(self) -> list[Path]:
        """List the files that Ansible reads, in its order."""
        return list(_files(self.read)) if self.read.is_dir() else [self.read]

    def skipped(self) -> list[Path]:
        """List what looks like variables and is none for Ansible, because of its suffix."""
        found = [self.read] if self.read.is_file() else sorted(self.read.rglob("*"))
        return [p for p in found if p.suffix not in (*SUFFIXES, ".md") and not _is_hidden(p)]


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".") or path.name.endswith("~")


def _files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.iterdir()):
        if _is_hidden(path):
            continue
        if path.is_dir() and not path.suffix:
            yield from _files(path)
        elif path.is_file() and path.suffix in SUFFIXES:
            yield path


def candidates(directory: Path) -> list[Candidates]:
    """List the groups (or hosts) for which the directory holds variables."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        suffix = path.suffix if path.suffix in SUFFIXES else ""
        if _is_hidden(path) or path.suffix == ".md" or not path.exists():
            continue
        name = path.name.removesuffix(suffix) if suffix else path.name
        found.setdefault(name, {})[suffix] = path
    result = []
    for name, by_suffix in found.items():
        paths = [by_suffix[suffix] for suffix in SUFFIXES if suffix in by_suffix]
        result.append(Candidates(name, paths[0], tuple(paths[1:])))
    return result


def without_templates(value: object) -> bool:
    """Say whether a value can be judged as it stands: no template and no secret in it."""
    if isinstance(value, str):
        return "{{" not in value and "{%" not in value
    if isinstance(value, Mapping):
        return all(without_templates(item) for item in value.values())
    if isinstance(value, list):
        return all(without_templates(item) for item in value)
    return not isinstance(value, Vaulted)
