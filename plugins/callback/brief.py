"""What a run prints while it goes: a line for each task, beneath it what was changed or failed."""

from __future__ import annotations

import textwrap
from typing import Any

from ansible import constants as C  # noqa: N812 - Ansible's own name for it
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default

DOCUMENTATION = """
name: brief
type: stdout
short_description: one line a task, and only the machines on which something happened
description:
  - Ansible's default output without the lines that say that nothing happened, so that forty
    laptops can be watched on one screen. The table at the end has a line for each of them.
  - C(-v) shows every machine of every task again, and where in the files a failure comes from.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as stdout in configuration
"""

# They happen on the controller and in no time: their line is worth reading only if they fail.
BOOKKEEPING = (
    "assert",
    "debug",
    "fail",
    "import_role",
    "import_tasks",
    "include_role",
    "include_tasks",
    "meta",
    "say",
    "set_fact",
    "set_stats",
    "validate_argument_spec",
)
# What a module has to say for itself; all the rest is for -v.
SAID = ("msg", "stdout", "stderr", "module_stdout", "module_stderr")


class CallbackModule(Default):
    """Ansible's default, shorter."""

    CALLBACK_NAME = "brief"

    def set_options(self, *args: Any, **kwargs: Any) -> None:
        """Show it all to whoever asks for more."""
        super().set_options(*args, **kwargs)
        for option in ("display_ok_hosts", "display_included_hosts", "display_skipped_hosts"):
            self.set_option(option, self._display.verbosity > 0)

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        """Say at once what goes on, since it may take minutes; not so where it may be skipped."""
        super()._task_start(task, prefix)
        is_bookkeeping = task.action.rpartition(".")[2] in BOOKKEEPING
        if not (is_bookkeeping or task.when or self._last_task_banner == task._uuid):
            self._print_task_banner(task)

    def v2_runner_on_ok(self, result: Any) -> None:
        """Leave out that tasks were included; show what a task was made to show (debug)."""
        if isinstance(result.task, TaskInclude) and not self._display.verbosity:
            return
        self.set_option("display_ok_hosts", self._run_is_verbose(result))
        super().v2_runner_on_ok(result)

    def _print_task_banner(self, task: Any) -> None:
        if self._display.verbosity:
            super()._print_task_banner(task)
            return
        prefix = self._task_type_cache.get(task._uuid, "TASK")
        name = self._last_task_name or task.get_name().strip()
        self._display.display(f"{prefix} [{name}]")
        self._last_task_banner = task._uuid

    def _dump_results(self, result: Any, *args: Any, **kwargs: Any) -> str:
        """Show what a module said, as it said it: YAML would fold and quote it."""
        texts = {key: str(result.get(key) or "").strip() for key in SAID}
        if self._display.verbosity or not any(texts.values()):
            return str(super()._dump_results(result, *args, **kwargs))
        lines = [f"{key}: {text}" for key, text in texts.items() if text]
        return "\n" + textwrap.indent("\n".join(lines), "    ")

    def _handle_exception(self, result: Any, use_stderr: bool = False) -> None:
        """Leave out where in the files it comes from: the message follows anyway."""
        if self._display.verbosity:
            super()._handle_exception(result, use_stderr=use_stderr)
        else:
            result.pop("exception", None)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Set a failure apart; what the playbook itself decides (fail) is one sentence."""
        if self._display.verbosity or result.task.action.rpartition(".")[2] != "fail":
            super().v2_runner_on_failed(result, ignore_errors)
            self._display.display("")
        else:
            self._say(result, "fatal", C.COLOR_ERROR, str(result.result.get("msg", "")))

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Set a failure apart; where it is expected, the table says more."""
        if self._display.verbosity or not result.task.ignore_unreachable:
            super().v2_runner_on_unreachable(result)
            self._display.display("")
        else:
            self._say(result, "unreachable", C.COLOR_UNREACHABLE)

    def _say(self, result: Any, what: str, colour: str, text: str = "") -> None:
        """Show one line about a machine, beneath the name of its task."""
        if self._last_task_banner != result.task._uuid:
            self._print_task_banner(result.task)
        line = f"{what}: [{self.host_label(result)}]"
        self._display.display(f"{line}: {text}" if text else line, color=colour)
