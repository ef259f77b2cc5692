"""What a run prints while it goes: what happened, and not what didn't."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK = """
- hosts: [here, away]
  gather_facts: false
  tasks:
    - name: Meet it
      ansible.builtin.ping:
      ignore_unreachable: true
    - name: Leave it
      ansible.builtin.meta: end_host
      when: inventory_hostname == 'away'
    - name: Keep a fact
      ansible.builtin.set_fact: {kept: true}
    - name: Skip this
      ansible.builtin.command: "true"
      when: not kept
    - name: Change something
      ansible.builtin.command: "true"
    - name: Show something
      ansible.builtin.debug: {msg: shown as it is}
    - name: Break
      ansible.builtin.command: {argv: [sh, -c, echo "it's broken" >&2; exit 3]}
      ignore_errors: true
    - name: Say no
      ansible.builtin.fail: {msg: it is not so}
"""
INVENTORY = """
all:
  hosts:
    here: {ansible_connection: local}
    away: {ansible_host: 127.0.0.1, ansible_port: 1, ansible_ssh_retries: 0}
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what a run prints, without and with -v."""
    here = tmp_path_factory.mktemp("brief")
    (here / "play.yml").write_text(PLAYBOOK)
    (here / "hosts.yml").write_text(INVENTORY)
    program = str(Path(sys.executable).parent / "ansible-playbook")
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"}
    return {
        verbose: subprocess.run(
            [program, "-i", "hosts.yml", "play.yml", *filter(None, [verbose])],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for verbose in ("", "-v")
    }


def test_only_what_happened_is_printed(printed: dict[str, str]) -> None:
    lines = printed[""].partition("PLAY RECAP")[0].splitlines()
    assert lines[2:] == [
        "TASK [Meet it]",
        "unreachable: [away]",
        "TASK [Change something]",
        "changed: [here]",
        "TASK [Show something]",
        "ok: [here] => ",
        "    msg: shown as it is",
        "TASK [Break]",
        "fatal: [here]: FAILED! => ",
        "    msg: The command exited with a non-zero return code.",
        "    stderr: it's broken",
        "...ignoring",
        "",
        "TASK [Say no]",
        "fatal: [here]: it is not so",
        "",
    ]


def test_all_of_it_is_printed_for_whoever_asks(printed: dict[str, str]) -> None:
    assert "ok: [here] => " in printed["-v"]
    assert "skipping: [here]" in printed["-v"]
    assert "Origin: " in printed["-v"]
    assert "fatal: [away]: UNREACHABLE! => " in printed["-v"]
