"""The technician's side: the playbook on a town's directory, and the machines' keyboards."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
MACHINES = yaml.safe_load((RUN / "inventory" / "rig.yml").read_text())["all"]["hosts"]


@dataclass
class Done:
    """What a run said, and its exit code."""

    code: int
    output: str

    @property
    def words(self) -> str:
        """Return what it said on one line, as YAML folds and quotes it."""
        return " ".join(self.output.split()).replace("''", "'")

    @property
    def changed(self) -> list[str]:
        """Return how many changes each host had."""
        return re.findall(r"changed=(\d+)", self.output)


@pytest.fixture(scope="session")
def town() -> Path:
    """Return the town's directory."""
    return RUN / "inventories" / "town"


@pytest.fixture(scope="session")
def address() -> Callable[[str], str]:
    """Return where a machine is."""
    return lambda name: str(MACHINES[name]["rig_addresses"]["lan"]["ipv4"])


@pytest.fixture(scope="session")
def enrol(town: Path, address: Callable[[str], str]) -> Callable[..., Done]:
    """enrol("by-hand", "--check", password="...") runs the playbook as a technician does."""

    def run(
        asset: str,
        *arguments: str,
        password: str = "",
        become_password: str = "",
        **variables: Any,
    ) -> Done:
        command = ["ansible-playbook", "-i", str(town), str(PROJECT / "playbooks" / "enrol.yml")]
        if asset in MACHINES:
            variables = {"address": address(asset), **variables}
        command += ["-e", json.dumps({"asset": asset, **variables})]
        for name, secret in (("connection", password), ("become", become_password)):
            if secret:  # as --ask-pass and --ask-become-pass, without a keyboard
                file = RUN / "private" / f"{name}-password"
                file.write_text(secret)
                command += [f"--{name}-password-file", str(file)]
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False, cwd=PROJECT
        )
        print(done.stdout, done.stderr)  # pytest shows it where a test fails
        return Done(done.returncode, done.stdout + done.stderr)

    return run


@pytest.fixture(scope="session")
def keyboard() -> Callable[..., str]:
    """keyboard("adopted", "id") runs a command as root, as at the machine's own keyboard."""

    def run(name: str, command: str, *, check: bool = True, stdin: str | None = None) -> str:
        podman = [str(PROJECT / "rig" / "podman"), "exec", "-i", f"nomade-enrolment-{name}"]
        return subprocess.run(
            [*podman, "sh", "-c", command], capture_output=True, text=True, check=check, input=stdin
        ).stdout

    return run


@pytest.fixture(scope="session")
def opened() -> Callable[[Path], str]:
    """Open a sealed password as the town does, with its private key."""

    def run(record: Path) -> str:
        command = ["age", "--decrypt", "--identity", str(RUN / "private" / "town.age"), str(record)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    return run


# Logs in at a terminal of its own, through login(1) and its PAM stack, and becomes root by sudo.
LOGIN = r"""
import os, pty, select, sys, time
user, password = sys.stdin.read().split("\n")[:2]
child, terminal = pty.fork()
if child == 0:
    os.execvp("login", ["login", user])

def wait(text):
    seen, end = "", time.monotonic() + 60
    while text not in seen and "incorrect" not in seen and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            try:
                seen += os.read(terminal, 4096).decode(errors="replace")
            except OSError:
                # login(1) hangs the terminal up and opens it again; in between nothing can be read
                if os.waitpid(child, os.WNOHANG)[0]:
                    break
                time.sleep(0.1)
    print(repr(seen))
    if text not in seen:
        sys.exit(1)

def answer(text, line):
    wait(text)
    os.write(terminal, (line + "\n").encode())

answer("assword", password)
answer("$ ", "sudo -k; sudo --prompt=SUDO: sh -c 'echo IS_$(id -un)'")
answer("SUDO:", password)
wait("IS_root")
print("ROOT AT THE KEYBOARD")
"""


@pytest.fixture(scope="session")
def log_in(keyboard: Callable[..., str]) -> Callable[[str, str, str], bool]:
    """Say whether this login and password make one root at the machine's own keyboard."""

    def run(name: str, user: str, password: str) -> bool:
        keyboard(name, "cat > /run/log-in.py", stdin=LOGIN)
        said = keyboard(name, "python3 /run/log-in.py", check=False, stdin=f"{user}\n{password}\n")
        print(said)
        return "ROOT AT THE KEYBOARD" in said

    return run


@pytest.fixture(scope="session")
def ssh_by_password(address: Callable[[str], str], town: Path) -> Callable[[str, str, str], int]:
    """Return ssh's exit code for a login and a password."""

    def run(name: str, user: str, password: str) -> int:
        options = ["PubkeyAuthentication=no", "ControlPath=none", "NumberOfPasswordPrompts=1"]
        options += [f"UserKnownHostsFile={town}/known_hosts", f"HostKeyAlias={name}"]
        command = ["sshpass", "-e", "ssh", "-F", str(RUN / "ssh_config")]
        command += [word for option in options for word in ("-o", option)]
        command += ["-l", user, address(name), "true"]
        environment = {**os.environ, "SSHPASS": password}
        return subprocess.run(command, env=environment, check=False).returncode

    return run
