"""VPN addresses: given once, never twice, never again, whoever runs at the same time."""

from __future__ import annotations

import datetime
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from nomade import allocations
from nomade.allocations import AllocationError, allocate, read_allocations, read_town
from nomade.register import COLUMNS
from nomade.table import TableError

TODAY = datetime.date(2026, 11, 24)
IPV4, IPV6 = "10.66.0.0/16", "fd66::/64"
VALBOURG = Path(__file__).resolve().parents[2] / "inventories" / "valbourg"


pytestmark = pytest.mark.usefixtures("english")


def write_register(town: Path, **states: str) -> None:
    """Write a register of these machines and their states."""
    lines = [",".join(COLUMNS)]
    for n, (tag, state) in enumerate(states.items()):
        person = f"login{n},Nom {n}" if state == "assigned" else ","
        lines.append(f"{tag},,,Model,Finances,{state},{person},,,,")
    (town / "fleet.csv").write_text("\n".join(lines) + "\n")


def give(town: Path, *tags: str, ipv4: str = IPV4, ipv6: str = IPV6) -> list[tuple[str, str, str]]:
    new = allocate(town, tags, ipv4, ipv6, TODAY)
    return [(a.asset_tag, str(a.vpn_ipv4), str(a.vpn_ipv6)) for a in new]


def test_assigned_machines_get_addresses_after_those_of_the_gateways(tmp_path: Path) -> None:
    write_register(tmp_path, a1="assigned", b2="stock", c3="assigned")
    assert give(tmp_path) == [("a1", "10.66.0.17", "fd66::11"), ("c3", "10.66.0.18", "fd66::12")]
    assert (tmp_path / "allocations.csv").read_text() == (
        "asset_tag,vpn_ipv4,vpn_ipv6,allocated_on\n"
        "a1,10.66.0.17,fd66::11,2026-11-24\n"
        "c3,10.66.0.18,fd66::12,2026-11-24\n"
    )
    assert (tmp_path / "allocations.csv").stat().st_mode & 0o777 == 0o644


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    write_register(tmp_path, a1="assigned")
    give(tmp_path)
    before = (tmp_path / "allocations.csv").stat()
    assert give(tmp_path) == []
    after = (tmp_path / "allocations.csv").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_machine_being_enrolled_gets_addresses_when_named(tmp_path: Path) -> None:
    write_register(tmp_path, a1="stock", b2="stock")
    assert give(tmp_path) == []
    assert give(tmp_path, "b2") == [("b2", "10.66.0.17", "fd66::11")]
    assert give(tmp_path, "b2") == []


def test_addresses_are_never_given_again(tmp_path: Path) -> None:
    write_register(tmp_path, a1="assigned", b2="assigned")
    give(tmp_path)
    write_register(tmp_path, b2="retired", c3="assigned")
    assert give(tmp_path) == [("c3", "10.66.0.19", "fd66::13")]
    assert set(read_allocations(tmp_path / "allocations.csv")) == {"a1", "b2", "c3"}


def test_an_address_taken_in_one_network_is_left_out_in_both(tmp_path: Path) -> None:
    write_register(tmp_path, a1="assigned")
    (tmp_path / "allocations.csv").write_text(
        "asset_tag,vpn_ipv4,vpn_ipv6,allocated_on\n"
        "x1,10.66.0.17,fd66::99,2026-01-01\n"
        "x2,10.66.0.99,fd66::12,2026-01-01\n"
    )
    assert give(tmp_path) == [("a1", "10.66.0.19", "fd66::13")]


def test_a_full_network_is_said_and_nothing_written(tmp_path: Path) -> None:
    write_register(tmp_path, **{f"a{n}": "assigned" for n in range(16)})
    with pytest.raises(AllocationError, match=r"^vpn_ipv4_network: 10\.66\.0\.0/27 is full; write"):
        give(tmp_path, ipv4="10.66.0.0/27")
    assert not (tmp_path / "allocations.csv").exists()
    write_register(tmp_path, **{f"a{n}": "assigned" for n in range(14)})
    assert give(tmp_path, ipv4="10.66.0.0/27")[-1] == ("a13", "10.66.0.30", "fd66::1e")


