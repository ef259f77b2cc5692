"""Addresses: each one a single machine's, and each network where it belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

from nomade import varfiles
from nomade.allocations import FILE as ALLOCATIONS
from nomade.allocations import GATEWAY_ADDRESSES, Allocation, read_allocations
from nomade.i18n import tr
from nomade.networks import is_address, is_inside, is_network, is_overlapping
from nomade.preflight.town import Proof, Town, near
from nomade.register import FILE as REGISTER
from nomade.register import Machine, read_register
from nomade.table import TableError, quote

POOLS = {"vpn_ipv4_network": 4, "vpn_ipv6_network": 6}


def look(town: Town, proof: Proof) -> Iterator[str]:
    """Yield what is wrong with the networks and the addresses of the town."""
    yield from _networks(town)
    yield from _gateways(town)
    machines: list[Machine] = []
    allocated: dict[str, Allocation] = {}
    try:
        if (town.directory / REGISTER).exists():
            machines = read_register(town.directory / REGISTER)
        allocated = read_allocations(town.directory / ALLOCATIONS)
    except TableError as error:
        yield from (town.where(town.directory / str(fault)) for fault in error.faults)
    yield from _addresses(town, machines, allocated, proof)


def _pools(town: Town) -> list[str]:
    """Return the tunnel's networks, as far as they are networks."""
    return [
        str(town.settings.get(name))
        for name, version in POOLS.items()
        if is_network(town.settings.get(name), version)
    ]


def _texts(town: Town, name: str) -> list[str]:
    value = town.settings.get(name)
    return [str(item) for item in value] if isinstance(value, list) else []


def _networks(town: Town) -> Iterator[str]:
    """Yield what is no network, and what overlaps."""
    where = town.where(town.directory / "group_vars")
    for name, version in POOLS.items():
        value = str(town.settings.get(name) or "")
        if value and not is_network(value, version):
            example = "10.66.0.0/16" if version == 4 else "fd66:1234:5678::/64"
            yield f"{where}: {name}: {quote(value)}: " + tr(
                f"is no IPv{version} network; write it like {example}",
                f"n'est pas un réseau IPv{version} ; l'écrire comme {example}",
            )
    for name in ("vpn_intranet_networks", "vpn_office_networks", "vpn_outside_networks"):
        for value in _texts(town, name):
            if not is_network(value):
                yield f"{where}: {name}: {quote(value)}: " + tr(
                    "is no network; write it like 192.168.10.0/24, with zeros behind the prefix",
                    "n'est pas un réseau ; l'écrire comme 192.168.10.0/24, avec des zéros après "
                    "le préfixe",
                )
    tunnel, intranet = _pools(town), _texts(town, "vpn_intranet_networks")
    for value in intranet:
        if own := next((pool for pool in tunnel if is_overlapping(value, pool)), ""):
            yield f"{where}: vpn_intranet_networks: {quote(value)}: " + tr(
                f"overlaps the tunnel's own network {own}; choose another network for the tunnel",
                f"recouvre le réseau du tunnel {own} ; choisir un autre réseau pour le tunnel",
            )
    for value in _texts(town, "vpn_dns"):
        if not is_address(value):
            yield f"{where}: vpn_dns: {quote(value)}: " + tr(
                "is no address; write it like 192.168.10.53",
                "n'est pas une adresse ; l'écrire comme 192.168.10.53",
            )
        elif not is_inside(value, [*intranet, *tunnel]):
            yield f"{where}: vpn_dns: {quote(value)}: " + tr(
                "is not reached through the tunnel; add its network to vpn_intranet_networks",
                "n'est pas joint par le tunnel ; ajouter son réseau à vpn_intranet_networks",
            )


def _listed(town: Town) -> list[Mapping[str, object]]:
    """Return the gateways; what is no gateway at all is told of with the types."""
    gateways = town.settings.get("vpn_gateways")
    return [g for g in gateways if isinstance(g, Mapping)] if isinstance(gateways, list) else []


def _gateways(town: Town) -> Iterator[str]:
    """Yield the gateways that are no servers, or that are reached through themselves."""
    where = town.where(town.directory / "group_vars")
    known = list(town.groups.get("vpn_gateways", ()))
    inside = [*_pools(town), *_texts(town, "vpn_intranet_networks")]
    for gateway in _listed(town):
        name, endpoint = str(gateway.get("name", "")), str(gateway.get("endpoint", ""))
        if name not in known:
            yield (
                f"{where}: vpn_gateways: {quote(name)}: "
                + tr(
                    "no host of the group vpn_gateways has this name",
                    "aucune machine du groupe vpn_gateways ne porte ce nom",
                )
                + near(name, known, tr("; add it to servers.yml", " ; l'ajouter à servers.yml"))
            )
        if is_address(endpoint) and is_inside(endpoint, inside):
            yield f"{where}: vpn_gateways: {quote(endpoint)}: " + tr(
                "this endpoint would be reached through the tunnel itself; write the gateway's "
                "outside address",
                "ce point d'accès serait joint par le tunnel lui-même ; écrire l'adresse "
                "extérieure de la passerelle",
            )
        for version in (4, 6):
            address = gateway.get(f"address_ipv{version}")
            if address and not _is_gateways(town, str(address), version):
                yield f"{where}: vpn_gateways: {quote(str(address))}: " + tr(
                    f"must be one of the first {GATEWAY_ADDRESSES} addresses of "
                    f"vpn_ipv{version}_network",
                    f"doit être l'une des {GATEWAY_ADDRESSES} premières adresses de "
                    f"vpn_ipv{version}_network",
                )


