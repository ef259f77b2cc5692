#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Remove a person from a machine: account, home, and what programs keep about them."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.machine import account
from ansible.module_utils.one_at_a_time import take_over

DOCUMENTATION = r"""
module: person_erased
short_description: Remove a person from a machine
description:
  - V(person) removes the account and the home, and what programs keep elsewhere about people -
    mail, print queues, crontabs, Wi-Fi secrets, paired telephones, fingerprints, histories.
  - V(traces) removes what has been written down about them - journals, logs, temporary files,
    indexes, swap - and tells the disk which blocks are free. Last, because removing is logged too.
  - Killed at any moment, it finishes what is left when it is called again.
options:
  what:
    description: What to remove.
    type: str
    choices: [person, traces]
    required: true
  login:
    description: The person's login.
    type: str
    required: true
author: The Nomade authors
attributes:
  check_mode:
    support: none
"""

EXAMPLES = r"""
- name: Remove the person
  person_erased: {what: person, login: mdurand}
"""

RETURN = r"""
removed:
  description: What was removed, path by path (a directory stands for everything in it).
  type: list
  returned: always
notes:
  description: What the disk answered.
  type: dict
  returned: always
"""

# What belongs to whoever uses the machine; {login} is the person.
PERSONS = [
    "/home/{login}",
    "/var/mail/{login}",
    "/var/spool/cron/crontabs/{login}",
    "/var/spool/cron/atjobs/[!.]*",
    "/var/spool/cron/atspool/*",
    "/var/lib/AccountsService/users/{login}",
    "/var/lib/AccountsService/icons/{login}",
    "/var/lib/systemd/linger/{login}",
    "/var/lib/sudo/ts/*",
    "/var/lib/sudo/lectured/{login}",
    "/var/lib/fprint/*",
    "/var/lib/colord/*",
    "/var/lib/gdm3/.*/*",
    "/var/lib/lightdm/.*",
    "/var/lib/lightdm-data/*",
    "/var/lib/sddm/state.conf",
    "/var/lib/bluetooth/*/*:*",
    "/var/lib/bluetooth/*/cache/*",
    "/var/lib/geoclue/*",
    "/var/lib/upower/*",
    "/var/lib/iwd/*",
    "/etc/wpa_supplicant/*.conf",
    "/var/lib/NetworkManager/*.lease",
    "/var/lib/NetworkManager/seen-bssids",
    "/var/lib/NetworkManager/timestamps",
    "/var/spool/cups/[!t]*",
    "/var/spool/cups/tmp/*",
    "/var/cache/cups/job.cache*",
    "/etc/cups/subscriptions.conf*",
    "/var/spool/exim4/input/*",
    "/var/spool/exim4/msglog/*",
    "/var/spool/postfix/deferred/*/*",
    "/var/lib/nomade/accounts/{login}.json",
    "/root/.*_history",
    "/root/.cache",
    "/root/.local/share/*",
    "/root/.lesshst",
    "/root/.viminfo",
    "/home/*/.*_history",
    "/var/lib/*/.*_history",
]
# Connections whose files hold a secret or say where somebody lives.
CONNECTIONS = "/etc/NetworkManager/system-connections/*"
SECRET_KINDS = ("wifi", "802-11-wireless", "vpn", "bluetooth", "gsm", "cdma", "wireguard", "pppoe")
BACKUPS = ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"]

TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - nothing is written there, it is emptied
WRITTEN_DOWN = [
    *(f"{top}/{names}" for top in TEMPORARY for names in ("*", ".[!.]*")),
    "/var/crash/*",
    "/var/lib/systemd/coredump/*",
    "/var/lib/plocate/plocate.db*",
    "/var/lib/mlocate/mlocate.db*",
    # cupsd writes about jobs that are gone as late as when it stops
    "/var/cache/cups/*",
    "/var/spool/cups/[!t]*",
    "/etc/cups/subscriptions.conf*",
    "/var/backups/*passwd*",
    "/var/backups/*shadow*",
    "/var/backups/*group*",
    "/var/backups/*sub?id*",
    "/var/log/*.[0-9]*",
    "/var/log/*/*.[0-9]*",
    "/var/log/*.old",
    "/var/log/journal/*/*",
    "/run/log/journal/*/*@*",
    "/var/log/installer",
]


