"""The subcommands of `fleet` that write: what they print, their exit codes, what stands in git."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nomade import allocations, pending
from nomade.cli import main
from nomade.register import COLUMNS, FILE, read_register

HEADER = ";".join([*COLUMNS, "note"])
ZOE = "zmontlune;Zoé Montlune;zoe@example.org;Finances;2042;1"
NOBODY = ";;;;;"
NETWORKS = ["--ipv4-network", "10.66.0.0/16", "--ipv6-network", "fd66::/64"]
ANNE = ["--login", "amartin", "--name", "Anne Martin"]

Captured = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("english")


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "inventories" / "town"
    place.mkdir(parents=True)
    lines = [
        HEADER,
        f"vb-1;SN1;;HP 840;Culture;assigned;{ZOE};",
        f'vb-2;SN2;;"HP; ""850""";Culture;stock;{NOBODY};=1+1',
        f"vb-10;SN10;;Dell 7490;Culture;stock;{NOBODY};",
        f"vb-11;SN11;;Dell 5420;Culture;retired;{NOBODY};",
    ]
    (place / FILE).write_text("\n".join(lines) + "\n")
    (place / "allocations.csv").write_text(
        "asset_tag,vpn_ipv4,vpn_ipv6,allocated_on\nvb-1,10.66.0.17,fd66::11,2026-11-24\n"
    )
    monkeypatch.chdir(tmp_path)
    return place.relative_to(tmp_path)


