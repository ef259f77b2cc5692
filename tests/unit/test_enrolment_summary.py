"""What the technician reads at the end of an enrolment: what comes next."""

from __future__ import annotations

from typing import Any

import pytest

from nomade import enrolment

IDENTITY: dict[str, Any] = {
    "vendor": "HP",
    "model": "EliteBook",
    "serial_number": "5CG1",
    "os_id": "debian",
    "os_version_id": "13",
    "ram_mib": 8000,
    "disks": [],
}
RECORD = {
    "asset_tag": "vb-1",
    "fit": True,
    "unfit_because": [],
    "warnings": ["camera: none found: hand out one"],
}


def lines(state: str) -> list[str]:
    return enrolment.summary(
        IDENTITY, RECORD, registered_serial="5CG1", state=state, town="inventories/valbourg"
    )


@pytest.fixture(autouse=True)
def _english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")


def test_a_server_is_set_up_next_and_nobody_judges_whether_it_can_be_carried_home() -> None:
    said = lines("")
    assert len(said) == 2
    assert said[1] == (
        "next: ansible-playbook -i inventories/valbourg playbooks/servers.yml --limit vb-1"
    )


def test_an_assigned_laptop_is_equipped_next() -> None:
    assert "fit to be handed out" in lines("assigned")
    assert lines("assigned")[-1] == (
        "next: ansible-playbook -i inventories/valbourg playbooks/equip.yml --limit vb-1"
    )


@pytest.mark.parametrize("state", ["recovered", "stock"])
def test_another_one_needs_a_person_first(state: str) -> None:
    stock = "fleet stock -i inventories/valbourg vb-1, then: " if state == "recovered" else ""
    assert lines(state)[-1] == (
        f"next: {stock}fleet assign -i inventories/valbourg vb-1 --login ... --name ..., then: "
        "ansible-playbook -i inventories/valbourg playbooks/equip.yml --limit vb-1"
    )


def test_what_somebody_gave_back_goes_through_its_return() -> None:
    assert lines("returned")[-1] == (
        "next: ansible-playbook -i inventories/valbourg playbooks/return.yml -e asset=vb-1"
    )
