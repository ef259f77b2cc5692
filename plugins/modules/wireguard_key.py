#!/usr/bin/python3
"""Make a WireGuard private key on the machine and tell its public half."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.machine import fail

DOCUMENTATION = r"""
module: wireguard_key
short_description: Make a WireGuard private key on the machine and tell its public half
description:
  - Makes the key if there is none, puts the file's owner and mode right, returns the public key.
  - The private key is never returned, never an argument of a command and never replaced.
  - The file appears whole or not at all, whatever interrupts the module.
options:
  path:
    description: The file that holds the private key, and nothing else.
    type: path
    required: true
  interface:
    description:
      - The interface that uses the key. If it runs with another key (the file was lost and made
        anew, or a run was killed), it is given this one; its sessions begin again.
    type: str
  keys_dir:
    description:
      - The folder on the controller in which the public key is kept, as C(<host>.pub). The action
        plugin writes it. A key that replaces another is announced, a copied one is refused.
    type: path
  records_dir:
    description: The folder on the controller where replaced keys are written down.
    type: path
  state:
    description: Whether there is a key.
    type: str
    choices: [present, absent]
    default: present
author: The Nomade authors
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Make the key of the tunnel
  wireguard_key:
    path: /etc/wireguard/wg0.key
    interface: wg0
    keys_dir: "{{ inventory_dir }}/keys/vpn"
    records_dir: "{{ inventory_dir }}/records/vpn-keys"
  register: key
"""

RETURN = r"""
public_key:
  description: The public key; empty where there is no key (removed, or not made yet in check mode).
  type: str
  returned: always
created:
  description: Whether this call made the key.
  type: bool
  returned: always
"""

OWNER, MODE = 0, 0o600


class KeyFileError(Exception):
    """What is wrong with the key, and what to do, in one sentence."""


class ToolMissingError(KeyFileError):
    """`wg` is not installed (yet)."""


def run_wg(*words: str, stdin: str = "") -> str:
    """Run `wg`; secrets go through its standard input and output only."""
    try:
        done = subprocess.run(
            ["wg", *words], input=stdin, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        raise ToolMissingError("`wg` is missing: install wireguard-tools first.") from None
    except subprocess.CalledProcessError as error:
        raise KeyFileError(f"`wg {words[0]}` failed: {error.stderr.strip()}") from None
    return done.stdout.strip()


def public_key(path: Path) -> str:
    """Return the public half of the key in the file."""
    private = path.read_text(encoding="ascii", errors="replace")
    try:
        return run_wg("pubkey", stdin=private)
    except ToolMissingError:
        raise
    except KeyFileError:
        raise KeyFileError(
            f"{path} holds no WireGuard key: move it away and run again, and a new one is made."
        ) from None


def create(path: Path) -> None:
    """Put a new key in place whole; a key that appeared meanwhile is kept."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".wg-key-", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(run_wg("genkey") + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def tighten(path: Path, dry: bool) -> bool:
    """Give the file to root alone; say whether it was not."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise KeyFileError(f"{path} is no ordinary file: move it away and run again.")
    if (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (OWNER, OWNER, MODE):
        return False
    if not dry:
        os.chown(path, OWNER, OWNER)
        path.chmod(MODE)
    return True


def load(interface: str, path: Path, public: str, dry: bool) -> bool:
    """Give the running interface the key if it has another one; say whether it had."""
    if not Path("/sys/class/net", interface).exists():
        return False
    if run_wg("show", interface, "public-key") == public:
        return False
    if not dry:
        run_wg("set", interface, "private-key", str(path))
    return True


def ensure(path: Path, dry: bool, interface: str | None = None) -> dict[str, object]:
    """Make the key if it is missing; return the module's result."""
    created = not os.path.lexists(path)
    changed = created
    if not created:
        changed = tighten(path, dry)
    elif not dry:
        create(path)
    public = ""
    if not (created and dry):
        # In check mode the package may still be on its way.
        with contextlib.suppress(*([ToolMissingError] if dry else [])):
            public = public_key(path)
    if public and interface and load(interface, path, public, dry):
        changed = True
    return {"changed": changed, "created": created, "public_key": public}


def remove(path: Path, dry: bool, _interface: str | None = None) -> dict[str, object]:
    """Remove the key; return the module's result."""
    there = os.path.lexists(path)
    if there and not dry:
        path.unlink()
    return {"changed": there, "created": False, "public_key": ""}


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "interface": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    act = ensure if module.params["state"] == "present" else remove
    try:
        result = act(Path(module.params["path"]), module.check_mode, module.params["interface"])
    except (KeyFileError, OSError) as problem:
        fail(module, str(problem))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
