"""One more laptop joins a town that is at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from town import PAGE

if TYPE_CHECKING:
    from town import Done, Machine, Town


def test_it_has_a_working_tunnel(new_laptop: Done, laptop_12: Machine) -> None:
    assert new_laptop.capabilities("laptop-12")["workstation"] == "ok"
    assert laptop_12.holds(PAGE)
    assert "dev wg0" in laptop_12.sh("ip route get 10.122.0.53")


def test_check_mode_had_promised_exactly_these_changes(
    planned: Done, new_laptop: Done, laptop_12: Machine
) -> None:
    promised, done = planned.changes_on("laptop-12"), new_laptop.changes_on("laptop-12")
    assert promised - laptop_12.brought_by_packages(promised - done) == done


def test_in_the_office_the_tunnel_is_not_proven(new_laptop: Done) -> None:
    assert new_laptop.code == 2
    assert new_laptop.capabilities("laptop-12")["vpn_client"] == "unproven"
    (failure,) = new_laptop.failures("laptop-12")
    assert failure["check"] == "vpn-outside"


@pytest.mark.usefixtures("at_work")
def test_seen_from_home_it_is_well_and_the_whole_town_has_nothing_to_change(town: Town) -> None:
    done = town.play("site")
    assert done.capabilities("laptop-12") == {"workstation": "ok", "vpn_client": "ok"}
    assert done.code == 0
    assert done.changes == frozenset()
    assert set(done.changed().values()) == {0}


@pytest.mark.usefixtures("at_work")
def test_check_mode_says_so_as_well(town: Town) -> None:
    done = town.play("site", "--check", "--diff")
    assert done.code == 0
    assert done.changes == frozenset()
