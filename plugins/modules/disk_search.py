#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Search every file of a machine's disks for what names a person."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import stat
import subprocess
import unicodedata
import urllib.parse
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.machine import LOCAL, local_mounts

DOCUMENTATION = r"""
module: disk_search
short_description: Search every file of a machine's disks for what names a person
description:
  - Reads every file of every local file system, and what is packed with gzip, bzip2, xz and zip,
    and looks at the names of files and at what links lead to.
  - A file that a Debian package brought and that is still as the package brought it holds nobody's
    data, whatever words it has.
options:
  words:
    description: What to look for. Upper and lower case are the same; a word within a word is none.
    type: list
    elements: str
    required: true
  skip:
    description: Paths that are not searched.
    type: list
    elements: str
    default: []
  stick:
    description: Where a stick is mounted that is not the machine's. Without a mount it is searched.
    type: path
    default: ""
author: The Nomade authors
attributes:
  check_mode:
    support: full
"""

EXAMPLES = r"""
- name: Search the disks for the person
  disk_search:
    words: [mdurand, Marie Durand, marie.durand@example.org]
"""

RETURN = r"""
found:
  description: Paths in which, or in whose names, something was found.
  type: list
  returned: always
files:
  description: How many files were read.
  type: int
  returned: always
bytes:
  description: How many bytes they hold.
  type: int
  returned: always
unreadable:
  description: Paths that could not be read.
  type: list
  returned: always
"""

SEARCHED = LOCAL | {"ntfs", "ntfs3"}
BLOCK = 8 << 20
LONG_ENOUGH = 5
OPENERS: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
ZIPPED = (".zip", ".odt", ".ods", ".odp", ".docx", ".xlsx", ".pptx", ".jar", ".epub")


def spellings(word: str) -> set[bytes]:
    """Return how a word is written in files: encodings, forms of accents, addresses of pages."""
    found: set[bytes] = set()
    for form in ("NFC", "NFD"):
        text = unicodedata.normalize(form, word)
        for case in (text, text.lower(), text.upper()):
            found |= {case.encode(), case.encode("utf-16-le")}
            found |= {urllib.parse.quote(case).encode(), urllib.parse.quote_plus(case).encode()}
            if form == "NFC":
                found.add(case.encode("latin-1", "replace"))
    return {spelling for spelling in found if spelling}


WORD = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz_")


class Search:
    """What is looked for, and whether a file has it."""

    def __init__(self, words: Iterable[str]) -> None:
        """Prepare the spellings; bytes.find is twenty times as fast as a pattern."""
        self.needles = sorted({s.lower() for word in words for s in spellings(word)})
        self.longest = max(map(len, self.needles)) + 2

    def in_bytes(self, text: bytes) -> bool:
        """Say whether a text has one of the words, but not within a longer word.

        What stands beside a word in a binary file (IPP, a database) may be a length or a tag that
        looks like a letter: there the words that are long enough count anywhere.
        """
        binary = b"\0" in text
        text = text.lower()
        for needle in self.needles:
            start = text.find(needle)
            while start >= 0:
                around = (
                    text[max(start - 1, 0) : start],
                    text[start + len(needle) : start + len(needle) + 1],
                )
                if binary and len(needle) >= LONG_ENOUGH:
                    return True
                if not any(end and end[0] in WORD for end in around):
                    return True
                start = text.find(needle, start + 1)
        return False

    def in_stream(self, stream: IO[bytes]) -> bool:
        """Say whether a stream has one of the words."""
        kept = b""
        while block := stream.read(BLOCK):
            text = kept + block
            # at a cut between two blocks a word may look shorter than it is: better one too many
            if self.in_bytes(text):
                return True
            kept = text[-self.longest :]
        return False

    def in_name(self, path: str) -> bool:
        """Say whether a name has one of the words."""
        return self.in_bytes(os.fsencode(path))

    def in_file(self, path: str) -> bool:
        """Say whether a file has one of the words, packed or not."""
        with Path(path).open("rb", buffering=0) as file:
            if self.in_stream(file):
                return True
        opener = OPENERS.get(Path(path).suffix.lower())
        if opener:
            try:
                with opener(path, "rb") as unpacked:
                    return self.in_stream(unpacked)
            except (OSError, EOFError, lzma.LZMAError):
                return False  # its name promises what it isn't
        if path.lower().endswith(ZIPPED):
            try:
                with zipfile.ZipFile(path) as archive:
                    return any(self.in_member(archive, info) for info in archive.infolist())
            except (zipfile.BadZipFile, NotImplementedError, OSError):
                return False
        return False

    def in_member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
        """Say whether a member of an archive has one of the words; a locked one is named only."""
        if self.in_name(info.filename) or info.flag_bits & 1:
            return self.in_name(info.filename)
        with archive.open(info) as member:
            return self.in_stream(member)


