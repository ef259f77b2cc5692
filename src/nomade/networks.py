"""Questions about addresses and networks that Jinja cannot answer by itself."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


def _networks(values: str | Iterable[str]) -> list[Network]:
    return [ip_network(v) for v in ([values] if isinstance(values, str) else values) if v]


def is_address(value: object, version: int = 0) -> bool:
    """Say whether the text is one address, of the IP version if one is given."""
    try:
        address = ip_address(str(value))
    except ValueError:
        return False
    return version in (0, address.version)


def is_network(value: object, version: int = 0) -> bool:
    """Say whether the text is a network in CIDR notation without host bits."""
    try:
        network = ip_network(str(value))
    except ValueError:
        return False
    return "/" in str(value) and version in (0, network.version)


def is_inside(value: str, networks: str | Iterable[str]) -> bool:
    """Say whether the address or network lies wholly within one of the networks."""
    try:
        wanted = ip_network(ip_interface(value).network)
        known = _networks(networks)
    except ValueError:
        return False
    return any(
        int(n.network_address) <= int(wanted.network_address)
        and int(wanted.broadcast_address) <= int(n.broadcast_address)
        for n in known
        if n.version == wanted.version
    )


def is_overlapping(left: str | Iterable[str], right: str | Iterable[str]) -> bool:
    """Say whether a network of one list shares an address with a network of the other."""
    try:
        pairs = [(a, b) for a in _networks(left) for b in _networks(right)]
    except ValueError:
        return False
    return any(
        int(a.network_address) <= int(b.broadcast_address)
        and int(b.network_address) <= int(a.broadcast_address)
        for a, b in pairs
        if a.version == b.version
    )
