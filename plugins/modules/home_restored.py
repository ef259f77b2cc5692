#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Give a person's archived files back on another machine, and prove that all of them are there."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, Dict, List, Optional, Tuple

from ansible.module_utils.archives import (
    RefusedError,
    Repository,
    digest,
    here,
    manifest_sha256,
    members,
    output,
    write_private,
)
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.machine import account, fail
from ansible.module_utils.one_at_a_time import WORK, take_over

DOCUMENTATION = r"""
module: home_restored
short_description: Give a person's archived files back on another machine
description:
  - Reads an archive that M(home_archive) has made. What was in the person's home goes into the home
    that they have now; what lay elsewhere goes into a folder of the home named after the old
    machine. All of it is the person's, with the rights that it had, set-uid bits left out.
  - Files are written beside their place and put there whole. Nothing follows a link elsewhere.
options:
  state:
    description:
      - V(asked) makes the key for ssh. V(compared) reads the whole archive, compares its digest
        with the certificate's, and says what is missing here or different; it writes nothing.
      - V(restored) writes what is missing or different, then reads everything back from the disk.
      - V(forgotten) destroys password and key.
    type: str
    choices: [asked, compared, restored, forgotten]
    required: true
  login:
    description: The person's login.
    type: str
    required: true
  home:
    description: The home as it is named in the archive.
    type: path
  beside:
    description: Name of the folder for what lay outside the home.
    type: str
  snapshot:
    description: Identifier of the archive's snapshot.
    type: str
  manifest_sha256:
    description: What the certificate says of the archive.
    type: str
  overwrite:
    description: Replace files that are different here.
    type: bool
    default: false
  server:
    description: C(host), C(port), C(user) and C(host_keys) of the backup server.
    type: dict
  password:
    description: Password of the archive. Set by the action plugin.
    type: str
  record:
    description: File on the controller that holds the sealed password.
    type: path
  identity:
    description: File on the controller with the town's private key. It stays there.
    type: path
author: The Nomade authors
attributes:
  check_mode:
    support: none
"""

EXAMPLES = r"""
- name: Compare the archive with what is here
  home_restored:
    state: compared
    login: mdurand
    home: /home/mdurand
    beside: vb-0042
    snapshot: latest
    manifest_sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    server: "{{ answer }}"
    record: records/returns/vb-0042/vb-0042-20261124T163012Z.age
    identity: ~/.config/nomade/valbourg.age-identity
"""

RETURN = r"""
todo:
  description: How many files and folders are missing here or different.
  type: int
  returned: V(compared)
different:
  description: Files that somebody has here and that are not as in the archive.
  type: list
  returned: V(compared)
newer:
  description: How many of them are newer here.
  type: int
  returned: V(compared)
written:
  description: How many files were written.
  type: int
  returned: V(restored)
compared:
  description: How many files and links are the archive's, read back from the disk.
  type: int
  returned: V(restored)
"""

SKELETON = Path("/etc/skel")
SPARE = 100_000_000  # bytes that stay free


@dataclass
class Plan:
    """What comparing has found."""

    lines: List[str] = field(default_factory=list)
    todo: int = 0
    bytes: int = 0
    different: List[str] = field(default_factory=list)
    newer: int = 0
    clashes: List[str] = field(default_factory=list)


