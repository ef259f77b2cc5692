"""Give a rebuilt machine's disk its person's first passphrase: made here, kept only encrypted.

- name: Give the disk its person's passphrase
  disk_passphrase:
    recipient: "{{ nomade_town_dir }}/keys/town.age.pub"
    record: "{{ nomade_town_dir }}/records/disk-passphrases/{{ inventory_hostname }}.age"

The record is written before the disk depends on it; the passphrase goes to the machine by standard
input. A disk that has one already is left alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import answers, sealed

PROGRAM = "/usr/lib/nomade/disk-passphrase"
PREPARATION = "/boot/nomade-preparation.key"


class ActionModule(ActionBase):
    """Make, seal, set."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"recipient", "record"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Set the passphrase where the disk still opens by itself."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        looked = self._low_level_execute_command(f"test -e {PREPARATION}")
        result["changed"] = looked["rc"] == 0
        if looked["rc"] == 1:
            return result
        if looked["rc"] != 0:
            result.update(failed=True, msg=f"{PREPARATION}: {answers.why(looked)}")
            return result
        if self._task.check_mode:
            return result
        args = self._task.args
        passphrase = sealed.generate()
        try:
            sealed.seal(passphrase, Path(str(args["recipient"])), Path(str(args["record"])))
        except sealed.SealError as error:
            result.update(failed=True, msg=str(error))
            return result
        done = self._low_level_execute_command(PROGRAM, in_data=passphrase.encode())
        if done["rc"] != 0:
            result.update(failed=True, msg=f"{PROGRAM}: {answers.why(done)}")
        return result
