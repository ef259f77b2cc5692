#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Archive what a person leaves on a machine, and prove that all of it comes back."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
import shutil
import stat
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible.module_utils.archives import (
    RefusedError,
    Repository,
    here,
    manifest_sha256,
    output,
    restored,
    sha256,
    write_private,
)
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.machine import account, fail, local_mounts
from ansible.module_utils.one_at_a_time import WORK, take_over

DOCUMENTATION = r"""
module: home_archive
short_description: Archive what a person leaves on a machine, and prove that all of it comes back
description:
  - An encrypted archive (restic) of a person's home, mail and other files, written to a backup
    server through ssh. The password and the key for ssh exist in C(/run) (memory) and nowhere else
    on the machine; the action plugin makes the password and seals it to the town's key first.
  - C(state=verified) checks the archive's structure, then reads all of it back and compares every
    file with the one on the disk, byte by byte (SHA-256).
options:
  login:
    description: The person's login.
    type: str
    required: true
  state:
    description:
      - V(looked) counts what there is, and makes the key for ssh.
      - V(handed_back) copies the personal folders to the person's stick, and compares.
      - V(archived) makes the archive, V(verified) compares it with what there is.
      - V(unchanged) says whether what was archived is still as it was when it was compared.
      - V(forgotten) destroys password and key.
    type: str
    choices: [looked, handed_back, archived, verified, unchanged, forgotten]
    required: true
  exclude:
    description: Names (shell patterns) that are archived nowhere below the home, such as caches.
    type: list
    elements: str
    default: []
  personal:
    description: Folders right below the home that are the person's own business (shell patterns).
    type: list
    elements: str
    default: []
  personal_to:
    description:
      - Where the person's stick is mounted, for V(handed_back); what it holds is nowhere archived.
    type: path
    default: ""
  with_personal:
    description: Archive them as well.
    type: bool
    default: false
  server:
    description: C(host), C(port), C(user) and C(host_keys) of the backup server.
    type: dict
  archive:
    description: Name of the archive.
    type: str
  password:
    description: Password of the archive. Set by the action plugin.
    type: str
  fingerprint:
    description: What V(verified) answered (for V(unchanged)).
    type: str
  record:
    description: File on the controller that takes the sealed password (for V(archived)).
    type: path
  recipient:
    description: File on the controller with the town's public key (for V(archived)).
    type: path
author: The Nomade authors
attributes:
  check_mode:
    support: none
"""

EXAMPLES = r"""
- name: Look at what the person has left
  home_archive:
    login: mdurand
    state: looked
    exclude: [.cache]
"""

RETURN = r"""
files:
  description: Files that are (to be) archived.
  type: int
  returned: V(looked), V(archived), V(verified)
manifest_sha256:
  description: SHA-256 of the sorted lines "SHA-256  path" of everything in the archive.
  type: str
  returned: V(verified)
"""

# Where files of a person lie that nobody keeps: spools, caches, what runs leave.
FLEETING: tuple[str, ...]
FLEETING = ("/proc", "/sys", "/dev", "/run", "/var/cache", "/var/log", "/var/spool", "/var/lib")
FLEETING += ("/tmp", "/var/tmp")  # noqa: S108 - nothing is written there
STICKS = ("/media/", "/run/media/")


