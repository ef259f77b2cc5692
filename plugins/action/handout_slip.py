"""Print the slip with one person's first password. Controller only: no machine is contacted.

- name: Print the slip
  handout_slip:
    town: {name: Valbourg, hotline: "+33 1 99 00 42 42", language: fr, ...}
    facts: {asset: vb-0001, name: ..., login: ...}
    records: inventories/valbourg/records
    identity: ~/.config/nomade/valbourg.age-identity
    templates: roles/handout/templates
    directory: var/valbourg/slips
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from nomade import handout, handout_slip
from nomade.handout_page import Pages, Sheet, Town
from nomade.i18n import tr


class ActionModule(ActionBase):
    """Run on the controller, once, without a connection. The result holds nothing secret."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"town", "facts", "records", "identity", "templates", "directory"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Open the record, and write the slip."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        town = Town(**arguments["town"])
        facts = arguments["facts"]
        sheet = Sheet(str(facts["asset"]), str(facts["name"]), str(facts["login"]))
        directory = Path(arguments["directory"])
        try:
            if faults := list(handout.faults_of(town, [sheet])):
                raise handout.HandoutError(faults)
            record = Path(arguments["records"]) / "first-passwords" / f"{sheet.asset}.age"
            password = handout_slip.unseal(record, Path(arguments["identity"]).expanduser())
            pages = Pages(Path(arguments["templates"]), town)
            changed = handout_slip.make(
                pages, sheet, password, directory, dry=self._task.check_mode
            )
        except (handout.HandoutError, handout_slip.SlipError) as error:
            # Shown here, because the task is under no_log, which hides the message as well.
            Display().display(str(error), color=constants.COLOR_ERROR)
            return {**result, "failed": True, "msg": str(error)}
        path = directory / f"{sheet.asset}.pdf"
        Display().display(
            tr(
                f"Slip: {path}. Print it for {sheet.name}, then: shred --remove {path}",
                f"Papier : {path}. L'imprimer pour {sheet.name}, puis : shred --remove {path}",
            ),
            color=constants.COLOR_OK,
        )
        return {**result, "changed": changed}
