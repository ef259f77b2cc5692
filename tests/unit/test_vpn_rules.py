"""Settings of the VPN roles that contradict each other are refused before any change, each once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KEY = "A" * 43 + "="
GATEWAY = {
    "name": "gw1",
    "endpoint": "vpn.example.org",
    "address_ipv4": "10.66.0.1",
    "address_ipv6": "fd66::1",
    "public_key": KEY,
}
GOOD: dict[str, dict[str, Any]] = {
    "vpn_client": {
        "vpn_client_address_ipv4": "10.66.0.17",
        "vpn_client_address_ipv6": "fd66::11",
        "vpn_client_network_ipv6": "fd66::/64",
        "vpn_client_gateways": [GATEWAY],
        "vpn_client_intranet_networks": ["10.20.0.0/16", "fd20::/64"],
        "vpn_client_dns": ["10.20.0.53"],
        "vpn_client_dns_domains": ["valbourg.example"],
        "vpn_client_probe_name": "intranet.valbourg.example",
    },
    "vpn_gateway": {
        "vpn_gateway_address_ipv4": "10.66.0.1",
        "vpn_gateway_address_ipv6": "fd66::1",
        "vpn_gateway_network_ipv6": "fd66::/64",
        "vpn_gateway_intranet_networks": ["10.20.0.0/16"],
        "vpn_gateway_dns": ["10.20.0.53"],
        "vpn_gateway_probe_name": "intranet.valbourg.example",
    },
}
# role, what is wrong, a piece of the sentence
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("vpn_client", {}, ""),
    ("vpn_client", {"vpn_client_address_ipv6": "", "vpn_client_network_ipv6": ""}, ""),
    ("vpn_client", {"vpn_client_tunnel": "full", "vpn_client_dns_domains": []}, ""),
    ("vpn_client", {"vpn_client_network_ipv4": "10.66.0.1/16"}, "without host bits, such as 10.66"),
    ("vpn_client", {"vpn_client_network_ipv6": "fd66::1/64"}, "without host bits, such as fd66"),
    ("vpn_client", {"vpn_client_address_ipv4": "10.67.0.17"}, "no address of vpn_client_network"),
    ("vpn_client", {"vpn_client_address_ipv4": "laptop"}, "see allocations.csv"),
    (
        "vpn_client",
        {"vpn_client_address_ipv6": "fd67::11"},
        "no address of vpn_client_network_ipv6",
    ),
    ("vpn_client", {"vpn_client_address_ipv4": "10.66.0.1"}, "is a gateway's own address"),
    ("vpn_client", {"vpn_client_gateways": []}, "name at least one gateway"),
    (
        "vpn_client",
        {"vpn_client_gateways": [{**GATEWAY, "public_key": ""}]},
        "the gateway gw1 has no public key yet in /town/keys/vpn; run servers.yml first",
    ),
    ("vpn_client", {"vpn_client_port": 70000}, "write a UDP port from 1 to 65535"),
    ("vpn_client", {"vpn_client_mtu": 900}, "write 1280 (IPv6 needs as much)"),
    ("vpn_client", {"vpn_client_intranet_networks": ["10.20.0.0/16", "10.30.0.1"]}, "'10.30.0.1'"),
    (
        "vpn_client",
        {"vpn_client_intranet_networks": ["10.20.0.0/16", "10.66.8.0/24"]},
        "overlaps with the tunnel's own network",
    ),
    ("vpn_client", {"vpn_client_dns": ["198.51.100.53"]}, "must name DNS servers within"),
    ("vpn_client", {"vpn_client_dns": []}, "must name DNS servers within"),
    ("vpn_client", {"vpn_client_dns_domains": []}, "list the town's domains"),
    ("vpn_client", {"vpn_client_dns_domains": [".Valbourg"]}, "without a dot in front"),
    ("vpn_gateway", {}, ""),
    ("vpn_gateway", {"vpn_gateway_network_ipv4": "10.66.0.0"}, "without host bits, such as 10.66"),
    ("vpn_gateway", {"vpn_gateway_address_ipv4": "10.67.0.1"}, "no address of vpn_gateway_network"),
    ("vpn_gateway", {"vpn_gateway_address_ipv6": ""}, "give both or neither"),
    ("vpn_gateway", {"vpn_gateway_port": 0}, "write a UDP port from 1 to 65535"),
    ("vpn_gateway", {"vpn_gateway_mtu": 1200}, "write 1280 (IPv6 needs as much)"),
    ("vpn_gateway", {"vpn_gateway_intranet_networks": ["intranet"]}, "'intranet'"),
    ("vpn_gateway", {"vpn_gateway_intranet_networks": ["10.0.0.0/8"]}, "overlaps with the tunnel"),
    (
        "vpn_gateway",
        {"vpn_gateway_management_networks": ["10.99.0.0/24"]},
        "'10.99.0.0/24', which lies in none of vpn_gateway_intranet_networks",
    ),
    ("vpn_gateway", {"vpn_gateway_outside_networks": ["home"]}, "'home'"),
]


@pytest.fixture(scope="module")
def said(
    tmp_path_factory: pytest.TempPathFactory, play_rules: Callable[..., None]
) -> list[list[str]]:
    """Run all cases in one playbook; return the sentences of each.

    Without the role around it, whose dependencies would be installed on this very machine.
    """
    directory = tmp_path_factory.mktemp("rules")
    answer = directory / "said.json"
    tasks: list[dict[str, Any]] = []
    for number, (role, wrong, _) in enumerate(CASES):
        name = f"case_{number}"
        remember = "{{ ansible_failed_result.results | map(attribute='msg') | list }}"
        tasks.append(
            {
                "block": [
                    {
                        "ansible.builtin.include_tasks": str(
                            ROOT / f"roles/{role}/tasks/preflight.yml"
                        )
                    }
                ],
                "rescue": [{"ansible.builtin.set_fact": {name: remember}}],
                "vars": {**GOOD[role], f"{role}_keys_dir": "/town/keys/vpn", **wrong},
            }
        )
    names = [f"case_{number}" for number in range(len(CASES))]
    result = "{{ names | map('extract', vars) | map('default', []) | list | to_json }}"
    tasks.append({"ansible.builtin.copy": {"content": result, "dest": str(answer), "mode": "0600"}})
    play_rules(directory, list(GOOD), tasks, names=names)
    found: list[list[str]] = json.loads(answer.read_text())
    return found


@pytest.mark.parametrize("number", range(len(CASES)), ids=[f"{r}-{w}" for r, w, _ in CASES])
def test_rule(said: list[list[str]], number: int) -> None:
    _, _, sentence = CASES[number]
    if not sentence:
        assert said[number] == []
        return
    assert len([s for s in said[number] if sentence in s]) == 1, said[number]
    assert all(s.startswith("localhost: ") for s in said[number])