@dataclass
class Found:
    """What there is to archive."""

    roots: list[str] = field(default_factory=list)  # paths given to restic
    excluded: list[str] = field(default_factory=list)
    personal: list[str] = field(default_factory=list)
    home: str = ""
    files: int = 0
    bytes: int = 0
    entries: dict[str, os.stat_result] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return what changes as soon as anything archived changes."""
        digest = hashlib.sha256()
        for path in sorted(self.entries):
            s = self.entries[path]
            line = f"{path}\0{s.st_mode}\0{s.st_size}\0{s.st_mtime_ns}\0{s.st_ctime_ns}\n"
            digest.update(os.fsencode(line))
        return digest.hexdigest()


def owned_elsewhere(uid: int, home: str, personal_to: str = "") -> list[str]:
    """Return the person's files outside their home that somebody may want to keep.

    What is on a stick goes home with its owner: it is not the machine's.
    """
    found: list[str] = []
    for mount in local_mounts():
        if mount in (home, personal_to) or mount.startswith((f"{home}/", *STICKS)):
            continue
        if mount.startswith(tuple(f"{top}/" for top in FLEETING)):
            continue
        left_out = [word for path in (home, *FLEETING) for word in ("-path", path, "-o")][:-1]
        # find(1), because this is every file of the disk
        done = subprocess.run(
            [
                "find",
                mount,
                "-xdev",
                "(",
                *left_out,
                ")",
                "-prune",
                "-o",
                "-uid",
                str(uid),
                "-print0",
                "-prune",
            ],
            capture_output=True,
            check=False,  # a file that went meanwhile is no error
        )
        found += [os.fsdecode(path) for path in done.stdout.split(b"\0") if path]
    return found


def look(params: dict[str, Any]) -> Found:
    """Find everything that is to be archived."""
    found = Found()
    login = params["login"]
    entry = account(login)
    home = found.home = entry.pw_dir if entry else f"/home/{login}"
    mail = Path("/var/mail", login)
    roots = [home] if Path(home).is_dir() else []
    roots += [str(mail)] if mail.is_file() and mail.stat().st_size else []
    roots += owned_elsewhere(entry.pw_uid, home, params["personal_to"]) if entry else []
    for root in roots:
        found.roots.append(root)
        _take(found, root)
        if stat.S_ISDIR(Path(root).lstat().st_mode):
            _walk(found, root, params, is_home=root == home)
    return found


def _take(found: Found, path: str) -> None:
    entry = Path(path).lstat()
    if stat.S_ISREG(entry.st_mode):
        found.files += 1
        found.bytes += entry.st_size
    elif not stat.S_ISDIR(entry.st_mode) and not stat.S_ISLNK(entry.st_mode):
        return  # sockets and pipes: nothing is in them
    found.entries[path] = entry


def _walk(found: Found, root: str, params: dict[str, Any], *, is_home: bool) -> None:
    def matches(name: str, patterns: list[str]) -> bool:
        return any(fnmatch.fnmatchcase(name.casefold(), p.casefold()) for p in patterns)

    device = Path(root).lstat().st_dev
    for folder, names, files in os.walk(root, onerror=_unreadable):
        kept = []
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            if is_home and folder == root and matches(name, params["personal"]):
                found.personal.append(path)
                if not params["with_personal"]:
                    continue
            if is_home and matches(os.path.relpath(path, root), params["exclude"]):
                found.excluded.append(path)
            elif Path(path).lstat().st_dev != device:
                found.excluded.append(path)  # a stick, a share: not this machine's
            else:
                _take(found, path)
                if not Path(path).is_symlink():
                    kept.append(name)
        names[:] = kept
        for name in files:
            _take(found, f"{folder.rstrip('/')}/{name}")


def _unreadable(error: OSError) -> None:
    raise RefusedError(
        f"{error.filename} can't be read ({error.strerror}): nothing was removed;"
        " mend the file system (fsck) or take the disk to somebody who can"
    )


def archive(params: dict[str, Any], repository: Repository) -> dict[str, Any]:
    """Make the archive."""
    found = look(params)
    write_private(repository.password, params["password"] + "\n")
    sources, excluded = repository.work / "sources", repository.work / "excluded"
    write_private(sources, "".join(f"{root}\0" for root in found.roots))
    write_private(excluded, "".join(f"{literal(path)}\n" for path in left_out(found, params)))
    repository.call("init")
    answer = repository.call(
        *("backup", "--json", "--one-file-system", "--host", params["archive"]),
        *("--files-from-raw", str(sources), "--exclude-file", str(excluded)),
    )
    summary = json.loads(answer)
    return {
        "archive": params["archive"],
        "snapshot": summary["snapshot_id"],
        "files": found.files,
        "bytes": found.bytes,
        "stored_bytes": summary["data_added"],
        "left_out": left_out(found, params),
        "home": found.home,
    }


def left_out(found: Found, params: dict[str, Any]) -> list[str]:
    """Return what is not archived."""
    return sorted(found.excluded + ([] if params["with_personal"] else found.personal))


def literal(path: str) -> str:
    """Return a path as a pattern of restic that matches it alone."""
    escaped = "".join(f"\\{c}" if c in "\\*?[]" else c for c in path)
    return escaped.replace("$", "$$")


def hand_back(found: Found, personal_to: str) -> dict[str, Any]:
    """Copy the person's own folders to their stick, and compare."""
    target = Path(personal_to)
    ours = {Path(path).lstat().st_dev for path in ("/", *found.roots)}
    if not target.is_dir() or target.stat().st_dev in ours:
        raise RefusedError(
            f"{target} is on the disk that will be erased: mount the person's stick there first"
        )
    count = 0
    for folder in found.personal:
        for top, names, files in os.walk(folder, onerror=_unreadable):
            copies = target / Path(folder).name / os.path.relpath(top, folder)
            copies.mkdir(parents=True, exist_ok=True)
            # a link holds nothing, and most sticks know none
            names[:] = [name for name in names if not Path(top, name).is_symlink()]
            for one in (Path(top, name) for name in files):
                if one.is_file() and not one.is_symlink():
                    count += 1
                    copy_and_compare(one, copies / one.name)
    return {"handed_back": sorted(found.personal), "handed_back_files": count}


