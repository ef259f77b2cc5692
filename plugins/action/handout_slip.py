"""Print the slip with one person's first secrets. Controller only: no machine is contacted.

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

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.utils.display import Display

from nomade import handout, handout_slip
from nomade.handout_action import HandoutAction
from nomade.handout_page import Pages, Sheet, Town
from nomade.i18n import tr


class ActionModule(HandoutAction):
    """Open the record and write the slip. The result holds nothing secret."""

    _VALID_ARGS = frozenset({"town", "facts", "records", "identity", "templates", "directory"})

    def make(self, town: Town, asked: Mapping[str, Any], *, dry: bool) -> dict[str, Any]:
        """Make the slip, and say what to do with it."""
        facts, directory = asked["facts"], Path(asked["directory"])
        sheet = Sheet(str(facts["asset"]), str(facts["name"]), str(facts["login"]))
        if faults := list(handout.faults_of(town, [sheet])):
            raise handout.HandoutError(faults)
        password, disk = handout_slip.unseal_both(
            Path(asked["records"]), sheet.asset, Path(asked["identity"]).expanduser()
        )
        pages = Pages(Path(asked["templates"]), town)
        changed = handout_slip.make(pages, sheet, password, directory, disk=disk, dry=dry)
        path = directory / f"{sheet.asset}.pdf"
        Display().display(
            tr(
                f"Slip: {path}. Print it for {sheet.name}, then: shred --remove {path}",
                f"Papier : {path}. L'imprimer pour {sheet.name}, puis : shred --remove {path}",
            ),
            color=constants.COLOR_OK,
        )
        return {"changed": changed}

    def tell(self, fault: str) -> None:
        """Show it here, because the task is under no_log, which hides the message as well."""
        Display().display(fault, color=constants.COLOR_ERROR)
