"""The table at the end of a run, and the report that it leaves for other tools."""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

from nomade import report
from nomade.i18n import tr

DOCUMENTATION = """
name: fleet_report
type: aggregate
short_description: one readable line a machine at the end of a run, and a JSON report
description:
  - Takes what the playbooks leave by C(ansible.builtin.set_stats), C(per_host), under the key
    C(nomade) (C(assignee_login), C(assignee_name), C(capabilities), C(failures)), adds
    how much was changed and how long it took, prints a table and writes the report as JSON into
    the town's C(var_dir).
  - A machine that a run lost on its way (unreachable, failed outside of a capability) has its line
    too.
  - The language is that of the locale.
"""

TITLES = {
    "equip": ("Equipped", "Équipement"),
    "check": ("Checked", "Vérification"),
    "servers": ("Servers", "Serveurs"),
    "enrol": ("Enrolled", "Enrôlement"),
}


class CallbackModule(CallbackBase):
    """Collect what happened to each machine and tell it at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "fleet_report"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Begin with nothing seen."""
        super().__init__()
        self._started: dict[tuple[str, str], float] = {}
        self._seconds: dict[str, float] = {}
        self._lost: dict[str, str] = {}
        self._kind = ""

    def v2_playbook_on_start(self, playbook: Any) -> None:
        """Remember which moment of a machine's life this is."""
        self._kind = Path(playbook._file_name).stem

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        """Note when a task begins on a machine."""
        self._started[host.get_name(), task._uuid] = time.monotonic()

    def _ended(self, result: Any) -> None:
        name = result.host.get_name()
        begun = self._started.pop((name, result.task._uuid), None)
        if begun is not None:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - begun

    def v2_runner_on_ok(self, result: Any) -> None:
        """Count the task's time."""
        self._ended(result)

    v2_runner_on_skipped = v2_runner_on_ok

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:  # noqa: ARG002 - Ansible's signature
        """Remember the last failure: where no playbook explains it, it stands in the table."""
        self._ended(result)
        message = str(result.result.get("msg", "")).strip() or tr("failed", "échec")
        self._lost[result.host.get_name()] = f"{result.task.get_name()}: {message}"

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Remember that the machine did not answer."""
        self._ended(result)
        self._lost[result.host.get_name()] = str(result.result.get("msg", "")).strip()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the table and write the reports."""
        told = {
            name: data["nomade"]
            for name, data in stats.custom.items()
            if name != "_run" and isinstance(data, dict) and "nomade" in data
        }
        run = stats.custom.get("_run", {}).get("nomade", {})
        if not told and not run:
            return
        machines = []
        for name in sorted(set(stats.processed) | set(told)):
            data = dict(told.get(name, {}))
            if not data:
                if name not in self._lost:
                    continue
                absent = name in stats.dark
                data["capabilities"] = {"contact": "absent" if absent else "failed"}
                data["failures"] = [{"check": "contact", "message": self._lost[name]}]
            machines.append(
                report.machine_from(
                    name, data, stats.changed.get(name, 0), self._seconds.get(name, 0.0)
                )
            )
        kind = self._kind if self._kind in TITLES else "equip"
        title = "Nomade · " + tr(*TITLES[kind]) + f" · {run.get('town', '')}".rstrip(" ·")
        self._display.display(
            report.render(machines, title, colour=sys.stdout.isatty()), screen_only=False
        )
        if run.get("var_dir"):
            path = Path(run["var_dir"]) / f"{kind}.json"
            report.write(path, machines, check_mode=bool(run.get("check_mode", False)))
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            report.remember(path.with_name("seen.json"), machines, today)