@pytest.fixture
def repository(town: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = Paul\nemail = paul@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    git(town, "init", "-q", "-b", "main")
    git(town, "add", "-A")
    git(town, "commit", "-q", "-m", "Begin")
    return town


def git(town: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", town, *words], capture_output=True, text=True, check=True)
    return done.stdout


def fleet(command: str, town: Path, *arguments: str) -> int:
    return main([command, "-i", str(town), *arguments])


def states(town: Path) -> dict[str, str]:
    return {machine.asset_tag: machine.state for machine in read_register(town / FILE)}


# assign ------------------------------------------------------------------------------------------


def test_assign_says_what_it_did_and_what_comes_next(town: Path, capsys: Captured) -> None:
    assert fleet("assign", town, "vb-2", *ANNE, "--wave", "2", *NETWORKS) == 0
    assert capsys.readouterr().out == (
        "--- fleet.csv\n"
        "+++ fleet.csv\n"
        "@@ -3 +3 @@\n"
        '-vb-2;SN2;;"HP; ""850""";Culture;stock;;;;;;;=1+1\n'
        '+vb-2;SN2;;"HP; ""850""";Culture;assigned;amartin;Anne Martin;;;;2;=1+1\n'
        "\n"
        'vb-2  HP; "850", serial number SN2\n'
        "  state            stock → assigned\n"
        "  assignee_login   - → amartin\n"
        "  assignee_name    - → Anne Martin\n"
        "  wave             - → 2\n"
        "inventories/town/fleet.csv: written\n"
        "VPN: vb-2 10.66.0.18, fd66::12\n"
        "next: ansible-playbook -i inventories/town playbooks/equip.yml --limit vb-2\n"
    )
    # once more, as after a power cut: nothing to do, and no other address
    before = (town / FILE).read_bytes(), (town / "allocations.csv").read_bytes()
    assert fleet("assign", town, "vb-2", *ANNE, "--wave", "2", *NETWORKS) == 0
    said = capsys.readouterr().out
    assert said == "inventories/town/fleet.csv: is so already; unchanged\n"
    assert ((town / FILE).read_bytes(), (town / "allocations.csv").read_bytes()) == before


def test_assign_next_takes_what_fleet_next_names(town: Path, capsys: Captured) -> None:
    assert fleet("assign", town, "--next", "--model", "dell", *ANNE, *NETWORKS) == 0
    assert "vb-10: never enrolled" in capsys.readouterr().out
    assert states(town)["vb-10"] == "assigned"


@pytest.mark.parametrize("option", ["--dry-run", "--check"])
def test_dry_run_writes_nothing(repository: Path, capsys: Captured, option: str) -> None:
    assert fleet("assign", repository, "vb-2", *ANNE, option, "--commit") == 0
    said = capsys.readouterr().out
    assert "+vb-2;" in said
    assert said.endswith("inventories/town/fleet.csv: nothing was written\n")
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["vb-1", *ANNE],
            'fleet.csv:2: state: "assigned": vb-1 can\'t become assigned from there; it is '
            "somebody's: type fleet return vb-1 first, or take another: fleet next\n",
        ),
        (
            ["vb-11", *ANNE],
            'fleet.csv:5: state: "retired": vb-11 can\'t become assigned from there; take another: '
            "fleet next\n",
        ),
        (
            ["vb-2", "--login", "zmontlune", "--name", "Zoé"],
            "zmontlune has vb-1 already (fleet.csv:2); to exchange it, type: fleet swap -i "
            "inventories/town vb-1 vb-2\n",
        ),
        (
            ["vb-2", "--login", "a", "--name", "=cmd"],
            'fleet.csv:3: assignee_name: "=cmd": is a formula to a spreadsheet; write it without '
            "its first sign\n",
        ),
        (
            ["vb-2", "--login", "Anne", "--name", "Anne", "--extension", "2042"],
            'fleet.csv:3: assignee_login: "Anne": is a login that Debian refuses; write a '
            "lower-case letter, then letters, digits, _ or -, 32 at most, like anne\n"
            'fleet.csv:3: extension: "2042": stands on line 2 already ("vb-1"); write this '
            "machine's own\n",
        ),
        (
            ["vb-2", "--login", "rene", "--name", "Ren\udce9"],  # typed on a latin-1 terminal
            'fleet.csv:3: assignee_name: "Ren\\xe9": is not UTF-8; save the file as UTF-8 '
            '(LibreOffice Calc: Save As, "Edit filter settings")\n',
        ),
        (
            ["vb-2", "--login", "rene", "--name", "A\nB"],
            'fleet.csv:3: assignee_name: "A\\nB": holds a line break; write it on one line\n',
        ),
        (
            ["--next", "--model", "Mac", *ANNE],
            "no machine of model Mac is in stock; fleet list --state recovered --state returned "
            "shows what could become one\n",
        ),
    ],
)
def test_what_can_t_be_assigned(
    town: Path, capsys: Captured, arguments: list[str], said: str
) -> None:
    before = (town / FILE).read_bytes(), (town / "allocations.csv").read_bytes()
    assert fleet("assign", town, *arguments, *NETWORKS) == 1
    assert capsys.readouterr().err == said
    assert ((town / FILE).read_bytes(), (town / "allocations.csv").read_bytes()) == before


def test_without_an_address_nobody_gets_a_machine(town: Path, capsys: Captured) -> None:
    before = (town / FILE).read_bytes()
    full = ["--ipv4-network", "10.66.0.0/27", "--ipv6-network", "fd66::/123"]
    (town / "allocations.csv").write_text(
        "asset_tag,vpn_ipv4,vpn_ipv6,allocated_on\n"
        + "".join(f"x{n},10.66.0.{n},fd66::{n:x},2026-11-24\n" for n in range(17, 31))
    )
    assert fleet("assign", town, "vb-2", *ANNE, *full) == 1
    assert capsys.readouterr().err.startswith("vpn_ipv4_network: 10.66.0.0/27 is full; write")
    assert (town / FILE).read_bytes() == before


