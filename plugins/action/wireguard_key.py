"""Make a machine's WireGuard key and write its public half down in the town's directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import vpnkeys

# What happens on the controller; the rest of the arguments are the module's.
OWN = ("keys_dir", "records_dir")


class ActionModule(ActionBase):
    """One module call, and a file on the controller where the key is new."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Call the module and keep what it answers."""
        variables = task_vars or {}
        super().run(tmp, variables)
        keys, records = (self._task.args.get(name) for name in OWN)
        arguments = {k: v for k, v in self._task.args.items() if k not in OWN}
        result: dict[str, Any] = self._execute_module(
            module_name="wireguard_key", module_args=arguments, task_vars=variables
        )
        if result.get("failed") or not (keys and result.get("public_key")):
            return result
        host = str(variables["inventory_hostname"])
        try:
            written, old = vpnkeys.publish(
                Path(str(keys)),
                Path(str(records)),
                host,
                result["public_key"],
                dry=bool(self._task.check_mode),
            )
        except (vpnkeys.TwinError, OSError) as error:
            result.update(failed=True, msg=f"{error}")
            return result
        result["changed"] = result["changed"] or written
        if old:
            self._display.warning(
                f"{host} has a new VPN key (was it reinstalled?): {keys}/{host}.pub is replaced, "
                f"and the old key stands in {records}/{host}."
            )
        return result
