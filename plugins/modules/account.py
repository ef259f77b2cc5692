"""Make or adopt the account of the person whom a machine belongs to."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Set

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: account
short_description: Make or adopt a person's account, and give a new one its first password
description:
  - An account that exists keeps its user id, home, shell and password; groups are added or taken
    away, and an empty full name is filled.
  - A new account gets a random first password that must be changed at the first login. The action
    plugin of the same name makes it on the controller, writes it to O(record), encrypted to
    O(recipient), before the account exists, and hands only its hash on to the machine.
  - An account that a directory (SSSD, winbind) knows never gets a local namesake; it is only added
    to the groups.
  - A mark under C(/var/lib/nomade/accounts) is set before the account is made and completed when
    its password is in force, so that the next run finishes what a killed one began.
options:
  login:
    description: The login name (useradd(8)).
    type: str
    required: true
  full_name:
    description: The person's name, without a colon or a comma (they delimit fields of passwd(5)).
    type: str
    default: ""
  shell:
    description: Login shell of a new account.
    type: path
    default: /bin/bash
  groups:
    description: Groups that the person joins where they exist.
    type: list
    elements: str
    default: []
  required_groups:
    description: Groups that the person joins and that must exist.
    type: list
    elements: str
    default: []
  forbidden_groups:
    description: Groups that the person leaves.
    type: list
    elements: str
    default: []
  directory_services:
    description: Directories that the machine asks for accounts; with any, no local one is made.
    type: list
    elements: str
    default: []
  renew:
    description: Give an existing local account a new first password.
    type: bool
    default: false
  record:
    description: File on the controller that takes the encrypted first password.
    type: path
  recipient:
    description: File on the controller with the age key to encrypt to.
    type: path
  password_hash:
    description: The first password's hash (crypt(5)). Set by the action plugin.
    type: str
"""

EXAMPLES = r"""
- name: Make or adopt the account
  account:
    login: mdurand
    full_name: Marie Durand
    required_groups: [netdev, lpadmin]
    record: "{{ inventory_dir }}/records/first-passwords/{{ inventory_hostname }}.age"
    recipient: "{{ inventory_dir }}/keys/town.age.pub"
"""

RETURN = r"""
account:
  description: What was found or done.
  type: str
  returned: success
  sample: created
password_needed:
  description: Whether the account waits for a first password.
  type: bool
  returned: success
"""

MARKS = Path("/var/lib/nomade/accounts")
FIRST_PERSON = 1000  # login.defs(5), UID_MIN; adduser(8) and systemd agree
LAST_PERSON = 60000


class RefusedError(Exception):
    """The account must not or cannot be made; the message is one sentence with the remedy."""


class Marks:
    """What Nomade knows about the first password of an account, on disk and for root only."""

    def __init__(self, folder: Path, login: str) -> None:
        """Name the file of the mark."""
        self.path = folder / f"{login}.json"

    def read(self) -> Optional[Dict[str, Any]]:
        """Return the mark, or nothing where Nomade never set a password."""
        try:
            mark = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            return {"pending": True}  # cut short by a crash: the password isn't known to be set
        return mark if isinstance(mark, dict) else {"pending": True}

    def write(self, mark: Dict[str, Any]) -> None:
        """Replace the mark atomically, on disk for good."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent)
        staged = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(mark, file)
                file.flush()
                os.fsync(file.fileno())
            staged.replace(self.path)
        except BaseException:
            staged.unlink()
            raise


def is_local(login: str) -> bool:
    """Say whether the machine's own file, not a directory, has the account."""
    lines = Path("/etc/passwd").read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.split(":", 1)[0] == login for line in lines)


def known(login: str) -> Optional[pwd.struct_passwd]:
    """Ask the machine's files and its directories for the account."""
    try:
        return pwd.getpwnam(login)
    except KeyError:
        return None


def memberships(login: str) -> Set[str]:
    """Return the names of all groups that the account is in."""
    found = {group.gr_name for group in grp.getgrall() if login in group.gr_mem}
    entry = known(login)
    if entry:
        with contextlib.suppress(KeyError):  # a primary group may have no name
            found.add(grp.getgrgid(entry.pw_gid).gr_name)
    return found


def fingerprint(login: str) -> str:
    """Return a digest of the hash in force, enough to see later that it was changed."""
    for line in Path("/etc/shadow").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(":")
        if fields[0] == login:
            return hashlib.sha256(fields[1].encode()).hexdigest()
    return ""


