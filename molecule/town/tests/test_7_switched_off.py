"""What a town switches off goes, and what else a machine has stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from town import Done, Machine, Town

OFF = ("vpn_client", "office_suite", "conference_client", "links", "self_service")
WITHOUT = {"nomade_capabilities": dict.fromkeys(OFF, False)}


@pytest.fixture(scope="module")
def switched_off(town: Town, new_laptop: Done, laptop_12: Machine) -> Done:
    """Equip a laptop again after its tunnel was switched off."""
    assert new_laptop.code
    assert laptop_12.holds("ip link show wg0 && test -e /etc/wireguard/wg0.conf && command -v wg")
    return town.play("equip", "--limit=laptop-12", **WITHOUT)


def test_it_is_gone_with_its_files_and_packages(switched_off: Done, laptop_12: Machine) -> None:
    assert switched_off.code == 0
    assert not laptop_12.holds("ip link show wg0")
    # but for its key, with which it comes back without a new line at the gateway
    assert laptop_12.sh("find /etc /usr/lib/nomade -name '*wg0*' -o -name '*vpn*'") == (
        "/etc/wireguard/wg0.key\n"
    )
    assert not laptop_12.holds("command -v wg")


def test_the_others_are_well(switched_off: Done) -> None:
    assert switched_off.capabilities("laptop-12") == {"workstation": "ok"}


@pytest.mark.usefixtures("switched_off")
def test_the_next_run_has_nothing_left_to_take_back(town: Town) -> None:
    done = town.play("equip", "--limit=laptop-12", **WITHOUT)
    assert done.code == 0
    assert done.changes == frozenset()
