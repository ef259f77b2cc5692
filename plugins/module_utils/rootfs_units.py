# SPDX-License-Identifier: MIT
"""The service manager for rootfs: few questions, several units in each."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from ansible.module_utils.rootfs_files import RootfsError

Properties = dict[str, str]


def command(*words: str, timeout: int | None = None) -> tuple[int, str]:
    """Run a command of the system; return its exit code and all that it said."""
    path = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"
    program = shutil.which(words[0], path=path)
    if program is None:
        return 127, f"{words[0]} is not installed"
    with subprocess.Popen(
        [program, *words[1:]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PATH": path, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0"},
        start_new_session=True,
    ) as process:
        try:
            said = process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
            return 124, f"no answer within {timeout} seconds"
    return process.returncode, said.decode(errors="replace").strip()


class Systemd:
    """The running manager, or the unit files of an image, where there is none."""

    ENABLED = ("enabled", "static", "alias", "indirect", "generated", "transient")
    ASKED = (
        "LoadState,ActiveState,SubState,UnitFileState,Type,RemainAfterExit,"
        "ConditionResult,ConditionTimestampMonotonic"
    )

    def __init__(self, root: Path) -> None:
        """Find out whether there is a running manager."""
        self.running = root == Path("/") and Path("/run/systemd/system").is_dir()
        self.offline = [] if self.running else [f"--root={root}"]

    def order(self, *words: str) -> tuple[int, str]:
        """Give one order; return the exit code and what was said."""
        return command("systemctl", *self.offline, *words)

    def show(self, units: Iterable[str]) -> dict[str, Properties]:
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
        pairs = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
        return dict(zip(names, pairs))  # noqa: B905 (strict= is newer than the machines' Python)

    def give(self, order: str, *units: str) -> None:
        """Give one order for several units, or fail with the last words of those that failed."""
        code, said = self.order(order, *units)
        if code:
            raise RootfsError(" ".join(["systemctl", order, *units]) + f": {said}{self.why(units)}")

    def why(self, units: Iterable[str]) -> str:
        """Return the last words of the units that failed."""
        states = self.show(units) if self.running else {}
        return "".join(self.last_words(unit) for unit, now in states.items() if self.failed(now))

    @staticmethod
    def last_words(unit: str) -> str:
        """Return the end of a unit's journal."""
        said = command("journalctl", "-u", unit, "-n", "10", "--no-pager", "-o", "cat")[1]
        return f"\nThe journal of {unit} ends with:\n{said}"

    @staticmethod
    def failed(now: Properties) -> bool:
        """Say whether a unit that was to run doesn't."""
        return now.get("ActiveState") == "failed" or now.get("SubState") == "auto-restart"

    @classmethod
    def is_up(cls, now: Properties) -> bool:
        """Say whether a unit is enabled, and runs or rightly rests."""
        enabled = now.get("UnitFileState") in cls.ENABLED
        return enabled and (cls.active(now) or cls.rests(now))

    @staticmethod
    def active(now: Properties) -> bool:
        """Say whether a unit runs, or is on its way."""
        return now.get("ActiveState") in ("active", "activating", "reloading")

    @staticmethod
    def rests(now: Properties) -> bool:
        """Say whether an enabled unit is rightly inactive: done, or not wanted on this machine."""
        done = now.get("Type") == "oneshot" and now.get("RemainAfterExit") == "no"
        tried = now.get("ConditionTimestampMonotonic", "0") != "0"
        return done or (tried and now.get("ConditionResult") == "no")
