"""Meet a machine for the first time: its host key, the account that lets us in, the way to root.

- name: Meet the machine
  first_contact:
    address: 10.20.0.17
    fingerprint: SHA256:...        # optional: what the machine's own screen says
    account: nomade
    known_hosts: "{{ nomade_town_dir }}/known_hosts"
    scratch: "{{ nomade_var_dir }}/first-contact"
  become: false

Reads only. Nothing is sent to a machine whose host key isn't the pinned or the expected one; a key
seen for the first time is shown and held to for the rest of the run, in a file of the run's own,
and pinned only when the machine's identity is known (see enrolment_record).
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812 - Ansible's own name for it
from ansible import context
from ansible.errors import AnsibleAuthenticationFailure, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import connection_loader

from nomade import contact, hostkeys
from nomade.contact import ContactError, WayIn


class ActionModule(ActionBase):
    """Runs on the controller and logs in by connections of its own."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _VALID_ARGS = frozenset(
        {
            "account",
            "address",
            "become_method",
            "fingerprint",
            "known_hosts",
            "only_account",
            "port",
            "scratch",
        }
    )

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Find the host key and the way in."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.variables = task_vars or {}
        self.asset = str(self.variables["inventory_hostname"])
        try:
            result.update(self._meet())
        except ContactError as error:
            result.update(failed=True, msg=str(error))
        return result

    def _meet(self) -> dict[str, Any]:
        args = self._task.args
        address, port = str(args.get("address") or ""), int(args.get("port") or 22)
        if not address:
            raise ContactError(contact.no_address(self.asset))
        known_hosts = Path(str(args["known_hosts"]))
        pinned = hostkeys.pinned(known_hosts, self.asset)
        try:
            shown = hostkeys.scan(
                address, port, pinned[0].kind if pinned else "", self._ssh_arguments()
            )
        except hostkeys.NoAnswerError as error:
            raise ContactError(contact.no_answer(self.asset, address, port, str(error))) from error
        key = contact.choose_key(
            self.asset, address, shown, pinned, str(args.get("fingerprint") or ""), str(known_hosts)
        )
        scratch = Path(str(args["scratch"])) / f"{self.asset}.known_hosts"
        hostkeys.write_atomically(scratch, f"{self.asset} {key.kind} {key.blob}\n")
        options = (
            f"-o UserKnownHostsFile={scratch} -o GlobalKnownHostsFile=/dev/null "
            f"-o HostKeyAlias={self.asset} -o StrictHostKeyChecking=yes"
        )
        expected = bool(args.get("fingerprint"))
        way = self._way_in(address, port, options, str(args["account"]))
        return {
            "changed": False,
            "address": address,
            "port": port,
            "ssh_options": options,
            "host_key": {"kind": key.kind, "blob": key.blob, "fingerprint": key.fingerprint},
            "pinned": key in pinned,
            "user": way.user,
            "become": way.become,
            "become_method": way.become_method,
            "python": way.python,
            "os_id": way.os_id,
            "os_version_id": way.os_version_id,
            "plan": contact.plan(
                self.asset, address, key, way, pinned=key in pinned, expected=expected
            ),
        }

    def _ssh_arguments(self) -> list[str]:
        """Return what the town adds to every ssh command (a jump host, a configuration file)."""
        extra = self.variables.get("ansible_ssh_extra_args")
        return shlex.split(str(self._templar.template(extra))) if extra else []

    def _way_in(self, address: str, port: int, options: str, account: str) -> WayIn:
        """Try the management account's key, then the account that the technician names."""
        where = {
            "ansible_host": address,
            "ansible_port": port,
            "ansible_ssh_common_args": options,
        }
        user = str(context.CLIARGS.get("remote_user") or "")
        password = str(self._play_context.password or "")
        probe = self._probe({**where, "ansible_user": account}, "")
        if probe is not None:
            return contact.way_in(
                self.asset, account, probe, has_become_password=False, method="sudo"
            )
        if self._task.args.get("only_account"):
            raise ContactError(contact.no_own_key(self.asset, account))
        if user and user != account:
            probe = self._probe({**where, "ansible_user": user}, password)
        if probe is None:
            raise ContactError(
                contact.no_way_in(self.asset, address, account, user, has_password=bool(password))
            )
        become_password = self._play_context.become_pass or self.variables.get(
            "ansible_become_password"
        )
        return contact.way_in(
            self.asset,
            user,
            probe,
            has_become_password=bool(become_password),
            method=str(self._task.args.get("become_method") or ""),
        )

    def _probe(self, overrides: dict[str, Any], password: str) -> str | None:
        """Log in and look around; nothing if the machine doesn't let this account in."""
        play = self._play_context.copy()
        play.password = password
        play.remote_user = overrides["ansible_user"]
        play.remote_addr = overrides["ansible_host"]
        connection = connection_loader.get(
            "ssh", play, task_uuid=self._task._uuid, ansible_playbook_pid=str(os.getppid())
        )
        names = C.config.get_plugin_vars("connection", "ssh")
        options = {
            n: self._templar.template(self.variables[n]) for n in names if n in self.variables
        }
        keys = {"timeout": play.timeout, **({"password": password} if password else {})}
        connection.set_options(task_keys=keys, var_options={**options, **overrides})
        try:
            status, output, _ = connection.exec_command(
                f"/bin/sh -c '{contact.PROBE.replace("'", "'\\''")}'", sudoable=False
            )
        except (AnsibleAuthenticationFailure, AnsibleConnectionFailure):
            return None
        finally:
            connection.close()
        return output.decode("utf-8", "replace") if status == 0 else None