class Restoring:
    """An archive, and the home that takes it."""

    def __init__(self, params: Dict[str, Any], entry: pwd.struct_passwd) -> None:
        """Remember where what goes."""
        self.old = str(params["home"]).rstrip("/")
        self.home = Path(entry.pw_dir).resolve()
        self.beside = self.home / str(params["beside"])
        self.entry = entry
        self.overwrite = bool(params["overwrite"])
        self.links: Dict[str, str] = {}

    def place(self, path: str) -> Path:
        """Return where something of the archive belongs."""
        if ".." in PurePosixPath(path).parts:
            raise RefusedError(f"the archive has a path that leads elsewhere: {path}")
        if path == self.old or path.startswith(f"{self.old}/"):
            return self.home / path[len(self.old) :].lstrip("/")
        return self.beside / path.lstrip("/")

    def is_of_home(self, path: str) -> bool:
        """Say whether a folder is one of the home; others are made when a file needs them."""
        return path.startswith(f"{self.old}/")

    def is_inside(self, target: Path) -> bool:
        """Say whether no link on the way leads out of its place."""
        parent = target.parent
        while not os.path.lexists(parent):
            parent = parent.parent
        return parent.is_dir() and parent.resolve() == parent

    def is_nobodys_work(self, target: Path, found: str) -> bool:
        """Say whether a file is still as every new account has it."""
        skeleton = SKELETON / target.relative_to(self.home)
        return skeleton.is_file() and here(skeleton) == found

    def has_rights(self, target: Path, member: tarfile.TarInfo) -> bool:
        """Say whether a file is the person's, with the rights that it had."""
        entry = target.lstat()
        mine = (entry.st_uid, entry.st_gid) == (self.entry.pw_uid, self.entry.pw_gid)
        return mine and (member.issym() or entry.st_mode & 0o7777 == member.mode & 0o777)

    def compare(self, stream: IO[bytes]) -> Plan:
        """Compare everything with what is here."""
        plan = Plan()
        for path, member, content in members(stream):
            target = self.place(path)
            if member.isdir():
                if self.is_of_home(path) and not target.is_dir():
                    plan.todo += 1
                    plan.clashes += [str(target)] if os.path.lexists(target) else []
            elif wanted := digest(path, member, content, self.links):
                plan.lines.append(f"{wanted}  {path}\n")
                self._look(plan, target, wanted, member)
        return plan

    def _look(self, plan: Plan, target: Path, wanted: str, member: tarfile.TarInfo) -> None:
        if not self.is_inside(target) or (target.is_dir() and not target.is_symlink()):
            plan.clashes.append(str(target))
            return
        found = here(target) if os.path.lexists(target) else None
        if found == wanted and self.has_rights(target, member):
            return
        plan.todo += 1
        if found == wanted:
            return
        plan.bytes += member.size
        if found is not None and not self.is_nobodys_work(target, found):
            plan.different.append(str(target))
            plan.newer += target.lstat().st_mtime > member.mtime + 1

    def restore(self, stream: IO[bytes]) -> Tuple[List[Tuple[str, str]], int]:
        """Write what is missing or different; return what each path holds, and how many it were."""
        held: List[Tuple[str, str]] = []
        written = 0
        for path, member, content in members(stream):
            target = self.place(path)
            if member.isdir():
                if self.is_of_home(path):
                    written += self.make_folder(target, member.mode & 0o777)
            elif content is not None or member.issym() or member.islnk():
                wanted, changed = self.put(target, member, content)
                held.append((wanted, path))
                written += changed
        return held, written

    def make_folder(self, target: Path, mode: int) -> bool:
        """Make a folder that is missing, and those above it."""
        if os.path.lexists(target):
            return False
        if target.parent != self.home:
            self.make_folder(target.parent, 0o700)
        self.refuse_outside(target)
        target.mkdir(mode=0o700)
        os.chown(target, self.entry.pw_uid, self.entry.pw_gid)
        target.chmod(mode)
        return True

    def refuse_outside(self, target: Path) -> None:
        """Refuse to follow a link out of the home."""
        if not self.is_inside(target):
            raise RefusedError(f"{target.parent} leads elsewhere: move it away, then run again")

    def put(
        self, target: Path, member: tarfile.TarInfo, content: Optional[IO[bytes]]
    ) -> Tuple[str, bool]:
        """Put a file or link where it belongs; return what it holds and whether it was not so."""
        self.make_folder(target.parent, 0o700)
        self.refuse_outside(target)
        folder = tempfile.mkdtemp(prefix=".nomade-", dir=target.parent)
        staged = Path(folder) / "staged"
        try:
            if member.issym():
                staged.symlink_to(member.linkname)
            elif member.islnk():
                shutil.copyfile(self.place("/" + member.linkname.strip("/")), staged)
            else:
                with staged.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)  # type: ignore[arg-type]
                    os.fsync(file.fileno())
            wanted = here(staged)
            found = here(target) if os.path.lexists(target) else None
            if found == wanted and self.has_rights(target, member):
                return wanted, False
            theirs = found not in (None, wanted) and not self.is_nobodys_work(target, found or "")
            if theirs and not self.overwrite:
                raise RefusedError(f"{target} has changed meanwhile: run again")
            os.chown(staged, self.entry.pw_uid, self.entry.pw_gid, follow_symlinks=False)
            if not member.issym():
                staged.chmod(member.mode & 0o777)
                os.utime(staged, (member.mtime, member.mtime))
            staged.replace(target)
            return wanted, True
        finally:
            shutil.rmtree(folder)


