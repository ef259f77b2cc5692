"""Valbourg, the town that tests and measurements read, is what its generator makes."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import pytest

from nomade.allocations import missing_allocations, read_town
from nomade.register import STATES

ROOT = Path(__file__).resolve().parents[2]
VALBOURG = ROOT / "inventories" / "valbourg"


@pytest.mark.parametrize("name", ["fleet.csv", "allocations.csv"])
def test_the_files_are_what_the_generator_makes(tmp_path: Path, name: str) -> None:
    spec = importlib.util.spec_from_file_location("gen", ROOT / "tests" / "generate_valbourg.py")
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    generator.main(tmp_path)
    assert (tmp_path / name).read_bytes() == (VALBOURG / name).read_bytes()


def test_a_believable_town() -> None:
    machines, allocations = read_town(VALBOURG / "fleet.csv")
    assigned = [machine for machine in machines if machine.is_assigned]
    assert Counter(machine.wave for machine in assigned) == {1: 48, 2: 34, 3: 34, 4: 34}
    assert len({machine.department for machine in assigned}) == 12
    assert {machine.state for machine in machines} == set(STATES)
    assert missing_allocations(machines, allocations) == []
    names = " ".join(machine.assignee_name for machine in assigned)
    assert {"'", "-", "é", "Œ", "ÿ"} <= set(names)
    assert max(len(machine.assignee_name) for machine in assigned) > 70
    assert any(not machine.serial_number for machine in assigned)
    assert all(machine.assignee_email.endswith("@example.org") for machine in assigned)
    # an address once given is remembered of machines that are gone, too
    assert {m.asset_tag for m in machines if m.state in {"lost", "returned"}} <= set(allocations)
