"""Close a machine's return with its certificate, as JSON and PDF. Controller only.

- name: Close the return with its certificate
  return_certificate:
    town: "{{ nomade_town_dir }}"
    town_name: Valbourg
    asset: vb-017
    templates: playbooks/templates

The result's `summary` is what the technician reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from nomade import certificate, returns
from nomade.i18n import tr


class ActionModule(ActionBase):
    """Write both, and the journal's last line."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset({"asset", "templates", "town", "town_name"})

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make the certificate out of the journal, and nothing else."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        asset = str(arguments["asset"])
        if self._task.check_mode:
            return {**result, "changed": True, "summary": [f"{asset}: check mode, no certificate"]}
        journal = returns.unfinished(Path(arguments["town"]), asset)
        if journal is None or "register" not in journal.done:
            message = tr(f"{asset}: its return isn't done", f"{asset} : son retour n'est pas fini")
            return {**result, "failed": True, "msg": message}
        verdict = str(journal.done["register"]["state"])
        content = returns.certificate(journal, str(arguments["town_name"]), verdict)
        pdf = certificate.pdf(content, Path(arguments["templates"]))
        path = returns.write_certificate(journal, content, pdf)
        for name in journal.attempts:  # passwords of archives that were never completed
            path.with_name(f"{name}.age").unlink(missing_ok=True)
        run = str((task_vars or {})["nomade_return"]["run"])
        journal.add("closed", run, step="", verdict=verdict)
        summary = tr(
            f"{asset}: {verdict}; certificate: {path.with_suffix('.pdf')}",
            f"{asset} : {verdict} ; certificat : {path.with_suffix('.pdf')}",
        )
        return {**result, "changed": True, "certificate": str(path), "summary": [summary]}
