"""Refuse a machine into which others than the town have a way, until each way is accepted by name.

- name: Refuse ways into the machine that nobody accepted
  ways_in:
    identity: "{{ identity_facts }}"
    accept: ["user:jdupont", "sudoers:/etc/sudoers.d/jdupont"]
    record: "{{ nomade_town_dir }}/records/enrolments/{{ inventory_hostname }}.json"

Controller only. What an earlier enrolment accepted is in its record and isn't asked again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import enrolment


class ActionModule(ActionBase):
    """Judge what the module `identity` found."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"accept", "identity", "record"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """List, or refuse."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = self._task.args
        old = enrolment.remembered(Path(str(args["record"])))
        accepted = {*args.get("accept", []), *old.get("accepted", [])}
        found = enrolment.ways_in(args["identity"])
        asset = str((task_vars or {})["inventory_hostname"])
        result.update(changed=False, ways_in=found, accepted=sorted(accepted & set(found)))
        if refusal := enrolment.refusal(asset, found, accepted):
            result.update(failed=True, msg=refusal)
        return result
