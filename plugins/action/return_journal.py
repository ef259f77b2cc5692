"""Write the journal of a machine's return. Controller only: no machine is contacted.

- name: Begin the return, or go on with it
  return_journal:
    town: "{{ nomade_town_dir }}"
    asset: vb-017
    event: open            # look, open; then: begin, attempt, done, undo, refuse, state, method

The result's `done` holds the steps that are done, each with its facts. `method` is the one chosen
last; event C(method) chooses it, and its result says in `summary` who or what has decided.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import register, returns, table
from nomade.i18n import tr
from nomade.returns import Journal, Order, ReturnError

REFUSED = (ReturnError, register.ChangeError, table.TableError)


class ActionModule(ActionBase):
    """One event."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(
        {
            "asset",
            "encrypted",
            "erase",
            "event",
            "facts",
            "message",
            "method",
            "name",
            "rebuilds",
            "state",
            "step",
            "town",
            "without_machine",
        }
    )

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write it down, and say where the return stands."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        town, asset = Path(arguments["town"]), str(arguments["asset"])
        # One number for one run of the playbook: made by `open`, handed on in its result.
        known = (task_vars or {}).get("nomade_return") or {}
        run = str(known.get("run") or secrets.token_hex(4))
        try:
            journal = self._act(town, asset, arguments, run)
        except (*REFUSED, OSError) as error:
            return {**known, **result, "failed": True, "msg": returns.told(error)}
        return {
            **result,
            "changed": False,  # a record, and no part of any machine
            "id": journal.id,
            "run": run,
            "folder": str(journal.path.parent),
            "done": journal.done,
            "begun": journal.begun,
            "attempts": journal.attempts,
            "machine": journal.opened["machine"],
            "method": journal.method,
            "method_begun": journal.method_begun,
            "summary": tr(
                f"{asset}: method {journal.method}: {journal.method_because}",
                f"{asset} : méthode {journal.method} : {journal.method_because}",
            ),
        }

    def _act(self, town: Path, asset: str, arguments: dict[str, Any], run: str) -> Journal:
        event, step = arguments["event"], str(arguments.get("step") or "")
        dry = bool(self._task.check_mode)
        if event in ("look", "open"):
            order = Order(
                asset,
                str(arguments["method"]),
                str(arguments.get("erase") or ""),
                str(arguments.get("without_machine") or ""),
            )
            return returns.open_(town, order, run, dry=dry or event == "look")
        journal = returns.unfinished(town, asset)
        if journal is None:
            raise ReturnError(
                tr(f"{asset}: no return is open", f"{asset} : aucun retour n'est ouvert")
            )
        if event == "begin" and arguments.get("state") != "any":
            returns.unchanged(town, journal)
        if dry:
            return journal
        if event == "method":
            choice = returns.choose(
                str(arguments["method"]),
                journal,
                encrypted=bool(arguments["encrypted"]),
                rebuilds=bool(arguments["rebuilds"]),
            )
            journal.add("method", run, step="", method=choice.method, because=choice.because)
        elif event == "begin":
            journal.add("begun", run, step=step)
        elif event == "done":
            journal.add("done", run, step=step, facts=dict(arguments.get("facts") or {}))
        elif event == "attempt":
            journal.add("attempt", run, step=step, name=str(arguments["name"]))
        elif event == "undo":
            journal.add("undone", run, step=step, message=str(arguments.get("message") or ""))
        elif event == "refuse":
            journal.add("refused", run, step=step, message=str(arguments["message"]))
            if arguments.get("state"):
                returns.set_state(town, asset, str(arguments["state"]))
        elif event == "state":
            returns.set_state(town, asset, str(arguments["state"]))
        return journal
