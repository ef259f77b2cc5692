"""Print lines to the person at the keyboard, as they are. Controller only.

- name: Say what comes next
  say:
    lines: ["vb-017: fit to be handed out"]
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    """Like debug, without the YAML around it."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"lines"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Print."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        # One call: the lines of two machines don't mix.
        Display().display("\n".join(str(line) for line in self._task.args["lines"]))
        result["changed"] = False
        return result
