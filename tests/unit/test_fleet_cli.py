"""The command `fleet`: what it prints where, and its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomade.cli import main
from nomade.register import COLUMNS

HEADER = ",".join(COLUMNS)
ASSIGNED = "vb-1,,,Model,Finances,assigned,zmontlune,Zoé Montlune,,,,"
NETWORKS = ["--ipv4-network", "10.66.0.0/16", "--ipv6-network", "fd66::/64"]

Captured = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("english")


@pytest.fixture
def town(tmp_path: Path) -> Path:
    (tmp_path / "fleet.csv").write_text(
        f"{HEADER}\n{ASSIGNED}\nvb-2,,,Model,Finances,stock,,,,,,\n"
    )
    return tmp_path


def fleet(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


def test_allocate_then_check(town: Path, capsys: Captured) -> None:
    assert fleet("check", "-i", town) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "allocations.csv: 1 machine assigned and without VPN address (vb-1); "
        f"type: fleet allocate -i {town}\n"
    )

    assert fleet("allocate", "-i", town, *NETWORKS) == 0
    assert capsys.readouterr().out == "vb-1             10.66.0.17      fd66::11\n"

    assert fleet("allocate", "-i", town) == 0  # nothing to do: Ansible isn't even asked
    assert capsys.readouterr().out == "Every machine has its addresses.\n"

    assert fleet("check", "-i", town) == 0
    assert capsys.readouterr().out == (
        f"{town}/fleet.csv: 2 machines without a fault (1 stock, 1 assigned)\n"
    )


def test_the_command_to_type_is_short_where_it_can_be(
    town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(town.parent)
    assert fleet("check", "-i", town) == 1
    assert capsys.readouterr().err.endswith(f"type: fleet allocate -i {town.name}\n")


@pytest.mark.parametrize("command", ["check", "allocate"])
def test_faults_go_to_stderr_one_a_line(town: Path, capsys: Captured, command: str) -> None:
    (town / "fleet.csv").write_text(f"{HEADER}\n{ASSIGNED}\n{ASSIGNED}\nVB-3,,,,,gone,,,,,,\n")
    assert fleet(command, "-i", town) == 1
    said = capsys.readouterr()
    assert said.out == ""
    places = [line.split(": ")[:2] for line in said.err.splitlines()]
    assert places == [
        ["fleet.csv:3", "asset_tag"],
        ["fleet.csv:3", "assignee_login"],
        ["fleet.csv:4", "asset_tag"],
        ["fleet.csv:4", "state"],
    ]


def test_in_french(town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert fleet("check", "-i", town) == 1
    assert "1 machine à l'état assigned sans adresse VPN (vb-1) ; taper : fleet allocate" in (
        capsys.readouterr().err
    )
    fleet("allocate", "-i", town, *NETWORKS)
    assert fleet("check", "-i", town) == 0
    assert "2 machines sans faute (1 stock, 1 assigned)" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "allocate"])
@pytest.mark.parametrize("missing", ["", "nowhere"])
def test_a_directory_that_is_no_town(
    tmp_path: Path, capsys: Captured, command: str, missing: str
) -> None:
    assert fleet(command, "-i", tmp_path / missing) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path / missing}")
    assert said.endswith(": No such file or directory\n")


@pytest.mark.parametrize("arguments", [[], ["check"], ["fly", "-i", "x"], ["check", "-i"]])
def test_wrong_use_is_exit_2(capsys: Captured, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert capsys.readouterr().err.startswith("usage: fleet")


def test_a_machine_by_name(town: Path, capsys: Captured) -> None:
    assert fleet("allocate", "-i", town, "--asset", "vb-2", *NETWORKS) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["vb-1", "vb-2"]
    assert fleet("allocate", "-i", town, "--asset", "vb-9", *NETWORKS) == 1
    assert capsys.readouterr().err == "vb-9 is not in fleet.csv; add its line first\n"
