"""What the module identity finds of earlier runs of ours."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def identity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("identity", ROOT / "plugins/modules/identity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for folder in ("var/lib/dpkg/updates", "usr/sbin"):
        (tmp_path / folder).mkdir(parents=True)
    status(tmp_path, "install ok installed")
    return tmp_path


def status(machine: Path, *packages: str) -> None:
    text = "\n".join(f"Package: p{n}\nStatus: {state}\n" for n, state in enumerate(packages))
    (machine / "var/lib/dpkg/status").write_text(text)


def test_a_machine_in_order(identity: ModuleType, machine: Path) -> None:
    status(machine, "install ok installed", "deinstall ok config-files", "hold ok installed")
    assert identity.interrupted(machine) == []


@pytest.mark.parametrize(
    "state", ["half-installed", "unpacked", "half-configured", "triggers-awaited"]
)
def test_a_half_done_package(identity: ModuleType, machine: Path, state: str) -> None:
    status(machine, "install ok installed", f"install ok {state}")
    assert identity.interrupted(machine) == ["dpkg"]


def test_what_dpkg_had_not_yet_written_into_its_list(identity: ModuleType, machine: Path) -> None:
    (machine / "var/lib/dpkg/updates/0001").write_text("Package: p\n")
    assert identity.interrupted(machine) == ["dpkg"]


def test_services_that_are_still_held_back(identity: ModuleType, machine: Path) -> None:
    (machine / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    assert identity.interrupted(machine) == ["policy-rc.d"]


def test_a_policy_of_the_machine_s_own(identity: ModuleType, machine: Path) -> None:
    (machine / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\n[ $1 = cups ] && exit 101\n")
    assert identity.interrupted(machine) == []


def test_an_installation_that_is_under_way(identity: ModuleType, machine: Path) -> None:
    status(machine, "install ok unpacked")
    lock = machine / "var/lib/dpkg/lock-frontend"
    script = f"import fcntl, sys; f = open({str(lock)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
    with subprocess.Popen(
        [sys.executable, "-c", script + "print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert identity.interrupted(machine) == []
        other.communicate()
    assert identity.interrupted(machine) == ["dpkg"]


def test_the_packages_that_are_installed(identity: ModuleType, machine: Path) -> None:
    (machine / "var/lib/dpkg/status").write_text(
        "Package: base-files\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nPriority: optional\n\n"
        "Package: half\nStatus: install ok unpacked\n\n"
        "Package: held\nStatus: hold ok installed\n"
    )
    assert identity.packages(machine) == ["base-files", "held"]


def test_the_roles_whose_files_are_there(identity: ModuleType, machine: Path) -> None:
    """Not those of which check mode only looked, nor those that were removed."""
    manifests = machine / "var/lib/nomade/rootfs"
    for role in ("vpn_client", "workstation", "planned"):
        (manifests / role).mkdir(parents=True)
    assert identity.installed(machine) == []
    for role in ("vpn_client", "workstation"):
        (manifests / role / "manifest.json").write_text("{}")
    assert identity.installed(machine) == ["vpn_client", "workstation"]


def test_what_nomade_has_brought(identity: ModuleType, machine: Path) -> None:
    assert identity.brought(machine) == []
    records = machine / "var/lib/nomade/packages"
    records.mkdir(parents=True)
    (records / "office_suite").write_text("hello\n")
    assert identity.brought(machine) == ["office_suite"]


def test_whether_the_disk_of_a_rebuilt_machine_has_its_passphrase(
    identity: ModuleType, machine: Path
) -> None:
    assert identity.disk_passphrase(machine) == ""
    program, key = (
        machine / path for path in ("usr/lib/nomade/disk-passphrase", "boot/nomade-preparation.key")
    )
    for file in (program, key):
        file.parent.mkdir(parents=True)
        file.touch()
    assert identity.disk_passphrase(machine) == "wanted"
    key.unlink()
    assert identity.disk_passphrase(machine) == "set"
