"""check.yml changes nothing on any machine, whatever there is to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from town import Done, Machine, Town

pytestmark = pytest.mark.usefixtures("first_day")


@pytest.fixture(scope="module")
def checked(town: Town, laptop_13: Machine, gateway: Machine) -> Done:
    """Check a laptop whose person has chosen a password, in a town with new settings."""
    laptop_13.sh("chpasswd", stdin="tcharme:choisi par la personne elle-même\n")
    before = laptop_13.fingerprint() | gateway.fingerprint()
    done = town.play("check", "--limit=laptop-13,gateway", nomade_hotline="+33 1 99 00 00 00")
    assert laptop_13.fingerprint() | gateway.fingerprint() == before
    return done


def test_it_says_what_holds(checked: Done) -> None:
    assert checked.code == 0
    assert checked.capabilities("laptop-13") == {"workstation": "ok", "vpn_client": "ok"}
    assert checked.capabilities("gateway") == {"vpn_gateway": "ok"}


def test_it_destroys_the_record_of_a_replaced_first_password(checked: Done, town: Town) -> None:
    assert checked.machines
    records = town.directory / "records/first-passwords"
    assert not (records / "laptop-13.age").exists()
    assert "replaced" in (records / "laptop-13.changed").read_text(encoding="utf-8")


@pytest.mark.usefixtures("checked")
def test_it_fails_where_something_does_not_hold(town: Town, laptop_13: Machine) -> None:
    laptop_13.sh("systemctl stop wg-quick@wg0")
    done = town.play("check", "--limit=laptop-13")
    laptop_13.sh("systemctl start wg-quick@wg0")
    assert done.code == 2
    assert done.capabilities("laptop-13") == {"workstation": "ok", "vpn_client": "failed"}
    assert {failure["check"] for failure in done.failures("laptop-13")} >= {"vpn-interface"}
    assert all(failure["remedy"] for failure in done.failures("laptop-13"))
