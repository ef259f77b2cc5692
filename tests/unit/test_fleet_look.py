"""The subcommands of `fleet` that only look: list, show, next, pending, history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nomade.cli import main
from nomade.register import COLUMNS, FILE

ROOT = Path(__file__).resolve().parents[2]
LINES = [
    ",".join(COLUMNS),
    "vb-1,SN1,,HP EliteBook 840,Culture,assigned,zmontlune,Zoé Montlune,,État civil,2042,1",
    "vb-2,SN2,,HP EliteBook 850,Culture,stock,,,,,,",
    "vb-3,SN3,,Dell 7490,Finances,stock,,,,,,",
    "vb-10,SN10,,Dell 7490,Finances,stock,,,,,,",
    "vb-11,SN11,,Dell 7490,Finances,returned,zmontlune,Zoé Montlune,,,,",
]

Captured = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("english")


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "inventories" / "town"
    place.mkdir(parents=True)
    (place / FILE).write_text("\n".join(LINES) + "\n")
    (place / "allocations.csv").write_text(
        "asset_tag,vpn_ipv4,vpn_ipv6,allocated_on\nvb-1,10.66.0.17,fd66::11,2026-11-24\n"
    )
    monkeypatch.chdir(tmp_path)
    return place.relative_to(tmp_path)


def fleet(command: str, town: Path, *arguments: str) -> int:
    return main([command, "-i", str(town), *arguments])


def enrol(town: Path, tag: str, serial: str, fit: bool = True, *warnings: str) -> None:
    record = {
        "asset_tag": tag,
        "enrolled_on": "2026-11-23",
        "serial_number": serial,
        "fit": fit,
        "unfit_because": [] if fit else ["memory: 1984 MiB, 3500 wanted: add memory"],
        "warnings": list(warnings),
    }
    path = town / "records/enrolments" / f"{tag}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))


# list --------------------------------------------------------------------------------------------


def test_list(town: Path, capsys: Captured) -> None:
    assert fleet("list", town, "--state", "assigned", "--state", "returned") == 0
    assert capsys.readouterr().out == (
        "Machine  State     Person        Department  Wave  Model\n"
        "───────  ────────  ────────────  ──────────  ────  ────────────────\n"
        "vb-1     assigned  Zoé Montlune  État civil  1     HP EliteBook 840\n"
        "vb-11    returned  Zoé Montlune  -           -     Dell 7490\n"
        "\n"
        "Machines: 1 assigned, 1 returned\n"
    )


@pytest.mark.parametrize(
    ("filters", "tags"),
    [
        ([], ["vb-1", "vb-2", "vb-3", "vb-10", "vb-11"]),
        (["--department", "etat"], ["vb-1"]),
        (["--wave", "1"], ["vb-1"]),
        (["--wave", "2"], []),
        (["--model", "elitebook", "--state", "stock"], ["vb-2"]),
        (["zoe"], ["vb-1", "vb-11"]),
        (["ZOE", "2042"], ["vb-1"]),
        (["sn10"], ["vb-10"]),
    ],
)
def test_filters(town: Path, capsys: Captured, filters: list[str], tags: list[str]) -> None:
    assert fleet("list", town, "--json", *filters) == 0
    machines = json.loads(capsys.readouterr().out)["machines"]
    assert [machine["asset_tag"] for machine in machines] == tags
    assert fleet("list", town, *filters) == 0
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if line.startswith("vb-")] == tags
    if not tags:
        assert said == "Machines: 0\n"


def test_list_as_json(town: Path, capsys: Captured) -> None:
    assert fleet("list", town, "--json", "--wave", "1") == 0
    (machine,) = json.loads(capsys.readouterr().out)["machines"]
    assert machine == {
        "line": 2,
        "asset_tag": "vb-1",
        "serial_number": "SN1",
        "mac_address": "",
        "model": "HP EliteBook 840",
        "owner_department": "Culture",
        "state": "assigned",
        "assignee_login": "zmontlune",
        "assignee_name": "Zoé Montlune",
        "assignee_email": "",
        "department": "État civil",
        "extension": "2042",
        "wave": 1,
        "management_address": "",
        "vpn_ipv4": "10.66.0.17",
        "vpn_ipv6": "fd66::11",
    }


def test_a_list_that_nobody_reads_to_its_end(town: Path) -> None:
    lines = LINES + [f"x{n},,,Model,Culture,stock,,,,,," for n in range(3000)]
    (town / FILE).write_text("\n".join(lines) + "\n")
    program = str(Path(sys.executable).parent / "fleet")
    command = f"'{program}' list -i {town} | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["Machine", "State"]
    assert done.stderr == ""


# show --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vb-1", "sn1", "SN-1", "zmontlune"])
def test_show_by_tag_serial_or_login(town: Path, capsys: Captured, name: str) -> None:
    enrol(town, "vb-1", "SN1", True, "camera: none found")
    Path("var/town").mkdir(parents=True)
    Path("var/town/seen.json").write_text('{"vb-1": {"seen": "2026-11-24"}}')
    assert fleet("show", town, name) == 0
    assert capsys.readouterr().out == (
        "vb-1  HP EliteBook 840, serial number SN1\n"
        "  owner_department   Culture\n"
        "  state              assigned\n"
        "  assignee_login     zmontlune\n"
        "  assignee_name      Zoé Montlune\n"
        "  department         État civil\n"
        "  extension          2042\n"
        "  wave               1\n"
        "  vpn                10.66.0.17, fd66::11\n"
        "  enrolled           2026-11-23, fit; camera: none found\n"
        "  last met           2026-11-24\n"
        "  may follow         fleet return -i inventories/town vb-1\n"
        "                     fleet quarantine -i inventories/town vb-1\n"
        "                     fleet lose -i inventories/town vb-1\n"
    )


def test_show_as_json(town: Path, capsys: Captured) -> None:
    enrol(town, "vb-2", "SN2", False)
    assert fleet("show", town, "vb-2", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["may_become"] == ["assigned", "quarantined", "lost", "retired"]
    assert said["enrolment"]["fit"] is False
    assert said["contact"] is None
    assert said["vpn_ipv4"] is None


def test_show_what_isn_t_there(town: Path, capsys: Captured) -> None:
    assert fleet("show", town, "nobody") == 1
    assert capsys.readouterr().err == (
        "nobody is no tag, serial number or login of fleet.csv; search with fleet list TEXT\n"
    )


# next --------------------------------------------------------------------------------------------


def test_next_prefers_what_is_known_to_be_fit(town: Path, capsys: Captured) -> None:
    enrol(town, "vb-2", "SN2", False)
    enrol(town, "vb-3", "SN3", True, "camera: none found: hand out one")
    enrol(town, "vb-10", "SN10", True)
    assert fleet("next", town) == 0
    assert capsys.readouterr().out == (
        "vb-10  Dell 7490, serial number SN10\n"
        "  enrolled on 2026-11-23, fit\n"
        "  then: vb-3\n"
        "  left out: vb-2 (memory: 1984 MiB, 3500 wanted: add memory)\n"
        "next: fleet assign -i inventories/town vb-10 --login ...\n"
    )


def test_next_among_equals_is_the_lowest_tag(town: Path, capsys: Captured) -> None:
    assert fleet("next", town, "--model", "dell") == 0
    assert capsys.readouterr().out.splitlines()[:4] == [
        "vb-3  Dell 7490, serial number SN3",
        "  never enrolled: nobody has looked whether it is fit",
        "  first by its tag, with 1 other as good",
        "  then: vb-10",
    ]


def test_the_record_of_another_machine_says_nothing(town: Path, capsys: Captured) -> None:
    enrol(town, "vb-10", "ANOTHER", True)
    assert fleet("next", town) == 0
    assert capsys.readouterr().out.startswith("vb-2 ")


def test_nothing_to_take(town: Path, capsys: Captured) -> None:
    for n in (2, 3, 10):
        enrol(town, f"vb-{n}", f"SN{n}", False)
    assert fleet("next", town) == 1
    assert capsys.readouterr().err.startswith("all 3 machines in stock are unfit; fleet list")


# pending -----------------------------------------------------------------------------------------


def announce(serial: str, **more: Any) -> None:
    disk = {"name": "nvme0n1", "size_bytes": 256060514304}
    parts = [
        {"name": "p1", "size_bytes": 104857600, "file_system": "vfat", "used_bytes": 31457280},
        {"name": "p3", "size_bytes": 255000000000, "file_system": "", "used_bytes": None},
    ]
    said = {
        "serial_number": serial,
        "mac_addresses": ["3c:52:82:0a:1b:2c"],
        "model": "HP 840",
        "ram_mb": 1984,
        "firmware": "uefi",
        "battery": 81,
        "smart": "passed",
        "wifi": True,
        "camera": False,
        "microphone": False,
        "disks": [{**disk, "partitions": parts}],
        "fit": False,
        "unfit_reasons": ["memory: 1984 MiB, 3500 wanted"],
        "seen": "2026-11-24T09:12:00+00:00",
        **more,
    }
    path = Path("var/town/pending") / f"{serial.lower()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))


def test_pending(town: Path, capsys: Captured) -> None:
    announce("SN77")
    announce("SN2", seen="2026-11-24T08:00:00", disks=[], fit=True, unfit_reasons=[])
    assert fleet("pending", town) == 0
    assert capsys.readouterr().out == (
        "SN77  HP 840, 1984 MiB, uefi, SMART passed\n"
        "  UNFIT: memory: 1984 MiB, 3500 wanted\n"
        "  battery 81 %; without camera, microphone; seen 2026-11-24 09:12\n"
        "  nvme0n1 238 GiB: p1 vfat 100 MiB (30 MiB used), p3 ? 237 GiB\n"
        "  unknown; type: fleet add -i inventories/town TAG --serial SN77\n"
        "SN2  HP 840, 1984 MiB, uefi, SMART passed\n"
        "  fit\n"
        "  battery 81 %; without camera, microphone; seen 2026-11-24 08:00\n"
        "  in the register: vb-2, stock\n"
    )


def test_pending_as_json(town: Path, capsys: Captured) -> None:
    announce("SN2")
    Path("var/town/pending/broken.json").write_text("{")
    assert fleet("pending", town, "--json") == 1
    said = json.loads(capsys.readouterr().out)
    (machine,) = said["machines"]
    assert machine["asset_tag"] == "vb-2"
    assert machine["disks"][0]["partitions"][0]["file_system"] == "vfat"
    assert said["refused"] == [
        "broken.json: is no JSON; delete the file and start that machine from the network again"
    ]


def test_nothing_pending(town: Path, capsys: Captured) -> None:
    assert fleet("pending", town) == 0
    assert capsys.readouterr().out == "No machine has announced itself.\n"


# history -----------------------------------------------------------------------------------------


def git(town: Path, *words: str) -> None:
    config = Path("gitconfig").resolve()
    config.write_text("[user]\nname = Paul\nemail = paul@example.org\n")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_SYSTEM": os.devnull}
    env |= {"GIT_AUTHOR_DATE": "2026-11-24T09:00:00Z", "GIT_COMMITTER_DATE": "2026-11-24T09:00:00Z"}
    subprocess.run(["git", "-C", town, *words], env=env, capture_output=True, check=True)


def commit(town: Path, message: str) -> None:
    git(town, "add", "-A")
    git(town, "commit", "-q", "--allow-empty", "-m", message)


def test_history_of_one_machine(town: Path, capsys: Captured) -> None:
    git(town, "init", "-q", "-b", "main")
    commit(town, "Begin the register")
    assert fleet("lose", town, "vb-3") == 0
    commit(town, "vb-3 stolen from the car")
    assert fleet("lose", town, "vb-2") == 0
    commit(town, "Not about vb-3")
    assert fleet("retire", town, "vb-3") == 0
    capsys.readouterr()
    assert fleet("history", town, "vb-3") == 0
    assert capsys.readouterr().out == (
        "not committed yet\n"
        "    vb-3: state lost → retired\n"
        "2026-11-24 09:00  Paul  vb-3 stolen from the car\n"
        "    vb-3: state stock → lost\n"
        "2026-11-24 09:00  Paul  Begin the register\n"
        "    vb-3: asset_tag - → vb-3, serial_number - → SN3, model - → Dell 7490, "
        "owner_department - → Finances, state - → stock\n"
    )
    assert fleet("history", town, "-n", "2") == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "2026-11-24 09:00  Paul  Not about vb-3",
        "    vb-2: state stock → lost",
    ]


def test_history_tells_two_technicians_apart(town: Path, capsys: Captured) -> None:
    git(town, "init", "-q", "-b", "main")
    commit(town, "Begin")
    git(town, "checkout", "-q", "-b", "anne")
    assert fleet("lose", town, "vb-10") == 0
    commit(town, "Anne's")
    git(town, "checkout", "-q", "main")
    assert fleet("lose", town, "vb-2") == 0
    commit(town, "Paul's")
    git(town, "merge", "-q", "-m", "Merge", "anne")
    capsys.readouterr()
    assert fleet("history", town) == 0
    said = capsys.readouterr().out.splitlines()
    for who, tag in (("Anne", "vb-10"), ("Paul", "vb-2")):
        place = said.index(f"2026-11-24 09:00  Paul  {who}'s")
        assert said[place + 1] == f"    {tag}: state stock → lost"
    assert not any("lost → " in line for line in said)


def test_a_commit_that_changed_many_is_told_short(town: Path, capsys: Captured) -> None:
    lines = LINES + [f"x{n},,,Model,Culture,stock,,,,,," for n in range(20)]
    (town / FILE).write_text("\n".join(lines) + "\n")
    git(town, "init", "-q", "-b", "main")
    commit(town, "Begin")
    assert fleet("history", town) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 7
    assert said[-1] == "    + 20 more machines"


def test_history_without_git(town: Path, capsys: Captured) -> None:
    assert fleet("history", town) == 1
    assert "inventories/town has no history: it is in no git repository" in capsys.readouterr().err


def test_in_french(town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    announce("SN77")
    assert fleet("next", town) == 0
    assert "première par son étiquette, 2 autres se valant" in capsys.readouterr().out
    assert fleet("list", town, "--wave", "1") == 0
    assert "Machine  État      Personne      Service     Vague  Modèle" in capsys.readouterr().out
    assert fleet("pending", town) == 0
    assert "inconnue ; taper : fleet add -i inventories/town ÉTIQUETTE --serial SN77" in (
        capsys.readouterr().out
    )
    assert fleet("show", town, "x") == 1
    assert "n'est ni étiquette, ni numéro de série" in capsys.readouterr().err
