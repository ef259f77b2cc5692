"""Refuse machines that may not be rebuilt, before anything is ordered. Controller only.

- name: Find the machines in the register
  rebuild_order:
    asset: "{{ asset | default('') }}"      # one, or several with commas
    wipe: "{{ wipe | default('') }}"        # serial numbers: erase whatever their disks hold
    watch: "{{ watch is defined }}"         # order nothing, watch what has been ordered

The result's `orders` is a list of {asset, serial, wipe}, its `assets` all asset tags.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from nomade import enrolment, rebuild
from nomade.i18n import tr


class ActionModule(ActionBase):
    """Look the asset tags up in the inventory."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"asset", "watch", "wipe"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return an order for each machine, or say what to do."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        assets, wipe = (self._words(name) for name in ("asset", "wipe"))
        hosts = variables["groups"]["all"]
        result["changed"] = False
        if not assets:
            result.update(
                failed=True,
                msg=tr(
                    "which machine? add -e asset=ASSET-TAG",
                    "quelle machine ? ajoutez -e asset=NUMÉRO-D'INVENTAIRE",
                ),
            )
            return result
        try:
            if unknown := [tag for tag in assets if tag not in hosts]:
                town = variables["hostvars"][hosts[0]].get("inventory_dir") if hosts else None
                where = Path(str(town or "inventories/<town>"))
                raise rebuild.RebuildError(enrolment.not_in_register(unknown[0], where))
            watch = boolean(self._task.args.get("watch", False))
            orders = [] if watch else rebuild.orders(assets, variables["hostvars"], wipe)
        except rebuild.RebuildError as error:
            result.update(failed=True, msg=str(error))
            return result
        result.update(assets=assets, orders=[order.as_dict() for order in orders])
        return result

    def _words(self, name: str) -> list[str]:
        words = str(self._task.args.get(name) or "").split(",")
        return list(dict.fromkeys(word.strip() for word in words if word.strip()))
