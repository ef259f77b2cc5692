"""Write down each change of a run, one JSON list a line: the machine, and what changed on it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: changes
type: aggregate
short_description: write down each change of a run
description: One JSON list a line into the file that the environment variable CHANGES names.
"""

# What the result of the module rootfs says.
LISTS = ("installed", "removed", "enabled", "disabled", "restarted")


def details(result: dict[str, Any]) -> Iterator[str]:
    """Name what a result changed, as far as it says so."""
    for entry in result.get("results", [result]):
        if entry.get("changed"):
            yield from (f"{name} {one}" for name in LISTS for one in entry.get(name, []))


class CallbackModule(CallbackBase):
    """Look at each result."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "changes"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result: Any) -> None:
        """Write a changed one down."""
        if not result.is_changed():
            return
        delegated = result.result.get("_ansible_delegated_vars", {})
        machine = delegated.get("ansible_delegated_host") or result.host.get_name()
        # In check mode each role that needs a directory announces it: by whom doesn't count.
        with Path(os.environ["CHANGES"]).open("a", encoding="utf-8") as stream:
            for what in [result.task.get_name(), *details(result.result)]:
                stream.write(json.dumps([machine, what]) + "\n")
