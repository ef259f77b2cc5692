"""Give a person's files back; the archive's password is opened here, by the town's private key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import sealed

# What happens on the controller; the rest of the arguments are the module's.
OWN = ("record", "identity")


class ActionModule(ActionBase):
    """One module call. The key stays here; the password is in the module's input alone."""

    TRANSFERS_FILES = False

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Open the record where an archive is read, and call the module."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = {k: v for k, v in self._task.args.items() if k not in OWN}
        if arguments.pop("password", None):
            return {**result, "failed": True, "msg": "password is for the plugin's own use"}
        if self._task.args.get("record"):
            record, identity = (Path(str(self._task.args[name])).expanduser() for name in OWN)
            try:
                arguments["password"] = sealed.unseal(record, identity)
            except sealed.SealError as error:
                return {**result, "failed": True, "msg": str(error)}
        done: dict[str, Any] = self._execute_module(
            module_name="home_restored", module_args=arguments, task_vars=task_vars
        )
        return done
