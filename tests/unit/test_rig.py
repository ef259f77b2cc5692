"""Scenarios run side by side: the networks that they fix themselves must not overlap."""

from __future__ import annotations

import ipaddress
import itertools
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def options(file: Path) -> dict[str, Any]:
    content = yaml.safe_load(file.read_text())
    content = content.get("all", {}).get("vars", {}) if file.name == "hosts.yml" else content
    found: dict[str, Any] = content.get("rig_network_options", {})
    return found


def test_fixed_networks_of_scenarios_and_demo_differ() -> None:
    files = [*ROOT.glob("molecule/*/inventory/**/*.yml"), *ROOT.glob("inventories/demo/**/rig.yml")]
    fixed = [
        (f"{file.relative_to(ROOT)}: {name}", ipaddress.ip_network(subnet["subnet"]))
        for file in files
        for name, network in options(file).items()
        for subnet in network.get("subnets", [])
    ]
    assert fixed
    overlaps = [
        f"{one} and {other}"
        for (one, a), (other, b) in itertools.combinations(fixed, 2)
        if a.version == b.version and a.overlaps(b)
    ]
    assert overlaps == []