def test_an_edit_by_hand_between_reading_and_writing(
    town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit_meanwhile(*_: Any) -> list[allocations.Allocation]:
        with (town / FILE).open("a") as file:
            file.write(f"vb-12;SN12;;;Culture;recovered;{NOBODY};\n")
        return []

    monkeypatch.setattr(allocations, "allocate_held", edit_meanwhile)
    assert fleet("assign", town, "vb-2", *ANNE) == 1
    assert capsys.readouterr().err == (
        "fleet.csv: somebody else has changed it just now; nothing was written: type the command "
        "again\n"
    )
    assert states(town) == {
        "vb-1": "assigned",
        "vb-2": "stock",
        "vb-10": "stock",
        "vb-11": "retired",
        "vb-12": "recovered",
    }


# The other steps ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "tag", "state", "follows"),
    [
        ("return", "vb-1", "returned", "playbooks/return.yml -e asset=vb-1"),
        ("lose", "vb-1", "lost", "playbooks/servers.yml"),
        ("quarantine", "vb-1", "quarantined", "playbooks/servers.yml"),
        ("quarantine", "vb-2", "quarantined", ""),
        ("retire", "vb-2", "retired", ""),
    ],
)
def test_one_step(
    town: Path, capsys: Captured, command: str, tag: str, state: str, follows: str
) -> None:
    assert fleet(command, town, tag) == 0
    said = capsys.readouterr().out
    assert states(town)[tag] == state
    last = said.splitlines()[-1]
    assert last.endswith(follows or "fleet.csv: written")
    assert fleet(command, town, tag) == 0
    assert capsys.readouterr().out == "inventories/town/fleet.csv: is so already; unchanged\n"


def test_back_into_stock(town: Path, capsys: Captured) -> None:
    assert fleet("stock", town, "vb-1") == 1
    assert "vb-1 can't become stock from there; what may follow: returned (fleet return vb-1)" in (
        capsys.readouterr().err
    )
    assert fleet("return", town, "vb-1") == 0
    assert fleet("stock", town, "vb-1") == 1
    assert capsys.readouterr().err == (
        'fleet.csv:2: state: "returned": vb-1 may hold somebody\'s data; type: ansible-playbook '
        "playbooks/return.yml -e asset=vb-1; or, if it was erased otherwise: fleet stock vb-1 "
        "--erased\n"
    )
    assert fleet("stock", town, "vb-1", "--erased") == 0
    assert "vb-1;SN1;;HP 840;Culture;stock;;;;;;;\n" in (town / FILE).read_text()


def test_swap(town: Path, capsys: Captured) -> None:
    assert fleet("swap", town, "vb-1", "--next", *NETWORKS) == 0
    assert f"vb-1;SN1;;HP 840;Culture;returned;{ZOE};\n" in (town / FILE).read_text()
    assert f'vb-2;SN2;;"HP; ""850""";Culture;assigned;{ZOE};=1+1\n' in (town / FILE).read_text()
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "next: ansible-playbook -i inventories/town playbooks/return.yml -e asset=vb-1",
        "next: ansible-playbook -i inventories/town playbooks/equip.yml --limit vb-2",
        "next: ansible-playbook -i inventories/town playbooks/restore.yml -e asset=vb-2 -e "
        "'identity=~/.config/nomade/town.age-identity'",
    ]
    # the person of a machine that is back already, who waits for another one, has one now
    assert fleet("swap", town, "vb-1", "vb-10", *NETWORKS) == 1
    assert "zmontlune has vb-2 already (fleet.csv:3)" in capsys.readouterr().err


def test_swap_of_a_lost_machine(town: Path, capsys: Captured) -> None:
    assert fleet("swap", town, "vb-1", "vb-10", "--lost", *NETWORKS) == 0
    assert states(town) == {
        "vb-1": "lost",
        "vb-2": "stock",
        "vb-10": "assigned",
        "vb-11": "retired",
    }
    said = capsys.readouterr().out
    assert "playbooks/servers.yml\n" in said
    assert "restore.yml" not in said


def test_swap_later(town: Path, capsys: Captured) -> None:
    assert fleet("lose", town, "vb-1") == 0
    capsys.readouterr()
    assert fleet("swap", town, "vb-1", "vb-2", *NETWORKS) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("next")]
    assert said == ["next: ansible-playbook -i inventories/town playbooks/equip.yml --limit vb-2"]
    assert (states(town)["vb-1"], states(town)["vb-2"]) == ("lost", "assigned")


