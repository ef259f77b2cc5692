"""Two laptops, a gateway and an intranet behind it: what goes where, and what comes back by itself.

Seconds are printed (pytest -s, or the JUnit file). Commands go through the container engine, for
many of them would cut the ssh connection that carries them. A container cannot suspend: see
test_after_a_pause.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LAPTOPS = ["laptop12", "laptop13"]
ADDRESS = {"laptop12": "198.51.100.4", "laptop13": "198.51.100.5"}
TUNNEL = {"laptop12": "10.66.0.17", "laptop13": "10.66.0.18"}
PAGE = "http://intranet.valbourg.example/"
PAGE_IPV4 = "http://10.121.0.60/"
PAGE_IPV6 = "http://v6.valbourg.example/"
WELCOME = "Bienvenue à Valbourg"
FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=4).read().decode())"

WaitUntil = Callable[..., float]
each_laptop = pytest.mark.parametrize("laptop", LAPTOPS)


def podman(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(
        [ROOT / "rig/podman", *arguments], capture_output=True, text=True, check=check
    )
    return done.stdout


def container(machine: str) -> str:
    return f"nomade-vpn_client-{machine}"


def inside(machine: str, command: str, check: bool = True) -> str:
    """Run a command as root by way of the container engine, not of the network."""
    return podman("exec", container(machine), "sh", "-c", command, check=check)


def fetch(machine: str, url: str) -> str:
    """Return a page as a program without any rights gets it, or nothing."""
    return inside(machine, f"python3 -c {shlex.quote(FETCH)} {url}", check=False).strip()


def peers() -> dict[str, dict[str, Any]]:
    """Return what the gateway knows of the laptops; asking it sends nothing through the tunnel."""
    text = inside("gateway", "vpn-peers --json", check=False)
    return {p["asset_tag"]: p for p in json.loads(text)["peers"]} if text else {}


def in_since(laptop: str, moment: float) -> bool:
    """Say whether a laptop has proven itself to the gateway since a moment."""
    age = peers().get(laptop, {}).get("handshake_age")
    return age is not None and time.time() - age > moment


def checks(machine: str, *options: str, language: str = "C.UTF-8") -> dict[str, dict[str, Any]]:
    command = f"LANG={language} nomade-check --json {' '.join(options)}"
    report = inside(machine, command, check=False)
    return {check["name"]: check for check in json.loads(report)["checks"]}


def check_of(machine: str, name: str, language: str = "C.UTF-8") -> dict[str, Any]:
    return checks(machine, "--check", name, language=language)[name]


def is_well(machine: str, name: str) -> bool:
    return str(check_of(machine, name)["status"]) == "OK"


@contextmanager
def broken(machine: str, breaking: str, mending: str) -> Iterator[None]:
    inside(machine, breaking)
    try:
        yield
    finally:
        inside(machine, mending)


# --- reaching the intranet ---------------------------------------------------------------------


@each_laptop
@pytest.mark.parametrize("url", [PAGE, PAGE_IPV4, PAGE_IPV6])
def test_the_intranet_is_reached(laptop: str, url: str) -> None:
    assert fetch(laptop, url) == WELCOME


@each_laptop
def test_an_ordinary_person_reaches_it_by_name(machine: Any, laptop: str) -> None:
    found = machine(laptop).run(f"python3 -c {shlex.quote(FETCH)} {PAGE}")
    assert found.stdout.strip() == WELCOME


@each_laptop
def test_without_the_tunnel_it_is_not(laptop: str, wait_until: WaitUntil) -> None:
    with broken(laptop, "systemctl stop wg-quick@wg0", "systemctl start wg-quick@wg0"):
        assert [fetch(laptop, url) for url in (PAGE, PAGE_IPV4, PAGE_IPV6)] == ["", "", ""]
    seconds = wait_until(lambda: fetch(laptop, PAGE) == WELCOME, 20)
    print(f"\n{laptop}: the intranet is back {seconds:.1f} s after the tunnel was started")


@each_laptop
def test_outside_only_the_tunnel_is_seen(laptop: str, wait_until: WaitUntil) -> None:
    rules = """table inet seen {
        counter tunnel {}
        counter intranet {}
        counter names {}
        counter other {}
        chain out {
            type filter hook output priority 0;
            oifname != "eth0" accept
            ip daddr 198.51.100.20 udp dport 51820 counter name tunnel accept
            ip daddr 10.0.0.0/8 counter name intranet accept
            ip6 daddr fd00::/8 counter name intranet accept
            meta l4proto { tcp, udp } th dport 53 counter name names accept
            tcp sport 22 accept
            icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } accept
            icmpv6 type mld2-listener-report accept
            counter name other
        }
    }"""

    def seen() -> dict[str, int]:
        found = json.loads(inside(laptop, "nft -j list counters table inet seen"))["nftables"]
        return {c["counter"]["name"]: c["counter"]["packets"] for c in found if "counter" in c}

    with broken(laptop, f"nft -f - <<'END'\n{rules}\nEND", "nft delete table inet seen"):
        assert [fetch(laptop, url) for url in (PAGE, PAGE_IPV4, PAGE_IPV6)] == [WELCOME] * 3
        through = seen()
        # The same count without the tunnel shows that it can fail.
        with broken(laptop, "systemctl stop wg-quick@wg0", "systemctl start wg-quick@wg0"):
            inside(laptop, "ip route add 10.121.0.0/24 dev eth0")
            fetch(laptop, PAGE_IPV4)
            fetch(laptop, PAGE)
            inside(laptop, "ip route del 10.121.0.0/24 dev eth0")
            past = seen()
    assert through["tunnel"] >= 15
    assert (through["intranet"], through["names"], through["other"]) == (0, 0, 0)
    assert past["intranet"] > 0
    assert past["names"] > 0
    wait_until(lambda: fetch(laptop, PAGE) == WELCOME, 20)


@each_laptop
def test_other_names_are_asked_of_the_home_network(laptop: str) -> None:
    log = "journalctl -u intranet-dns -o cat"
    inside(laptop, "getent hosts gateway")
    assert " gateway" not in inside("intranet", log)
    inside(laptop, "resolvectl flush-caches; getent hosts intranet.valbourg.example")
    assert "intranet.valbourg.example" in inside("intranet", log)


def test_one_laptop_does_not_reach_the_other(wait_until: WaitUntil) -> None:
    """Not even when both are set up for it by hand: the gateway forbids it."""
    try:
        for laptop in LAPTOPS:
            inside(
                laptop,
                "wg set wg0 peer $(wg show wg0 peers) allowed-ips 10.66.0.0/16"
                " && ip route add 10.66.0.0/16 dev wg0",
            )
        for laptop, other in zip(LAPTOPS, reversed(LAPTOPS), strict=True):
            ping = "ping -c 1 -W 2 {} | grep -c ' 1 received'"
            assert inside(laptop, ping.format("10.66.0.1"), check=False).strip() == "1"
            assert inside(laptop, ping.format(TUNNEL[other]), check=False).strip() == "0"
    finally:
        for laptop in LAPTOPS:
            inside(laptop, "systemctl restart wg-quick@wg0")
    for laptop in LAPTOPS:
        wait_until(lambda laptop=laptop: fetch(laptop, PAGE) == WELCOME, 20)


# --- the key -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gateway", *LAPTOPS])
def test_the_key_is_roots_alone(name: str) -> None:
    found = inside(name, "stat -c '%U:%G %a' /etc/wireguard /etc/wireguard/wg0.key")
    assert found.split("\n")[:2] == ["root:root 700", "root:root 600"]
    assert "PrivateKey" not in inside(name, "cat /etc/wireguard/wg0.conf")


@pytest.mark.parametrize("name", ["gateway", *LAPTOPS])
def test_the_town_has_the_public_key(name: str) -> None:
    keys = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "keys" / "vpn"
    assert (keys / f"{name}.pub").read_text() == inside(name, "wg show wg0 public-key")


@pytest.mark.parametrize("name", ["gateway", *LAPTOPS])
def test_the_private_key_is_seen_nowhere(name: str, wait_until: WaitUntil) -> None:
    """Watch every process while the tunnel is set up and loaded, then look through the disk."""
    inside(
        name,
        """
        rm -f /run/watched; touch /run/watching
        (while [ -e /run/watching ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null
         done | tr '\\0' '\\n' | sort -u > /run/watched) &
        for _ in 1 2 3; do
            systemctl restart wg-quick@wg0
            systemctl reload-or-restart wg-quick@wg0
        done
        rm /run/watching; wait
        """,
    )
    assert "wg-quick" in inside(name, "cat /run/watched")  # so that the watching saw something
    leaks = inside(
        name,
        """
        grep -lF -f /etc/wireguard/wg0.key /run/watched
        rm /run/watched
        find / -xdev -type f -perm /o+r -size -20M -exec grep -lF -f /etc/wireguard/wg0.key {} +
        journalctl --no-pager | grep -F -f /etc/wireguard/wg0.key
        """,
        check=False,
    )
    assert leaks == ""
    key = inside(name, "cat /etc/wireguard/wg0.key").strip()
    directory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    texts = [p.read_bytes() for p in directory.rglob("*") if p.is_file()]
    assert len(key) == 44
    assert not any(key.encode() in text for text in texts)
    if name != "gateway":
        wait_until(lambda: fetch(name, PAGE) == WELCOME, 20)


# --- always on, and back by itself -------------------------------------------------------------


@each_laptop
def test_it_needs_neither_a_login_nor_a_network(laptop: str) -> None:
    order = inside(laptop, "systemctl show -p Before -p After wg-quick@wg0.service")
    before, after = (
        line.split("=")[1].split() for line in sorted(order.splitlines(), reverse=True)
    )
    assert {"display-manager.service", "systemd-user-sessions.service"} <= set(before)
    assert "network-online.target" not in after


def test_after_a_restart_of_the_laptop(wait_until: WaitUntil) -> None:
    podman("restart", "--time", "10", container("laptop13"))
    begun = time.time()
    seconds = wait_until(lambda: in_since("laptop13", begun), 60)
    print(f"\nlaptop13: in again {seconds:.1f} s after its start, nobody logged in")
    assert fetch("laptop13", PAGE) == WELCOME


def both_are_back(what: str, is_back: Callable[[str], bool], seconds: float) -> None:
    """Wait for both laptops, print how long each took, and see that the intranet is there."""
    begun, back = time.monotonic(), dict[str, float]()
    while set(back) != set(LAPTOPS):
        took = time.monotonic() - begun
        assert took < seconds, f"only {set(back)} within {seconds:.0f} s"
        back |= {name: took for name in LAPTOPS if name not in back and is_back(name)}
        time.sleep(0.5)
    for laptop, took in back.items():
        print(f"\n{laptop}: in again {took:.1f} s after {what}")
        assert fetch(laptop, PAGE) == WELCOME


def test_after_the_gateway_was_away_for_30_seconds() -> None:
    podman("stop", "--time", "10", container("gateway"))
    time.sleep(30)
    begun = time.time()
    podman("start", container("gateway"))
    both_are_back("the gateway's start", lambda laptop: in_since(laptop, begun), 60)


def test_after_the_laptops_address_changed() -> None:
    new = {laptop: address.replace("100.", "100.1") for laptop, address in ADDRESS.items()}

    def move(old: dict[str, str], new: dict[str, str]) -> None:
        for name in LAPTOPS:
            inside(
                name, f"ip addr del {old[name]}/27 dev eth0; ip addr add {new[name]}/27 dev eth0"
            )

    move(ADDRESS, new)
    try:
        both_are_back(
            "its address changed", lambda name: str(peers()[name]["endpoint"]) == new[name], 60
        )
    finally:
        move(new, ADDRESS)
    both_are_back("it moved home", lambda name: str(peers()[name]["endpoint"]) == ADDRESS[name], 60)


def test_after_the_gateways_name_got_another_address() -> None:
    """The name's new address stands in /etc/hosts, which resolved reads like an answer."""
    home, away = "198.51.100.20", "198.51.100.21"

    def move(old: str, new: str) -> None:
        inside("gateway", f"ip addr del {old}/27 dev eth0; ip addr add {new}/27 dev eth0")
        for laptop in LAPTOPS:
            hosts = f"sed '/vpn.valbourg/d' /etc/hosts; echo '{new} vpn.valbourg.example'"
            inside(laptop, f'new=$({hosts}); echo "$new" > /etc/hosts')

    for old, new in ((home, away), (away, home)):
        move(old, new)
        both_are_back(
            f"the gateway moved to {new}",
            lambda laptop, new=new: new in inside(laptop, "wg show wg0 endpoints"),
            90,
        )


def test_after_a_pause() -> None:
    """Every process stands still for a while: the nearest that a container comes to suspend.

    What the real thing does to clocks, drivers and Wi-Fi is not proven here.
    """
    for laptop in LAPTOPS:
        podman("pause", container(laptop))
    time.sleep(20)
    for laptop in LAPTOPS:
        podman("unpause", container(laptop))
    both_are_back("the pause", lambda laptop: fetch(laptop, PAGE) == WELCOME, 30)


# --- the checks turn red, say what to do, and turn green again ----------------------------------


@each_laptop
def test_all_is_well(laptop: str) -> None:
    found = {name: c["message"] for name, c in checks(laptop).items() if c["status"] != "OK"}
    assert found == {}


def assert_red(laptop: str, name: str, message: str, english: str, french: str) -> None:
    check = check_of(laptop, name)
    assert (check["status"], message in check["message"]) == ("CRITICAL", True), check
    assert english in check["remedy"]["en"]
    assert french in check["remedy"]["fr"]


@each_laptop
def test_interface_check(laptop: str) -> None:
    address = TUNNEL[laptop]
    with broken(laptop, f"ip addr del {address}/32 dev wg0", f"ip addr add {address}/32 dev wg0"):
        assert_red(laptop, "vpn-interface", f"lacks its address {address}",
                   "systemctl restart wg-quick@wg0", "Redémarrez le poste")  # fmt: skip
        assert "il manque au tunnel" in check_of(laptop, "vpn-interface", "fr_FR.UTF-8")["message"]
    with broken(laptop, "systemctl stop wg-quick@wg0", "systemctl start wg-quick@wg0"):
        assert_red(laptop, "vpn-interface", "no tunnel", "Restart the machine", "Redémarrez")
    assert is_well(laptop, "vpn-interface")


@each_laptop
def test_handshake_check(laptop: str, wait_until: WaitUntil) -> None:
    chain = "{ type filter hook output priority 0; }"
    with broken(
        laptop,
        f"nft 'add table inet cut; add chain inet cut out {chain};"
        " add rule inet cut out udp dport 51820 drop' && systemctl restart wg-quick@wg0",
        "nft delete table inet cut",
    ):
        assert_red(laptop, "vpn-handshake", "never answered", "does it know this machine's key",
                   "connaît-elle la clé de ce poste")  # fmt: skip
    seconds = wait_until(lambda: is_well(laptop, "vpn-handshake"), 30)
    print(f"\n{laptop}: well again {seconds:.1f} s after the way was free")


@each_laptop
def test_watch_check(laptop: str) -> None:
    unit = "nomade-vpn-watch"
    with broken(laptop, f"systemctl stop {unit}", f"systemctl start {unit}"):
        assert_red(laptop, "vpn-watch", unit, f"systemctl restart {unit}",
                   "ne retrouve pas seul sa passerelle")  # fmt: skip
    assert is_well(laptop, "vpn-watch")


@each_laptop
def test_the_watcher_outlives_many_restarts(laptop: str, wait_until: WaitUntil) -> None:
    inside(laptop, "for _ in 1 2 3 4 5 6 7 8; do systemctl restart wg-quick@wg0; done")
    wait_until(lambda: is_well(laptop, "vpn-watch"), 20)
    wait_until(lambda: fetch(laptop, PAGE) == WELCOME, 20)


@each_laptop
def test_dns_check(laptop: str, wait_until: WaitUntil) -> None:
    with broken("intranet", "systemctl stop intranet-dns", "systemctl start intranet-dns"):
        assert_red(laptop, "vpn-dns", "does not answer for intranet.valbourg.example",
                   "DNS server (10.121.0.60) running", "serveur DNS de la mairie")  # fmt: skip
    wait_until(lambda: is_well(laptop, "vpn-dns"), 20)


@each_laptop
def test_intranet_check(laptop: str, wait_until: WaitUntil) -> None:
    with broken("intranet", "systemctl stop intranet-web", "systemctl start intranet-web"):
        assert_red(laptop, "vpn-intranet", "does not answer", "is the intranet's server running",
                   "le serveur de l'intranet est-il en marche")  # fmt: skip
    wait_until(lambda: is_well(laptop, "vpn-intranet"), 20)
    past = "10.121.0.60/32 dev eth0"
    with broken(laptop, f"ip route add {past}", f"ip route del {past}"):
        assert_red(laptop, "vpn-intranet", "not reached through the tunnel",
                   "vpn_intranet_networks", "vpn_intranet_networks")  # fmt: skip
    assert is_well(laptop, "vpn-intranet")
