#!/usr/bin/python3
"""Make the account that is only for the machine's own keyboard."""

from __future__ import annotations

import pwd
from pathlib import Path
from typing import Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: console_account
short_description: Make the account that is only for the machine's own keyboard
description:
  - A system account with a random password, for the day on which neither network nor keys help.
  - The action plugin of the same name makes the password on the controller, writes it to O(record),
    encrypted to O(recipient), before it is set, and hands only its hash on to the machine.
  - The password is set when the account has none, when its record is missing, or with O(renew).
options:
  login:
    description: The login name.
    type: str
    required: true
  record:
    description: File on the controller that takes the encrypted password.
    type: path
  recipient:
    description: File on the controller with the age key to encrypt to.
    type: path
  renew:
    description: Set a new password.
    type: bool
    default: false
  password_hash:
    description: The password's hash (crypt(5)). Set by the action plugin.
    type: str
attributes:
  check_mode:
    support: full
author: Nomade
"""

EXAMPLES = r"""
- name: Make the account for the machine's own keyboard
  console_account:
    login: secours
    record: "{{ inventory_dir }}/records/console-passwords/{{ inventory_hostname }}.age"
    recipient: "{{ inventory_dir }}/keys/town.age.pub"
"""

RETURN = r"""
password_set:
  description: Whether a password opens the account.
  type: bool
  returned: success
"""

FIRST_PERSON = 1000  # login.defs(5), UID_MIN


class RefusedError(Exception):
    """The account can't be made; the message is one sentence with the remedy."""


def fields_of(path: Path, login: str) -> Optional[List[str]]:
    """Return an account's line in /etc/passwd or /etc/shadow."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(":")
        if fields[0] == login:
            return fields
    return None


def exists(etc: Path, login: str) -> bool:
    """Say whether the machine has the account; refuse one that is a person's or a directory's."""
    local = fields_of(etc / "passwd", login)
    other = "choose another name for the console account (enrolment_console_account)"
    if local:
        if int(local[2]) >= FIRST_PERSON:
            raise RefusedError(
                f"{login}: on this machine that is a person's account (uid {local[2]}); {other}"
            )
        return True
    try:
        pwd.getpwnam(login)
    except KeyError:
        return False
    raise RefusedError(f"{login}: on this machine that is a directory's account; {other}")


def password_set(etc: Path, login: str) -> bool:
    """Say whether a password opens the account."""
    shadow = fields_of(etc / "shadow", login)
    return bool(shadow and shadow[1] and not shadow[1].startswith(("!", "*")))


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "login": {"type": "str", "required": True},
            "record": {"type": "path"},
            "recipient": {"type": "path"},
            "renew": {"type": "bool", "default": False},
            "password_hash": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    login, etc = module.params["login"], Path("/etc")
    steps: List[Dict[str, object]] = []
    try:
        if not exists(etc, login):
            argv = ["useradd", "--system", "--create-home", "--shell", "/bin/bash"]
            argv += ["--comment", "Nomade, only at the machine's own keyboard", login]
            steps.append({"args": argv})
    except RefusedError as error:
        module.fail_json(msg=str(error))
    if module.params["password_hash"]:
        # Through standard input (run_command ends the line): every process can read a command line.
        line = "%s:%s" % (login, module.params["password_hash"])
        steps.append({"args": ["chpasswd", "--encrypted"], "data": line})
    if not module.check_mode:
        for step in steps:
            module.run_command(check_rc=True, **step)
    module.exit_json(changed=bool(steps), password_set=password_set(etc, login))


if __name__ == "__main__":
    main()