@pytest.mark.parametrize("ipv4", ["10.66.0.1/16", "fd66::/64", "10.66.0.0/33", "{{ network }}"])
def test_a_wrong_network_is_refused(tmp_path: Path, ipv4: str) -> None:
    write_register(tmp_path, a1="assigned")
    with pytest.raises(AllocationError, match=r"write both in its group_vars/all, like 10\.66"):
        give(tmp_path, ipv4=ipv4)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("zz", "zz is not in fleet.csv; add its line first"),
        ("gone", "gone is lost; correct its state in fleet.csv first"),
        ("old", "old is retired; correct its state in fleet.csv first"),
    ],
)
def test_a_machine_that_gets_no_addresses(tmp_path: Path, tag: str, said: str) -> None:
    write_register(tmp_path, a1="assigned", gone="lost", old="retired")
    with pytest.raises(AllocationError, match=f"^{said}$"):
        give(tmp_path, tag)
    assert not (tmp_path / "allocations.csv").exists()


def test_what_calc_made_of_the_file_is_kept(tmp_path: Path) -> None:
    write_register(tmp_path, a1="assigned", b2="assigned")
    path = tmp_path / "allocations.csv"
    old = "\ufeffAllocated_on;notes;asset_tag;vpn_ipv6;vpn_ipv4\r\n"
    old += '2026-01-01;"é;";a1;fd66::11;10.66.0.17'
    path.write_bytes(old.encode())
    path.chmod(0o640)
    give(tmp_path)
    assert path.read_bytes().decode() == f"{old}\r\n2026-11-24;;b2;fd66::12;10.66.0.18\r\n"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    write_register(tmp_path, a1="assigned")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "allocations.csv").symlink_to("elsewhere/allocations.csv")
    give(tmp_path)
    assert (tmp_path / "allocations.csv").is_symlink()
    assert "a1" in (tmp_path / "elsewhere" / "allocations.csv").read_text()


HEADER = "asset_tag,vpn_ipv4,vpn_ipv6,allocated_on\n"
GOOD = "a1,10.66.0.17,fd66::11,2026-11-24\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a1,10.66.0.18,fd66::12,2026-11-24", 'asset_tag: "a1": is a1\'s already; delete'),
        ("b2,10.66.0.17,fd66::12,2026-11-24", 'vpn_ipv4: "10.66.0.17": is a1\'s already; delete'),
        ("b2,10.66.0.18,fd66:0::11,2026-11-24", 'vpn_ipv6: "fd66::11": is a1\'s already; delete'),
        (",10.66.0.18,fd66::12,2026-11-24", 'asset_tag: "": can\'t be read; put back the line'),
        ("b2,10.66.0.300,fd66::12,2026-11-24", 'vpn_ipv4: "10.66.0.300": can\'t be read; put back'),
        ("b2,10.66.0.18,,2026-11-24", 'vpn_ipv6: "": can\'t be read; put back'),
        ("b2,10.66.0.18,fd66::12,24/11/2026", 'allocated_on: "24/11/2026": can\'t be read; put'),
        ("b2,10.66.0.18", 'vpn_ipv6: "b2,10.66.0.18": the line has 2 cells, the first line 4'),
    ],
)
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, line: str, said: str) -> None:
    write_register(tmp_path, c3="assigned")
    path = tmp_path / "allocations.csv"
    path.write_text(HEADER + GOOD + line)
    with pytest.raises(TableError) as refused:
        give(tmp_path)
    (fault,) = refused.value.faults
    assert str(fault).startswith(f"allocations.csv:3: {said}")
    assert path.read_text() == HEADER + GOOD + line


def test_faults_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    write_register(tmp_path, a1="assigned", b2="nowhere")
    (tmp_path / "allocations.csv").write_text(HEADER + GOOD + GOOD)
    with pytest.raises(TableError) as refused:
        read_town(tmp_path / "fleet.csv")
    assert [(f.file, f.line) for f in refused.value.faults] == [
        ("allocations.csv", 3),
        ("fleet.csv", 3),
    ]


