"""What the gateway lets through, whom it lets in, what it remembers, and how it is removed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
LAPTOPS = {"outside": "10.66.0.17", "office": "10.66.0.18"}
PAGE = "http://intranet.valbourg.example/"
WELCOME = "Bienvenue à Valbourg"
FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=4).read().decode())"
CONNECT = (
    "import socket, sys;"
    "socket.create_connection((sys.argv[1], int(sys.argv[2])), 3, (sys.argv[3], 0)).close()"
)

each_laptop = pytest.mark.parametrize("laptop", LAPTOPS)
Playbook = Callable[..., "subprocess.CompletedProcess[str]"]
WaitUntil = Callable[..., float]
Server = Callable[..., AbstractContextManager[None]]


def inside(machine: str, command: str, check: bool = True) -> str:
    """Run a command as root by way of the container engine, not of the network."""
    done = subprocess.run(
        [ROOT / "rig/podman", "exec", f"nomade-vpn_gateway-{machine}", "sh", "-c", command],
        capture_output=True,
        text=True,
        check=check,
    )
    return done.stdout


def fetch(machine: str, url: str) -> str:
    return inside(machine, f"python3 -c {shlex.quote(FETCH)} {url}", check=False).strip()


def connects(machine: str, address: str, port: int, source: str = "") -> bool:
    command = f"python3 -c {shlex.quote(CONNECT)} {address} {port} '{source}' && echo connected"
    return inside(machine, command, check=False) == "connected\n"


def peers() -> dict[str, dict[str, Any]]:
    found = json.loads(inside("gateway", "vpn-peers --json"))["peers"]
    return {peer["asset_tag"]: peer for peer in found}


def check(name: str, language: str = "C.UTF-8") -> dict[str, Any]:
    command = f"LANG={language} nomade-check --json --check {name}"
    found: dict[str, Any] = json.loads(inside("gateway", command, check=False))["checks"][0]
    return found


@contextmanager
def broken(machine: str, breaking: str, mending: str) -> Iterator[None]:
    inside(machine, breaking)
    try:
        yield
    finally:
        inside(machine, mending)


@pytest.fixture
def server(wait_until: WaitUntil) -> Server:
    """server("laptop", 8000) serves a page there for a while."""

    @contextmanager
    def serve(machine: str, port: int, address: str = "::") -> Iterator[None]:
        run = f"python3 -m http.server {port} --bind {address} --directory /srv"
        name = f"test-server-{port}"
        with broken(machine, f"systemd-run -q --unit={name} {run}", f"systemctl stop {name}"):
            wait_until(lambda: f":{port} " in inside(machine, "ss -ltn"), 10)
            yield

    return serve


# --- what it lets through ----------------------------------------------------------------------


@each_laptop
@pytest.mark.parametrize("url", [PAGE, "http://10.123.0.60/", "http://v6.valbourg.example/"])
def test_the_intranet_is_reached(laptop: str, url: str) -> None:
    assert fetch(laptop, url) == WELCOME


@each_laptop
def test_the_intranet_sees_who_comes(laptop: str) -> None:
    """Without masquerading the intranet's log names the laptop, not the gateway."""
    fetch(laptop, "http://10.123.0.60/?who")
    assert LAPTOPS[laptop] in inside("intranet", "journalctl -u intranet-web -o cat | grep who")


@each_laptop
def test_a_full_tunnel_carries_everything(laptop: str) -> None:
    assert "dev wg0" in inside(laptop, "ip route get 198.51.100.200")
    assert "dev wg0" in inside(laptop, "ip -6 route get 2001:db8:ffff::1")
    assert fetch(laptop, "http://198.51.100.200/") == WELCOME
    inside(laptop, "resolvectl query --cache=no elsewhere.example.org", check=False)
    assert "elsewhere.example.org" in inside("intranet", "journalctl -u intranet-dns -o cat")


@each_laptop
def test_other_networks_of_the_town_are_not_reached(laptop: str) -> None:
    assert fetch("gateway", "http://10.199.0.1/") == WELCOME  # so that there is something to forbid
    begun = time.monotonic()
    assert fetch(laptop, "http://10.199.0.1/") == ""
    assert time.monotonic() - begun < 3  # told at once, not left waiting


@each_laptop
def test_the_gateway_itself_offers_what_it_should(laptop: str, server: Server) -> None:
    with server("gateway", 8080), server("gateway", 8081):
        assert connects(laptop, "10.66.0.1", 8080)
        assert not connects(laptop, "10.66.0.1", 8081)
    assert not connects(laptop, "10.66.0.1", 22)
    assert " 1 received" in inside(laptop, "ping -c 1 -W 2 10.66.0.1")


@each_laptop
def test_technicians_reach_the_laptops_and_nobody_else_does(laptop: str, server: Server) -> None:
    address = LAPTOPS[laptop]
    assert connects("intranet", address, 22, "10.123.0.60")
    assert not connects("intranet", address, 22, "10.123.0.61")
    with server(laptop, 8000):
        assert not connects("intranet", address, 8000, "10.123.0.60")


