"""The register as Ansible reads it: through the real commands, by exit code and list of hosts."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nomade.allocations import allocate
from nomade.register import COLUMNS, STATES, read_register
from nomade.table import TableError

ROOT = Path(__file__).resolve().parents[2]
HEADER = f"{','.join(COLUMNS)},management_address"
LINES = (
    "vb-1,5CG1,00:00:5e:00:53:01,Model A,Finances,assigned,zmontlune,Zoé Montlune,"
    "zoe@example.org,État civil,2042,1,",
    "vb-2,5CG2,00:00:5e:00:53:02,Model B,Finances,assigned,hclair,Hugo Clair,"
    ",Urbanisme,,2,10.0.0.2",
    "vb-3,,,Model A,Finances,stock,,,,,,,",
    "vb-4,,,Model A,Finances,lost,,,,,,,10.0.0.4",
)


def ansible(command: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ansible", command, *arguments],
        cwd=ROOT,
        env=os.environ | {"LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"} | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def listed(source: Path) -> dict[str, Any]:
    result = ansible("inventory", "-i", str(source), "--list")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    inventory: dict[str, Any] = json.loads(result.stdout)
    return inventory


def refused(source: Path, **environ: str) -> str:
    """Return what is said of an inventory that is refused: once, without hosts or traceback."""
    result = ansible("inventory", "-i", str(source), "--list", **environ)
    assert result.returncode != 0
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def text_of(variable: object) -> object:
    """Return a variable as it is: --list writes text that is no template in a wrapper."""
    return variable["__ansible_unsafe"] if isinstance(variable, dict) else variable


@pytest.fixture
def french(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in French: Ansible refuses a locale that the system doesn't have."""
    locales = tmp_path_factory.mktemp("locales")
    (locales / "fr_FR.utf8").symlink_to("/usr/lib/locale/C.utf8")
    return {"LOCPATH": str(locales), "LC_ALL": "fr_FR.UTF-8"}


@pytest.fixture
def town(tmp_path: Path) -> Path:
    (tmp_path / "fleet.csv").write_text("\n".join([HEADER, *LINES]) + "\n")
    allocate(tmp_path, ["vb-3"], "10.66.0.0/16", "fd66::/64")
    return tmp_path


def test_groups_hosts_and_variables(town: Path) -> None:
    inventory = listed(town)
    groups = {name: group.get("hosts") for name, group in inventory.items() if name != "_meta"}
    assert groups == {
        "all": None,
        "workstations": ["vb-1", "vb-2", "vb-3", "vb-4"],
        "state_assigned": ["vb-1", "vb-2"],
        "state_stock": ["vb-3"],
        "state_lost": ["vb-4"],
        "department_etat_civil": ["vb-1"],
        "department_urbanisme": ["vb-2"],
        "wave_1": ["vb-1"],
        "wave_2": ["vb-2"],
    }
    hosts = {
        host: {name: text_of(value) for name, value in variables.items() if "fleet_" in name}
        for host, variables in inventory["_meta"]["hostvars"].items()
    }
    assert hosts["vb-1"] == {
        "fleet_asset_tag": "vb-1",
        "fleet_serial_number": "5CG1",
        "fleet_mac_address": "00:00:5e:00:53:01",
        "fleet_model": "Model A",
        "fleet_owner_department": "Finances",
        "fleet_state": "assigned",
        "fleet_assignee_login": "zmontlune",
        "fleet_assignee_name": "Zoé Montlune",
        "fleet_assignee_email": "zoe@example.org",
        "fleet_department": "État civil",
        "fleet_extension": "2042",
        "fleet_wave": 1,
        "fleet_vpn_ipv4": "10.66.0.17",
        "fleet_vpn_ipv6": "fd66::11",
    }
    assert "fleet_wave" not in hosts["vb-3"]
    assert hosts["vb-3"]["fleet_assignee_login"] == ""
    assert hosts["vb-3"]["fleet_vpn_ipv4"] == "10.66.0.19"
    assert hosts["vb-4"]["fleet_vpn_ipv4"] == ""


def test_machines_are_reached_where_they_are(town: Path) -> None:
    hosts = listed(town)["_meta"]["hostvars"]
    addresses = {host: text_of(variables.get("ansible_host")) for host, variables in hosts.items()}
    assert addresses == {"vb-1": "10.66.0.17", "vb-2": "10.0.0.2", "vb-3": None, "vb-4": "10.0.0.4"}


def test_the_file_alone_is_an_inventory_too(town: Path) -> None:
    assert listed(town / "fleet.csv")["workstations"]["hosts"] == ["vb-1", "vb-2", "vb-3", "vb-4"]


