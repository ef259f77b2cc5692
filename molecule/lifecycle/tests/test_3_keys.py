"""Method rebuild, up to the order: what was encrypted can be read by nobody any more."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from life import install
from town import PROJECT

if TYPE_CHECKING:
    from life import Life
    from town import Machine

DISK, COPY = "/srv/disk.img", "/srv/copies/header"


def destroyed(life: Life) -> subprocess.CompletedProcess[str]:
    """Call the module that the playbook calls."""
    command = ["ansible", "-i", str(life.town.directory), "laptop-12", "--become"]
    arguments = json.dumps({"devices": [DISK], "copies": ["/srv/copies"]})
    return subprocess.run(
        [*command, "-m", "disk_keys_destroyed", "-a", arguments],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def laptop(laptop_12: Machine) -> Machine:
    """Return a machine that has cryptsetup."""
    install(laptop_12, "cryptsetup-bin")
    return laptop_12


@pytest.mark.parametrize("version", ["luks1", "luks2"])
def test_no_passphrase_opens_the_disk_nor_a_copy_of_its_header(
    life: Life, laptop: Machine, version: str
) -> None:
    quick = "--pbkdf pbkdf2 --pbkdf-force-iterations 1000"
    laptop.sh(
        f"mkdir -p /srv/copies && truncate -s 40M {DISK} && cd /run"
        " && printf person > person && printf recovery > recovery"
        f" && cryptsetup luksFormat -q --type {version} {quick} {DISK} person"
        f" && cryptsetup luksAddKey -q {quick} {DISK} recovery --key-file person"
        f" && cryptsetup luksHeaderBackup {DISK} --header-backup-file {COPY}"
    )
    opens = f"cryptsetup open --test-passphrase {DISK} --key-file /run"
    assert laptop.holds(f"{opens}/person && {opens}/recovery")
    done = destroyed(life)
    assert done.returncode == 0, done.stdout
    assert not laptop.holds(f"{opens}/person")
    assert not laptop.holds(f"{opens}/recovery")
    assert not laptop.holds(f"test -e {COPY}")
    assert laptop.sh(f"head -c 2M {DISK} | tr -d '\\000' | wc -c").strip() == "0"
    laptop.sh("rm /run/nomade-return/disk-keys.json")


def test_a_disk_that_is_not_encrypted_is_refused(life: Life, laptop: Machine) -> None:
    laptop.sh(f"truncate -s 0 {DISK} && truncate -s 4M {DISK}")
    done = destroyed(life)
    assert done.returncode
    assert "is not encrypted by LUKS: nothing was destroyed" in " ".join(done.stdout.split())
