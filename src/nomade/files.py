"""How a town's files are written: one writer at a time, and whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


class ChangedMeanwhileError(Exception):
    """A file is no longer what was read of it: somebody else wrote it, and it stays theirs."""


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a directory for one writer at a time; a process that dies lets go of it."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def replace(path: Path, content: bytes, mode: int, expected: bytes | None = None) -> None:
    """Write a file so that a reader, or a crash, finds the old one or the new one.

    The directory must exist. A link at the path is replaced: resolve it first to follow it.
    Where `expected` is given, a file that holds something else by now is left alone: an editor
    knows nothing of our lock.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    staged = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        if expected is not None and path.read_bytes() != expected:
            raise ChangedMeanwhileError(path)
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def mode_of(path: Path, new: int = 0o644) -> int:
    """Return the mode that a file has, or the one for a new file."""
    return path.stat().st_mode & 0o777 if path.exists() else new