def test_the_rules_survive_a_flush_and_the_distributions_own_rules() -> None:
    for order in ("start", "reload", "restart", "stop"):
        inside("gateway", f"systemctl {order} nftables.service")
        assert check("vpn-gateway-rules")["status"] == "OK", order


# --- whom it lets in, and what it remembers ----------------------------------------------------


def test_only_assigned_machines_with_a_key_are_let_in() -> None:
    keys = RUN / "keys" / "vpn"
    assert set(peers()) == set(LAPTOPS)
    for laptop, address in LAPTOPS.items():
        assert peers()[laptop]["public_key"] == (keys / f"{laptop}.pub").read_text().strip()
        assert address + "/32" in peers()[laptop]["allowed_ips"]
        assert peers()[laptop]["loaded"] is True


def test_who_came_from_outside_is_known_and_stays_known(wait_until: WaitUntil) -> None:
    outside, office = peers()["outside"], peers()["office"]
    assert (outside["endpoint"], outside["outside_now"]) == ("198.51.100.40", True)
    assert outside["seen_outside"] > "2026"
    assert (office["endpoint"].startswith("2001:db8:123:"), office["outside_now"]) == (True, False)
    assert office["seen_outside"] == ""
    assert office["connected"] is True
    assert office["received_bytes"] > 0
    with broken("gateway", "systemctl stop wg-quick@wg0", "systemctl start wg-quick@wg0"):
        assert peers()["outside"]["loaded"] is False
        assert peers()["outside"]["seen_outside"] == outside["seen_outside"]
    for laptop in LAPTOPS:
        wait_until(lambda laptop=laptop: fetch(laptop, PAGE) == WELCOME, 60)


def test_the_timer_remembers_without_anybody_asking() -> None:
    inside("gateway", "rm /var/lib/nomade/vpn-peers/outside.json")
    inside("gateway", "systemctl start nomade-vpn-peers.service")
    seen = json.loads(inside("gateway", "cat /var/lib/nomade/vpn-peers/outside.json"))
    assert list(seen) == [peers()["outside"]["public_key"]]
    assert "nomade-vpn-peers.timer" in inside("gateway", "systemctl list-timers --no-legend")


def test_an_ordinary_user_is_told_that_this_is_for_root(machine: Any) -> None:
    refused = machine("gateway").run("vpn-peers")
    assert refused.rc == 3
    assert "sudo vpn-peers" in refused.stderr


def test_revocation_by_the_register(playbook: Playbook, wait_until: WaitUntil) -> None:
    """A running ping of the lost laptop stops; its neighbour's loses no packet."""
    lost = RUN / "lost.yml"
    lost.write_text("all: {hosts: {outside: {fleet_state: lost}}}\n")
    log = "ping -D -i 0.2 10.123.0.60 > /run/ping.log 2>&1 & echo $! > /run/ping.pid"
    for laptop in LAPTOPS:
        inside(laptop, log)
    begun = time.time()
    done = playbook("peers.yml", f"--inventory={lost}")
    took = time.time() - begun
    assert done.returncode == 0
    time.sleep(2)
    replies = {}
    for laptop in LAPTOPS:
        text = inside(laptop, "kill -INT $(cat /run/ping.pid); sleep 0.3; cat /run/ping.log")
        lines = [line for line in text.splitlines() if "bytes from" in line]
        replies[laptop] = [float(line[1:].split("]")[0]) for line in lines]
        if laptop == "office":
            assert " 0% packet loss" in text
    stopped = replies["outside"][-1] - begun
    print(f"\nno packet {stopped:.1f} s after the run began (the whole run: {took:.1f} s)")
    assert stopped < took
    assert replies["office"][-1] - begun > took
    assert set(peers()) == {"office"}
    assert fetch("outside", "http://10.123.0.60/") == ""
    # Found again: in by the next run.
    assert playbook("peers.yml").returncode == 0
    seconds = wait_until(lambda: fetch("outside", PAGE) == WELCOME, 60)
    print(f"\nin again {seconds:.1f} s after the run that let it back")


def test_a_reinstalled_laptop_gets_in_with_its_new_key(
    playbook: Playbook, wait_until: WaitUntil
) -> None:
    file = RUN / "keys" / "vpn" / "outside.pub"
    old = file.read_text().strip()
    inside("outside", "rm /etc/wireguard/wg0.key")
    done = playbook("converge.yml", "--limit=gateway:outside")
    assert done.returncode == 0
    assert "outside has a new VPN key" in " ".join(done.stderr.split())
    new = file.read_text().strip()
    assert new != old
    assert f"{old} replaced by {new}" in (RUN / "records" / "outside").read_text()
    wait_until(lambda: fetch("outside", PAGE) == WELCOME, 60)


