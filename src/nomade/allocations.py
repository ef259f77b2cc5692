"""The VPN addresses of the machines: allocations.csv, append-only, beside the register.

An address that a machine once had is never given to another: gateways, logs and firewalls
elsewhere may remember it. Hence a file that only grows, and not an address computed from the tag.
"""

from __future__ import annotations

import csv
import datetime
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path
from typing import Any

from nomade import files
from nomade.i18n import tr
from nomade.places import short
from nomade.register import FILE as REGISTER
from nomade.register import Machine, read_register
from nomade.table import Fault, Table, TableError, plural, read_table

FILE = "allocations.csv"
COLUMNS = ("asset_tag", "vpn_ipv4", "vpn_ipv6", "allocated_on")
# The first host addresses of the network belong to the gateways.
GATEWAY_ADDRESSES = 16


class AllocationError(Exception):
    """No address can be allocated; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The addresses of one machine in the VPN."""

    asset_tag: str
    vpn_ipv4: IPv4Address
    vpn_ipv6: IPv6Address
    allocated_on: datetime.date
    line: int = field(default=0, compare=False)  # of the file, once it stands there


@dataclass(frozen=True, slots=True)
class Pools:
    """The networks from which the town's machines have their VPN addresses."""

    ipv4: IPv4Network
    ipv6: IPv6Network


def read_allocations(path: Path) -> dict[str, Allocation]:
    """Read the allocations by asset tag (none if there is no file yet), or raise TableError."""
    return _read(path)[1]


def _read(path: Path) -> tuple[Table, dict[str, Allocation]]:
    if not path.exists():
        return Table(path.name, header=list(COLUMNS)), {}
    table = read_table(path, COLUMNS)
    found: dict[str, Allocation] = {}
    holders: dict[object, str] = {}
    for row in table.rows:
        allocation = _allocation(table, row.line, row.cells)
        if allocation is None:
            continue
        for column in ("asset_tag", "vpn_ipv4", "vpn_ipv6"):
            value = getattr(allocation, column)
            holder = holders.setdefault(value, allocation.asset_tag)
            if holder != allocation.asset_tag or (
                column == "asset_tag" and allocation.asset_tag in found
            ):
                table.fault(
                    row.line,
                    column,
                    str(value),
                    tr(f"is {holder}'s already", f"est déjà à {holder}"),
                    tr("delete the younger line", "supprimer la ligne la plus récente"),
                )
        found[allocation.asset_tag] = allocation
    table.refuse_faults()
    return table, found


def _allocation(table: Table, line: int, cells: dict[str, str]) -> Allocation | None:
    kinds: dict[str, Callable[[str], object]] = {
        "asset_tag": _not_empty,
        "vpn_ipv4": IPv4Address,
        "vpn_ipv6": IPv6Address,
        "allocated_on": datetime.date.fromisoformat,
    }
    values: dict[str, Any] = {}
    for column, kind in kinds.items():
        if column not in cells:
            continue  # the column is missing, or the cell malformed: noted already
        try:
            values[column] = kind(cells[column])
        except ValueError:
            table.fault(
                line,
                column,
                cells[column],
                tr("can't be read", "est illisible"),
                tr(
                    "put back the line that `fleet allocate` wrote",
                    "rétablir la ligne écrite par « fleet allocate »",
                ),
            )
    return Allocation(**values, line=line) if len(values) == len(kinds) else None


def _not_empty(cell: str) -> str:
    if not cell:
        raise ValueError
    return cell


def read_town(register: Path) -> tuple[list[Machine], dict[str, Allocation]]:
    """Read the register and the allocations beside it, or raise TableError with all faults."""
    faults: list[Fault] = []
    machines: list[Machine] = []
    allocations: dict[str, Allocation] = {}
    try:
        machines = read_register(register)
    except TableError as error:
        faults += error.faults
    try:
        allocations = read_allocations(register.parent / FILE)
    except TableError as error:
        faults += error.faults
    if faults:
        raise TableError(faults)
    return machines, allocations


