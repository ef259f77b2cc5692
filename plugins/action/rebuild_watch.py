"""Watch rebuilds until all have ended, and keep what the town needs. On the netboot server.

- name: Watch the rebuilds
  rebuild_watch:
    ids: {vb-0042: 22967df44c23c3d1}     # asset tag: id of its order; "" is its newest one
    town_dir: "{{ nomade_town_dir }}"
    known_hosts: "{{ nomade_town_dir }}/known_hosts"
    every: 10                             # seconds

Each change is a line on the screen, and each end a record: the host key is pinned, the recovery
passphrase kept as it came, encrypted. The result's `addresses` are of those that have started, its
`failures` say of each other machine why: one that fails doesn't keep the others waiting. Its
`sent_bytes` are what the server has sent meanwhile.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from nomade import answers, rebuild, returns
from nomade.i18n import tr

# How often in a row the server may be mute: its network, or itself, may start again meanwhile.
TRIES = 6


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
        ids: dict[str, str] = self._task.args["ids"]
        shown: dict[str, str] = {}
        kept: dict[str, Mapping[str, Any]] = {}
        failures: dict[str, str] = {}
        rate = rebuild.Rate()
        while True:
            states, sent = self._states(ids)
            rate.add(time.monotonic(), sent)
            mine = rebuild.mine(states, ids)
            summary = rebuild.summary(states, mine, len(ids), rate.now)
            for asset, state in mine.items():
                self._show(shown, asset, rebuild.line(state), summary)
                if state["state"] in rebuild.ENDED and asset not in kept:
                    kept[asset] = state
                    if why := self._keep(state):
                        failures[asset] = why
            for asset in ids.keys() - mine.keys() - kept.keys():
                failures.setdefault(asset, _gone(asset, ids[asset]))
            if not ids.keys() - kept.keys() - failures.keys():
                break
            time.sleep(self._every())
        started = {asset: state for asset, state in kept.items() if asset not in failures}
        result.update(
            changed=True,
            addresses={asset: state["address"] for asset, state in started.items()},
            stages={asset: rebuild.durations(state) for asset, state in kept.items()},
            failures=failures,
            sent_bytes=rate.total,
        )
        return result

    def _every(self) -> float:
        return float(self._task.args.get("every", 10))

    def _keep(self, state: Mapping[str, Any]) -> str:
        """Keep what is to be kept; return why the machine is none of the town's, or nothing."""
        try:
            rebuild.keep(Path(str(self._task.args["town_dir"])), state, returns.operator())
            if state["state"] != "done":
                return rebuild.line(state)
            rebuild.pin(Path(str(self._task.args["known_hosts"])), state)
        except rebuild.RebuildError as error:
            return str(error)
        except OSError as error:
            return f"{state['asset_tag']}: {error.filename}: {error.strerror}"
        return ""

    def _states(self, ids: Mapping[str, str]) -> tuple[list[dict[str, Any]], int]:
        why = ""
        for attempt in range(TRIES):
            if attempt:
                Display().display(f"{time.strftime('%H:%M:%S')}  {why}")
                time.sleep(self._every())
            try:
                done = self._low_level_execute_command("/usr/sbin/nomade-netboot status --json")
                if done["rc"] == 0:
                    said = json.loads(done["stdout"])
                    return said["orders"], int(said.get("sent_bytes", 0))
                why = answers.why(done)
            except (AnsibleConnectionFailure, ValueError) as error:
                why = answers.last_line(str(error))
        again = f"ansible-playbook playbooks/rebuild.yml -e asset={','.join(ids)} -e watch=yes"
        raise AnsibleActionFail(
            tr(
                f"the netboot server does not say how far it is ({why}); what is ordered goes on: "
                f"when it answers again, watch it by {again}",
                f"le serveur d'installation ne dit pas où il en est ({why}) ; ce qui est commandé "
                f"continue : quand il répondra, suivez-le par {again}",
            )
        )

    def _show(self, shown: dict[str, str], asset: str, text: str, summary: str) -> None:
        if shown.get(asset) != text:
            shown[asset] = text
            Display().display(f"{time.strftime('%H:%M:%S')}  {text}  ({summary})")


def _gone(asset: str, order: str) -> str:
    if order:
        return tr(
            f"{asset}: another order has replaced this one: look at nomade-netboot status there",
            f"{asset} : une autre commande a remplacé celle-ci : voyez là-bas nomade-netboot "
            "status",
        )
    return tr(
        f"{asset}: nothing was ordered for it these last 24 hours: leave -e watch=yes out",
        f"{asset} : rien n'a été commandé pour elle ces dernières 24 heures : ôtez -e watch=yes",
    )
