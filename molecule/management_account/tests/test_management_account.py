"""Who gets in, who doesn't, and who no longer does; each by a real login over the network."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
MACHINES = ["debian12", "debian13"]
Playbook = Callable[..., CompletedProcess[str]]
Connect = Callable[[str], Any]
each_machine = pytest.mark.parametrize("name", MACHINES)
testinfra_hosts = MACHINES


def login(
    name: str, user: str, key: str = "", password: str = "", command: str = "id -un"
) -> CompletedProcess[str]:
    """Log in over the network, with nothing but this key or this password."""
    options = {
        "ControlPath": "none",
        "IdentityFile": str(RUN / "private" / key) if key else "none",
        "PubkeyAuthentication": "yes" if key else "no",
        "PasswordAuthentication": "yes" if password else "no",
        "BatchMode": "no" if password else "yes",
        "NumberOfPasswordPrompts": "1",
        "LogLevel": "ERROR",
    }
    # Options of the command line win over the file; IdentityFile adds up, hence a file without one.
    lines = (RUN / "ssh_config").read_text().splitlines()
    config = RUN / "private" / "ssh_config"
    config.write_text("\n".join(line for line in lines if "IdentityFile" not in line))
    argv = ["ssh", "-F", str(config), *[f"-o{k}={v}" for k, v in options.items()]]
    argv += ["-l", user, name, command]
    if password:
        argv = ["sshpass", "-e", *argv]
    environment = {**os.environ, "SSHPASS": password, "SSH_AUTH_SOCK": ""}
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


@each_machine
@pytest.mark.parametrize("technician", ["alice", "bob"])
def test_each_technician_is_root_by_their_own_key(name: str, technician: str) -> None:
    done = login(name, "nomade", key=technician, command="sudo --non-interactive id -un")
    assert (done.returncode, done.stdout) == (0, "root\n")


@each_machine
def test_nobody_else_gets_in(machine: Connect, name: str) -> None:
    host = machine(name)
    assert login(name, "nomade", key="stranger").returncode == 255
    # not even with a key in the account's own file, where whoever has the account could put one
    host.check_output(
        "mkdir -p ~/.ssh && cat > ~/.ssh/authorized_keys <<'END'\n%s\nEND", public("stranger")
    )
    assert login(name, "nomade", key="stranger").returncode == 255
    host.check_output("rm ~/.ssh/authorized_keys")


def public(key: str) -> str:
    return (RUN / "private" / f"{key}.pub").read_text().strip()


@each_machine
def test_no_password_opens_it(machine: Connect, name: str) -> None:
    host = machine(name)
    assert host.check_output("sudo getent shadow nomade").split(":")[1] == "*"
    # were somebody to set one, sshd would not take it, and the next run takes it away
    host.check_output("echo 'nomade:correct horse battery' | sudo chpasswd")
    assert login(name, "nomade", password="correct horse battery").returncode == 255


def test_a_password_set_by_hand_is_taken_away(machine: Connect, playbook: Playbook) -> None:
    assert playbook("converge.yml").returncode == 0
    for name in MACHINES:
        assert machine(name).check_output("sudo getent shadow nomade").split(":")[1] == "*"


@each_machine
def test_root_is_not_let_in(machine: Connect, name: str) -> None:
    host = machine(name)
    assert "permitrootlogin no" in host.check_output("sudo sshd -T")
    assert login(name, "root", password="correct horse battery").returncode == 255
    # the same password and the same sshd let others in: it is the rule that refuses
    host.check_output("id other || sudo useradd --create-home other")
    host.check_output("echo 'other:correct horse battery' | sudo chpasswd")
    assert login(name, "other", password="correct horse battery").stdout == "other\n"


@each_machine
def test_only_root_can_add_a_key(machine: Connect, name: str) -> None:
    host = machine(name)
    keys = host.file("/etc/ssh/authorized_keys.d/nomade")
    assert (keys.user, keys.group, keys.mode) == ("root", "root", 0o644)
    with host.sudo():
        rules = host.file("/etc/sudoers.d/nomade")
        assert (rules.user, rules.mode) == ("root", 0o440)
        assert host.run("visudo --check").rc == 0


def test_who_leaves_is_out_at_the_next_run(playbook: Playbook) -> None:
    stay = ["rig", "alice"]
    done = playbook("change.yml", entry="technicians", management_account_technicians=stay)
    assert done.returncode == 0
    for name in MACHINES:
        assert login(name, "nomade", key="bob").returncode == 255
        assert login(name, "nomade", key="alice").returncode == 0
    assert playbook("converge.yml").returncode == 0
    assert login("debian13", "nomade", key="bob").returncode == 0


@pytest.mark.parametrize(
    ("technicians", "content", "sentence"),
    [
        ([], "", "the list is empty, which would lock everybody out"),
        (["rig", "nobody"], "", "nobody.pub: can't be read"),
        (["rig", "wrong"], "-----BEGIN OPENSSH PRIVATE KEY-----\n", "wrong.pub: is a private key"),
        (["rig", "wrong"], "ssh-ed25519 AAAA wrong\n", "wrong.pub: is not one SSH public key"),
        (["rig", "wrong"], None, "wrong.pub: is another technician's key as well"),
    ],
)
def test_a_list_that_cannot_be_right_is_refused(
    playbook: Playbook, technicians: list[str], content: str | None, sentence: str
) -> None:
    wrong = RUN / "technicians" / "wrong.pub"
    wrong.write_text((RUN / "id_ed25519.pub").read_text() if content is None else content)
    done = playbook("converge.yml", management_account_technicians=technicians)
    wrong.unlink()
    assert done.returncode != 0
    assert sentence in " ".join(done.stdout.split()).replace("''", "'")
    assert "changed=1" not in done.stdout
    assert login("debian13", "nomade", key="bob").returncode == 0


def test_the_stick_holds_the_same_files(machine: Connect, playbook: Playbook) -> None:
    done = playbook("change.yml", "--limit=debian13", entry="stick")
    assert done.returncode == 0
    script = (RUN / "stick" / "enrol.sh").read_text()
    host = machine("debian13")
    with host.sudo():
        for path in (
            "/etc/sudoers.d/nomade",
            "/etc/ssh/authorized_keys.d/nomade",
            "/etc/ssh/sshd_config.d/00-nomade.conf",
        ):
            assert f"<<'END_OF_FILE'\n{host.file(path).content_string}END_OF_FILE\n" in script
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0


def test_removed_it_leaves_nothing(machine: Connect, playbook: Playbook) -> None:
    name = "debian13"
    host = machine(name)
    host.check_output(
        "sudo sh -c %s",
        "mkdir -p ~other/.ssh && cp /etc/ssh/authorized_keys.d/nomade ~other/.ssh/authorized_keys"
        " && chown -R other: ~other/.ssh"
        " && echo 'other ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/other",
    )
    done = playbook("change.yml", f"--limit={name}", entry="absent", ansible_user="other")
    assert done.returncode == 0
    gone = "getent passwd nomade; ls /etc/sudoers.d/nomade /etc/ssh/authorized_keys.d/nomade"
    gone += " /etc/ssh/sshd_config.d/00-nomade.conf"
    done = login(name, "other", key="alice", command=f"sudo sh -c '{gone}'")
    assert done.stdout == ""
    assert playbook("converge.yml", f"--limit={name}", ansible_user="other").returncode == 0
    assert login(name, "nomade", key="alice").returncode == 0
