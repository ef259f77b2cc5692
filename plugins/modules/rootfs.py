#!/usr/bin/python
# SPDX-License-Identifier: MIT
"""Install a role's tree of files in one call: staged, checked, replaced, remembered."""

from __future__ import annotations

import base64
import contextlib
import errno
import fcntl
import fnmatch
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rootfs_files import (
    STATE_DIR,
    Change,
    Node,
    RootfsError,
    ids,
    name_of,
    new_name,
    package_owning,
    read_node,
    refuse_parents,
    replace_file,
    sync_directory,
    with_names,
    write_file,
)
from ansible.module_utils.rootfs_units import Systemd, command

DOCUMENTATION = r"""
module: rootfs
short_description: Install a role's files as one tree
description:
  - C(roles/<role>/rootfs/etc/...) mirrors the machine. The action plugin renders C(.j2) files on
    the controller, lays the town's overlay C(<inventory_dir>/rootfs/<role>/) (with its own
    C(<role>.yml) beside it, if it needs one) over them, and calls this module once.
  - C(roles/<role>/rootfs.yml) names only what differs from root:root 0644 (0755 for directories
    and for files that are executable in the tree).
  - The whole tree is staged and the checkers run on it before the first file is replaced. Each file
    is replaced atomically. A manifest remembers what was installed; what a later version no longer
    has is removed, and what was there before the role comes back.
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
      - V(absent) removes what V(present) installed, gives back what was there before, and restarts
        the units concerned (no handler is needed).
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
notes:
  - "In C(rootfs.yml), everything is a template. C(files): paths as in the tree, with or without
    C(.j2), or globs, each with C(owner), C(group), C(mode), C(secret) (its diff is hidden),
    C(restart), C(reload), C(when), C(for_each) (one file per item: C({name}) in the path is filled
    from it, and the template sees C(item))."
  - "C(directories): C(owner), C(group), C(mode), C(when). C(links): a target, or C(target),
    C(restart), C(reload), C(when). C(enable): units to enable and start, and to put back to how
    they were when the role is removed."
  - "C(validate): C(command), C(when_changed) (paths or globs), C(when). C({staged}) is the root of
    the staged tree. A command without it is run with the staged tree laid over the machine's own
    files, in a mount namespace of its own: so C([sshd, -t]) judges a drop-in together with what it
    drops into (below /var, /tmp and /run nothing is laid over)."
  - In check mode on a machine without a manifest, a checker that refuses is a warning, because the
    role's packages may not be there yet.
"""

EXAMPLES = r"""
# roles/vpn_client/rootfs.yml
# files:
#   etc/wireguard/wg0.conf: {mode: "0600", secret: true, restart: [wg-quick@wg0.service]}
#   etc/vpn/{name}.conf.j2: {for_each: "{{ vpn_client_peers }}", reload: [vpn.service]}
#   etc/ssh/sshd_config.d/vpn.conf: {reload: [ssh.service]}
#   usr/lib/nomade/checks/*: {mode: "0755"}
# directories:
#   etc/wireguard: {mode: "0700"}
# links:
#   etc/vpn/default.conf: town.conf
# validate:
#   - {command: [visudo, -cf, "{staged}/etc/sudoers.d/vpn"], when_changed: [etc/sudoers.d/vpn]}
#   - {command: [sshd, -t], when_changed: [etc/ssh/*]}
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
disabled:
  description: Units that were put back to how they were before the role.
  type: list
  returned: always
restarted:
  description: Units that were restarted or reloaded.
  type: list
  returned: always
"""

UNIT_FILE = re.compile(r"(etc|run|(usr/)?(local/)?lib)/(systemd/system|containers/systemd)/")
ORDERS = {"restart": "restart", "reload": "reload-or-restart"}
LAY_OVER = """
for top in "$1"/*; do
    case "${top##*/}" in var | tmp | run) continue ;; esac
    mount -t overlay overlay -o "lowerdir=$top:/${top##*/}" "/${top##*/}" || exit
done
shift
exec "$@"
"""
LOCK_SECONDS = 60
CHECKER_SECONDS = 60
SETTLE_SECONDS = 0.5


