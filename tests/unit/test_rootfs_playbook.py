"""rootfs end to end: real playbooks, a machine below a directory, check mode, diff, overlay."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {
    "roles/demo/rootfs/etc/demo/main.conf.j2": "bonjour {{ demo_who }}\n",
    "roles/demo/rootfs/etc/demo/key.j2": "{{ demo_secret }}\n",
    "roles/demo/rootfs/etc/demo/peers/{name}.j2": "{{ item.name }} {{ demo_who }}\n",
    "roles/demo/rootfs.yml": """
files:
  "*": {owner: "{{ demo_owner }}", group: "{{ demo_group }}"}
  etc/demo/main.conf: {restart: [demo.service]}
  etc/demo/key: {mode: "0600", secret: true}
  etc/demo/peers/{name}: {for_each: "{{ demo_peers }}"}
validate:
  - {command: [grep, -q, bonjour, "{staged}/etc/demo/main.conf"]}
""",
    "roles/demo/tasks/main.yml": """
- name: Install the files of the demo
  rootfs: {root: "{{ machine }}"}
  notify: Restart what the demo changed
""",
    "roles/demo/handlers/main.yml": """
- name: Restart what the demo changed
  rootfs: {role: demo, state: settled, root: "{{ machine }}"}
""",
    "town/hosts.yml": """
all:
  vars: {ansible_connection: local, demo_peers: [{name: a}, {name: b}]}
  hosts:
    one: {demo_who: un}
    two: {demo_who: deux}
""",
    "town/rootfs/demo/etc/demo/town": "Valbourg\n",
    "play.yml": """
- hosts: one
  gather_facts: false
  roles: [demo]
""",
    "delegated.yml": """
- hosts: all
  gather_facts: false
  tasks:
    - name: Install the files of the demo on another machine
      rootfs: {role: demo, root: "{{ machine }}"}
      delegate_to: two
      run_once: true
""",
}
SECRET = "s3cret-of-the-demo"


class Project:
    """Playbooks in a directory of their own, with the plugins of this repository."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.machine = place / "machine"
        self.machine.mkdir()
        for path, content in FILES.items():
            file = place / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    def play(self, *options: str, book: str = "play.yml", code: int = 0) -> str:
        """Run a playbook; return its output."""
        values = {
            "machine": self.machine,
            "demo_owner": os.geteuid(),
            "demo_group": os.getegid(),
            "demo_secret": SECRET,
            "ansible_python_interpreter": sys.executable,
        }
        extra = [word for name, value in values.items() for word in ("-e", f"{name}={value}")]
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        done = subprocess.run(
            [program, "-i", "town", book, *options, *extra],
            cwd=self.place,
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
        output: str = done.stdout + done.stderr
        assert done.returncode == code, output
        return output

    def tree(self) -> dict[str, str]:
        """Return what is on the machine, our own memory aside."""
        files = (path for path in (self.machine / "etc").rglob("*") if path.is_file())
        return {str(path.relative_to(self.machine)): path.read_text() for path in files}


def counts(output: str) -> tuple[int, int]:
    """Return how many tasks ran, and how many changed something."""
    match = re.search(r"one\s+: ok=(\d+)\s+changed=(\d+)", output)
    assert match, output
    return int(match[1]), int(match[2])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_check_run_and_run_again(project: Project) -> None:
    told = project.play("--check", "--diff")
    assert list(project.machine.iterdir()) == []
    done = project.play("--diff", "-vvv")
    assert counts(told) == counts(done) == (2, 2)
    headers = re.compile(r"^(?:---|\+\+\+|\+).*", re.MULTILINE)
    assert headers.findall(told) == headers.findall(done)
    assert "+bonjour un" in told
    assert SECRET not in told + done
    assert project.tree() == {
        "etc/demo/main.conf": "bonjour un\n",
        "etc/demo/key": f"{SECRET}\n",
        "etc/demo/peers/a": "a un\n",
        "etc/demo/peers/b": "b un\n",
        "etc/demo/town": "Valbourg\n",
    }
    assert counts(project.play()) == (1, 0)
    assert counts(project.play("--check")) == (1, 0)


def test_refused_tree_names_file_and_reason(project: Project) -> None:
    project.play()
    before = project.tree()
    output = project.play("-e", "demo_peers=[]", "-e", "demo_who={{ nobody }}", code=2)
    assert "role demo: roles/demo/rootfs/etc/demo/main.conf.j2: 'nobody' is undefined" in output
    overlay = project.place / "town/rootfs/demo/etc/demo/main.conf"
    overlay.write_text("hello\n")
    output = project.play(code=2)
    assert "demo: grep -q bonjour /etc/demo/main.conf refuses the files" in output
    assert project.tree() == before


def test_delegated_and_run_once(project: Project) -> None:
    output = project.play(book="delegated.yml")
    assert "[one -> two]" in output
    # variables of the host of the play, files of the town
    assert project.tree()["etc/demo/main.conf"] == "bonjour un\n"
    assert project.tree()["etc/demo/town"] == "Valbourg\n"


def test_documentation(project: Project) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-doc"), "-t", "module", "rootfs"],
        cwd=project.place,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "PAGER": "cat"},
        capture_output=True,
        text=True,
        check=True,
    )
    for word in ("mirrors the machine", "pending", "for_each", "EXAMPLES"):
        assert word in done.stdout
