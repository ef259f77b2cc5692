"""Refuse to enrol a machine that the register doesn't have. Controller only.

- name: Find the machine in the register
  enrol_order:
    asset: "{{ asset | default('') }}"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import enrolment
from nomade.i18n import tr


class ActionModule(ActionBase):
    """Look the asset tag up in the inventory."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"address", "asset"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Find every asset tag, or say what to do."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        assets = [tag.strip() for tag in str(self._task.args["asset"]).split(",") if tag.strip()]
        hosts = variables["groups"]["all"]
        result["changed"] = False
        message = ""
        if not assets:
            message = tr(
                "which machine? add -e asset=ASSET-TAG -e address=ADDRESS",
                "quelle machine ? ajoutez -e asset=NUMÉRO-D'INVENTAIRE -e address=ADRESSE",
            )
        elif len(assets) > 1 and self._task.args.get("address"):
            message = tr(
                "one address can't be several machines': enrol them one by one, or leave address "
                "out and write each one's management_address into the register",
                "une adresse ne peut être celle de plusieurs machines : enrôlez-les une à une, ou "
                "sans address, avec management_address de chacune dans le registre",
            )
        elif unknown := [tag for tag in assets if tag not in hosts]:
            message = enrolment.not_in_register(unknown[0], self._town(hosts, variables))
        if message:
            result.update(failed=True, msg=message)
        return result

    def _town(self, hosts: list[str], variables: dict[str, Any]) -> Path:
        town = variables["hostvars"][hosts[0]].get("inventory_dir") if hosts else None
        return Path(str(town or "inventories/<town>"))
