# SPDX-License-Identifier: MIT
"""One run at a time on a machine: the newer one ends what a killed run has left working."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

WORK = Path("/run/nomade-return")


def take_over(work: Path = WORK, seconds: float = 30) -> int:
    """Hold the lock of a return for as long as this process lives, and return its descriptor.

    A controller that was killed leaves its half at work on the machine. It is ended with
    everything that it started, because whoever types the command again wants a known state.
    """
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(work / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(handle, True)  # it is held for as long as a child of ours works
    ends = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > ends:
                raise
            end_group(os.pread(handle, 32, 0).decode())
            time.sleep(0.1)
    # a group of its own, so that children can be found and ended
    with contextlib.suppress(PermissionError):  # it leads its session already
        os.setsid()
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpgrp()).encode(), 0)
    return handle


def end_group(group: str) -> None:
    """Kill a group of processes that left its number behind."""
    if group.isdigit() and int(group) > 1:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(group), signal.SIGKILL)
