"""The first day: an absent wave, a full disk, an unreachable laptop, and one that gets equipped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from town import PAGE

if TYPE_CHECKING:
    from town import Done, Machine, Town


def test_the_exit_code_says_that_not_all_is_well(first_day: Done) -> None:
    assert first_day.code == 2


def test_the_laptop_that_can_be_equipped_is(first_day: Done, laptop_13: Machine) -> None:
    assert first_day.capabilities("laptop-13") == {"workstation": "ok", "vpn_client": "ok"}
    assert first_day.capabilities("gateway") == {"vpn_gateway": "ok"}
    laptop_13.sh(PAGE, user="tcharme")


def test_a_full_disk_is_told_as_one(first_day: Done) -> None:
    assert set(first_day.capabilities("laptop-12").values()) == {"failed"}
    for failure in first_day.failures("laptop-12"):
        assert "No space left" in failure["message"] or "is full" in failure["message"]
        assert failure["remedy"].startswith("Faire de la place sur le disque de laptop-12")


def test_absent_laptops_are_told_from_broken_ones(first_day: Done) -> None:
    for machine in ("laptop-away", "laptop-gone", "laptop-none"):
        assert set(first_day.capabilities(machine).values()) == {"absent"}
        (failure,) = first_day.failures(machine)
        assert failure["check"] == "contact"
        assert failure["message"].startswith("absent (vu pour la dernière fois : jamais)")
        assert failure["remedy"].endswith(f"--limit {machine}")


def test_machines_of_other_states_are_not_touched(first_day: Done) -> None:
    assert "laptop-spare" not in first_day.machines


def test_each_remedy_is_one_sentence(first_day: Done) -> None:
    for machine in first_day.machines:
        for failure in first_day.failures(machine):
            assert failure["remedy"]
            assert "\n" not in failure["remedy"]
            assert ". " not in failure["remedy"].rstrip(".")


def test_the_table_says_it_in_the_language_of_the_locale(first_day: Done) -> None:
    table = first_day.output[first_day.output.index("Nomade · Équipement") :]
    assert "Diane Bouleau" in table
    rows = {line.split()[0]: line for line in table.splitlines() if line.startswith("laptop-")}
    assert rows.keys() == {
        "laptop-12", "laptop-13", "laptop-away", "laptop-gone", "laptop-none"
    }  # fmt: skip
    assert "ÉCHEC" in rows["laptop-12"]
    assert "absent" in rows["laptop-none"]
    # "-" in the columns of the gateway, and of whatever else failed on the full disk
    said = [word for word in rows["laptop-13"].split()[1:-1] if word != "-"]
    assert said == ["Théo", "Charme", "ok", "ok", str(first_day.changed()["laptop-13"])]


def test_check_mode_had_promised_exactly_these_changes(
    planned: Done, first_day: Done, gateway: Machine, laptop_13: Machine
) -> None:
    for machine in (gateway, laptop_13):
        promised, done = planned.changes_on(machine.name), first_day.changes_on(machine.name)
        assert promised - machine.brought_by_packages(promised - done) == done


def test_a_wave_that_is_wholly_absent_is_no_failure(town: Town, first_day: Done) -> None:
    assert first_day.code  # the same wave, before one that isn't absent
    done = town.play("equip", "--limit=wave_1")
    assert done.code == 0
    assert done.machines.keys() == {"laptop-away", "laptop-gone"}
    for machine in done.machines:
        assert set(done.capabilities(machine).values()) == {"absent"}