@dataclass
class Wanted:
    """What the controller asks for."""

    nodes: list[Node] = field(default_factory=list)
    validate: list[dict[str, Any]] = field(default_factory=list)
    enable: list[str] = field(default_factory=list)
    hash: str = ""

    @classmethod
    def load(cls, payload: str) -> Wanted:
        """Read the JSON that the action plugin sends."""
        data = json.loads(payload)
        for raw in data["nodes"]:
            raw["content"] = base64.b64decode(raw["content"])
        nodes = [Node(**raw) for raw in data["nodes"]]
        asked = hashlib.sha256(payload.encode()).hexdigest()
        return cls(nodes, data["validate"], data["enable"], asked)


@dataclass
class Manifest:
    """What one role has on this machine, and what is still to be done about it.

    nodes: path -> kind, hash, rights and units, and "original": what was there before us
    units: unit -> whether it was enabled and active before us
    pending: unit -> "restart" or "reload"
    complete: false while files are being replaced
    asked: hash of what the controller asked for, once all of it was done (see rootfs_survey)
    """

    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    units: dict[str, dict[str, bool]] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)
    daemon_reload: bool = False
    complete: bool = True
    asked: str = ""

    @classmethod
    def load(cls, file: Path) -> Manifest:
        """Read a manifest; a machine that has none has nothing of ours."""
        try:
            return cls(**json.loads(file.read_text())) if file.exists() else cls()
        except (ValueError, TypeError) as error:
            raise RootfsError(f"{file} is damaged ({error}): remove it and run again.") from None

    def mark(self, node: Node) -> None:
        """Remember that the units of a node still run with what it was before."""
        for unit in node.reload:
            self.pending.setdefault(unit, "reload")
        for unit in node.restart:
            self.pending[unit] = "restart"
        if UNIT_FILE.match(node.path):
            self.daemon_reload = True

    def uses(self, unit: str) -> bool:
        """Say whether a node that is still installed concerns the unit."""
        return any(unit in n["restart"] + n["reload"] for n in self.nodes.values())


