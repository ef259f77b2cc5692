"""`make town NAME=x`: a town that preflight accepts, whole or not at all; its key elsewhere."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKMMkJjpDsJpR+mlU8ehTQzLL+47PjfkmziqPYflRObN me\n"


@dataclass(frozen=True)
class Project:
    """A project with nothing but what the script needs, and somebody's home."""

    root: Path
    home: Path

    def town(self, name: str, locale: str = "C.UTF-8") -> subprocess.CompletedProcess[str]:
        """Run the script as make does."""
        return subprocess.run(
            ["scripts/town", name],
            cwd=self.root,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": locale},
            capture_output=True,
            text=True,
            check=False,
        )

    def files(self) -> dict[Path, bytes]:
        """Return every file of the project and the home with its content."""
        found = [*self.root.rglob("*"), *self.home.rglob("*")]
        return {path: path.read_bytes() for path in found if path.is_file()}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    shutil.copytree(ROOT / "share", root / "share")
    (root / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/town", root / "scripts")
    (root / "inventories").mkdir()
    home = tmp_path / "home"
    home.mkdir()
    return Project(root, home)


@pytest.mark.parametrize(
    "name", ["", "Été", "My-Town", "a/b", "../up", "a b", "-n", ".hidden", "demo", "valbourg"]
)
def test_a_bad_name_is_refused_and_nothing_is_made(project: Project, name: str) -> None:
    before = project.files()
    done = project.town(name)
    assert done.returncode == 2
    assert done.stderr.startswith(f"town: '{name}' is no name for a new town")
    assert "make town NAME=my-town" in done.stderr
    assert project.files() == before


def test_the_private_key_lies_outside_and_is_its_owner_s_alone(project: Project) -> None:
    done = project.town("my-town")
    assert done.returncode == 0, done.stderr
    private = project.home / ".config/nomade/my-town.age-identity"
    assert private.stat().st_mode & 0o777 == 0o600
    assert str(private) in done.stdout
    secret = next(line for line in private.read_text().splitlines() if line.startswith("AGE-SEC"))
    inside = {path: data for path, data in project.files().items() if path != private}
    assert not [path for path, data in inside.items() if secret.encode() in data]
    public = project.root / "inventories/my-town/keys/town.age.pub"
    assert public.read_text().startswith("age1")


def test_a_second_run_is_refused_and_changes_nothing(project: Project) -> None:
    project.town("my-town")
    before = project.files()
    done = project.town("my-town")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "town: inventories/my-town exists already; nothing was changed\n"
    assert project.files() == before


def test_a_run_that_fails_leaves_no_half_of_a_town(project: Project) -> None:
    config = project.home / ".config"
    config.write_text("in the way of the key's directory")
    assert project.town("my-town").returncode != 0
    assert list((project.root / "inventories").iterdir()) == []
    config.unlink()
    assert project.town("my-town").returncode == 0


def test_a_key_that_is_there_is_kept(project: Project) -> None:
    project.town("my-town")
    private = project.home / ".config/nomade/my-town.age-identity"
    kept = private.read_bytes()
    shutil.rmtree(project.root / "inventories/my-town")
    assert project.town("my-town").returncode == 0
    assert private.read_bytes() == kept


def test_the_town_is_a_repository_of_its_own_with_a_network_drawn_at_random(
    project: Project,
) -> None:
    for name in ("one", "two"):
        assert project.town(name).returncode == 0
    towns = [project.root / "inventories" / name for name in ("one", "two")]
    assert all((town / ".git").is_dir() for town in towns)
    networks = []
    for town in towns:
        text = (town / "group_vars/all/town.yml").read_text(encoding="utf-8")
        assert "TOWN" not in text
        assert "ULA" not in text
        networks.append(ipaddress.ip_network(yaml.safe_load(text)["vpn_ipv6_network"]))
    assert networks[0] != networks[1]
    assert all(net.subnet_of(ipaddress.ip_network("fd00::/8")) for net in networks)  # type: ignore[arg-type]


def test_it_speaks_french_where_the_locale_does(project: Project) -> None:
    assert "ne peut pas nommer" in project.town("Été", "fr_FR.UTF-8").stderr
    assert "est prête" in project.town("ma-ville", "fr_FR.UTF-8").stdout


def preflight(project: Project) -> subprocess.CompletedProcess[str]:
    """Let Ansible read the town beside the policy, and preflight judge it."""
    (project.root / "playbooks").mkdir(exist_ok=True)
    policy = project.root / "playbooks/group_vars"
    if not policy.exists():
        policy.symlink_to(ROOT / "group_vars")
    playbook = project.root / "playbooks/preflight.yml"
    playbook.write_text("[{hosts: 'all[0]', gather_facts: false, tasks: [{preflight: }]}]\n")
    return subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            f"--inventory={project.root / 'inventories/my-town'}",
            str(playbook),
        ],
        cwd=project.root,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_preflight_asks_for_the_technician_s_key_and_for_nothing_else(project: Project) -> None:
    project.town("my-town")
    refused = preflight(project)
    assert refused.returncode != 0
    assert "me.pub: is missing, and workstation_technicians names me" in refused.stdout
    assert "1 fault in the town's data" in refused.stdout
    key = project.root / "inventories/my-town/keys/technicians/me.pub"
    key.write_text(KEY)
    accepted = preflight(project)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    assert "WARNING" not in accepted.stdout + accepted.stderr