def missing_allocations(
    machines: Iterable[Machine], allocations: Collection[str], tags: Collection[str] = ()
) -> list[Machine]:
    """Return the machines that need addresses and have none: the assigned, and those named."""
    return [
        machine
        for machine in machines
        if machine.asset_tag not in allocations
        and (machine.is_assigned or machine.asset_tag in tags)
    ]


def missing_message(missing: Sequence[Machine], town: Path) -> str:
    """Say which machines have no addresses, and the command that gives them some."""
    tags = ", ".join(machine.asset_tag for machine in missing[:5])
    tags += "…" if len(missing) > 5 else ""
    command = shlex.join(["fleet", "allocate", "-i", short(town)])
    machines = plural(len(missing), "machine")
    return tr(
        f"{FILE}: {machines} assigned and without VPN address ({tags}); type: {command}",
        f"{FILE} : {machines} à l'état assigned sans adresse VPN ({tags}) ; taper : {command}",
    )


def allocate(
    town: Path,
    tags: Sequence[str] = (),
    ipv4_network: str | None = None,
    ipv6_network: str | None = None,
    today: datetime.date | None = None,
) -> list[Allocation]:
    """Give VPN addresses to the assigned machines that have none, and to those named.

    Returns the new allocations. The networks are read from the town's variables unless given.
    Runs side by side wait for each other; a run that dies leaves the file as it was.
    """
    with files.locked(town):
        return allocate_held(town, tags, ipv4_network, ipv6_network, today)


def allocate_held(
    town: Path,
    tags: Sequence[str] = (),
    ipv4_network: str | None = None,
    ipv6_network: str | None = None,
    today: datetime.date | None = None,
) -> list[Allocation]:
    """Do what allocate does, for who holds the town's lock already."""
    machines = read_register(town / REGISTER)
    _refuse_unfit(machines, tags)
    table, allocations = _read(town / FILE)
    waiting = missing_allocations(machines, allocations, tags)
    if not waiting:
        return []
    pools = read_pools(town, ipv4_network, ipv6_network)
    free = _free_addresses(pools, allocations.values())
    new = []
    for machine in waiting:
        try:
            ipv4, ipv6 = next(free)
        except StopIteration:
            raise AllocationError(
                tr(
                    f"vpn_ipv4_network: {pools.ipv4} is full; write a larger network that "
                    "contains it",
                    f"vpn_ipv4_network : {pools.ipv4} est plein ; écrire un réseau plus grand "
                    "qui le contient",
                )
            ) from None
        new.append(
            Allocation(machine.asset_tag, ipv4, ipv6, today or datetime.datetime.now().date())
        )
    _append(town / FILE, table, new)
    return new


def _refuse_unfit(machines: Iterable[Machine], tags: Iterable[str]) -> None:
    states = {machine.asset_tag: machine.state for machine in machines}
    for tag in tags:
        if tag not in states:
            raise AllocationError(
                tr(
                    f"{tag} is not in {REGISTER}; add its line first",
                    f"{tag} n'est pas dans {REGISTER} ; y ajouter d'abord sa ligne",
                )
            )
        if states[tag] in {"lost", "retired"}:
            raise AllocationError(
                tr(
                    f"{tag} is {states[tag]}; correct its state in {REGISTER} first",
                    f"{tag} est à l'état {states[tag]} ; le corriger d'abord dans {REGISTER}",
                )
            )


def _free_addresses(
    pools: Pools, taken: Collection[Allocation]
) -> Iterator[tuple[IPv4Address, IPv6Address]]:
    """Yield the lowest pairs of addresses, of one offset in both networks, nobody ever had."""
    ipv4_taken = {allocation.vpn_ipv4 for allocation in taken}
    ipv6_taken = {allocation.vpn_ipv6 for allocation in taken}
    # the last address of an IPv4 network is its broadcast address
    last = min(pools.ipv4.num_addresses - 2, pools.ipv6.num_addresses - 1)
    for offset in range(GATEWAY_ADDRESSES + 1, last + 1):
        ipv4, ipv6 = pools.ipv4[offset], pools.ipv6[offset]
        if ipv4 not in ipv4_taken and ipv6 not in ipv6_taken:
            yield ipv4, ipv6


