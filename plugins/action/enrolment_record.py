"""Keep what an enrolment found, beside the register: host key, VPN addresses, report.

- name: Keep the enrolment beside the register
  enrolment_record:
    identity: "{{ identity_facts }}"
    host_key: "{{ first_contact.host_key }}"     # what to pin; without it nothing is pinned
    ...

Controller only. The result's `summary` is what the technician reads.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import allocations, enrolment, hostkeys
from nomade.allocations import AllocationError
from nomade.i18n import tr
from nomade.table import TableError


class ActionModule(ActionBase):
    """Write three files of the town's directory, each in one step."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(
        {
            "accept",
            "host_key",
            "identity",
            "ipv4_network",
            "ipv6_network",
            "known_hosts",
            "notes",
            "record",
            "serial_number",
            "state",
            "thresholds",
            "town_dir",
        }
    )

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Pin, allocate, record, and say so."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.asset = str((task_vars or {})["inventory_hostname"])
        self.notes: list[str] = []
        args = self._task.args
        try:
            changed = [self._allocate(), self._pin(), self._record()]
        except (AllocationError, TableError, ValueError) as error:
            result.update(failed=True, msg=f"{self.asset}: {error}")
            return result
        result.update(
            changed=any(changed),
            fit=self.record["fit"],
            record=self.record,
            summary=enrolment.summary(
                args["identity"],
                self.record,
                registered_serial=str(args.get("serial_number") or ""),
                state=str(args.get("state") or ""),
                town=os.path.relpath(str(args["town_dir"])),
                notes=[*self.notes, *args.get("notes", [])],
            ),
        )
        return result

    def _allocate(self) -> bool:
        """Give the machine its VPN addresses, if the town has a register and it has none yet."""
        town = Path(str(self._task.args["town_dir"]))
        if not (town / "fleet.csv").exists() or not self._task.args.get("state"):
            return False  # a server, or a role used alone
        if self.asset in allocations.read_allocations(town / allocations.FILE):
            return False
        if not self._task.check_mode:
            networks = [self._task.args.get(f"ipv{v}_network") or None for v in (4, 6)]
            for new in allocations.allocate(town, [self.asset], *networks):
                if new.asset_tag == self.asset:
                    self.notes.append(f"VPN: {new.vpn_ipv4}, {new.vpn_ipv6}")
        return True

    def _pin(self) -> bool:
        """Pin the host key under the asset tag."""
        self.fingerprint = str(self._task.args["identity"]["host_key_sha256"])
        shown = self._task.args.get("host_key")
        if not shown:
            return False
        key = hostkeys.HostKey(str(shown["kind"]), str(shown["blob"]))
        self.fingerprint = key.fingerprint
        new = hostkeys.pin(
            Path(str(self._task.args["known_hosts"])),
            self.asset,
            key,
            dry_run=bool(self._task.check_mode),
        )
        if new:
            self.notes.append(
                tr(
                    f"host key {key.fingerprint} pinned",
                    f"clé d'hôte {key.fingerprint} enregistrée",
                )
            )
        return new

    def _record(self) -> bool:
        """Write the report, unless it says already what it would say."""
        args = self._task.args
        path = Path(str(args["record"]))
        old = enrolment.remembered(path)
        needs = args["thresholds"]
        thresholds = enrolment.Thresholds(
            ram_mib=int(needs["ram_mib"]),
            disk_bytes=int(needs["disk_gib"]) * enrolment.GIB,
            battery_percent=int(needs["battery_percent"]),
            systems=list(needs["systems"]),
        )
        self.record = enrolment.record(
            self.asset,
            args["identity"],
            fingerprint=self.fingerprint,
            accepted={*args.get("accept", []), *old.get("accepted", [])},
            verdict=enrolment.judge(args["identity"], thresholds),
            old=old,
        )
        if self.record == old:
            return False
        if not self._task.check_mode:
            text = json.dumps(self.record, ensure_ascii=False, indent=2) + "\n"
            hostkeys.write_atomically(path, text)
        return True
