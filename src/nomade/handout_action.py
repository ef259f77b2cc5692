"""What the actions of the handout share: they run on the controller, once, and fail with a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase

from nomade.handout import HandoutError
from nomade.handout_page import Town
from nomade.handout_slip import SlipError


class HandoutAction(ActionBase):
    """Contacts no machine, whatever the hosts of the play."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Do what the task asks for, and return what came of it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        asked = self._task.args
        try:
            return {**result, **self.make(Town(**asked["town"]), asked, dry=self._task.check_mode)}
        except (HandoutError, SlipError) as error:
            self.tell(str(error))
            return {**result, "failed": True, "msg": str(error)}

    def make(self, town: Town, asked: Mapping[str, Any], *, dry: bool) -> dict[str, Any]:
        """Make it; each action's own."""
        raise NotImplementedError

    def tell(self, fault: str) -> None:
        """Show a fault, where the task's result cannot."""
