"""Choose the archive that goes to a machine, and write the journal of it. Controller only.

- name: Find the archive, and prove that it can be opened
  restore_journal:
    town: "{{ nomade_town_dir }}"
    asset: vb-0043
    identity: ~/.config/nomade/my-town.age-identity
    event: look            # look; then: begin, restored, refused

The result holds nothing secret: the town's private key is only tried, and never leaves this place.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import register, restores, returns, table
from nomade.restores import Archive, Order, RestoreError

REFUSED = (RestoreError, returns.ReturnError, register.ChangeError, table.TableError)


class ActionModule(ActionBase):
    """One event."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"archive", "asset", "event", "facts", "identity", "overwrite", "town"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write it down."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = {name: str(self._task.args.get(name) or "") for name in self._VALID_ARGS}
        town = Path(arguments["town"])
        order = Order(*(arguments[name] for name in ("asset", "identity", "archive", "overwrite")))
        known = (task_vars or {}).get("nomade_restore") or {}
        run = str(known.get("run") or secrets.token_hex(4))
        try:
            archive = restores.chosen(town, order)
            path = self._act(town, order, archive, run)
        except (*REFUSED, OSError) as error:
            return {**known, **result, "failed": True, "msg": returns.told(error)}
        return {
            **result,
            "changed": False,  # a record, and no part of any machine
            "run": run,
            "archive": archive.name,
            "from": archive.asset,
            "login": archive.login,
            "person": archive.person or archive.login,
            "home": archive.home,
            "snapshot": archive.facts["snapshot"],
            "server": archive.facts["server"],
            "manifest_sha256": archive.manifest_sha256,
            "record": str(archive.record),
            "journal": path,
        }

    def _act(self, town: Path, order: Order, archive: Archive, run: str) -> str:
        event, facts = self._task.args["event"], dict(self._task.args.get("facts") or {})
        if event == "look" or self._task.check_mode:
            return ""
        if event == "begin":
            return str(restores.begin(town, order, archive, run, **facts))
        return str(restores.end(town, order, archive, run, event, **facts))