def test_lines_of_allocations_are_known(tmp_path: Path) -> None:
    path = tmp_path / "allocations.csv"
    path.write_text(HEADER + "\n" + GOOD)
    (one,) = read_allocations(path).values()
    assert one.line == 3
    assert (one.vpn_ipv4, one.vpn_ipv6) == (IPv4Address("10.66.0.17"), IPv6Address("fd66::11"))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_register(tmp_path, a1="assigned")
    give(tmp_path)
    write_register(tmp_path, a1="assigned", b2="assigned")
    before = (tmp_path / "allocations.csv").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            give(tmp_path)
    assert (tmp_path / "allocations.csv").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["allocations.csv", "fleet.csv"]
    assert give(tmp_path) == [("b2", "10.66.0.18", "fd66::12")]


# Side by side ------------------------------------------------------------------------------------


def start(town: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "nomade.cli", "allocate", "-i", str(town), *options]
    command += ["--ipv4-network", IPV4, "--ipv6-network", IPV6]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@contextmanager
def held(town: Path) -> Iterator[None]:
    directory = os.open(town, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    yield
    os.close(directory)


def test_runs_side_by_side_lose_and_double_no_line(tmp_path: Path) -> None:
    tags = [f"a{n}" for n in range(8)]
    write_register(tmp_path, **dict.fromkeys(tags, "stock"), both="assigned")
    with held(tmp_path):  # so that all of them are there when it opens
        runs = [start(tmp_path, "--asset", tag) for tag in tags]
        time.sleep(0.5)
        assert not (tmp_path / "allocations.csv").exists()
    for run in runs:
        output, _ = run.communicate(timeout=30)
        assert run.returncode == 0, output
    found = read_allocations(tmp_path / "allocations.csv")
    assert set(found) == {*tags, "both"}
    assert sorted(a.vpn_ipv4 for a in found.values()) == [
        IPv4Address("10.66.0.17") + n for n in range(9)
    ]


def test_a_run_that_is_killed_holds_nobody_up(tmp_path: Path) -> None:
    write_register(tmp_path, a1="assigned")
    with held(tmp_path):
        waiting = start(tmp_path)
        time.sleep(0.5)
        waiting.kill()
        waiting.communicate()
    run = start(tmp_path)
    output, _ = run.communicate(timeout=30)
    assert run.returncode == 0
    assert output == "a1               10.66.0.17      fd66::11\n"


# The networks come from the town's variables -----------------------------------------------------


def test_the_networks_of_valbourg() -> None:
    pools = allocations.read_pools(VALBOURG)
    assert str(pools.ipv4) == "10.66.0.0/16"
    assert str(pools.ipv6) == "fd66:7661:6c62::/64"


def town_with(tmp_path: Path, servers: str, **variables: str) -> Path:
    (tmp_path / "servers.yml").write_text(servers)
    (tmp_path / "group_vars").mkdir()
    for group, text in variables.items():
        (tmp_path / "group_vars" / f"{group}.yml").write_text(text)
    write_register(tmp_path, a1="assigned")
    return tmp_path


GATEWAY = "servers: {children: {vpn_gateways: {hosts: {gw: {}}}}}\n"


def test_a_towns_all_wins_over_the_policy_and_a_group_over_all(tmp_path: Path) -> None:
    town = town_with(
        tmp_path,
        GATEWAY,
        all="vpn_ipv4_network: 10.1.0.0/16\nvpn_ipv6_network: fd01::/64\n",
        vpn_gateways="vpn_ipv6_network: fd02::/64\n",
    )
    (new,) = allocate(town)
    assert (str(new.vpn_ipv4), str(new.vpn_ipv6)) == ("10.1.0.17", "fd02::11")


def test_a_given_network_wins_over_the_towns(tmp_path: Path) -> None:
    town = town_with(tmp_path, GATEWAY, all="vpn_ipv6_network: fd01::/64\n")
    (new,) = allocate(town, ipv4_network="10.9.0.0/24")
    assert (str(new.vpn_ipv4), str(new.vpn_ipv6)) == ("10.9.0.17", "fd01::11")


def test_a_town_without_gateway(tmp_path: Path) -> None:
    town = town_with(tmp_path, "servers: {hosts: {cache: {}}}\n")
    with pytest.raises(AllocationError, match=r"no host in the group vpn_gateways; add the gat"):
        allocate(town)


def test_a_town_that_ansible_cannot_read(tmp_path: Path) -> None:
    town = town_with(tmp_path, GATEWAY, all="vpn_ipv4_network: [\n")
    with pytest.raises(AllocationError, match=r"can't be read; correct what Ansible says, or give"):
        allocate(town)
