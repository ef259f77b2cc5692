"""Make or adopt a person's account; a new one's first password is born here, on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from nomade.sealed import SealError, new_sealed


class ActionModule(ActionBase):
    """Run the module; where it asks for a first password, seal one and run it again."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Do it in one call of the module where the account exists, in two where it is made."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        record, recipient = args.pop("record", None), args.pop("recipient", None)
        if args.pop("password_hash", None):
            raise AnsibleActionFail("password_hash is for the plugin's own use; leave it out")
        if not record or not recipient:
            raise AnsibleActionFail("account: record and recipient are required")

        result = self._module(args, task_vars)
        if result.get("failed") or not result.get("password_needed") or self._task.check_mode:
            return result
        try:
            # The record is on disk before the machine hears of the password; a note that an
            # earlier one was replaced (first_password_record.yml) is no longer true.
            Path(record).with_suffix(".changed").unlink(missing_ok=True)
            args["password_hash"] = new_sealed(Path(recipient), Path(record))
        except SealError as error:
            raise AnsibleActionFail(str(error)) from None
        return self._module(args, task_vars)

    def _module(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(
            module_name="account", module_args=args, task_vars=task_vars
        )
        return result
