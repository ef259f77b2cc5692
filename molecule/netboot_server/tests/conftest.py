"""A laptop that starts from the network, and what machines send: real firmware with Secure Boot."""

from __future__ import annotations

import json
import re
import time

import pytest

# the bench's leg in each server's network: a preparation network, one with the town's own DHCP
LEGS = {"debian12": "eth1", "debian13": "eth2"}
ADDRESSES = {"debian12": "10.164.0.2", "debian13": "10.165.0.2"}
POST = (
    "import json, sys, urllib.error, urllib.request as u;"
    " r = u.Request(sys.argv[1], sys.argv[2].encode());"
    " o = u.build_opener(u.ProxyHandler({}));\n"
    "try: print(200, o.open(r, timeout=20).read().decode())\n"
    "except urllib.error.HTTPError as e: print(e.code, e.read().decode())"
)
FETCH = "import sys, urllib.request as u; u.urlretrieve(sys.argv[1], sys.argv[2])"


@pytest.fixture(scope="module")
def name(host):
    return host.check_output("hostname")


@pytest.fixture(scope="module")
def bench(machine):
    return machine("bench")


@pytest.fixture
def laptop(bench, name):
    """laptop(serial, until) starts one; returns what its screen shows when a pattern is there."""
    started = []

    def start(serial, until, seconds=120, stick="", card=""):
        unit = re.sub(r"[^a-z0-9]", "", serial.lower())[-8:]
        started.append(unit)
        with_it = f"{stick} {card}" if stick else ""
        bench.check_output(f"sudo laptop {unit} {LEGS[name]} {serial} 512 {with_it}")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            screen = bench.check_output(
                f"sudo cat /var/lib/laptops/{unit}/serial.log | tr -d '\\000\\r'"
            )
            screen = re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", screen)
            if re.search(until, screen):
                return screen
            time.sleep(1)
        raise AssertionError(f"{until!r} is not on the screen:\n{screen[-3000:]}")

    yield start
    for unit in started:
        bench.run(f"sudo systemctl stop laptop-{unit}; sudo rm -r /var/lib/laptops/{unit}")


@pytest.fixture
def post(bench, name):
    """post("announce", {...}) sends what a machine says; returns the status and the answer."""

    def send(path, said):
        url = f"http://{ADDRESSES[name]}/nomade/{path}"
        status, answer = bench.check_output("python3 -c %s %s %s", POST, url, said).split(" ", 1)
        return int(status), answer

    return lambda path, said: send(path, said if isinstance(said, str) else json.dumps(said))


@pytest.fixture
def netboot(host):
    return lambda arguments: host.run(f"sudo nomade-netboot {arguments}")


@pytest.fixture(scope="module")
def server_address(name):
    return ADDRESSES[name]


@pytest.fixture(scope="module")
def stick(bench, name, server_address):
    """The image of a stick, as a technician fetches it; it is in a file of the bench."""
    place = f"/var/tmp/{name}.img"
    url = f"http://{server_address}/stick.img"
    bench.check_output("no_proxy=* python3 -c %s %s %s", FETCH, url, place)
    return place
