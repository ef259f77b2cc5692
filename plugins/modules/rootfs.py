#!/usr/bin/python
# SPDX-License-Identifier: MIT
"""Install a role's tree of files in one call: staged, checked, replaced, remembered."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import fnmatch
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: rootfs
short_description: Install a role's files as one tree
description:
  - C(roles/<role>/rootfs/etc/...) mirrors the machine. The action plugin renders C(.j2) files on
    the controller, lays the town's overlay C(<inventory_dir>/rootfs/<role>/) over them, and calls
    this module once.
  - C(roles/<role>/rootfs.yml) names only what differs from root:root 0644 (0755 where the file is
    executable in the tree). Keys of C(files) are paths without C(.j2) (or with it), or globs.
  - The whole tree is staged and the checkers run on it before the first file is replaced. Each file
    is replaced atomically. A manifest remembers what was installed, and what a later version no
    longer has is removed.
  - Before a file is written, the units to restart are marked as pending. C(state=settled), in the
    role's handler, restarts them and clears the marks. A run that finds marks reports a change, so
    that a handler lost to a killed run is notified again.
options:
  role:
    description: The role whose tree it is. Default is the role that the task stands in.
    type: str
  name:
    description: Name of the manifest on the machine. Default is O(role).
    type: str
  tree:
    description: Name of the tree in the role; its metadata stands beside it in C(<tree>.yml).
    type: str
    default: rootfs
  state:
    description:
      - V(present) installs the tree, and enables and starts the units of C(enable).
      - V(settled) restarts or reloads what is marked as pending.
      - V(absent) removes what V(present) installed, gives back files that were there before, and
        restarts the units concerned.
    type: str
    choices: [present, settled, absent]
    default: present
  root:
    description: Where the machine's file system begins; another directory for an image or a chroot.
    type: path
    default: /
  payload:
    description: What the action plugin computed, as JSON. Not for playbooks.
    type: str
"""

EXAMPLES = r"""
# roles/vpn_client/rootfs.yml
# files:
#   etc/wireguard/wg0.conf: {mode: "0600", secret: true, restart: [wg-quick@wg0.service]}
#   etc/vpn/{name}.conf.j2: {for_each: "{{ vpn_client_peers }}", reload: [vpn.service]}
#   usr/lib/nomade/checks/*: {mode: "0755"}
# directories:
#   etc/wireguard: {mode: "0700"}
# links:
#   etc/vpn/default.conf: town.conf
# validate:
#   - {command: [visudo, -cf, "{staged}/etc/sudoers.d/vpn"], when_changed: [etc/sudoers.d/vpn]}
# enable: [wg-quick@wg0.service]

- name: Install the files of the VPN client
  rootfs:
    role: vpn_client
  notify: Restart what the VPN client changed

# the handler
- name: Restart what the VPN client changed
  rootfs:
    role: vpn_client
    state: settled
"""

RETURN = r"""
installed:
  description: Paths that were, or in check mode would be, written (links and directories as well).
  type: list
  returned: always
removed:
  description: Paths that were removed, because the tree no longer has them.
  type: list
  returned: always
pending:
  description: Units that wait for V(settled), each with C(restart) or C(reload).
  type: dict
  returned: always
enabled:
  description: Units that were enabled or started.
  type: list
  returned: always
restarted:
  description: Units that were restarted or reloaded.
  type: list
  returned: always
"""

STATE_DIR = "var/lib/nomade/rootfs"
UNIT_FILE = re.compile(r"(etc|run|(usr/)?(local/)?lib)/(systemd/system|containers/systemd)/")
DIFF_LIMIT = 100_000
LOCK_SECONDS = 60
SETTLE_SECONDS = 0.5
CHECKER_SECONDS = 60
ORDERS = {"restart": "restart", "reload": "reload-or-restart"}


class RootfsError(Exception):
    """One sentence for the technician: what is wrong, where, and what to do about it."""


