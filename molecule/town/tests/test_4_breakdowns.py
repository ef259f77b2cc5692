"""What breaks is told and stops nothing else; what a tag names is all that is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from town import PAGE, podman

if TYPE_CHECKING:
    from town import Done, Machine, Town

pytestmark = pytest.mark.usefixtures("first_day")


@pytest.fixture(scope="module")
def broken(town: Town, laptop_13: Machine) -> Done:
    """Equip with new settings for both capabilities, of which one can't be had."""
    assert laptop_13.sh("readlink /etc/localtime").endswith("Europe/Paris\n")
    return town.play(
        "equip",
        "--limit=laptop-13",
        workstation_packages=["no-such-package"],
        workstation_timezone="America/Cayenne",
        vpn_client_keepalive=21,
    )


def test_a_broken_capability_does_not_stop_another(broken: Done, laptop_13: Machine) -> None:
    assert broken.code == 2
    assert broken.capabilities("laptop-13") == {"workstation": "failed", "vpn_client": "ok"}
    assert laptop_13.sh("wg show wg0 persistent-keepalive").split()[-1] == "21"
    assert laptop_13.holds(PAGE)


def test_the_table_names_the_culprit(broken: Done) -> None:
    (failure,) = broken.failures("laptop-13")
    assert failure["check"] == "workstation"
    assert "no-such-package" in failure["message"]
    assert failure["remedy"].endswith("playbooks/equip.yml --limit laptop-13")


def test_the_tag_of_a_capability_touches_no_other(town: Town, laptop_13: Machine) -> None:
    done = town.play(
        "equip",
        "--limit=laptop-13",
        "--tags=vpn_client",
        workstation_timezone="America/Cayenne",
        vpn_client_keepalive=22,
    )
    assert done.code == 0
    assert laptop_13.sh("wg show wg0 persistent-keepalive").split()[-1] == "22"
    assert laptop_13.sh("readlink /etc/localtime").endswith("Europe/Paris\n")
    assert done.changes == {
        ("laptop-13", "vpn_client : Install the files of the VPN client"),
        ("laptop-13", "installed /etc/wireguard/wg0.conf"),
        ("laptop-13", "vpn_client : Restart what the VPN client changed"),
        ("laptop-13", "restarted wg-quick@wg0.service"),
    }


@pytest.fixture(scope="module")
def new_password(town: Town) -> tuple[Done, str, str]:
    """Renew the first password of laptop-13; return the old and the new one."""
    record = town.directory / "records/first-passwords/laptop-13.age"
    old = town.unseal(record)
    done = town.play(
        "equip", "-vvv", "--limit=laptop-13", "--tags=password", vpn_client_keepalive=23
    )
    return done, old, town.unseal(record)


def test_the_tag_password_renews_the_password_and_nothing_else(
    new_password: tuple[Done, str, str], laptop_13: Machine
) -> None:
    done, old, new = new_password
    assert done.code == 0
    assert new != old
    assert done.changes == {("laptop-13", "workstation : Make or adopt the account of the person")}
    assert laptop_13.sh("wg show wg0 persistent-keepalive").split()[-1] == "22"
    assert laptop_13.sh("chage --list tcharme").count("password must be changed") >= 2


@pytest.fixture
def gateway_down(gateway: Machine, laptop_13: Machine) -> Iterator[None]:
    """Switch the gateway off."""
    podman("stop", "--time", "5", gateway.container)
    yield
    podman("start", gateway.container)
    gateway.booted()
    laptop_13.wait_until(PAGE)


@pytest.mark.usefixtures("gateway_down")
def test_while_the_gateway_is_down_the_tunnel_waits(town: Town) -> None:
    done = town.play("equip", "--limit=laptop-13")
    assert done.code == 2
    assert done.capabilities("laptop-13") == {"workstation": "ok", "vpn_client": "waiting"}
    (failure,) = done.failures("laptop-13")
    assert failure["check"] == "vpn-gateway"
    assert "waiting for gateway" in done.output


def test_once_the_gateway_is_back_the_next_run_is_well(town: Town) -> None:
    done = town.play("equip", "--limit=laptop-13")
    assert done.code == 0
    assert done.capabilities("laptop-13") == {"workstation": "ok", "vpn_client": "ok"}
