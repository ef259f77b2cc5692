"""Make the account for the machine's own keyboard; its password is born here, on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from nomade.sealed import SealError, new_sealed


class ActionModule(ActionBase):
    """Run the module; where a password is needed, seal one and run it again."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Do it in one call of the module where the password is set, in two where it is made."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        record, recipient = Path(str(args.pop("record"))), Path(str(args.pop("recipient")))
        renew = bool(args.pop("renew", False))
        if args.pop("password_hash", None):
            raise AnsibleActionFail("password_hash is for the plugin's own use; leave it out")
        # A renewed password waits beside the old one until the machine has it: were the run killed
        # in between, the record in force would not be lost.
        waiting = record.with_name(f"{record.name}.new")
        result = self._module(args, task_vars)
        needed = renew or not result.get("password_set") or not record.exists() or waiting.exists()
        if result.get("failed") or not needed:
            return result
        if self._task.check_mode:
            return {**result, "changed": True}
        target = waiting if record.exists() else record
        try:
            # The record is on disk before the machine hears of the password.
            args["password_hash"] = new_sealed(recipient, target)
        except SealError as error:
            raise AnsibleActionFail(str(error)) from None
        result = self._module(args, task_vars)
        if not result.get("failed") and target is waiting:
            waiting.replace(record)
        return result

    def _module(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name="console_account", module_args=args, task_vars=task_vars
        )
        return result
