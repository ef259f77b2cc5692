"""Withdraw a machine's VPN key from the town's book. Controller only: no machine is contacted.

- name: Withdraw the key of the tunnel
  vpn_key_withdrawn:
    keys_dir: "{{ inventory_dir }}/keys/vpn"
    records_dir: "{{ inventory_dir }}/records/vpn-keys"
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import vpnkeys


class ActionModule(ActionBase):
    """Remove <host>.pub, and write down which key it was."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"keys_dir", "records_dir"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Withdraw it, where there is one."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        key = vpnkeys.withdraw(
            Path(self._task.args["keys_dir"]),
            Path(self._task.args["records_dir"]),
            str(variables["inventory_hostname"]),
            dry=bool(self._task.check_mode),
        )
        return {**result, "changed": bool(key), "public_key": key}
