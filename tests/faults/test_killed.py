"""Runs that are killed: the next one converges, and what runs is what was configured.

Their town and their fixtures are those of molecule/town (town.py there): `make faults`.
Each kill waits for what it wants to interrupt, and never for a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from town import Machine, Town

pytestmark = pytest.mark.usefixtures("first_day")

# What nothing would ever clear away. Half-made archives are apt's own cache.
LEFTOVERS = r"""
find / -xdev \( -name '.*.nomade-new' -o -name '.wg-key-*' -o -name '*.dpkg-new' \
    -o -path /usr/sbin/policy-rc.d -o -path '/var/lib/nomade/rootfs/*/staged' \
    -o -path '/var/lib/dpkg/updates/[0-9]*' -o -path '/var/lib/nomade/accounts/tmp*' \) -print
dpkg --audit
"""
EQUIPPED = {"workstation": "ok", "vpn_client": "ok"}


def keepalive(machine: Machine) -> str:
    """Ask the tunnel that runs, not its file."""
    return machine.sh("wg show wg0 persistent-keepalive").split()[-1]


def test_a_power_cut_in_the_middle_of_the_packages(town: Town, laptop_13: Machine) -> None:
    laptop_13.again()
    run = town.start("equip", "--limit=laptop-13")
    laptop_13.wait_until("grep -qs 'status unpacked network-manager' /var/log/dpkg.log")
    laptop_13.power_cut(run)
    assert laptop_13.holds("dpkg --audit | grep -q .")
    assert laptop_13.holds("test -e /usr/sbin/policy-rc.d")

    done = town.play("equip", "--limit=laptop-13")
    assert done.code == 0
    assert done.capabilities("laptop-13") == EQUIPPED
    assert laptop_13.sh(LEFTOVERS) == ""
    for unit in ("NetworkManager", "ssh", "systemd-resolved", "wg-quick@wg0"):
        assert laptop_13.sh(f"systemctl is-active {unit}").strip() == "active"


def test_a_kill_between_the_key_of_the_tunnel_and_the_tunnel(
    town: Town, laptop_13: Machine
) -> None:
    town.without_vpn("laptop-13")
    assert not laptop_13.holds("test -e /etc/wireguard/wg0.key")
    laptop_13.kill_once(
        "test -e /etc/wireguard/wg0.key", lambda: town.start("equip", "--limit=laptop-13")
    )
    assert not laptop_13.holds("ip link show wg0")

    done = town.play("equip", "--limit=laptop-13")
    assert done.code == 0
    assert done.capabilities("laptop-13") == EQUIPPED
    assert laptop_13.sh(LEFTOVERS) == ""
    public = (town.directory / "keys/vpn/laptop-13.pub").read_text(encoding="utf-8")
    assert laptop_13.sh("wg show wg0 public-key") == public


def test_a_kill_between_a_file_and_its_restart(town: Town, laptop_13: Machine) -> None:
    assert keepalive(laptop_13) == "25"
    town.settle(vpn_client_keepalive=17)
    written = "grep -q 'PersistentKeepalive = 17' /etc/wireguard/wg0.conf"
    laptop_13.kill_once(written, lambda: town.start("equip", "--limit=laptop-13"))
    assert keepalive(laptop_13) == "25"

    done = town.play("equip", "--limit=laptop-13")
    assert done.code == 0
    assert ("laptop-13", "restarted wg-quick@wg0.service") in done.changes
    assert keepalive(laptop_13) == "17"
    assert laptop_13.sh(LEFTOVERS) == ""
