"""What machines are told that start from the network, and what happens to what they say."""

from __future__ import annotations

import json
import re
import time

import pytest

testinfra_hosts = ["debian12", "debian13"]


def orders(netboot):
    listed = json.loads(netboot("status --json").stdout)["orders"]
    return {order["serial_number"]: order for order in listed}


def test_an_ordered_machine_installs_once(laptop, netboot, post):
    assert netboot("order 5CGORDER42 vb-0042").rc == 0
    screen = laptop("5cgorder42", r"STARTED WITH .*\n")  # the firmware's capitals may differ
    assert "FAI_ACTION=install" in screen
    status, answer = post("take", {"serial_number": "5CGORDER42"})
    order = json.loads(answer)
    assert (status, order["asset_tag"], order["suite"]) == (200, "vb-0042", "trixie")
    assert post("take", {"serial_number": "5CGORDER42"})[0] == 410


def test_an_order_that_expired_is_none(netboot, post):
    assert netboot("order 5CGLATE01 vb-0043 --hours 0.0001").rc == 0
    time.sleep(1)
    assert post("take", {"serial_number": "5CGLATE01"})[0] == 410
    assert orders(netboot)["5CGLATE01"]["state"] == "expired"


def test_wiping_names_the_machine_twice(netboot):
    refused = netboot("order 5CGWIPE01 vb-0044 --wipe 5CGWIPE02")
    assert refused.rc == 1
    assert "nothing was ordered" in refused.stderr
    assert "5CGWIPE01" not in orders(netboot)


def test_progress_and_failure_are_told(netboot, post):
    assert netboot("order 5CGFAIL01 vb-0045").rc == 0
    token = json.loads(post("take", {"serial_number": "5CGFAIL01"})[1])["token"]
    said = {"serial_number": "5CGFAIL01", "token": token}
    assert post("report", {**said, "stage": "partition", "disk": "/dev/sda"})[0] == 200
    assert post("report", {**said, "token": "guessed", "stage": "failed"})[0] == 403
    assert post("report", {**said, "stage": "failed", "reason": "no internal disk"})[0] == 200
    order = orders(netboot)["5CGFAIL01"]
    assert (order["state"], order["reason"]) == ("failed", "no internal disk")
    assert "token" not in order
    assert "1 failed" in netboot("status").stdout


def test_what_an_unknown_machine_says_is_kept(host, post):
    said = {"serial_number": "5CG/NEW 1", "mac_addresses": ["52:54:00:00:00:01"], "ram_mb": 7812}
    assert post("announce", said)[0] == 200
    kept = json.loads(host.check_output("sudo cat /var/lib/nomade-netboot/pending/5cgnew1.json"))
    assert kept.pop("seen").startswith("20")
    assert kept == said


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({"serial_number": "", "mac_addresses": []}, 400),
        ("[1]", 400),
        ("{", 400),
        (json.dumps({"serial_number": "X", "model": "x" * 70000}), 413),
    ],
)
def test_what_makes_no_sense_is_refused(post, said, status):
    assert post("announce", said)[0] == status


def test_only_what_machines_need_is_served(bench, server_address):
    get = "import sys, urllib.request as u; u.build_opener(u.ProxyHandler({})).open(sys.argv[1])"
    for path in ("/", "/images/", "/nomade/orders", "/images/../current/../../nomade-netboot/lock"):
        asked = bench.run("python3 -c %s %s", get, f"http://{server_address}{path}")
        assert re.search(r"HTTP Error 40[034]", asked.stderr), path


def test_nothing_is_answered_on_another_interface(bench, name, addresses, server_address):
    ask = (
        "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.settimeout(3)\n"
        "s.sendto(b'\\0\\1answers/unknown.cfg\\0octet\\0', (sys.argv[1], 69))\n"
        "print(s.recv(600)[4:])"
    )
    inside = bench.run("python3 -c %s %s", ask, server_address)
    assert "nomade_answer" in inside.stdout
    assert bench.run("python3 -c %s %s", ask, addresses[name]["lan"]["ipv4"]).rc != 0


def test_broken_and_mended_it_is_told(host, checks, name, wait_until):
    assert checks(name)["netboot-dhcp"]["status"] == "OK"
    assert checks(name)["netboot-answers"]["status"] == "OK"
    host.check_output("sudo systemctl stop nomade-netboot-dhcp")
    told = checks(name)["netboot-dhcp"]
    assert told["status"] == "CRITICAL"
    assert "systemctl restart nomade-netboot-dhcp" in told["remedy"]["fr"]
    host.check_output("sudo systemctl start nomade-netboot-dhcp")
    wait_until(lambda: checks(name)["netboot-dhcp"]["status"] == "OK")

    host.check_output("sudo systemctl stop nomade-netboot.socket nomade-netboot.service")
    told = checks(name)["netboot-answers"]
    assert told["status"] == "CRITICAL"
    assert "systemctl restart nomade-netboot nginx" in told["remedy"]["en"]
    host.check_output("sudo systemctl start nomade-netboot.socket nomade-netboot.service")
    wait_until(lambda: checks(name)["netboot-answers"]["status"] == "OK")


def test_missing_and_old_images_are_told(host, checks, name):
    images = "/var/lib/nomade-netboot-images/current"
    told = checks(name)["netboot-images"]
    assert told["status"] == "CRITICAL"
    assert "installer.squashfs, base-trixie.tar.zst" in told["message"]
    assert "nomade-netboot-build" in told["remedy"]["en"]
    host.check_output(f"sudo touch {images}/installer.squashfs {images}/base-trixie.tar.zst")
    assert checks(name)["netboot-images"]["status"] == "OK"
    host.check_output(f"sudo touch -d '40 days ago' {images}/base-trixie.tar.zst")
    assert checks(name)["netboot-images"]["status"] == "WARNING"
    host.check_output(f"sudo rm {images}/installer.squashfs {images}/base-trixie.tar.zst")
