"""Watch rebuilds until all have ended, and keep what the town needs. On the netboot server.

- name: Watch the rebuilds
  rebuild_watch:
    ids: {vb-0042: 22967df44c23c3d1}     # asset tag: id of its order
    town_dir: "{{ nomade_town_dir }}"
    known_hosts: "{{ nomade_town_dir }}/known_hosts"
    every: 10                             # seconds

Each change is a line on the screen, and each end a record: the host key is pinned, the recovery
passphrase kept as it came, encrypted. The result's `addresses` are of those that have started.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from nomade import rebuild
from nomade.i18n import tr


class ActionModule(ActionBase):
    """Ask the server again and again."""

    TRANSFERS_FILES = False
    _supports_check_mode = False
    _VALID_ARGS = frozenset({"every", "ids", "known_hosts", "town_dir"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return when all machines are rebuilt, or can't be."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = self._task.args
        town, known_hosts = Path(str(args["town_dir"])), Path(str(args["known_hosts"]))
        shown: dict[str, str] = {}
        kept: dict[str, Any] = {}
        while True:
            said = self._status()
            states = rebuild.mine(said["orders"], args["ids"])
            for state in states:
                self._show(shown, str(state["asset_tag"]), rebuild.line(state), said["summary"])
            for state in states:
                asset = str(state["asset_tag"])
                if state["state"] in rebuild.ENDED and asset not in kept:
                    rebuild.keep(town, state)
                    if state["state"] == "done":
                        rebuild.pin(known_hosts, state)
                    kept[asset] = state
            if len(kept) == len(args["ids"]):
                break
            if len(states) < len(args["ids"]):
                raise AnsibleActionFail(
                    tr(
                        "another order has replaced one of these: look at nomade-netboot status",
                        "une autre commande en a remplacé une : voyez nomade-netboot status",
                    )
                )
            time.sleep(float(args.get("every", 10)))
        bad = [rebuild.line(state) for state in kept.values() if state["state"] != "done"]
        result.update(
            changed=True,
            addresses={a: s["address"] for a, s in kept.items() if s["state"] == "done"},
            stages={a: rebuild.durations(s) for a, s in kept.items()},
        )
        if bad:
            result.update(failed=True, msg="; ".join(bad))
        return result

    def _status(self) -> dict[str, Any]:
        done = self._low_level_execute_command("/usr/sbin/nomade-netboot status --json")
        if done["rc"] != 0:
            raise AnsibleActionFail(done["stderr"].strip() or done["stdout"].strip())
        said: dict[str, Any] = json.loads(done["stdout"])
        return said

    def _show(self, shown: dict[str, str], asset: str, text: str, summary: str) -> None:
        if shown.get(asset) != text:
            shown[asset] = text
            Display().display(f"{time.strftime('%H:%M:%S')}  {text}  ({summary})")
