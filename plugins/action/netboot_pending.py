"""Bring what unknown machines said of themselves to where `fleet pending` reads it.

- name: Fetch the announcements
  netboot_pending:
    directory: "{{ nomade_var_dir }}/pending"

Runs on the netboot server. What has not the shape of an announcement is left there, and named by
its file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from nomade import pending
from nomade.register import bare


class ActionModule(ActionBase):
    """Ask the server, check, write."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"directory"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return how many were new, and which were refused."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        done = self._low_level_execute_command("/usr/sbin/nomade-netboot pending")
        if done["rc"] != 0:
            raise AnsibleActionFail(done["stderr"].strip() or done["stdout"].strip())
        directory = Path(str(self._task.args["directory"]))
        known, _ = pending.read(directory)
        new, refused = 0, []
        for said in json.loads(done["stdout"]):
            try:
                announcement = pending.parse(_file(said), json.dumps(said).encode())
            except pending.PendingError as error:
                refused.append(str(error))
                continue
            if announcement not in known:
                new += 1
                if not self._task.check_mode:
                    pending.write(directory, announcement)
        result.update(changed=new > 0, new=new, refused=refused)
        return result


def _file(said: dict[str, Any]) -> str:
    """Return where the server keeps it: by what it says, which may be anything."""
    macs = said.get("mac_addresses")
    first = macs[0] if isinstance(macs, list) and macs else ""
    key = bare(str(said.get("serial_number") or "")) or bare(str(first))
    return f"/var/lib/nomade-netboot/pending/{key}.json"