def read(repository: Repository, snapshot: str, take: Any) -> Any:
    """Have an archive read as a stream; nothing is written into it, not even a lock."""
    running = repository.start("dump", "--no-lock", "--archive", "tar", snapshot, "/")
    broken = False
    result = None
    try:
        result = take(output(running))
    except tarfile.TarError:
        broken = True
        running.kill()
    except BaseException:
        running.kill()
        running.wait()
        raise
    output(running).close()
    if running.wait() != 0 or broken:
        raise RefusedError(repository.why())
    return result


def refuse_other(lines: List[str], params: Dict[str, Any]) -> None:
    """Refuse an archive that is not the one that was certified."""
    if manifest_sha256(lines) != params["manifest_sha256"]:
        raise RefusedError("this archive is not what its certificate says: nothing was written")


def compare(params: Dict[str, Any], restoring: Restoring, repository: Repository) -> Dict[str, Any]:
    """Say what there is to do."""
    write_private(repository.password, str(params["password"]).strip() + "\n")
    plan: Plan = read(repository, str(params["snapshot"]), restoring.compare)
    refuse_other(plan.lines, params)
    if plan.clashes:
        raise RefusedError(
            f"{plan.clashes[0]} is of another kind here than in the archive: move it away, then "
            "run again; nothing was written"
        )
    free = shutil.disk_usage(restoring.home).free
    if plan.bytes and free < plan.bytes + SPARE:
        raise RefusedError(
            f"{restoring.home} has {free // 1_000_000} MB left, and the archive needs "
            f"{(plan.bytes + SPARE) // 1_000_000} MB: make room, then run again"
        )
    return {
        "todo": plan.todo,
        "files": len(plan.lines),
        "different": sorted(plan.different),
        "newer": plan.newer,
        "bytes": plan.bytes,
    }


def restore(params: Dict[str, Any], restoring: Restoring, repository: Repository) -> Dict[str, Any]:
    """Write, then read everything back from the disk."""
    uid = str(restoring.entry.pw_uid)
    if subprocess.run(["pgrep", "-U", uid], stdout=subprocess.DEVNULL, check=False).returncode == 0:
        raise RefusedError(
            f"{params['login']} is logged in: ask them to log out, then run again; nothing was "
            "written"
        )
    held, written = read(repository, str(params["snapshot"]), restoring.restore)
    refuse_other([f"{wanted}  {path}\n" for wanted, path in held], params)
    os.sync()
    for wanted, path in held:
        if here(restoring.place(path)) != wanted:
            raise RefusedError(f"{restoring.place(path)} is not as in the archive: run again")
    return {"changed": written > 0, "written": written, "compared": len(held)}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "required": True,
                "choices": ["asked", "compared", "restored", "forgotten"],
            },
            "login": {"type": "str", "required": True},
            "home": {"type": "path"},
            "beside": {"type": "str"},
            "snapshot": {"type": "str"},
            "manifest_sha256": {"type": "str"},
            "overwrite": {"type": "bool", "default": False},
            "server": {"type": "dict"},
            "password": {"type": "str", "no_log": True},
        },
        required_if=[
            ("state", state, ("home", "beside", "snapshot", "manifest_sha256", "server"))
            for state in ("compared", "restored")
        ],
    )
    params: Dict[str, Any] = module.params
    handle = take_over()
    result: Dict[str, Any] = {}
    try:
        if params["state"] == "forgotten":
            shutil.rmtree(WORK)
        else:
            entry = account(params["login"])
            if entry is None or not Path(entry.pw_dir).is_dir():
                raise RefusedError(
                    f"{params['login']} has no account here yet: equip the machine first "
                    "(playbooks/equip.yml)"
                )
            repository = Repository(params)
            if params["state"] == "asked":
                result = {"public_key": repository.public_key()}
            elif params["state"] == "compared":
                result = compare(params, Restoring(params, entry), repository)
            else:
                result = restore(params, Restoring(params, entry), repository)
    except (RefusedError, OSError) as error:
        fail(module, str(error))
    os.close(handle)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