def copy_and_compare(one: Path, copy: Path) -> None:
    """Copy a file, and read it back from where it was copied to rather than from memory."""
    shutil.copyfile(one, copy)
    with copy.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if sha256(one) != sha256(copy):
        raise RefusedError(f"{one} is not the same on {copy}: try another stick")
    with contextlib.suppress(OSError):  # a date is worth no refusal
        os.utime(copy, ns=(one.stat().st_atime_ns, one.stat().st_mtime_ns))


def verify(params: dict[str, Any], repository: Repository) -> dict[str, Any]:
    """Read everything back and compare it with what is on the disk."""
    if not repository.password.exists():
        return {"forgotten": True}  # the machine was switched off since
    repository.call("check")
    before = look(params)
    missing = {path for path, s in before.entries.items() if not stat.S_ISDIR(s.st_mode)}
    differing: list[str] = []
    lines: list[str] = []
    running = repository.start("dump", "--archive", "tar", "latest", "/")
    try:
        for path, digest in restored(output(running)):
            lines.append(f"{digest}  {path}\n")
            missing.discard(path)
            if here(Path(path)) != digest:
                differing.append(path)
    except tarfile.TarError:
        running.kill()
    output(running).close()
    if running.wait() != 0:
        raise RefusedError(repository.why())
    wrong = sorted(differing) + sorted(missing)
    if wrong:
        raise RefusedError(f"{len(wrong)} files differ from the archive, the first is {wrong[0]}")
    after = look(params)
    if after.fingerprint() != before.fingerprint():
        raise RefusedError("somebody works on the machine: files changed while they were compared")
    return {
        "files": before.files,
        "bytes": before.bytes,
        "compared": len(lines),
        "manifest_sha256": manifest_sha256(lines),
        "fingerprint": after.fingerprint(),
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "login": {"type": "str", "required": True},
            "state": {
                "type": "str",
                "required": True,
                "choices": [
                    "looked",
                    "handed_back",
                    "archived",
                    "verified",
                    "unchanged",
                    "forgotten",
                ],
            },
            "exclude": {"type": "list", "elements": "str", "default": []},
            "personal": {"type": "list", "elements": "str", "default": []},
            "personal_to": {"type": "path", "default": ""},
            "with_personal": {"type": "bool", "default": False},
            "server": {"type": "dict"},
            "archive": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "fingerprint": {"type": "str"},
        },
        required_if=[("state", "archived", ("server", "archive", "password"))],
    )
    params = module.params
    handle = take_over()
    repository = Repository(params)
    result: dict[str, Any] = {}
    try:
        if params["state"] == "looked":
            found = look(params)
            result = {
                "account": account(params["login"]) is not None,
                "files": found.files,
                "bytes": found.bytes,
                "roots": found.roots,
                "personal": sorted(found.personal),
                "left_out": left_out(found, params),
                "public_key": repository.public_key(),
            }
        elif params["state"] == "handed_back":
            result = {"changed": True, **hand_back(look(params), params["personal_to"])}
        elif params["state"] == "archived":
            result = {"changed": True, **archive(params, repository)}
        elif params["state"] == "verified":
            result = verify(params, repository)
        elif params["state"] == "unchanged":
            result = {"unchanged": look(params).fingerprint() == params["fingerprint"]}
        else:
            shutil.rmtree(WORK)
            result = {"changed": True}
    except (RefusedError, OSError) as error:
        fail(module, str(error))
    os.close(handle)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