class Rootfs:
    """The tree of one role on this machine."""

    def __init__(self, root: Path, name: str, check: bool) -> None:
        """Read the manifest of this role, and what others have."""
        self.root, self.check, self.name = root, check, name
        self.base = root / STATE_DIR / name
        self.file = self.base / "manifest.json"
        self.manifest = Manifest.load(self.file)
        self.saved = self.file.read_bytes() if self.file.exists() else b""
        # path -> the manifest's entry and directory of another role that has it as well
        self.others = {
            path: (entry, file.parent)
            for file in self.base.parent.glob("*/manifest.json")
            if file != self.file
            for path, entry in Manifest.load(file).nodes.items()
        }
        self.systemd = Systemd(root)
        self.warnings: list[str] = []
        self.diff: list[dict[str, str]] = []
        self.installed: list[str] = []
        self.removed: list[str] = []
        self.enabled: list[str] = []
        self.disabled: list[str] = []
        self.restarted: list[str] = []
        self.manager_reloaded = False

    def save(self) -> None:
        """Write the manifest, if it says something new."""
        text = (json.dumps(vars(self.manifest), indent=1, sort_keys=True) + "\n").encode()
        if not self.check and text != self.saved:
            replace_file(self.file, text)
            self.saved = text

    # -- what is to be done ------------------------------------------------------------------

    def plan(self, nodes: list[Node]) -> list[Change]:
        """Compare what is wanted with what is there, directories first."""
        named = {node.path for node in nodes}
        above = {str(p) for node in nodes for p in Path(node.path).parents} - named - {"."}
        plan = [change for path in above for change in self.parent(path)]
        plan += [Change(read_node(self.root, n.path), with_names(self.root, n)) for n in nodes]
        return sorted(plan, key=lambda c: (c.wanted.kind != "directory", c.path))

    def parent(self, path: str) -> Iterator[Change]:
        """Find a directory that the role doesn't name: missing, or made by an earlier run."""
        found = read_node(self.root, path)
        if found.kind == "absent":
            owner = name_of(self.root, "passwd", os.geteuid())
            group = name_of(self.root, "group", os.getegid())
            yield Change(found, Node(path, "directory", b"", 0o755, owner, group))
        elif found.kind == "directory" and (path in self.manifest.nodes or path in self.others):
            yield Change(found, found)

    def removals(self, paths: set[str]) -> list[Change]:
        """Find out what happens to what the role no longer has, the deepest first."""
        changes: list[Change] = []
        leaving: set[str] = set()
        for path in sorted(paths - self.others.keys(), reverse=True):
            refuse_parents(self.root, path)
            found, back = read_node(self.root, path), self.original(path)
            kinds = ["file", "link"]
            if self.manifest.nodes[path]["kind"] == "directory":
                kinds = ["directory"]
                inside = (self.root / path).iterdir() if found.kind == "directory" else ()
                if back.kind == "absent" and not {f"{path}/{i.name}" for i in inside} <= leaving:
                    continue  # somebody has put something in
            if found.kind in kinds:
                leaving.add(path)
                changes.append(Change(found, back))
        return [change for change in changes if change.needed]

    def original(self, path: str) -> Node:
        """Return what was at a path before us; the units concerned are those of our version."""
        entry = self.manifest.nodes[path]
        ours = {key: entry[key] for key in ("restart", "reload", "secret")}
        was = entry["original"]
        if was is None:
            return Node(path, **ours)
        kept = self.base / "original" / path
        content = b"" if was["kind"] == "directory" else kept.read_bytes()
        return Node(path, content=content, **{**was, "mode": int(was["mode"], 8), **ours})

    def refuse(self, plan: list[Change]) -> None:
        """Refuse what can't or mustn't be done, before anything is touched."""
        new = []
        for path, found, wanted in ((c.path, c.found, c.wanted) for c in plan):
            refuse_parents(self.root, path)
            replaceable = ["directory"] if wanted.kind == "directory" else ["file", "link"]
            if found.kind not in ["absent", *replaceable]:
                raise RootfsError(
                    f"/{path} is a {found.kind} on this machine, where the role has a "
                    f"{wanted.kind}: move it away and run again."
                )
            if wanted.kind != "directory" and path not in self.manifest.nodes:
                new.append(path)
            if not self.check:
                ids(self.root, wanted)
        for path, package in package_owning(self.root, new).items():
            raise RootfsError(
                f"/{path} belongs to the package {package}, whose upgrades would fight with the "
                f"role over it: put the settings in a drop-in directory (like /{path}.d/) instead."
            )

    def validate(self, wanted: Wanted, changed: list[str]) -> None:
        """Stage the whole tree and let the checkers look at it."""
        due = [rule for rule in wanted.validate if concerns(rule, changed)]
        if not due:
            return
        if self.check:
            staged = Path(tempfile.mkdtemp(prefix="nomade-rootfs-"))
        else:
            staged = self.base / "staged"
            shutil.rmtree(staged, ignore_errors=True)  # of a run that was killed
            staged.mkdir(mode=0o700)
        try:
            self.stage(staged, wanted.nodes)
            for rule in due:
                self.run_checker(rule, staged, wanted.nodes)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def stage(self, staged: Path, nodes: list[Node]) -> None:
        """Write the whole tree below another directory that only root may enter."""
        for node in nodes:
            place = staged / node.path
            (place if node.kind == "directory" else place.parent).mkdir(parents=True, exist_ok=True)
            if node.kind == "link":
                place.symlink_to(os.fsdecode(node.content))
            elif node.kind == "file":
                owner = os.geteuid(), os.getegid()
                with contextlib.suppress(RootfsError):  # in check mode they may not exist yet
                    owner = ids(self.root, node)
                write_file(place, node.content, node.mode & 0o777, *owner)

    def run_checker(self, rule: dict[str, Any], staged: Path, nodes: list[Node]) -> None:
        """Refuse the tree when the checker does."""
        told = " ".join(rule["command"]).replace("{staged}", "")
        words = [word.replace("{staged}", str(staged)) for word in rule["command"]]
        if words == rule["command"]:
            if self.root != Path("/"):
                self.warnings.append(f"{told} can only judge a running machine, not {self.root}")
                return
            words = ["unshare", "--mount", "sh", "-c", LAY_OVER, "sh", str(staged), *words]
        code, said = command(*words, timeout=CHECKER_SECONDS)
        if code == 0:
            return
        said = said.replace(str(staged), "")
        if any(node.secret and concerns(rule, [node.path]) for node in nodes):
            said = "(what it said isn't shown: it may quote a secret file)"
        problem = f"{told} refuses the files, with exit code {code}: {said}"
        if not (self.check and not self.saved):
            raise RootfsError(f"{problem}\nNothing was changed.")
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
            self.validate(wanted, [change.path for change in changes])
        self.report(changes)
        before = self.saved
        if self.manifest.asked != wanted.hash:
            self.manifest.asked = ""
        self.remember(plan)
        for change in changes:
            self.manifest.mark(change.wanted)
        self.manifest.complete = not changes
        if not self.check:
            try:
                self.save()
                self.prepare(changes)
            except OSError:
                self.forget(changes, before)
                raise
        self.disable(sorted(self.manifest.units.keys() - set(wanted.enable)))
        if not self.check:
            self.replace(changes)
        self.manifest.complete = True
        self.manifest.nodes = {p: n for p, n in self.manifest.nodes.items() if p in paths}
        self.save()
        self.enable(wanted.enable)
        self.manifest.asked = wanted.hash
        self.save()

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
        for path, found, node in ((c.path, c.found, c.wanted) for c in plan):
            if path in self.manifest.nodes:
                original = self.manifest.nodes[path]["original"]
            else:
                original = found.remembered() if found.kind != "absent" else None
                content = found.content
                if path in self.others:  # what is there is Nomade's: take over what was before
                    entry, base = self.others[path]
                    original = entry["original"]
                    if original and original["kind"] != "directory":
                        content = (base / "original" / path).read_bytes()
                if original and original["kind"] != "directory" and not self.check:
                    kept = self.base / "original" / path
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    replace_file(kept, content)
            remembered = {**node.remembered(), "hash": node.hash, "original": original}
            self.manifest.nodes[path] = remembered

    def prepare(self, changes: list[Change]) -> None:
        """Write everything beside its place, so that a full disk is met before any replacement."""
        for path in self.manifest.nodes:
            new_name(self.root / path).unlink(missing_ok=True)  # of a run that was killed
        for node in (change.wanted for change in changes):
            place = self.root / node.path
            if node.kind == "directory" and not place.exists():
                place.mkdir(mode=0o700)
            elif node.kind == "file":
                write_file(new_name(place), node.content, node.mode, *ids(self.root, node))
            elif node.kind == "link":
                new_name(place).symlink_to(os.fsdecode(node.content))

    def forget(self, changes: list[Change], before: bytes) -> None:
        """Take back a preparation that failed."""
        for change in reversed(changes):
            place = self.root / change.path
            new_name(place).unlink(missing_ok=True)
            if change.wanted.kind == "directory" and change.found.kind == "absent":
                with contextlib.suppress(OSError):
                    place.rmdir()
        # where not even this can be written the marks stay, and one needless restart follows
        with contextlib.suppress(OSError):
            if before:
                replace_file(self.file, before)
            else:
                self.file.unlink()

    def replace(self, changes: list[Change]) -> None:
        """Put everything in its place, each in one step; removals come last."""
        for change in changes:
            node, place = change.wanted, self.root / change.path
            if node.kind == "directory":
                os.chown(place, *ids(self.root, node))
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
        if self.manifest.daemon_reload:
            if self.systemd.running and not self.check:
                self.systemd.give("daemon-reload")
            self.manager_reloaded = True
            self.manifest.daemon_reload = False
            self.save()

    def enable(self, units: list[str]) -> None:
        """Enable and start what isn't; what is started only now needs no restart afterwards."""
        if not units:
            return
        self.reload_manager()
        to_enable, to_start = [], []
        for unit, now in self.systemd.show(units).items():
            if now["LoadState"] != "loaded" and not self.check:
                raise RootfsError(f"{unit} can't be enabled: systemd says {now['LoadState']}.")
            enabled = now.get("UnitFileState") in Systemd.ENABLED
            was = {"enabled": enabled, "active": Systemd.active(now)}
            self.manifest.units.setdefault(unit, was)
            if not enabled:
                to_enable.append(unit)
            if not was["active"] and not (enabled and Systemd.rests(now)):
                to_start.append(unit)
        self.save()
        if not self.systemd.running:
            self.warn_at_boot(to_enable)
            to_start = []
        self.enabled = sorted({*to_enable, *to_start})
        if to_enable and not self.check:
            self.systemd.give("enable", *to_enable)
        if to_start and not self.check:
            self.systemd.give("start", *to_start)
        for unit in to_start:
            self.manifest.pending.pop(unit, None)
        self.save()

    def disable(self, units: list[str]) -> None:
        """Put units back to how they were before us; those that are gone need nothing."""
        for unit, now in self.systemd.show(units).items():
            was = self.manifest.units.pop(unit)
            if now["LoadState"] == "loaded" and not was["enabled"]:
                self.disabled.append(unit)
                if not self.check:
                    self.systemd.give("disable", unit)
            if Systemd.active(now) and not was["active"] and not self.check:
                self.systemd.give("stop", unit)

    def warn_at_boot(self, units: list[str]) -> None:
        """Say what can't be done in an image or a chroot."""
        if units:
            told = ", ".join(sorted(units))
            self.warnings.append(f"systemd isn't running in {self.root}: {told} will start at boot")

    def settle(self) -> None:
        """Restart or reload what is marked, and clear each mark that was obeyed."""
        self.reload_manager()
        if not self.systemd.running:
            self.warn_at_boot(list(self.manifest.pending))
            self.restarted, self.manifest.pending = sorted(self.manifest.pending), {}
        done, problems = [], []
        for unit, now in self.systemd.show(self.manifest.pending).items():
            order = ORDERS[self.manifest.pending[unit]]
            if not self.manifest.uses(unit):  # our files are gone: it needn't run
                order = f"try-{order}" if now["LoadState"] == "loaded" else "stop"
            if order == "stop" and not Systemd.active(now):
                done.append(unit)
                continue
            code, said = self.systemd.order(order, unit)
            if code:
                problems.append(f"systemctl {order} {unit}: {said}{self.systemd.why([unit])}")
            else:
                done.append(unit)
        if done:
            time.sleep(SETTLE_SECONDS)  # a service that dies at once has died by now
        for unit, now in self.systemd.show(done).items():
            if Systemd.failed(now) and self.manifest.uses(unit):
                problems.append(f"{unit} doesn't stay up.{Systemd.last_words(unit)}")
            else:
                del self.manifest.pending[unit]
                self.restarted.append(unit)
        self.save()
        if problems:
            raise RootfsError("\n".join(problems))

    def settled(self, wanted: Wanted) -> None:
        """Settle; in check mode nothing was marked, so find out what would have been."""
        if not self.check:
            self.settle()
            return
        self.present(wanted)
        self.diff, self.installed, self.removed, self.enabled, self.disabled = [], [], [], [], []
        self.manager_reloaded = False  # that was the other call's doing
        self.restarted, self.manifest.pending = sorted(self.manifest.pending), {}

    def absent(self, _wanted: Wanted) -> None:
        """Remove everything, restart what used it, and forget."""
        self.present(Wanted())
        if self.check:
            self.restarted, self.manifest.pending = sorted(self.manifest.pending), {}
        else:
            self.settle()
            shutil.rmtree(self.base)

    def result(self) -> dict[str, Any]:
        """Return what the module reports; a mark that waits is a change, so that handlers run."""
        lists = ("installed", "removed", "enabled", "disabled", "restarted")
        said: dict[str, Any] = {name: getattr(self, name) for name in lists}
        said["pending"] = self.manifest.pending
        told = self.manager_reloaded or self.manifest.daemon_reload
        return {**said, "changed": any(said.values()) or told, "diff": self.diff}