@dataclass
class Node:
    """A file, link or directory, as wanted or as found; the content of a link is its target."""

    path: str
    kind: str = "absent"
    content: bytes = b""
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    restart: list[str] = field(default_factory=list)
    reload: list[str] = field(default_factory=list)

    def remembered(self) -> dict[str, Any]:
        """Return all but the content, for the manifest."""
        return {k: v for k, v in vars(self).items() if k not in ("path", "content")}

    @property
    def hash(self) -> str:
        """Return what the manifest remembers of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def rights(self) -> str:
        """Return owner, group and mode as people read them (those of a link mean nothing)."""
        if self.kind in ("absent", "link"):
            return ""
        return f"{self.owner}:{self.group} {self.mode:04o}"

    @property
    def title(self) -> str:
        """Return the header of a diff."""
        return f"/{self.path} ({self.rights or self.kind})"

    def text(self, secret: bool) -> str:
        """Return what a diff may show of the content."""
        if self.kind in ("absent", "directory"):
            return "" if self.kind == "absent" else "directory\n"
        if secret:
            return "secret, not shown\n"
        if b"\0" in self.content or len(self.content) > DIFF_LIMIT:
            what = "too long to show" if b"\0" not in self.content else "binary"
            return f"{what}, {len(self.content)} bytes, sha256 {self.hash[:16]}\n"
        shown = self.content.decode(errors="replace")
        return f"-> {shown}\n" if self.kind == "link" else shown

    def same_as(self, other: Node) -> bool:
        """Say whether nothing has to be written to make one of the other."""
        mine, theirs = ((n.kind, n.content, n.rights) for n in (self, other))
        return mine == theirs


@dataclass
class Change:
    """What is on the machine and what shall be there; wanted "absent" removes it."""

    found: Node
    wanted: Node

    @property
    def path(self) -> str:
        """Return the path below the root, without the slash in front."""
        return self.wanted.path

    @property
    def needed(self) -> bool:
        """Say whether the machine is not yet what it shall be."""
        return not self.found.same_as(self.wanted)

    def diff(self, by_hand: bool) -> dict[str, str]:
        """Describe the change as ansible-playbook --diff prints it."""
        secret = self.wanted.secret or self.found.secret
        before, after = self.found.text(secret), self.wanted.text(secret)
        if self.found.content == self.wanted.content and self.found.kind == self.wanted.kind:
            before, after = self.found.rights + "\n", self.wanted.rights + "\n"
        elif before == after:
            before, after = before.replace("\n", ", before\n"), after.replace("\n", ", after\n")
        return {
            "before": before,
            "after": after,
            "before_header": self.found.title + (" (changed by hand)" if by_hand else ""),
            "after_header": self.wanted.title,
        }


@dataclass
class Wanted:
    """What the controller asks for."""

    nodes: list[Node] = field(default_factory=list)
    validate: list[dict[str, Any]] = field(default_factory=list)
    enable: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, payload: str) -> Wanted:
        """Read the JSON that the action plugin sends."""
        data = json.loads(payload)
        for raw in data["nodes"]:
            raw["content"] = base64.b64decode(raw["content"])
        return cls([Node(**raw) for raw in data["nodes"]], data["validate"], data["enable"])


@dataclass
class Manifest:
    """What one role has on this machine, and what is still to be done about it.

    nodes: path -> kind, hash, rights and units, and "original": what was there before us
    units: unit -> whether it was enabled and active before us
    pending: unit -> "restart" or "reload"
    complete: false while files are being replaced
    """

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    units: dict[str, dict[str, bool]] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    daemon_reload: bool = False
    complete: bool = True

    def mark(self, node: Node) -> None:
        """Remember that the units of a node run with what it was before."""
        for unit in node.reload:
            self.pending.setdefault(unit, "reload")
        for unit in node.restart:
            self.pending[unit] = "restart"
        if UNIT_FILE.match(node.path):
            self.daemon_reload = True

    def uses(self, unit: str) -> bool:
        """Say whether a node that is still installed concerns the unit."""
        return any(unit in n["restart"] + n["reload"] for n in self.nodes.values())


def account(root: Path, database: str, key: str | int) -> str | int | None:
    """Translate between name and number in passwd or group, of the machine or of an image."""
    file = root / "etc" / database
    if root != Path("/") and file.exists():
        for line in file.read_text(errors="replace").splitlines():
            name, _, number = [*line.split(":"), "", ""][:3]
            if number.isdigit() and key in (name, int(number)):
                return int(number) if isinstance(key, str) else name
        return None
    ask: dict[Any, Any] = {
        ("passwd", str): pwd.getpwnam, ("passwd", int): pwd.getpwuid,
        ("group", str): grp.getgrnam, ("group", int): grp.getgrgid,
    }  # fmt: skip
    try:
        entry = ask[database, type(key)](key)
    except KeyError:
        return None
    answer: str | int = entry[2] if isinstance(key, str) else entry[0]
    return answer


def name_of(root: Path, database: str, number: int) -> str:
    """Return the name of a number; one that has no name stands for itself."""
    return str(account(root, database, number) or number)


def read_node(root: Path, path: str) -> Node:
    """Look at what stands at a path, without following a link."""
    real = root / path
    try:
        info = real.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Node(path)
    kinds = {stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "directory"}
    kind = kinds.get(stat.S_IFMT(info.st_mode), "special")
    content = b""
    if kind == "file":
        content = real.read_bytes()
    elif kind == "link":
        content = os.fsencode(real.readlink())
    return Node(
        path,
        kind,
        content,
        stat.S_IMODE(info.st_mode),
        name_of(root, "passwd", info.st_uid),
        name_of(root, "group", info.st_gid),
    )


def new_name(path: Path) -> Path:
    """Return where the new version stands until it replaces the old one, found again if killed."""
    return path.with_name(f".{path.name}.nomade-new")


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, content: bytes, mode: int, uid: int, gid: int) -> None:
    """Write a new file to the disk; when that fails, none is left."""
    path.unlink(missing_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            info = os.fstat(handle)
            if (uid, gid) != (info.st_uid, info.st_gid):
                os.fchown(handle, uid, gid)
            os.fchmod(handle, mode)
            os.fsync(handle)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def replace_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write one of our own files in one step: the old one or the new one, never half of one."""
    write_file(new_name(path), content, mode, os.geteuid(), os.getegid())
    new_name(path).replace(path)
    sync_directory(path.parent)