def walk(root: str, skip: list[str], unreadable: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything of one file system."""
    device = Path(root).lstat().st_dev

    def note(error: OSError) -> None:
        unreadable.append(str(error.filename))

    for folder, names, files in os.walk(root, onerror=note):
        kept = []
        for name in names:
            path = f"{folder.rstrip('/')}/{name}"
            entry = Path(path).lstat()
            if path not in skip and entry.st_dev == device:
                yield path, entry
                if not stat.S_ISLNK(entry.st_mode):
                    kept.append(name)
        names[:] = kept
        for name in files:
            path = f"{folder.rstrip('/')}/{name}"
            try:
                entry = Path(path).lstat()
            except FileNotFoundError:
                continue
            # a file is on the device of its folder, but for one that is mounted over it
            if path not in skip and entry.st_dev == device:
                yield path, entry


def is_as_packaged(path: str) -> bool:
    """Say whether a Debian package brought a file and it is still the same (dpkg's MD5 sums)."""
    owner = subprocess.run(
        ["dpkg-query", "--search", path], capture_output=True, text=True, check=False
    )
    packages = owner.stdout.rsplit(": ", 1)[0].split(", ") if owner.returncode == 0 else []
    for package in packages:
        for name in (package, package.split(":")[0]):
            sums = Path(f"/var/lib/dpkg/info/{name}.md5sums")
            if sums.is_file() and _is_listed(path, sums):
                return True
    return False


def _is_listed(path: str, sums: Path) -> bool:
    """Say whether a file has the sum that a package lists for it."""
    for line in sums.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if "/" + name == path:
            content = Path(path).read_bytes()
            return hashlib.md5(content, usedforsecurity=False).hexdigest() == digest
    return False


def search(words: list[str], skip: list[str], stick: str = "") -> dict[str, Any]:
    """Search everything."""
    look = Search(words)
    found: list[str] = []
    unreadable: list[str] = []
    count = size = 0
    for root in (mount for mount in local_mounts(SEARCHED) if mount != stick):
        for path, entry in walk(root, skip, unreadable):
            hit = look.in_name(path.rpartition("/")[2])
            try:
                if stat.S_ISLNK(entry.st_mode):
                    hit = hit or look.in_name(str(Path(path).readlink()))
                elif stat.S_ISREG(entry.st_mode):
                    count += 1
                    size += entry.st_size
                    hit = hit or look.in_file(path)
            except FileNotFoundError:
                continue  # gone meanwhile
            except OSError:
                unreadable.append(path)
            if hit and not (stat.S_ISREG(entry.st_mode) and is_as_packaged(path)):
                found.append(path)
    return {"found": found, "unreadable": unreadable, "files": count, "bytes": size}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            # no_log: what a module is called with goes to the journal, and there it would be found
            "words": {"type": "list", "elements": "str", "required": True, "no_log": True},
            "skip": {"type": "list", "elements": "str", "default": []},
            "stick": {"type": "path", "default": ""},
        },
        supports_check_mode=True,
    )
    words = [word for word in module.params["words"] if len(word) > 2]
    if not words:
        module.fail_json(msg="nothing to search for: every word has fewer than three letters")
    module.exit_json(changed=False, **search(words, module.params["skip"], module.params["stick"]))


if __name__ == "__main__":
    main()
