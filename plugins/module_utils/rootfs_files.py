# SPDX-License-Identifier: MIT
"""Files, links and directories for rootfs: what they are, how they are read, how they are written.

Nothing here follows a link at the end of a path, and whatever is written is on the disk, whole,
before it takes the place of what was there.
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATE_DIR = "var/lib/nomade/rootfs"
DIFF_LIMIT = 100_000


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
    def state(self) -> tuple[str, bytes, str]:
        """Return all that must be equal for nothing to be written."""
        return self.kind, self.content, self.rights

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
            what = "binary" if b"\0" in self.content else "too long to show"
            return f"{what}, {len(self.content)} bytes, sha256 {self.hash[:16]}\n"
        shown = self.content.decode(errors="replace")
        return f"-> {shown}\n" if self.kind == "link" else shown

    def remembered(self) -> dict[str, Any]:
        """Return all but the content, for the manifest."""
        kept = {k: v for k, v in vars(self).items() if k not in ("path", "content")}
        return {**kept, "mode": f"{self.mode:04o}"}


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
        return self.found.state != self.wanted.state

    def diff(self, by_hand: bool) -> dict[str, str]:
        """Describe the change as ansible-playbook --diff prints it."""
        secret = self.wanted.secret or self.found.secret
        before, after = self.found.text(secret), self.wanted.text(secret)
        if self.found.state[:2] == self.wanted.state[:2]:
            before, after = f"{self.found.rights}\n", f"{self.wanted.rights}\n"
        elif before == after:
            before, after = f"before: {before}", f"after: {after}"
        return {
            "before": before,
            "after": after,
            "before_header": self.found.title + (" (changed by hand)" if by_hand else ""),
            "after_header": self.wanted.title,
        }


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
        ("passwd", str): pwd.getpwnam,
        ("passwd", int): pwd.getpwuid,
        ("group", str): grp.getgrnam,
        ("group", int): grp.getgrgid,
    }
    try:
        entry = ask[database, type(key)](key)
    except KeyError:
        return None
    answer: str | int = entry[2] if isinstance(key, str) else entry[0]
    return answer


def name_of(root: Path, database: str, number: int) -> str:
    """Return the name of a number; one that has no name stands for itself."""
    return str(account(root, database, number) or number)


def with_names(root: Path, node: Node) -> Node:
    """Return a node whose owner and group, if given as numbers, are named as one that is read."""
    if node.owner.isdigit():
        node.owner = name_of(root, "passwd", int(node.owner))
    if node.group.isdigit():
        node.group = name_of(root, "group", int(node.group))
    return node


def ids(root: Path, node: Node) -> tuple[int, int]:
    """Return the numbers of owner and group, who must exist."""
    numbers = []
    for kind, database, name in (("user", "passwd", node.owner), ("group", "group", node.group)):
        number = int(name) if name.isdigit() else account(root, database, name)
        if number is None:
            raise RootfsError(f"/{node.path}: there is no {kind} {name} on this machine.")
        numbers.append(int(number))
    return numbers[0], numbers[1]


def read_node(root: Path, path: str) -> Node:
    """Look at what stands at a path, without following a link."""
    real = root / path
    try:
        info = real.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Node(path)
    kinds = {stat.S_IFREG: "file", stat.S_IFLNK: "link", stat.S_IFDIR: "directory"}
    kind = kinds.get(stat.S_IFMT(info.st_mode), "special file")
    content = b""
    if kind == "file":
        content = real.read_bytes()
    elif kind == "link":
        content = os.fsencode(real.readlink())
    owner, group = name_of(root, "passwd", info.st_uid), name_of(root, "group", info.st_gid)
    return Node(path, kind, content, stat.S_IMODE(info.st_mode), owner, group)


def refuse_parents(root: Path, path: str) -> None:
    """Refuse to go through a link that somebody else than root has made."""
    place = root
    for part in Path(path).parts[:-1]:
        place = place / part
        if place.is_symlink() and place.lstat().st_uid not in (0, os.geteuid()):
            raise RootfsError(f"{place} is a link made by a user: nothing is written through it.")
    real, limit = os.path.realpath(place), os.path.realpath(root)
    if os.path.commonpath([real, limit]) != limit:
        raise RootfsError(f"/{path} would lie in {real}, outside of {root}.")


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


def replace_file(path: Path, content: bytes) -> None:
    """Write a file of our own in one step: the old one or the new one, never half of one."""
    write_file(new_name(path), content, 0o600, os.geteuid(), os.getegid())
    new_name(path).replace(path)
    sync_directory(path.parent)


def package_owning(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """Return which of the paths belong to a package of the distribution (what dpkg -S says)."""
    # a package may still name /lib/... what lies in /usr/lib/...
    names = {f"/{alias}".encode(): p for p in paths for alias in (p, re.sub("^usr/", "", p))}
    found = {}
    for listing in (root / "var/lib/dpkg/info").glob("*.list") if names else ():
        for name in names.keys() & set(listing.read_bytes().splitlines()):
            found[names[name]] = listing.stem.split(":")[0]
    return found
