"""Read a machine's identity and refuse the wrong machine, before anything is changed on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import hostkeys
from nomade.identity import judge
from nomade.register import is_placeholder_serial

# What the controller compares; the rest of the arguments are the module's.
OWN = ("asset_tag", "first_contact", "known_hosts", "serial_number", "serial_read")


class ActionModule(ActionBase):
    """One module call, and the verdict."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Call the module and compare its answer with the register and with known_hosts."""
        variables = task_vars or {}
        result: dict[str, Any] = super().run(tmp, variables)
        options = {name: self._task.args.get(name) for name in OWN}
        arguments = {k: v for k, v in self._task.args.items() if k not in OWN}
        if options["serial_read"] is not None:  # a machine that has no Python yet
            result["identity"] = {"serial_number": str(options["serial_read"]).strip()}
        else:
            result = self._execute_module(
                module_name="identity", module_args=arguments, task_vars=variables
            )
        if result.get("failed") or "identity" not in result:
            return result
        found = result["identity"]
        asset = str(options["asset_tag"] or variables["inventory_hostname"])
        known_hosts = str(options["known_hosts"] or "")
        keys = hostkeys.pinned(Path(known_hosts), asset) if known_hosts else []
        verdict = judge(
            asset,
            str(options["serial_number"] or ""),
            found["serial_number"],
            pinned=[key.fingerprint for key in keys],
            host_keys=list(found.get("host_keys", {}).values()),
            first_contact=bool(options["first_contact"]),
            pins_are_kept=bool(known_hosts),
            owner_of=lambda serial: _owner(serial, variables),
        )
        found["serial_is_placeholder"] = is_placeholder_serial(found["serial_number"])
        found["proven_by"] = verdict.proven_by
        result["changed"] = False
        if verdict.refusal:
            result.update(failed=True, msg=verdict.refusal)
        return result


def _owner(serial: str, variables: dict[str, Any]) -> str:
    """Return the host whose line of the register has this serial number."""
    wanted = "".join(filter(str.isalnum, serial.casefold()))
    hostvars = variables.get("hostvars", {})
    for host in variables.get("groups", {}).get("workstations", []):
        theirs = str(hostvars[host].get("fleet_serial_number", ""))
        if "".join(filter(str.isalnum, theirs.casefold())) == wanted:
            return str(host)
    return ""