class Account:
    """One person's account: what is there, what is missing, and the steps from one to the other."""

    def __init__(self, module: AnsibleModule) -> None:
        """Look at the machine; nothing is changed here."""
        self.module = module
        self.login: str = module.params["login"]
        self.marks = Marks(MARKS, self.login)
        self.entry = known(self.login)
        self.local = is_local(self.login)
        self.kind = self.judge()
        mark = self.marks.read() if self.kind == "kept" else None
        self.password_needed: bool = (
            self.kind == "created"
            or bool(mark and mark.get("pending"))
            or bool(module.params["renew"])
        )
        self.name_needed = bool(
            self.kind == "kept"
            and module.params["full_name"]
            and self.entry
            and not self.entry.pw_gecos.strip(",")
        )
        self.member = memberships(self.login) if self.entry else set()
        self.join = self.groups_to_join()
        self.leave = sorted(self.member & set(module.params["forbidden_groups"]))

    def judge(self) -> str:
        """Say what kind of account it is, and refuse what must not become a person's account."""
        services = self.module.params["directory_services"]
        if self.entry is None:
            if services:
                raise RefusedError(
                    f"{self.login}: this machine asks {', '.join(services)} for its accounts and"
                    " finds no such login there; make the account in the directory, or take the"
                    " machine out of it: a local account could collide with the directory's"
                )
            return "created"
        if not FIRST_PERSON <= self.entry.pw_uid <= LAST_PERSON and self.local:
            raise RefusedError(
                f"{self.login}: on this machine that is a system account (uid {self.entry.pw_uid});"
                " give the person another login in the register"
            )
        if self.local:
            return "kept"
        if self.module.params["renew"]:
            raise RefusedError(
                f"{self.login}: the account is the directory's; renew its password there"
            )
        return "directory"

    def groups_to_join(self) -> List[str]:
        """List the groups that the person isn't in and should be."""
        existing = {group.gr_name for group in grp.getgrall()}
        wanted = set(self.module.params["required_groups"])
        missing = sorted(wanted - existing)
        if missing and not self.module.check_mode:  # in a real run their packages come first
            raise RefusedError(
                f"{self.login}: the group {missing[0]} doesn't exist on this machine;"
                " install the package that brings it"
            )
        wanted |= existing & set(self.module.params["groups"])
        return sorted(wanted - self.member)

    @property
    def changed(self) -> bool:
        """Say whether anything is to be done."""
        return bool(self.password_needed or self.name_needed or self.join or self.leave)

    def run(self, argv: List[str], stdin: Optional[str] = None) -> None:
        """Run one of Debian's account tools; secrets go through its standard input."""
        code, _, errors = self.module.run_command(argv, data=stdin)
        if code != 0:
            said = "; ".join(errors.strip().splitlines()) or f"exit code {code}"
            raise RefusedError(f"{self.login}: {argv[0]} failed: {said}")

    def create(self) -> None:
        """Make the account, without a usable password."""
        argv = ["useradd", "--create-home", "--shell", self.module.params["shell"]]
        # Debian 12 would let everybody read a new home (login.defs(5)).
        argv += ["--comment", self.module.params["full_name"], "--key", "HOME_MODE=0700"]
        # A home that outlived its account belongs to this person again, under the same uid.
        home = Path("/home") / self.login
        if home.is_dir():
            owner = home.stat().st_uid
            try:
                other = pwd.getpwuid(owner).pw_name
            except KeyError:
                argv += ["--uid", str(owner)]
            else:
                raise RefusedError(
                    f"{self.login}: {home} exists and belongs to {other};"
                    " move it aside, or give it back to its owner"
                )
        self.run([*argv, self.login])

    def apply(self) -> None:
        """Carry out what is missing, the password last."""
        if self.password_needed:
            self.marks.write({"pending": True})
        if self.kind == "created":
            self.create()
        if self.name_needed:
            self.run(["usermod", "--comment", self.module.params["full_name"], self.login])
        for name in self.join:
            self.run(["gpasswd", "--add", self.login, name])
        for name in self.leave:
            self.run(["gpasswd", "--delete", self.login, name])
        if self.password_needed:
            line = f"{self.login}:{self.module.params['password_hash']}"
            self.run(["chpasswd", "--encrypted"], stdin=line)
            # Day 0: pam_unix wants a new password at the first login (shadow(5)).
            self.run(["chage", "--lastday", "0", self.login])
            self.marks.write({"set": int(time.time()), "sha256": fingerprint(self.login)})

    def diff(self) -> Dict[str, str]:
        """Describe the change as a table of before and after."""
        after = (self.member | set(self.join)) - set(self.leave)
        return {
            "before_header": self.login,
            "after_header": self.login,
            "before": "".join(f"group: {name}\n" for name in sorted(self.member)),
            "after": "".join(f"group: {name}\n" for name in sorted(after))
            + ("password: a new first password\n" if self.password_needed else "")
            + (f"full name: {self.module.params['full_name']}\n" if self.name_needed else ""),
        }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "login": {"type": "str", "required": True},
            "full_name": {"type": "str", "default": ""},
            "shell": {"type": "path", "default": "/bin/bash"},
            "groups": {"type": "list", "elements": "str", "default": []},
            "required_groups": {"type": "list", "elements": "str", "default": []},
            "forbidden_groups": {"type": "list", "elements": "str", "default": []},
            "directory_services": {"type": "list", "elements": "str", "default": []},
            "renew": {"type": "bool", "default": False},
            "record": {"type": "path"},
            "recipient": {"type": "path"},
            "password_hash": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        account = Account(module)
        wait = account.password_needed and not module.params["password_hash"]
        if not wait and not module.check_mode and account.changed:
            account.apply()
    except RefusedError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        # While the password is missing nothing is done: the action plugin comes back with its hash.
        changed=account.changed and (module.check_mode or not wait),
        account=account.kind,
        password_needed=account.password_needed,
        diff=account.diff() if account.changed else {"before": "", "after": ""},
    )


if __name__ == "__main__":
    main()