def test_swap_writes_both_lines_or_none(town: Path, capsys: Captured) -> None:
    before = (town / FILE).read_bytes()
    assert fleet("swap", town, "vb-1", "vb-11", *NETWORKS) == 1
    assert fleet("swap", town, "vb-2", "vb-10", *NETWORKS) == 1
    assert "vb-2 has no person in fleet.csv; type fleet assign instead" in capsys.readouterr().err
    assert (town / FILE).read_bytes() == before


# git ---------------------------------------------------------------------------------------------


def test_commit_takes_these_files_and_no_other(repository: Path, capsys: Captured) -> None:
    (repository / "other").write_text("staged, somebody else's\n")
    git(repository, "add", "other")
    assert fleet("assign", repository, "vb-2", *ANNE, *NETWORKS, "--commit") == 0
    said = capsys.readouterr()
    assert "vb-2: assigned to Anne Martin\n" in said.out
    assert "mind:" not in said.out
    assert git(repository, "log", "-1", "--format=%s|%an").strip() == (
        "vb-2: assigned to Anne Martin|Paul"
    )
    changed = git(repository, "show", "--name-only", "--format=").split()
    assert sorted(changed) == ["allocations.csv", "fleet.csv"]
    assert git(repository, "status", "--porcelain") == "A  other\n"


def test_a_commit_says_what_else_is_in_it(repository: Path, capsys: Captured) -> None:
    assert fleet("lose", repository, "vb-2") == 0
    assert fleet("lose", repository, "vb-10", "--commit") == 0
    assert "mind: fleet.csv held other changes, not committed before" in capsys.readouterr().out