def test_a_register_without_machines_yet(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(HEADER)
    assert listed(tmp_path)["_meta"]["hostvars"] == {}


def test_what_else_lies_in_a_town_is_no_inventory(town: Path) -> None:
    for name in ("keys/technicians/ana.pub", "records/x.json", "rootfs/hardening/etc/motd"):
        (town / name).parent.mkdir(parents=True, exist_ok=True)
        (town / name).write_text("ana\n")
    for name in ("known_hosts", "README.md", "README", "ana.pub", ".~lock.fleet.csv#", "x.age"):
        (town / name).write_text("ana\n")
    (town / "servers.yml").write_text("servers: {hosts: {gw: {}}}\n")
    inventory = listed(town)
    assert set(inventory["_meta"]["hostvars"]) == {"vb-1", "vb-2", "vb-3", "vb-4", "gw"}
    assert inventory["servers"]["hosts"] == ["gw"]


def test_options_of_constructed(town: Path) -> None:
    (town / "fleet.yml").write_text(
        "plugin: fleet\n"
        "compose: {shout: fleet_assignee_login | upper, fleet_vpn_ipv6: \"'none'\"}\n"
        "groups: {with_extension: fleet_extension != ''}\n"
        "keyed_groups: [{key: fleet_model, prefix: model}, {key: fleet_state, prefix: ''}]\n"
        "leading_separator: false\n"
    )
    inventory = listed(town)
    assert inventory["with_extension"]["hosts"] == ["vb-1"]
    assert inventory["model_Model_A"]["hosts"] == ["vb-1", "vb-3", "vb-4"]
    assert inventory["stock"]["hosts"] == ["vb-3"]
    assert inventory["workstations"]["hosts"] == ["vb-1", "vb-2", "vb-3", "vb-4"]
    assert text_of(inventory["_meta"]["hostvars"]["vb-2"]["shout"]) == "HCLAIR"


def test_strict_is_strict(town: Path) -> None:
    (town / "fleet.yml").write_text("plugin: fleet\nstrict: true\ncompose: {a: nobody_knows_it}\n")
    assert "Could not set a for host vb-1" in refused(town)


def test_another_register(town: Path) -> None:
    (town / "fleet.csv").rename(town / ".archive.csv")
    (town / "fleet.yml").write_text("plugin: fleet\nregister: .archive.csv\n")
    assert len(listed(town)["_meta"]["hostvars"]) == 4
    (town / ".archive.csv").unlink()
    assert f"{town}/.archive.csv: No such file or directory" in refused(town)


def test_a_cell_is_never_a_template(town: Path) -> None:
    marker = town / "evaluated"
    cell = "{{ lookup('pipe', 'touch " + str(marker) + "') }}"
    register = (town / "fleet.csv").read_text()
    (town / "fleet.csv").write_text(register.replace("Zoé Montlune", f'"{cell}"'))
    (town / "fleet.yml").write_text(
        "plugin: fleet\ncompose: {greeting: \"'Bonjour ' ~ fleet_assignee_name\"}\n"
    )
    message = "{{ [fleet_assignee_name, greeting, hostvars['vb-1'].fleet_assignee_name] }}"
    result = ansible("adhoc", "-i", str(town), "vb-1", "-m", "debug", "-a", f"msg={message}")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("{{ lookup(") == 3
    assert not marker.exists()


def test_a_missing_allocation_is_refused_with_the_command_to_type(town: Path) -> None:
    (town / "allocations.csv").unlink()
    said = refused(town)
    assert said.count("2 machines assigned and without VPN address (vb-1, vb-2); ") == 1
    assert f"type: fleet allocate -i {town}\n" in said


FAULTY = {
    "duplicates": "\n".join([HEADER, LINES[0], LINES[0]]),
    "unknown state": "\n".join([HEADER, LINES[2].replace("stock", "spare")]),
    "a login to run": "\n".join([HEADER, LINES[0].replace("zmontlune", "a;b")]),
    "a short line": f"{HEADER}\nvb-1\nvb-2\n",
    "an unclosed quote": f'{HEADER}\n"{LINES[0]}\n',
    "a NUL byte": f"{HEADER}\n{LINES[2]}\0\n",
    "a missing column": "asset_tag\nvb-1\n",
    "a doubled column": f"{HEADER},wave\n",
    "an empty file": "",
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_register_makes_no_hosts(tmp_path: Path, fault: str) -> None:
    (tmp_path / "fleet.csv").write_text(FAULTY[fault])
    # should it be taken for an inventory after all, this is what would come of it
    (tmp_path / "servers.yml").write_text("servers: {hosts: {gw: {}}}\n")
    with pytest.raises(TableError) as error:
        read_register(tmp_path / "fleet.csv")
    said = refused(tmp_path)
    for line in str(error.value).splitlines():
        assert said.count(line) == 1


ALL_FAULTS = [
    ("vb-1,5CG1,00:00:5e:00:53:01,M,F,assigned,zmontlune,Zoé,z@example.org,F,2042,1", []),
    (
        "vb-1,5cg 1,0000.5e00.5301,M,F,assigned,zmontlune,Zoé,z@example.org,F,2042,1",
        ["asset_tag", "serial_number", "mac_address", "assignee_login", "extension"],
    ),
    (
        "vb_2,,01:00:5e:00:53:02,M,F,assigned,root,Zoé,zoe,F,12345678,0",
        ["asset_tag", "mac_address", "assignee_login", "assignee_email", "extension", "wave"],
    ),
    ("vb-3,,00:00,M,F,spare,,,,,,", ["mac_address", "state"]),
    ("vb-4,,,M,F,assigned,,,,,,", ["assignee_login", "assignee_name"]),
    ("vb-5,,,M,F,assigned,a;b,Zoé,,,,", ["assignee_login"]),
    ('vb-6,,,M,"F,stock,,,,,,', ["-"]),
    ("vb-7,,,M\0,F,stock,,,,,,", ["model"]),
    ("vb-8,,,M\udce9,F,stock,,,,,,", ["model"]),
    ("all,,,M,F,stock,,,,,,", ["asset_tag"]),
    ("vb-9,,,M", ["owner_department"]),
]


def places_of_all_faults(town: Path) -> list[str]:
    """Write the register with all faults; return how the line of each fault begins."""
    header = ",".join([*COLUMNS, "management_address"])
    lines = [line + (",10.0.0.300" if "vb-3" in line else ",") for line, _ in ALL_FAULTS[:-1]]
    content = "\n".join([header, *lines, ALL_FAULTS[-1][0]])
    (town / "fleet.csv").write_bytes(content.encode("utf-8", "surrogateescape"))
    places = [
        f"fleet.csv:{n}: {column}: "
        for n, (_, columns) in enumerate(ALL_FAULTS, start=2)
        for column in columns
    ]
    return [*places, "fleet.csv:5: management_address: "]


def test_a_register_with_all_faults_at_once(tmp_path: Path) -> None:
    expected = places_of_all_faults(tmp_path)
    said = refused(tmp_path).splitlines()
    for place in expected:
        (line,) = [line for line in said if line.startswith(place)]
        assert "; " in line
    assert len([line for line in said if line.startswith("fleet.csv:")]) == len(expected)
    assert said[0].endswith(f"{len(expected)} faults:")


def test_the_same_in_french(tmp_path: Path, french: dict[str, str]) -> None:
    expected = places_of_all_faults(tmp_path)
    said = refused(tmp_path, **french).splitlines()
    for place in expected:
        (line,) = [line for line in said if line.startswith(place)]
        assert " ; " in line
        assert "write" not in line
    assert said[0].endswith(f"{len(expected)} fautes :")


def test_a_refused_register_reaches_nobody(tmp_path: Path) -> None:
    (tmp_path / "fleet.csv").write_text(FAULTY["unknown state"])
    (tmp_path / "servers.yml").write_text("servers: {hosts: {gw: {ansible_connection: local}}}\n")
    marker = tmp_path / "reached"
    result = ansible("adhoc", "-i", str(tmp_path), "all", "-m", "command", "-a", f"touch {marker}")
    assert result.returncode != 0
    assert not marker.exists()


def test_a_wave_beats_all_workstations(tmp_path: Path) -> None:
    town = tmp_path / "town"
    shutil.copytree(ROOT / "inventories/valbourg", town)
    (town / "group_vars/workstations.yml").write_text("own: all laptops\n")
    (town / "group_vars/wave_1.yml").write_text("own: the first wave\n")
    result = ansible("inventory", "-i", str(town), "--host", "vb-0001")
    assert json.loads(result.stdout)["own"] == "the first wave", result.stderr


def test_valbourg_is_listed_quickly() -> None:
    def spent() -> float:
        """Return the processor's seconds: a busy machine makes nobody's code slower."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = spent()
    result = ansible("inventory", "-i", "inventories/valbourg", "--graph")
    seconds = spent() - before
    assert result.returncode == 0
    assert result.stderr == ""
    for group in (*(f"state_{state}" for state in STATES), "wave_4", "department_urbanisme"):
        assert f"@{group}:" in result.stdout
    assert seconds < 3


def test_the_documentation_is_ansibles() -> None:
    result = ansible("doc", "-t", "inventory", "--json", "fleet")
    assert result.returncode == 0, result.stderr
    documented = json.loads(result.stdout)["fleet"]
    assert {"register", "compose", "groups", "keyed_groups", "strict", "leading_separator"} <= set(
        documented["doc"]["options"]
    )
    assert "plugin: fleet" in documented["examples"]