def command(*words: str, timeout: int | None = None) -> tuple[int, str]:
    """Run a command of the system; return its exit code and all that it said."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    env = {**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"}
    program = shutil.which(words[0], path=path)
    if program is None:
        return 127, f"{words[0]} is not installed"
    try:
        done = subprocess.run(
            [program, *words[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, f"no answer within {timeout} seconds"
    return done.returncode, done.stdout.decode(errors="replace").strip()


def package_owning(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return which of the paths belong to a package of the distribution (what dpkg -S says)."""
    # a package may still name /lib/... what lies in /usr/lib/...
    names = {f"/{alias}".encode(): p for p in paths for alias in (p, re.sub("^usr/", "", p))}
    found = {}
    for listing in (root / "var/lib/dpkg/info").glob("*.list") if names else ():
        for name in names.keys() & set(listing.read_bytes().splitlines()):
            found[names[name]] = listing.stem.split(":")[0]
    return found


class Systemd:
    """The few questions and orders that the service manager gets, several units in one call."""

    ENABLED = ("enabled", "static", "alias", "indirect", "generated", "transient")
    ASKED = (
        "LoadState,ActiveState,SubState,UnitFileState,Type,RemainAfterExit,"
        "ConditionResult,ConditionTimestampMonotonic"
    )

    def __init__(self, root: Path) -> None:
        """Find out whether there is a running manager: in an image or a chroot there is none."""
        self.running = root == Path("/") and Path("/run/systemd/system").is_dir()
        self.offline = [] if self.running else [f"--root={root}"]

    def order(self, *words: str) -> tuple[int, str]:
        """Give one order."""
        return command("systemctl", *self.offline, *words)

    def show(self, units: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return the properties of each unit; one that isn't installed is "not-found"."""
        names = list(units)
        if not names:
            return {}
        if not self.running:
            states = {name: self.order("is-enabled", name)[1] for name in names}
            return {n: {"LoadState": "loaded", "UnitFileState": s} for n, s in states.items()}
        code, said = self.order("show", f"--property={self.ASKED}", "--", *names)
        blocks = said.split("\n\n")
        if code or len(blocks) != len(names):
            raise RootfsError(f"systemctl show {' '.join(names)} failed: {said}")
        return {
            name: dict(line.split("=", 1) for line in block.splitlines())
            for name, block in zip(names, blocks)  # noqa: B905 (strict is newer than the machines' oldest Python)
        }

    @staticmethod
    def failed(now: dict[str, str]) -> bool:
        """Say whether a unit that was to run doesn't."""
        return now.get("ActiveState") == "failed" or now.get("SubState") == "auto-restart"

    @staticmethod
    def rests(now: dict[str, str]) -> bool:
        """Say whether an enabled unit is rightly inactive: done, or not wanted here."""
        done = now.get("Type") == "oneshot" and now.get("RemainAfterExit") == "no"
        tried = now.get("ConditionTimestampMonotonic", "0") != "0"
        return done or (tried and now.get("ConditionResult") == "no")

    def journal(self, unit: str) -> str:
        """Return the last words of a unit."""
        return command("journalctl", "-u", unit, "-n", "10", "--no-pager", "-o", "cat")[1]


class Rootfs:
    """The tree of one role on this machine."""

    def __init__(self, root: Path, name: str, check: bool) -> None:
        """Read the manifest; a machine that has none has nothing of ours."""
        self.root, self.name, self.check = root, name, check
        self.base = root / STATE_DIR / name
        self.file = self.base / "manifest.json"
        self.saved = self.file.read_text() if self.file.exists() else ""
        self.manifest = Manifest(**json.loads(self.saved)) if self.saved else Manifest()
        self.systemd = Systemd(root)
        self.warnings: list[str] = []
        self.diff: list[dict[str, str]] = []
        self.installed: list[str] = []
        self.removed: list[str] = []
        self.enabled: list[str] = []
        self.disabled: list[str] = []
        self.told_manager = False
        self.restarted: list[str] = []

    def save(self) -> None:
        """Write the manifest, if it says something new."""
        text = json.dumps(vars(self.manifest), indent=1, sort_keys=True) + "\n"
        if not self.check and text != self.saved:
            replace_file(self.file, text.encode())
            self.saved = text

    # -- what is to be done ------------------------------------------------------------------

    def plan(self, nodes: list[Node]) -> list[Change]:
        """Compare what is wanted with what is there, directories first."""
        named = {node.path for node in nodes}
        above = {str(p) for node in nodes for p in Path(node.path).parents} - named - {"."}
        wanted = [*nodes, *(node for path in above for node in self.parent(path))]
        wanted.sort(key=lambda node: (node.kind != "directory", node.path))
        return [Change(read_node(self.root, node.path), node) for node in wanted]

    def parent(self, path: str) -> Iterator[Node]:
        """Return a directory that the role doesn't name, if it is missing or we once made it."""
        if path in self.manifest.nodes or read_node(self.root, path).kind == "absent":
            user = name_of(self.root, "passwd", os.geteuid())
            group = name_of(self.root, "group", os.getegid())
            yield Node(path, "directory", b"", 0o755, user, group)

    def removals(self, paths: set[str]) -> list[Change]:
        """Find out what happens to what the role no longer has, the deepest first."""
        changes: list[Change] = []
        leaving: set[str] = set()
        for path in sorted(paths - self.of_other_roles() if paths else paths, reverse=True):
            self.refuse_parents(path)
            found, back = read_node(self.root, path), self.original(path)
            kinds = ("file", "link")
            if self.manifest.nodes[path]["kind"] == "directory":
                kinds = ("directory", "directory")
                inside = (self.root / path).glob("*") if found.kind == "directory" else ()
                if back.kind == "absent" and not {f"{path}/{i.name}" for i in inside} <= leaving:
                    continue  # others have put something in
            if found.kind in kinds:
                leaving.add(path)
                changes.append(Change(found, back))
        return [change for change in changes if change.needed]

    def of_other_roles(self) -> set[str]:
        """Return the paths that other roles have installed, or taken over from this one."""
        files = self.base.parent.glob("*/manifest.json")
        return {p for f in files if f != self.file for p in json.loads(f.read_text())["nodes"]}

    def original(self, path: str) -> Node:
        """Return what was at a path before us; the units concerned are those of our version."""
        entry = self.manifest.nodes[path]
        ours = {key: entry[key] for key in ("restart", "reload", "secret")}
        if entry["original"] is None:
            return Node(path, **ours)
        content = b""
        if entry["original"]["kind"] != "directory":
            content = (self.base / "original" / path).read_bytes()
        return Node(path, content=content, **{**entry["original"], **ours})

    def refuse(self, plan: list[Change]) -> None:
        """Refuse what can't or mustn't be done, before anything is touched."""
        new = []
        for path, found, wanted in ((c.path, c.found, c.wanted) for c in plan):
            self.refuse_parents(path)
            replaceable = {"directory"} if wanted.kind == "directory" else {"file", "link"}
            if found.kind not in {"absent", *replaceable}:
                raise RootfsError(
                    f"/{path} is a {found.kind} on this machine, where the role has a "
                    f"{wanted.kind}: move it away and run again."
                )
            if wanted.kind != "directory" and path not in self.manifest.nodes:
                new.append(path)
            if not self.check:
                self.ids(wanted)
        for path, package in package_owning(self.root, new).items():
            raise RootfsError(
                f"/{path} belongs to the package {package}, whose upgrades would fight with the "
                f"role over it: put the settings in a drop-in directory (like /{path}.d/) instead."
            )

    def refuse_parents(self, path: str) -> None:
        """Refuse to write through a link that somebody else than root has made."""
        place = self.root
        for part in Path(path).parts[:-1]:
            place = place / part
            if place.is_symlink() and place.lstat().st_uid not in (0, os.geteuid()):
                raise RootfsError(f"{place} is a link made by a user: /{path} isn't written there.")
        real, root = os.path.realpath(place), os.path.realpath(self.root)
        if os.path.commonpath([real, root]) != root:
            raise RootfsError(f"/{path} would lie in {real}, outside of {self.root}.")

    def ids(self, node: Node) -> tuple[int, int]:
        """Return the numbers of owner and group, who must exist."""
        numbers = []
        for database, name in (("passwd", node.owner), ("group", node.group)):
            number = int(name) if name.isdigit() else account(self.root, database, name)
            if number is None:
                kind = "user" if database == "passwd" else database
                raise RootfsError(f"/{node.path}: there is no {kind} {name} on this machine.")
            numbers.append(int(number))
        return numbers[0], numbers[1]

    def validate(self, nodes: list[Node], paths: list[str], rules: list[dict[str, Any]]) -> None:
        """Stage the whole tree and let the checkers look at it."""
        due = [rule for rule in rules if concerns(rule, paths)]
        if not due:
            return
        if self.check:
            staged = Path(tempfile.mkdtemp(prefix="nomade-rootfs-"))
        else:
            staged = self.base / "staged"
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(mode=0o700)
        try:
            self.stage(staged, nodes)
            for rule in due:
                self.run_checker(rule, staged, nodes)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    @staticmethod
    def stage(staged: Path, nodes: list[Node]) -> None:
        """Write the whole tree below another directory, for our eyes only."""
        for node in nodes:
            place = staged / node.path
            (place if node.kind == "directory" else place.parent).mkdir(parents=True, exist_ok=True)
            if node.kind == "file":
                write_file(place, node.content, node.mode & 0o777, os.geteuid(), os.getegid())
            elif node.kind == "link":
                place.symlink_to(os.fsdecode(node.content))

    def run_checker(self, rule: dict[str, Any], staged: Path, nodes: list[Node]) -> None:
        """Refuse the tree when the checker does."""
        words = [word.replace("{staged}", str(staged)) for word in rule["command"]]
        code, said = command(*words, timeout=CHECKER_SECONDS)
        if code == 0:
            return
        said = said.replace(str(staged), "")
        if any(node.secret and concerns(rule, [node.path]) for node in nodes):
            said = "(what it said isn't shown: it may quote a secret file)"
        told = " ".join(rule["command"]).replace("{staged}", "")
        problem = f"{told} refuses the files of {self.name} with exit code {code}: {said}"
        if not (self.check and not self.saved):
            raise RootfsError(f"{problem}. Nothing was changed.")
        # the role's packages may be missing as well, so this proves nothing
        self.warnings.append(f"{self.name} was never installed here, and so far {problem}")

    # -- doing it ----------------------------------------------------------------------------

    def present(self, wanted: Wanted) -> None:
        """Bring the machine to what is wanted; in check mode, say what that would change."""
        plan = self.plan(wanted.nodes)
        self.refuse(plan)
        paths = {change.path for change in plan}
        changes = [change for change in plan if change.needed]
        changes += self.removals(self.manifest.nodes.keys() - paths)
        if changes:
            self.validate(wanted.nodes, [change.path for change in changes], wanted.validate)
        self.report(changes)
        self.remember(plan)
        for change in changes:
            self.manifest.mark(change.wanted)
        leaving = self.disabled = sorted(self.manifest.units.keys() - set(wanted.enable))
        if not self.check:
            before = self.saved
            self.manifest.complete = not changes
            self.save()
            try:
                self.prepare(changes)
            except OSError:
                self.forget(changes, before)
                raise
            self.disable(leaving)
            self.replace(changes)
        self.manifest.complete = True
        self.manifest.units = {u: v for u, v in self.manifest.units.items() if u in wanted.enable}
        self.manifest.nodes = {p: n for p, n in self.manifest.nodes.items() if p in paths}
        self.save()
        self.enable(wanted.enable)

    def report(self, changes: list[Change]) -> None:
        """Note the changes for the person who reads the run's output."""
        for change in changes:
            entry, found = self.manifest.nodes.get(change.path), change.found
            by_hand = False
            if entry and found.kind != "absent":
                by_hand = self.manifest.complete and entry["hash"] != found.hash
                found.secret = entry["secret"]
            self.diff.append(change.diff(by_hand))
            gone = change.wanted.kind == "absent"
            (self.removed if gone else self.installed).append(f"/{change.path}")

    def remember(self, plan: list[Change]) -> None:
        """Put what is wanted into the manifest, and aside what was there before us."""
        new = [c for c in plan if c.path not in self.manifest.nodes and c.found.kind != "absent"]
        theirs = self.of_other_roles() if new else set()
        for change in plan:
            entry = self.manifest.nodes.get(change.path)
            original = entry["original"] if entry else None
            if change in new and change.path not in theirs:
                original = change.found.remembered()
                if change.found.kind != "directory" and not self.check:
                    place = self.base / "original" / change.path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    replace_file(place, change.found.content)
            node = change.wanted
            self.manifest.nodes[change.path] = {
                **node.remembered(), "hash": node.hash, "original": original,
            }  # fmt: skip

    def prepare(self, changes: list[Change]) -> None:
        """Write everything beside its place, so that a full disk is met before any replacement."""
        for path in self.manifest.nodes:
            new_name(self.root / path).unlink(missing_ok=True)  # of a run that was killed
        for node in (change.wanted for change in changes):
            place = self.root / node.path
            if node.kind == "directory" and not place.exists():
                place.mkdir(mode=0o700)
            elif node.kind == "file":
                write_file(new_name(place), node.content, node.mode, *self.ids(node))
            elif node.kind == "link":
                new_name(place).symlink_to(os.fsdecode(node.content))

    def forget(self, changes: list[Change], before: str) -> None:
        """Take back a preparation that failed."""
        for change in reversed(changes):
            place = self.root / change.path
            new_name(place).unlink(missing_ok=True)
            if change.wanted.kind == "directory" and change.found.kind == "absent":
                with contextlib.suppress(OSError):
                    place.rmdir()
        # where even this can't be written, the marks stay, and one needless restart follows
        with contextlib.suppress(OSError):
            if before:
                replace_file(self.file, before.encode())
            else:
                self.file.unlink()

    def replace(self, changes: list[Change]) -> None:
        """Put everything in its place, each in one step; removals come last."""
        for change in changes:
            node, place = change.wanted, self.root / change.path
            if node.kind == "directory":
                os.chown(place, *self.ids(node))
                place.chmod(node.mode)
            elif node.kind != "absent":
                new_name(place).replace(place)
            elif change.found.kind == "directory":
                place.rmdir()
            else:
                place.unlink(missing_ok=True)
        for directory in {(self.root / change.path).parent for change in changes}:
            if directory.is_dir():
                sync_directory(directory)

    # -- units -------------------------------------------------------------------------------

    def reload_manager(self) -> None:
        """Let systemd read its unit files again, once after they changed."""
        if self.manifest.daemon_reload and self.systemd.running and not self.check:
            code, said = self.systemd.order("daemon-reload")
            if code:
                raise RootfsError(f"systemctl daemon-reload failed: {said}")
        self.told_manager = self.told_manager or self.manifest.daemon_reload
        self.manifest.daemon_reload = False
        self.save()

    def enable(self, units: list[str]) -> None:
        """Enable and start what isn't; what is started now needs no restart afterwards."""
        if not units:
            return
        self.reload_manager()
        to_enable, to_start = [], []
        for unit, now in self.systemd.show(units).items():
            if now["LoadState"] != "loaded" and not self.check:
                raise RootfsError(f"{unit} can't be enabled: systemd says {now['LoadState']}.")
            enabled = now.get("UnitFileState") in Systemd.ENABLED
            active = now.get("ActiveState") in ("active", "activating", "reloading")
            self.manifest.units.setdefault(unit, {"enabled": enabled, "active": active})
            if not enabled:
                to_enable.append(unit)
            if not active and (not enabled or not Systemd.rests(now)):
                to_start.append(unit)
        self.save()
        self.enabled = sorted({*to_enable, *to_start})
        if not self.systemd.running:
            self.warn_at_boot(to_start)
            self.enabled, to_start = to_enable, []
        if not self.check:
            self.give("enable", to_enable)
            self.give("start", to_start)
        for unit in to_start:
            self.manifest.pending.pop(unit, None)
        self.save()

    def warn_at_boot(self, units: list[str]) -> None:
        """Say what can't be done in an image or a chroot."""
        if units:
            told = ", ".join(sorted(units))
            self.warnings.append(f"systemd isn't running in {self.root}: {told} will start at boot")

    def give(self, order: str, units: list[str]) -> None:
        """Give one order for several units."""
        code, said = self.systemd.order(order, *units) if units else (0, "")
        if code:
            words = " ".join(["systemctl", order, *units])
            raise RootfsError(f"{words} failed: {said}{self.why(units)}")

    def why(self, units: list[str]) -> str:
        """Return the last words of the units that failed."""
        if not self.systemd.running:
            return ""
        states = self.systemd.show(units).items()
        failed = [unit for unit, now in states if Systemd.failed(now)]
        return "".join(f"\n{unit}: {self.systemd.journal(unit)}" for unit in failed)

    def disable(self, units: list[str]) -> None:
        """Put units back to how they were before us; those that are gone need nothing."""
        for unit, now in self.systemd.show(units).items():
            was = self.manifest.units[unit]
            if now["LoadState"] == "loaded" and not was["enabled"]:
                self.give("disable", [unit])
            if now.get("ActiveState", "inactive") != "inactive" and not was["active"]:
                self.give("stop", [unit])

    def settle(self) -> None:
        """Restart or reload what is marked, and clear each mark that was obeyed."""
        if not self.systemd.running:
            self.warn_at_boot(list(self.manifest.pending))
            self.manifest.pending = {}
        self.reload_manager()
        done, problems = [], []
        for unit, now in self.systemd.show(self.manifest.pending).items():
            order = ORDERS[self.manifest.pending[unit]]
            if not self.manifest.uses(unit):  # our files are gone: it needn't run
                order = f"try-{order}" if now["LoadState"] == "loaded" else "stop"
            if order == "stop" and now["ActiveState"] == "inactive":
                code, said = 0, ""
            elif order != "stop" and now["LoadState"] != "loaded":
                code, said = 1, f"systemd says {now['LoadState']}"
            else:
                code, said = self.systemd.order(order, unit)
            if code:
                problems.append(f"systemctl {order} {unit} failed: {said}{self.why([unit])}")
            else:
                done.append(unit)
        if done:
            time.sleep(SETTLE_SECONDS)  # a service that dies at once has died by now
        for unit, now in self.systemd.show(done).items():
            if Systemd.failed(now):
                problems.append(f"{unit} doesn't stay up: {self.systemd.journal(unit)}")
            else:
                del self.manifest.pending[unit]
                self.restarted.append(unit)
        self.save()
        if problems:
            raise RootfsError("\n".join(problems))

    def settled(self, wanted: Wanted) -> None:
        """Settle; in check mode nothing was marked, so find out what would have been."""
        if self.check:
            self.present(wanted)
            self.diff, self.installed, self.removed, self.enabled = [], [], [], []
            self.restarted = sorted(self.manifest.pending)
        else:
            self.settle()

    def absent(self, _wanted: Wanted) -> None:
        """Remove everything, restart what used it, and forget."""
        self.present(Wanted())
        if self.check:
            self.restarted = sorted(self.manifest.pending)
        else:
            self.settle()
            shutil.rmtree(self.base)

    def result(self) -> dict[str, Any]:
        """Return what the module reports; a mark that waits is a change, so that handlers run."""
        lists = ("installed", "removed", "enabled", "disabled", "restarted")
        said: dict[str, Any] = {name: getattr(self, name) for name in lists}
        said["pending"] = self.manifest.pending
        return {**said, "changed": any(said.values()) or self.told_manager}


def concerns(rule: dict[str, Any], paths: list[str]) -> bool:
    """Say whether a checker has to look, now that these paths change."""
    patterns = rule.get("when_changed") or ["*"]
    return any(fnmatch.fnmatchcase(path, pattern) for path in paths for pattern in patterns)


@contextlib.contextmanager
def alone(state: Path, name: str) -> Iterator[None]:
    """Make the directory of the manifest, and wait until no other run works on this machine."""
    state.parent.mkdir(parents=True, exist_ok=True)
    for directory in (state, state / name):
        directory.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(state, os.O_RDONLY)
    try:
        for _ in range(LOCK_SECONDS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(1)
        else:
            raise RootfsError(f"another run has held {state} for {LOCK_SECONDS} s: wait for it.")
        yield
    finally:
        os.close(handle)


def explain(error: OSError, wanted: Wanted) -> str:
    """Say in one sentence what the operating system refused."""
    place = Path(error.filename or "/")
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return f"{place}: {error.strerror}."
    while not place.is_mount():
        place = place.parent
    needed = sum(len(node.content) for node in wanted.nodes) // 1024 + 1
    info = os.statvfs(place)
    free = info.f_bavail * info.f_frsize // 1024
    return (
        f"The file system {place} is full ({free} kB and {info.f_favail} inodes free, "
        f"up to {needed} kB needed): make room and run again. No file was left half-written."
    )


def main() -> None:
    """Do one of the three things, and report."""
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str"},
            "name": {"type": "str"},
            "tree": {"type": "str", "default": "rootfs"},
            "state": {"choices": ["present", "settled", "absent"], "default": "present"},
            "root": {"type": "path", "default": "/"},
            # as one string, so that what it holds is masked in logs and nothing else is
            "payload": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    state, check = module.params["state"], module.check_mode
    name, root = module.params["name"] or module.params["role"], Path(module.params["root"])
    wanted = Wanted.load(module.params["payload"]) if module.params["payload"] else Wanted()
    try:
        with contextlib.nullcontext() if check else alone(root / STATE_DIR, name):
            rootfs = Rootfs(root, name, check)
            {"present": rootfs.present, "absent": rootfs.absent, "settled": rootfs.settled}[state](
                wanted
            )
    except OSError as error:
        module.fail_json(msg=f"{name}: {explain(error, wanted)}")
    except RootfsError as error:
        module.fail_json(msg=f"{name}: {error}")
    for warning in rootfs.warnings:
        module.warn(warning)
    module.exit_json(diff=rootfs.diff, **rootfs.result())


if __name__ == "__main__":
    main()