def test_where_no_commit_can_be_made_nothing_is_written(
    town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = (town / FILE).read_bytes()
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    for name in ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    git(tmp_path, "init", "-q")  # the town stands inside a repository that isn't its own
    assert fleet("lose", town, "vb-2", "--commit") == 1
    assert "is no git repository of its own; nothing was written" in capsys.readouterr().err
    git(town, "init", "-q")
    git(town, "config", "user.useConfigOnly", "true")
    assert fleet("lose", town, "vb-2", "--commit") == 1
    assert "git doesn't know who you are; nothing was written" in capsys.readouterr().err
    assert (town / FILE).read_bytes() == before


def test_a_commit_that_git_refuses_is_told(repository: Path, capsys: Captured) -> None:
    hook = repository / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no commits on Tuesdays >&2; exit 1\n")
    hook.chmod(0o755)
    assert fleet("lose", repository, "vb-2", "--commit") == 1
    assert capsys.readouterr().err == (
        "the change is written, but git didn't commit it: no commits on Tuesdays; when that is "
        "mended: git -C inventories/town commit -m '...' -- fleet.csv\n"
    )
    assert states(repository)["vb-2"] == "lost"


# add, from what announced itself -----------------------------------------------------------------


def announce(town: Path, serial: str, **more: Any) -> None:
    said = {
        "serial_number": serial,
        "mac_addresses": ["3c:52:82:0a:1b:2c"],
        "model": "HP 840",
        "ram_mb": 7812,
        "firmware": "uefi",
        "battery": None,
        "smart": "passed",
        "wifi": True,
        "camera": True,
        "microphone": True,
        "disks": [],
        "fit": True,
        "unfit_reasons": [],
        "seen": "2026-11-24T09:12:00+00:00",
    }
    announcement = pending.parse("a.json", json.dumps({**said, **more}).encode())
    pending.write(Path("var/town/pending"), announcement)
    assert town.name == "town"


def test_add_wants_the_tag_and_nothing_else(town: Path, capsys: Captured) -> None:
    announce(town, "SN2")  # known: isn't meant
    announce(town, "SN77")
    assert fleet("add", town, "vb-12", "--owner-department", "Culture") == 0
    assert (
        (town / FILE)
        .read_text()
        .endswith("vb-12;SN77;3c:52:82:0a:1b:2c;HP 840;Culture;recovered;;;;;;;\n")
    )
    assert capsys.readouterr().out.splitlines()[-1] == (
        "next: ansible-playbook -i inventories/town playbooks/rebuild.yml -e asset=vb-12"
    )
    assert fleet("add", town, "vb-13") == 1
    assert "no unknown machine has announced itself; start it from" in capsys.readouterr().err


def test_add_one_of_several(town: Path, capsys: Captured) -> None:
    announce(town, "SN77")
    announce(town, "SN78", seen="2026-11-24T10:00:00+00:00")
    assert fleet("add", town, "vb-12") == 1
    assert capsys.readouterr().err == (
        "2 unknown machines have announced themselves; say which with --serial: SN78, SN77\n"
    )
    assert fleet("add", town, "vb-12", "--serial", "sn77") == 0
    # the same dongle went on to the next machine: it isn't this one's address
    assert fleet("add", town, "vb-13", "--serial", "SN78") == 0
    assert (town / FILE).read_text().endswith("vb-13;SN78;;HP 840;;recovered;;;;;;;\n")


def test_add_a_machine_without_a_serial_number(town: Path, capsys: Captured) -> None:
    announce(town, "To be filled by O.E.M.")
    announce(town, "Default string", mac_addresses=["3c:52:82:0a:1b:2d"])
    assert fleet("pending", town) == 0
    assert "fleet add -i inventories/town TAG --serial 3c:52:82:0a:1b:2d\n" in (
        capsys.readouterr().out
    )
    assert fleet("add", town, "vb-12", "--serial", "3c:52:82:0a:1b:2d") == 0
    assert "vb-12;;3c:52:82:0a:1b:2d;HP 840;;recovered;;;;;;;\n" in (town / FILE).read_text()
    assert fleet("pending", town) == 0
    assert "in the register: vb-12, recovered\n" in capsys.readouterr().out
    assert fleet("add", town, "vb-13") == 0  # only the other one is unknown now
    assert "vb-13;;3c:52:82:0a:1b:2c;HP 840;;recovered;;;;;;;\n" in (town / FILE).read_text()


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("vb-1", 'fleet.csv:6: asset_tag: "vb-1": stands on line 2 already'),
        ("VB 12", 'fleet.csv:6: asset_tag: "VB 12": is no host name (RFC 1123)'),
    ],
)
def test_add_under_a_wrong_name(town: Path, capsys: Captured, tag: str, said: str) -> None:
    announce(town, "SN77")
    assert fleet("add", town, tag) == 1
    assert capsys.readouterr().err.startswith(said)


def test_in_french(town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert fleet("assign", town, "vb-11", *ANNE) == 1
    assert capsys.readouterr().err == (
        'fleet.csv:5: state: "retired": vb-11 ne peut pas passer de là à assigned ; en prendre une '
        "autre : fleet next\n"
    )
    assert fleet("return", town, "vb-1") == 0
    assert capsys.readouterr().out.endswith(
        "vb-1  HP 840, numéro de série SN1\n"
        "  state            assigned → returned\n"
        "inventories/town/fleet.csv : écrit\n"
        "ensuite : ansible-playbook -i inventories/town playbooks/return.yml -e asset=vb-1\n"
    )


@pytest.mark.parametrize(
    "arguments",
    [["assign", "vb-2"], ["assign", *ANNE], ["assign", "vb-2", "--next", *ANNE], ["swap", "vb-1"]],
)
def test_wrong_use_is_exit_2(town: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        fleet(arguments[0], town, *arguments[1:])
    assert exited.value.code == 2


def test_the_town_may_be_in_the_environment(
    town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_INVENTORY", str(town))
    assert main(["lose", "vb-2"]) == 0
    assert "inventories/town/fleet.csv: written" in capsys.readouterr().out