def _is_gateways(town: Town, text: str, version: int) -> bool:
    """Say whether an address is one of those that no laptop gets."""
    pool = next((p for p in map(ip_network, _pools(town)) if p.version == version), None)
    if pool is None:
        return True  # the pool is told of already
    first = int(pool.network_address)
    return is_address(text, version) and 0 < int(ip_address(text)) - first <= GATEWAY_ADDRESSES


def _addresses(
    town: Town, machines: list[Machine], allocated: dict[str, Allocation], proof: Proof
) -> Iterator[str]:
    """Yield the addresses that two machines have, and those from outside of their network."""
    register, allocations = town.directory / REGISTER, town.directory / ALLOCATIONS
    held = list(_servers(town))
    for gateway in _listed(town):
        place = f"{town.where(town.directory / 'group_vars')}: vpn_gateways"
        texts = [str(gateway.get(key)) for key in ("address_ipv4", "address_ipv6")]
        held += [
            (str(ip_address(t)), str(gateway.get("name")), place) for t in texts if is_address(t)
        ]
    for machine in machines:
        if machine.is_assigned and machine.management_address:
            place = f"{town.where(register, machine.line)}: management_address"
            held.append((machine.management_address, machine.asset_tag, place))
    lines = _lines(allocations)
    pools = _pools(town)
    for tag, one in allocated.items():
        for column, address in (("vpn_ipv4", one.vpn_ipv4), ("vpn_ipv6", one.vpn_ipv6)):
            place = f"{town.where(allocations, lines.get(tag))}: {column}"
            held.append((str(address), tag, place))
            if wrong := _misplaced(address, pools):
                yield f"{place}: {quote(str(address))}: {wrong}"
    proof.count("addresses", len(held))
    first: dict[str, tuple[str, str]] = {}
    for text, holder, place in held:
        other, stands = first.setdefault(text, (holder, place))
        if other != holder:
            yield f"{place}: {quote(text)}: " + tr(
                f"is {other}'s already ({stands}); write {holder}'s own",
                f"est déjà à {other} ({stands}) ; écrire celle de {holder}",
            )


def _servers(town: Town) -> Iterator[tuple[str, str, str]]:
    """Yield the addresses written in the YAML inventory: address, whose, where."""
    for path in sorted(town.directory.glob("*.yml")):
        try:
            items = [] if varfiles.is_vaulted(path) else varfiles.read_inventory(path)
        except varfiles.UnreadableError:
            continue  # told of with the variables
        # Machines behind one address and several ports, as on a test bench, have no such address.
        ports = {item.host for item in items if item.name == "ansible_port"}
        for item in items:
            is_sole = item.name == "ansible_host" and item.host not in ports
            if is_sole and item.host and is_address(item.value):
                place = f"{town.where(path, item.line)}: ansible_host"
                yield str(ip_address(str(item.value))), item.host, place


def _misplaced(address: IPv4Address | IPv6Address, pools: list[str]) -> str:
    """Say how an address doesn't fit into the tunnel's network of its version."""
    pool = next((p for p in map(ip_network, pools) if p.version == address.version), None)
    if pool is None:
        return ""
    if not is_inside(str(address), str(pool)):
        return tr(
            f"is not in vpn_ipv{address.version}_network ({pool}); put back the network in which "
            "it was allocated",
            f"n'est pas dans vpn_ipv{address.version}_network ({pool}) ; rétablir le réseau dans "
            "lequel elle a été attribuée",
        )
    if int(address) - int(pool.network_address) <= GATEWAY_ADDRESSES:
        return tr(
            f"is one of the first {GATEWAY_ADDRESSES} addresses, which are the gateways'; "
            "delete the line and run `fleet allocate`",
            f"est l'une des {GATEWAY_ADDRESSES} premières adresses, réservées aux passerelles ; "
            "supprimer la ligne et lancer « fleet allocate »",
        )
    return ""


def _lines(path: Path) -> dict[str, int]:
    """Return the line on which each machine's allocation stands."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    # The cell is found whatever the order of the columns and the separator.
    return {
        cell.strip(' "'): number
        for number, line in enumerate(lines, 1)
        for cell in line.replace(";", ",").split(",")
    }
