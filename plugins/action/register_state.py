"""Write into the register what a machine is now. Controller only: no machine is contacted.

- name: It can be given to somebody
  register_state:
    town: "{{ nomade_town_dir }}"
    state: stock
    was: [recovered, quarantined]     # left alone in any other state

An error is one sentence: the register is faulty, open in a spreadsheet, or refuses that step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import register, table


class ActionModule(ActionBase):
    """Look the machine's line up, and change its state."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"state", "town", "was"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Change it, where it is in one of those states."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        asset, town = str(variables["inventory_hostname"]), Path(self._task.args["town"])
        dry = bool(self._task.check_mode)
        result["changed"] = False
        try:
            lines = register.read_register(town / register.FILE)
            now = next((line.state for line in lines if line.asset_tag == asset), "")
            if now in self._task.args["was"]:
                edit = register.change(town, asset, str(self._task.args["state"]), dry_run=dry)
                result["changed"] = edit.is_changed
        except (register.ChangeError, table.TableError) as error:
            result.update(failed=True, msg=str(error))
        return result