class RefusedError(Exception):
    """Why it can't be, in one sentence."""


class Eraser:
    """Removes, and remembers what."""

    def __init__(self) -> None:
        """Begin with nothing removed."""
        self.removed: list[str] = []
        self.notes: dict[str, str] = {}

    def remove(
        self, patterns: Iterable[str], keep: Callable[[str], bool] = lambda _: False
    ) -> None:
        """Remove every path that matches, whatever it is; mounts are left to their owners."""
        for pattern in patterns:
            for path in sorted(map(str, Path("/").glob(pattern[1:]))):
                if not keep(path) and self._remove(path):
                    self.removed.append(path)

    @staticmethod
    def _remove(path: str) -> bool:
        try:
            entry = Path(path).lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(entry.st_mode):
            Path(path).unlink()
            return True
        if os.path.ismount(path):
            return False
        shutil.rmtree(path)
        return True

    def run(self, *words: str, expected: Iterable[int] = (0,)) -> str:
        """Run one of the system's tools."""
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return ""  # what isn't installed has kept nothing
        if done.returncode not in expected:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise RefusedError(f"{words[0]}: {said[-1] if said else done.returncode}")
        return done.stdout


def is_local(login: str) -> bool:
    """Say whether the machine's own file has the account."""
    return any(
        line.startswith(f"{login}:")
        for line in Path("/etc/passwd").read_text(encoding="utf-8", errors="replace").splitlines()
    )


def end_processes(eraser: Eraser, uid: int) -> None:
    """End everything that runs as the person."""
    eraser.run("loginctl", "terminate-user", str(uid), expected=(0, 1))
    ends = time.monotonic() + 20
    while eraser.run("pgrep", "-U", str(uid), expected=(0, 1)):
        eraser.run("pkill", "-KILL", "-U", str(uid), expected=(0, 1))
        if time.monotonic() > ends:
            raise RefusedError("the person's programs don't end: restart it, and run again")
        time.sleep(0.2)


def own_elsewhere(uid: int) -> list[str]:
    """Return what belongs to the person and lies where programs keep such things."""
    found = []
    for top in ("/var", "/opt", "/srv", "/usr/local", *TEMPORARY):
        for folder, names, files in os.walk(top):
            if os.path.ismount(folder) and folder != top:
                names[:] = []
                continue
            for name in [*names, *files]:
                path = f"{folder}/{name}"
                with contextlib.suppress(FileNotFoundError):
                    if Path(path).lstat().st_uid == uid:
                        found.append(path)
            names[:] = [name for name in names if f"{folder}/{name}" not in found]
    return found


def erase_person(login: str) -> Eraser:
    """Remove the account, the home, and what programs keep about people."""
    eraser = Eraser()
    entry = account(login)
    eraser.run("cancel", "-a", "-x", expected=(0, 1))
    if entry and entry.pw_uid >= 1000:
        end_processes(eraser, entry.pw_uid)
        eraser.remove(map(glob.escape, own_elsewhere(entry.pw_uid)))
        if entry.pw_dir.startswith("/home/"):
            eraser.remove([glob.escape(entry.pw_dir)])
    eraser.remove(
        [pattern.format(login=glob.escape(login)) for pattern in PERSONS],
        # histories of the account that this very run comes through are made anew anyway
        keep=lambda path: path == "/home",
    )
    eraser.remove([CONNECTIONS], keep=lambda path: not tells(Path(path)))
    if is_local(login):
        # The home is gone by now; userdel's own -r would ask for a mail spool as well.
        eraser.run("userdel", login)
        eraser.removed.append(f"account {login}")
    for name in BACKUPS:
        # passwd(5) and its like keep the file before the last change beside them
        if Path(f"{name}-").exists() and Path(f"{name}-").read_bytes() != Path(name).read_bytes():
            shutil.copyfile(name, f"{name}-")
    if account(login) and not is_local(login):
        eraser.run("sss_cache", "-E", expected=(0, 1, 2))
    return eraser