def concerns(rule: dict[str, Any], paths: list[str]) -> bool:
    """Say whether a checker has to look, now that these paths change."""
    patterns = rule.get("when_changed") or ["*"]
    return any(fnmatch.fnmatchcase(path, pattern) for path in paths for pattern in patterns)


@contextlib.contextmanager
def alone(state: Path, name: str) -> Iterator[None]:
    """Wait until no other run works on this machine, and make the directory of the manifest."""
    state.parent.mkdir(parents=True, exist_ok=True)
    state.mkdir(mode=0o700, exist_ok=True)
    handle = os.open(state, os.O_RDONLY)
    try:
        for _ in range(LOCK_SECONDS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(1)
        else:
            raise RootfsError(f"another run has held {state} for {LOCK_SECONDS} s: wait for it.")
        (state / name).mkdir(mode=0o700, exist_ok=True)
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
        f"The file system {place} is full ({free} kB and {info.f_favail} inodes free, up to "
        f"{needed} kB needed): make room and run again. No file was left half-written."
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
    os.umask(0o022)
    check, root = module.check_mode, Path(module.params["root"])
    name = module.params["name"] or module.params["role"]
    wanted = Wanted.load(module.params["payload"]) if module.params["payload"] else Wanted()
    try:
        with contextlib.nullcontext() if check else alone(root / STATE_DIR, name):
            rootfs = Rootfs(root, name, check)
            getattr(rootfs, module.params["state"])(wanted)
    except OSError as error:
        module.fail_json(msg=f"{name}: {explain(error, wanted)}")
    except RootfsError as error:
        module.fail_json(msg=f"{name}: {error}")
    for warning in rootfs.warnings:
        module.warn(warning)
    module.exit_json(**rootfs.result())


if __name__ == "__main__":
    main()
