"""Before the first change: what check mode promises, and machines that are not the right ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from town import Done, Machine, Town


def test_check_mode_goes_through_on_untouched_machines(planned: Done) -> None:
    assert planned.code == 0
    for machine in ("laptop-12", "laptop-13"):
        assert planned.capabilities(machine) == {"workstation": "planned", "vpn_client": "planned"}
        assert planned.failures(machine) == []


@pytest.mark.usefixtures("planned")
def test_the_machine_of_another_behind_an_address_is_left_alone(
    town: Town, laptop_12: Machine, laptop_13: Machine
) -> None:
    before = laptop_12.fingerprint() | laptop_13.fingerprint()
    exchanged = {"laptop-12": "198.51.100.110", "laptop-13": "198.51.100.72"}
    with town.register(management_address=exchanged):
        done = town.play("equip", "--limit=laptop-12,laptop-13")
    assert done.code == 2
    for machine, address in exchanged.items():
        assert set(done.capabilities(machine).values()) == {"skipped"}
        assert done.changed()[machine] == 0
        (failure,) = done.failures(machine)
        assert failure["check"] == "identity"
        assert failure["message"] == (
            f"{machine}: the machine at {address} does not show the host key pinned for this "
            "asset tag; nothing was changed on it"
        )
    assert laptop_12.fingerprint() | laptop_13.fingerprint() == before


@pytest.mark.usefixtures("planned")
def test_a_machine_with_the_serial_number_of_another_is_left_alone(
    town: Town, laptop_13: Machine
) -> None:
    before = laptop_13.fingerprint()
    with town.register(serial_number={"laptop-13": "VB-TOWN-0031"}):
        done = town.play("equip", "--limit=laptop-13", "--tags=vpn_client")
    assert done.code == 2
    assert set(done.capabilities("laptop-13").values()) == {"skipped"}
    (failure,) = done.failures("laptop-13")
    assert failure["check"] == "identity"
    assert "VB-TOWN-0031" in failure["message"]
    assert "VB-TOWN-0013" in failure["message"]
    assert failure["message"].count("\n") == 0
    assert done.changes == frozenset()
    assert laptop_13.fingerprint() == before