def test_a_copied_disk_is_refused(playbook: Playbook, wait_until: WaitUntil) -> None:
    keep = "/etc/wireguard/wg0.key"
    copy = inside("office", f"cat {keep}")
    with broken("outside", f"mv {keep} {keep}.kept", f"mv {keep}.kept {keep}"):
        inside("outside", f"umask 077; echo '{copy}' > {keep}")
        done = playbook("converge.yml", "--limit=gateway:outside")
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "outside: its VPN key is also that of office: one disk was copied" in said
    assert playbook("converge.yml", "--limit=gateway:outside").returncode == 0
    wait_until(lambda: fetch("outside", PAGE) == WELCOME, 60)


# --- the checks turn red, say what to do, and turn green again ----------------------------------


@pytest.mark.parametrize(
    ("name", "place", "breaking", "mending", "message", "english", "french"),
    [
        ("vpn-gateway-tunnel", "gateway", "systemctl stop wg-quick@wg0",
         "systemctl start wg-quick@wg0", "the tunnel is down",
         "systemctl restart wg-quick@wg0", "systemctl restart wg-quick@wg0"),
        ("vpn-gateway-tunnel", "gateway", "wg set wg0 peer $(wg show wg0 peers | head -1) remove",
         "systemctl reload wg-quick@wg0", "1 peers differ",
         "systemctl reload wg-quick@wg0", "Si des postes diffèrent"),
        ("vpn-gateway-tunnel", "gateway", "wg set wg0 listen-port 51999",
         "systemctl reload wg-quick@wg0", "listens on UDP 51999 instead of 51820",
         "systemctl restart wg-quick@wg0", "systemctl restart wg-quick@wg0"),
        ("vpn-gateway-forwarding", "gateway", "sysctl -q net.ipv4.ip_forward=0",
         "systemctl restart systemd-sysctl", "net.ipv4.ip_forward is off",
         "systemctl restart systemd-sysctl", "cherchez qui le désactive"),
        ("vpn-gateway-rules", "gateway", "nft flush ruleset",
         "systemctl reload-or-restart nomade-vpn-gateway", "the rules are not loaded",
         "reload-or-restart nomade-vpn-gateway", "cherchez ce qui a vidé nftables"),
        ("vpn-gateway-rules", "gateway", "nft flush chain inet nomade_vpn_gateway from_tunnel",
         "systemctl reload-or-restart nomade-vpn-gateway", "rules are missing: from_tunnel",
         "reload-or-restart nomade-vpn-gateway", "cherchez ce qui a vidé nftables"),
        ("vpn-gateway-dns", "intranet", "systemctl stop intranet-dns",
         "systemctl start intranet-dns", "10.123.0.60 does not answer the gateway",
         "town's firewall let it through (UDP and TCP 53)", "UDP et TCP 53"),
    ],
)  # fmt: skip
def test_each_check(
    name: str,
    place: str,
    breaking: str,
    mending: str,
    message: str,
    english: str,
    french: str,
    wait_until: WaitUntil,
) -> None:
    assert check(name)["status"] == "OK"
    with broken(place, breaking, mending):
        found = check(name)
        assert (found["status"], message in found["message"]) == ("CRITICAL", True), found
        assert english in found["remedy"]["en"]
        assert french in found["remedy"]["fr"]
    wait_until(lambda: bool(check(name)["status"] == "OK"), 20)


def test_checks_speak_french() -> None:
    assert check("vpn-gateway-rules", "fr_FR.UTF-8")["message"] == "les règles sont chargées"


# --- removal, last: the machines are bare afterwards -------------------------------------------


def test_removal_leaves_nothing_but_the_key(playbook: Playbook) -> None:
    public = inside("outside", "wg show wg0 public-key").strip()
    assert playbook("absent.yml").returncode == 0
    for name in ("gateway", "outside"):
        assert "wg0" not in inside(name, "ls /sys/class/net")
        assert inside(name, "ls -A /etc/wireguard") == "wg0.key\n"
        left = "find /etc /usr/lib/nomade /usr/lib/systemd -name '*vpn*'"
        assert inside(name, left, check=False) == ""
        assert inside(name, "systemctl list-units --all --plain --no-legend '*vpn*' 'wg-*'") == ""
        assert "nomade_vpn" not in inside(name, "nft list tables")
        assert inside(name, "dpkg-query -W wireguard-tools wireguard-go", check=False) == ""
    again = playbook("absent.yml")
    assert again.returncode == 0
    assert again.stdout.count("changed=0") == 2
    removed = playbook("absent.yml", vpn_client_remove_key=True, vpn_gateway_remove_key=True)
    assert removed.returncode == 0
    for name in ("gateway", "outside"):
        assert inside(name, "find /etc/wireguard -type f", check=False) == ""
    assert (RUN / "keys" / "vpn" / "outside.pub").read_text().strip() == public
