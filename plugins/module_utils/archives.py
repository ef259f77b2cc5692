# SPDX-License-Identifier: MIT
"""An archive of a person's files at the backup server (restic), as a laptop sees it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Optional, Tuple, cast

from ansible.module_utils.one_at_a_time import WORK

# A target that is full or gone: restic itself would try again for a quarter of an hour.
MOST_RETRIES = 10


class RefusedError(Exception):
    """Why it can't be, in one sentence."""


def output(running: subprocess.Popen[bytes]) -> IO[bytes]:
    """Return what a program prints, to be read."""
    return cast("IO[bytes]", running.stdout)


class Repository:
    """An archive at the backup server, through an ssh key of its own."""

    def __init__(self, params: dict[str, Any], work: Path = WORK) -> None:
        """Write down how to get there."""
        self.work, self.server = work, params["server"] or {}
        self.password = work / "password"
        self.key = work / "id_ed25519"

    def public_key(self) -> str:
        """Return the public half of the key for ssh, made here where there is none."""
        if not self.key.exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "nomade", "-f", self.key],
                check=True,
            )
        return self.key.with_suffix(".pub").read_text(encoding="ascii").strip()

    def options(self) -> list[str]:
        """Return restic's options: rclone at the other end, ssh in between."""
        names = self.work / "known_hosts"
        lines = [f"archive {key}\n" for key in self.server["host_keys"]]
        names.write_text("".join(lines), encoding="ascii")
        ssh = [
            *("ssh", "-F", "/dev/null", "-i", str(self.key), "-p", str(self.server["port"])),
            *("-o", f"UserKnownHostsFile={names}", "-o", "HostKeyAlias=archive"),
            *("-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes"),
            *("-o", "BatchMode=yes", "-o", "ConnectTimeout=10"),
            *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
            f"{self.server['user']}@{self.server['host']}",
        ]
        return [
            *("--repo", "rclone:archive", "--no-cache"),
            *("--password-file", str(self.password)),
            *("--option", f"rclone.program={' '.join(ssh)}", "--option", "rclone.args=restic"),
        ]

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Start restic."""
        try:
            return subprocess.Popen(
                ["restic", *self.options(), *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=(self.work / "said").open("wb"),
                close_fds=False,  # the lock goes along
                env={"PATH": os.environ["PATH"], "HOME": str(self.work), "LC_ALL": "C.UTF-8"},
            )
        except FileNotFoundError:
            raise RefusedError("restic is not installed on this machine") from None

    def said(self) -> list[str]:
        """Return what restic has complained about."""
        text = (self.work / "said").read_text(encoding="utf-8", errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip()]

    def watch(self, running: subprocess.Popen[bytes]) -> bytes:
        """Read restic's output to its end; end it where it would go on trying for ever."""
        last = b""
        for line in output(running):
            last = line if line.strip() else last
            if sum("retrying after" in said for said in self.said()) >= MOST_RETRIES:
                running.kill()
                break
        if running.wait() != 0:
            raise RefusedError(self.why())
        return last

    def why(self) -> str:
        """Return what went wrong, as the server or else restic said it."""
        said = self.said()
        for mark in ("ERROR :", "Fatal:", "ssh:", "error", "retrying after"):
            for line in said:
                if mark in line:
                    return line.rsplit(mark, 1)[-1].strip(" :") if mark[0] in "EF" else line
        return said[-1] if said else "restic ended without a word"

    def call(self, *words: str) -> bytes:
        """Run restic to its end and return the last line of its output."""
        return self.watch(self.start(*words))


def write_private(path: Path, content: str) -> None:
    """Write a file for root alone."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(os.fsencode(content))


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def here(path: Path) -> str:
    """Return what the disk has at a path, in the words of `restored`."""
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return sha256(path) if path.is_file() else ""


def members(stream: IO[bytes]) -> Iterator[Tuple[str, tarfile.TarInfo, Optional[IO[bytes]]]]:
    """Yield everything of an archive as it comes back: path, what it is, content of a file."""
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as tar:
        for member in tar:
            yield (
                "/" + member.name.strip("/"),
                member,
                tar.extractfile(member) if member.isreg() else None,
            )


def digest(
    path: str, member: tarfile.TarInfo, content: Optional[IO[bytes]], links: "dict[str, str]"
) -> str:
    """Return what an archived file or link holds, in the words of `here`; `links` remembers it."""
    if member.issym():
        return "-> " + member.linkname
    if member.islnk():
        return links["/" + member.linkname.strip("/")]
    if content is None:
        return ""
    links[path] = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    return links[path]


def restored(stream: IO[bytes]) -> Iterator[Tuple[str, str]]:
    """Yield each path of an archive as it comes back, with the digest of what is in it."""
    links: "dict[str, str]" = {}
    for path, member, content in members(stream):
        if held := digest(path, member, content, links):
            yield path, held


def manifest_sha256(lines: "list[str]") -> str:
    """Return the digest of the sorted lines "SHA-256  path", which the certificate names."""
    return hashlib.sha256(os.fsencode("".join(sorted(lines, key=os.fsencode)))).hexdigest()
