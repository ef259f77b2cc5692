"""Keep the sheets of a town's people up to date. Controller only: no machine is contacted.

- name: Make the sheets
  handout:
    town: {name: Valbourg, hotline: "+33 1 99 00 42 42", language: fr, ...}
    everyone: [{asset: vb-0001, name: ..., login: ...}, ...]  # all who have a sheet
    machines: [vb-0001]  # those whom this run is about
    records: inventories/valbourg/records
    templates: roles/handout/templates
    directory: var/valbourg/handout
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.utils.display import Display

from nomade import handout
from nomade.handout_action import HandoutAction
from nomade.handout_page import Sheet, Town
from nomade.i18n import tr


class ActionModule(HandoutAction):
    """Make what has to be made again."""

    _VALID_ARGS = frozenset({"town", "everyone", "machines", "records", "templates", "directory"})

    def make(self, town: Town, asked: Mapping[str, Any], *, dry: bool) -> dict[str, Any]:
        """Make the sheets and lists."""
        workshop = handout.Workshop(
            templates=Path(asked["templates"]),
            directory=Path(asked["directory"]),
            town=town,
            everyone=[sheet(facts, Path(asked["records"])) for facts in asked["everyone"]],
            assets=frozenset(asked["machines"]),
            progress=Progress().show,
        )
        outcome = workshop.run(dry=dry)
        Display().display(outcome.summary(), color=constants.COLOR_OK)
        return {
            "changed": outcome.changed,
            "written": list(outcome.written),
            "removed": list(outcome.removed),
        }


def sheet(facts: Mapping[str, Any], records: Path) -> Sheet:
    """Return what is known of a person's machine; a slip exists while its record does."""
    texts = {name: str(facts[name]) for name in facts if name != "large_print"}
    record = records / "first-passwords" / f"{texts['asset']}.age"
    return Sheet(**texts, large_print=facts["large_print"] is True, first_password=record.is_file())


class Progress:
    """A line now and then: layout takes a while, and silence makes people stop a run."""

    def __init__(self, seconds: float = 2.0) -> None:
        """Begin to wait."""
        self._seconds = seconds
        self._next = time.monotonic() + seconds

    def show(self, done: int, total: int) -> None:
        """Say how far it is."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + self._seconds
            Display().display(tr(f"   {done} of {total} files", f"   {done} fichiers sur {total}"))
