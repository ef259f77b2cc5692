"""Archive a person's home; the password is born here, and kept sealed to the town's key alone."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from nomade import sealed

# What happens on the controller; the rest of the arguments are the module's.
OWN = ("record", "recipient")


class ActionModule(ActionBase):
    """One module call; before an archive, its password's record is on disk for good."""

    TRANSFERS_FILES = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make and seal the password where an archive is made, and call the module."""
        super().run(tmp, task_vars)
        arguments = {k: v for k, v in self._task.args.items() if k not in OWN}
        if arguments.pop("password", None):
            raise AnsibleActionFail("password is for the plugin's own use; leave it out")
        sealed_text = ""
        if arguments.get("state") == "archived":
            record, recipient = (self._task.args.get(name) for name in OWN)
            if not record or not recipient:
                raise AnsibleActionFail("home_archive: record and recipient are required")
            arguments["password"] = secrets.token_urlsafe(32)
            try:
                sealed.seal(arguments["password"], Path(recipient), Path(record))
            except sealed.SealError as error:
                raise AnsibleActionFail(str(error)) from None
            sealed_text = Path(record).read_text(encoding="ascii")
        result: dict[str, Any] = self._execute_module(
            module_name="home_archive", module_args=arguments, task_vars=task_vars
        )
        if not result.get("failed") and arguments.get("state") == "archived":
            # what verifying needs, and what the certificate says
            facts = ("archive", "snapshot", "files", "bytes", "stored_bytes", "left_out", "home")
            result["kept"] = {name: result[name] for name in facts}
            result["kept"] |= {"server": arguments["server"], "sealed": sealed_text}
        return result