def _append(path: Path, table: Table, new: Iterable[Allocation]) -> None:
    """Add lines to the file in one step: after a crash it is the old one or the new one."""
    path = path.resolve()
    old = path.read_bytes() if path.exists() else ",".join(COLUMNS).encode() + b"\n"
    text = io.StringIO()
    # in the order, with the separator and line ends of the file, should Calc have rewritten it
    line_end = "\r\n" if b"\r\n" in old else "\n"
    writer = csv.DictWriter(text, table.header, delimiter=table.delimiter, lineterminator=line_end)
    for allocation in new:
        writer.writerow({column: getattr(allocation, column) for column in COLUMNS})
    kept = old if old.endswith(b"\n") else old + line_end.encode()
    files.replace(path, kept + text.getvalue().encode(), files.mode_of(path))


# The networks ------------------------------------------------------------------------------------


def read_pools(
    town: Path, ipv4_network: str | None = None, ipv6_network: str | None = None
) -> Pools:
    """Return the VPN's networks: those given, else the town's vpn_ipv4_network and _ipv6_."""
    variables: dict[str, Any] = {}
    if ipv4_network is None or ipv6_network is None:
        variables = _gateway_variables(town)
    try:
        return Pools(
            IPv4Network(ipv4_network or str(variables.get("vpn_ipv4_network", ""))),
            IPv6Network(ipv6_network or str(variables.get("vpn_ipv6_network", ""))),
        )
    except ValueError as error:
        raise AllocationError(
            tr(
                f"vpn_ipv4_network or vpn_ipv6_network of {town}: {error}; write both in its "
                "group_vars/all, like 10.66.0.0/16 and fd66:1234:5678::/64",
                f"vpn_ipv4_network ou vpn_ipv6_network de {town} : {error} ; écrire les deux dans "
                "group_vars/all, comme 10.66.0.0/16 et fd66:1234:5678::/64",
            )
        ) from None


def _gateway_variables(town: Path) -> dict[str, Any]:
    """Return the variables of the town's first gateway: Ansible alone knows its precedence."""
    root = _repository(town)
    servers = (town / "servers.yml").resolve()
    command = [sys.executable, "-m", "ansible", "inventory", "--list", "-i", str(servers)]
    command += ["--playbook-dir", str(root / "playbooks")]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if result.returncode:
        raise AllocationError(
            tr(
                f"the variables of {servers} can't be read; correct what Ansible says, or give "
                f"--ipv4-network and --ipv6-network\n{result.stderr.strip()}",
                f"les variables de {servers} sont illisibles ; corriger ce que dit Ansible, ou "
                f"donner --ipv4-network et --ipv6-network\n{result.stderr.strip()}",
            )
        )
    inventory = json.loads(result.stdout)
    gateways = inventory.get("vpn_gateways", {}).get("hosts", [])
    if not gateways:
        raise AllocationError(
            tr(
                f"{servers} has no host in the group vpn_gateways; add the gateway, or give "
                "--ipv4-network and --ipv6-network",
                f"{servers} n'a pas de machine dans le groupe vpn_gateways ; ajouter la "
                "passerelle, ou donner --ipv4-network et --ipv6-network",
            )
        )
    variables: dict[str, Any] = inventory["_meta"]["hostvars"].get(gateways[0], {})
    return variables


def _repository(town: Path) -> Path:
    """Return the directory with ansible.cfg and playbooks/: here, above the town, or our own."""
    for root in (Path.cwd(), *town.resolve().parents, Path(__file__).resolve().parents[2]):
        if (root / "ansible.cfg").is_file() and (root / "playbooks").is_dir():
            return root
    raise AllocationError(
        tr(
            "no ansible.cfg beside a playbooks directory; run fleet from Nomade's directory",
            "pas d'ansible.cfg à côté d'un dossier playbooks ; lancer fleet depuis celui de Nomade",
        )
    )
