"""Prove the town's data before any machine is contacted.

- name: Prove the town's data before any machine is contacted
  preflight:
  run_once: true
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible import constants, context
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars

from nomade import preflight, settings

ROOT = Path(__file__).resolve().parents[2]


class ActionModule(ActionBase):
    """Run on the controller, once, without a connection."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _requires_connection = False
    _VALID_ARGS: frozenset[str] = frozenset()

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Judge the towns whose inventories this run was given."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        proofs = [preflight.prove(town) for town in self._towns(variables)]
        # Told here and not in the result, which Ansible would print twice and quote.
        for proof in proofs:
            for fault in proof.faults:
                self._display.display(fault, color=constants.COLOR_ERROR)
            if not proof.faults:
                self._display.display(proof.summary(), color=constants.COLOR_OK)
        result.update(
            changed=False,
            failed=any(proof.faults for proof in proofs),
            msg="; ".join(proof.summary() for proof in proofs),
        )
        return result

    def _towns(self, variables: Mapping[str, Any]) -> list[preflight.Town]:
        sources = map(Path, variables.get("ansible_inventory_sources", ()))
        found = [path if path.is_dir() else path.parent for path in sources if path.exists()]
        password_files = [
            *context.CLIARGS.get("vault_password_files", ()),
            *filter(None, [constants.config.get_config_value("DEFAULT_VAULT_PASSWORD_FILE")]),
        ]
        rendered, failed = self._settings(variables)
        return [
            preflight.Town(
                root=ROOT,
                directory=directory,
                groups=variables.get("groups", {}),
                settings=rendered,
                unrendered=failed,
                extra_vars=load_extra_vars(self._loader),
                decrypt=self._decrypt,
                password_files=[Path(path).expanduser() for path in password_files],
            )
            for directory in dict.fromkeys(found)
        ]

    def _settings(self, variables: Mapping[str, Any]) -> tuple[dict[str, object], dict[str, str]]:
        """Return the town's shared settings as they take effect, and those that can't."""
        rendered: dict[str, object] = {}
        failed: dict[str, str] = {}
        for name in settings.load_catalogue(ROOT).town:
            try:
                if name in variables:
                    rendered[name] = self._templar.template(variables[name])
            except AnsibleError as error:
                failed[name] = error.message
        return rendered, failed

    def _decrypt(self, path: Path) -> Mapping[str, object] | None:
        try:
            content: Mapping[str, object] = self._loader.load_from_file(str(path))
        except AnsibleError:
            return None
        return content