def tells(path: Path) -> bool:
    """Say whether a connection of NetworkManager holds a secret or says where somebody lives."""
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line for line in text.splitlines() if line.startswith("type=")]
    kinds = [line.split("=", 1)[1].strip() for line in lines]
    return any(kind in SECRET_KINDS for kind in kinds) or "[802-1x]" in text or "user:" in text


def erase_traces() -> Eraser:
    """Remove what has been written down about anybody."""
    eraser = Eraser()
    printing = eraser.run("systemctl", "is-active", "cups.service", expected=(0, 3, 4)).strip()
    eraser.run("systemctl", "stop", "cups.service", expected=(0, 1, 4, 5))
    eraser.run("journalctl", "--flush", expected=(0, 1))
    eraser.run("journalctl", "--rotate", expected=(0, 1))
    eraser.remove(WRITTEN_DOWN, keep=is_in_use)
    for folder, _names, files in os.walk("/var/log"):
        for name in files:
            path = f"{folder}/{name}"
            entry = Path(path).lstat()
            if "/journal/" not in path and entry.st_size and stat.S_ISREG(entry.st_mode):
                os.truncate(path, 0)
                eraser.removed.append(path)
    eraser.run("systemctl", "restart", "systemd-journald.service")
    # journald flushes what it had in memory into a new file, and that is rotated away as well
    eraser.run("journalctl", "--rotate", "--vacuum-files=1", expected=(0, 1))
    eraser.remove(["/var/log/journal/*/*@*", "/run/log/journal/*/*@*"])
    if printing == "active":
        eraser.run("systemctl", "start", "cups.service")
    erase_swap(eraser)
    os.sync()
    trimmed = eraser.run("fstrim", "--all", "--verbose", expected=(0, 1, 32, 64))
    eraser.notes["trim"] = " ".join(trimmed.split()) or "this disk can't be told (no TRIM)"
    return eraser


def is_in_use(path: str) -> bool:
    """Say whether the system keeps something for its services there."""
    return Path(path).name.startswith(
        ("systemd-private-", ".X11-unix", ".ICE-unix", ".font-unix", ".XIM-unix", "ansible")
    )


def erase_swap(eraser: Eraser) -> None:
    """Overwrite what memory was written to."""
    areas = [line.split() for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    for name, _kind, *_rest in areas:
        if Path(name).resolve().name.startswith("zram"):
            continue
        uuid = eraser.run("blkid", "-s", "UUID", "-o", "value", name, expected=(0, 2)).strip()
        label = eraser.run("blkid", "-s", "LABEL", "-o", "value", name, expected=(0, 2)).strip()
        eraser.run("swapoff", name)
        overwrite(name)
        words = ["--uuid", uuid] if uuid else []
        words += ["--label", label] if label else []
        eraser.run("mkswap", *words, name)
        eraser.run("swapon", name)
        eraser.removed.append(f"swap {name}")


def overwrite(name: str) -> None:
    """Write zeros over a whole file or partition."""
    zeros = bytes(1 << 20)
    with Path(name).open("r+b", buffering=0) as area:
        left = area.seek(0, os.SEEK_END)
        area.seek(0)
        while left > 0:
            left -= area.write(zeros[: min(left, len(zeros))])
        os.fsync(area.fileno())


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "what": {"type": "str", "choices": ["person", "traces"], "required": True},
            # no_log: what a module is called with goes to the journal
            "login": {"type": "str", "required": True, "no_log": True},
        }
    )
    params: dict[str, Any] = module.params
    handle = take_over()
    try:
        eraser = erase_person(params["login"]) if params["what"] == "person" else erase_traces()
    except (RefusedError, OSError) as error:
        module.fail_json(msg=str(error))
    os.close(handle)
    module.exit_json(changed=bool(eraser.removed), removed=eraser.removed, notes=eraser.notes)


if __name__ == "__main__":
    main()
