"""Two laptops and a conference server behind the tunnel: who sees and hears whom, and who may not.

The browsers are those of the employee, started as the menu's entry starts them, on a screen that
nobody sees. Nothing answers a question of theirs: what works here works without a prompt.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = "/usr/local/lib/conference"
LAPTOPS = ["laptop12", "laptop13"]
PERSON = "mdurand"
TONES = {"laptop12": 440, "laptop13": 1000}
ALLOWED, OTHER = "https://visio.valbourg.example/", "https://autre.valbourg.example/"
# Stands for the click of a person who chooses to share the whole screen, "Écran" in their Chromium.
WHOLE_SCREEN = "--auto-select-desktop-capture-source=cran"

each_laptop = pytest.mark.parametrize("laptop", LAPTOPS)
Run = Callable[[str, str, str], Any]
Checks = Callable[[str], dict[str, dict[str, Any]]]


def browse(run_as: Run, laptop: str, page: str, expression: str, *flags: str) -> Any:
    """Return what an expression comes to in a page that the employee opens."""
    words = ["python3", f"{PROGRAMS}/browser.py", page, expression, *flags]
    done = run_as(laptop, PERSON, f"LANG=fr_FR.UTF-8 {shlex.join(words)}")
    assert done.rc == 0, done.stderr[-3000:]
    return json.loads(done.stdout)["value"]


def together(*meetings: Callable[[], Any]) -> list[Any]:
    """Let several people do something at the same time."""
    with ThreadPoolExecutor() as pool:
        return [f.result() for f in [pool.submit(meeting) for meeting in meetings]]


@contextmanager
def broken(run_as: Run, machine: str, breaking: str, mending: str) -> Iterator[None]:
    assert run_as(machine, "root", breaking).rc == 0
    try:
        yield
    finally:
        assert run_as(machine, "root", mending).rc == 0


def assert_red(check: dict[str, Any], message: str, english: str, french: str) -> None:
    assert check["status"] == "CRITICAL", check
    assert message in check["message"], check
    assert english in check["remedy"]["en"]
    assert french in check["remedy"]["fr"]


# --- in one room -------------------------------------------------------------------------------


def is_colour(pixels: list[int], colour: str) -> bool:
    """Say whether most pixels of a row are of a colour."""
    dots = list(zip(pixels[::4], pixels[1::4], pixels[2::4], strict=True))
    strong, weak = (0, 2) if colour == "red" else (2, 0)
    return sum(dot[strong] > dot[weak] + 80 for dot in dots) > len(dots) // 2


def assert_seen_and_heard(other: dict[str, Any], colour: str, tone: int) -> None:
    before, after = other["before"], other["after"]
    assert after["video"]["frames"] > before["video"]["frames"] + 5
    assert all(is_colour(row, colour) for row in other["pictures"])
    assert len({tuple(row) for row in other["pictures"]}) > 1, "the picture stands still"
    assert after["audio"]["energy"] > before["audio"]["energy"] > 0
    assert after["audio"]["level"] > 0.01
    assert abs(other["loudest"] - tone) < 15
    # the policy for sound that begins by itself: nobody clicked
    assert (other["sound"], other["playing"]) == ("running", True)


def test_the_two_see_and_hear_each_other_through_the_tunnel(run_as: Run) -> None:
    def received(laptop: str) -> int:
        return int(run_as(laptop, "root", "cat /sys/class/net/wg0/statistics/rx_bytes").stdout)

    before = [received(laptop) for laptop in LAPTOPS]
    first, second = together(
        *[lambda name=name: browse(run_as, name, "launcher", "meet()") for name in LAPTOPS]
    )
    print(json.dumps([first, second]))
    assert_seen_and_heard(first["other"], "blue", TONES["laptop13"])
    assert_seen_and_heard(second["other"], "red", TONES["laptop12"])
    came = [received(laptop) - b for laptop, b in zip(LAPTOPS, before, strict=True)]
    print(f"bytes through the tunnel: {came}")
    assert min(came) > 40_000


def test_without_the_tunnel_there_is_no_conference(run_as: Run) -> None:
    with broken(run_as, "laptop12", "systemctl stop wg-quick@wg0", "systemctl start wg-quick@wg0"):
        address = run_as("intranet", "root", "hostname -I").stdout.split()[0]
        fetch = f"import socket; socket.create_connection(({address!r}, 443), 3)"
        assert run_as("laptop12", PERSON, f"python3 -c {shlex.quote(fetch)}").rc != 0


def test_a_screen_is_shared(run_as: Run) -> None:
    shared, seen = together(
        lambda: browse(run_as, "laptop12", "launcher", "meet({screen: true})", WHOLE_SCREEN),
        lambda: browse(run_as, "laptop13", "launcher", "meet()"),
    )
    print(json.dumps([shared["own"], seen["other"]]))
    other = seen["other"]
    assert other["after"]["video"]["width"] == 960
    # the other one's lamp is green, bright and dark by turns
    middle = [row[4 * 6 : 4 * 6 + 3] for row in other["pictures"]]
    assert all(green > red + 40 and green > blue + 40 for red, green, blue in middle)
    assert max(m[1] for m in middle) - min(m[1] for m in middle) > 60


# --- who may what ------------------------------------------------------------------------------


@each_laptop
def test_the_towns_service_is_asked_nothing(run_as: Run, laptop: str) -> None:
    assert browse(run_as, laptop, "launcher", "rights()") == {
        "camera": "granted",
        "microphone": "granted",
        "notifications": "granted",
        "notification": "granted",
        "devices": "given",
        "sound": "running",
    }


@each_laptop
def test_another_site_is_refused(run_as: Run, laptop: str) -> None:
    found = browse(run_as, laptop, OTHER, "rights()")
    assert found["devices"] == "NotAllowedError"
    assert {found[name] for name in ("camera", "microphone", "notifications")} == {"denied"}
    assert browse(run_as, laptop, OTHER, "share()", WHOLE_SCREEN) == "NotAllowedError"


def test_firefox_obeys_the_same_rules(run_as: Run) -> None:
    command = shlex.join(["python3", f"{PROGRAMS}/firefox.py", "rights()", ALLOWED, OTHER])
    done = run_as("laptop13", PERSON, command)
    assert done.rc == 0, done.stderr
    found = json.loads(done.stdout)
    # It came with a certificate of the town's private authority.
    assert found[ALLOWED]["devices"] == "given"
    assert found[ALLOWED]["camera"] == found[ALLOWED]["notifications"] == "granted"
    assert found[OTHER]["devices"] == "NotAllowedError"
    assert found[OTHER]["camera"] == found[OTHER]["notifications"] == "denied"


@each_laptop
def test_the_menu_speaks_french(run_as: Run, laptop: str) -> None:
    file = "/usr/local/share/applications/nomade-conference.desktop"
    assert run_as(laptop, PERSON, f"desktop-file-validate {file}").rc == 0
    entry = run_as(laptop, PERSON, f"cat {file}").stdout
    assert "\nName[fr]=Visioconférence\n" in entry
    assert f'\nExec=chromium "--app={ALLOWED}"\n' in entry


# --- the native client -------------------------------------------------------------------------


def test_the_native_client_is_there(run_as: Run) -> None:
    assert "#" in run_as("laptop13", PERSON, "visio-natif | tr '|_' '##'").stdout


def test_a_wrong_checksum_is_refused_and_nothing_installed(run_as: Run, playbook: Any) -> None:
    before = run_as("laptop12", "root", "dpkg-query --show | sort").stdout
    done = playbook(
        "converge.yml",
        "--limit=laptop12",
        conference_client_native_package="visio-natif",
        conference_client_native_url="http://intranet.valbourg.example/visio-natif.deb",
        conference_client_native_sha256="0" * 64,
    )
    sentence = (
        "laptop12: http://intranet.valbourg.example/visio-natif.deb is another file than the one"
        " that conference_client_native_sha256 names; ask its publisher which is right."
    )
    assert done.returncode == 2
    assert sentence in " ".join(done.stdout.split())
    assert run_as("laptop12", "root", "dpkg-query --show | sort").stdout == before
    assert run_as("laptop12", "root", "ls /var/cache").stdout.count("nomade") == 0


# --- the checks turn red, say what to do, and turn green again ----------------------------------


@each_laptop
def test_all_is_well(checks: Checks, laptop: str) -> None:
    found = {n: c["message"] for n, c in checks(laptop).items() if n.startswith("conference-")}
    assert {n for n in found if checks(laptop)[n]["status"] != "OK"} == set(), found
    assert "through the tunnel" in found["conference-way"]
    assert "TCP 443, UDP 3478" in found["conference-ports"]


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("nginx", "visio.valbourg.example does not answer on TCP 443"),
        ("coturn", "visio.valbourg.example does not answer on UDP 3478"),
    ],
)
def test_ports_check(run_as: Run, checks: Checks, service: str, message: str) -> None:
    stop, start = f"systemctl stop {service}", f"systemctl start {service}"
    with broken(run_as, "intranet", stop, start):
        for laptop in LAPTOPS:
            assert_red(
                checks(laptop)["conference-ports"],
                message,
                "is the conference server running",
                "le serveur de visioconférence",
            )
    assert [checks(name)["conference-ports"]["status"] for name in LAPTOPS] == ["OK", "OK"]


def test_ports_check_knows_a_stranger(run_as: Run, checks: Checks) -> None:
    """As in a hotel, whose network answers for everybody."""
    ca = "/etc/nomade/conference-ca"
    with broken(run_as, "laptop12", f"mv {ca} {ca}.away", f"mv {ca}.away {ca}"):
        assert_red(
            checks("laptop12")["conference-ports"],
            "the certificate of visio.valbourg",
            "network's firewall",
            "partage de connexion",
        )
    assert checks("laptop12")["conference-ports"]["status"] == "OK"


@each_laptop
def test_way_check(run_as: Run, checks: Checks, laptop: str) -> None:
    address = run_as("intranet", "root", "hostname -I").stdout.split()[0]
    past = f"{address}/32 dev eth0"
    with broken(run_as, laptop, f"ip route replace {past}", f"ip route replace {address} dev wg0"):
        assert_red(
            checks(laptop)["conference-way"],
            "is reached beside the tunnel, by eth0",
            "conference_client_route = tunnel",
            "vpn_intranet_networks",
        )
    assert checks(laptop)["conference-way"]["status"] == "OK"


MANAGED = "/etc/chromium/policies/managed"


@each_laptop
@pytest.mark.parametrize(
    ("breaking", "mending", "message"),
    [
        (
            f"""echo '{{"VideoCaptureAllowedUrls": []}}' > {MANAGED}/zz.json""",
            f"rm {MANAGED}/zz.json",
            "zz.json contradicts the policy VideoCaptureAllowedUrls",
        ),
        (
            f"mv {MANAGED}/nomade-conference.json /root",
            f"mv /root/nomade-conference.json {MANAGED}",
            "Chromium lacks the policy AudioCaptureAllowed",
        ),
        ("mv /usr/bin/chromium /root", "mv /root/chromium /usr/bin", "Chromium is missing"),
    ],
    ids=["contradicted", "lost", "missing"],
)
def test_browser_check(
    run_as: Run, checks: Checks, laptop: str, breaking: str, mending: str, message: str
) -> None:
    with broken(run_as, laptop, breaking, mending):
        assert_red(
            checks(laptop)["conference-browser"],
            message,
            "run equip.yml for this machine again",
            "relancer equip.yml",
        )
    assert checks(laptop)["conference-browser"]["status"] == "OK"


def test_browser_check_of_firefox(run_as: Run, checks: Checks) -> None:
    file = "/etc/firefox/policies/policies.json"
    with broken(run_as, "laptop13", f"mv {file} /root", f"mv /root/policies.json {file}"):
        assert_red(
            checks("laptop13")["conference-browser"],
            f"{file} cannot be read",
            "run equip.yml",
            "relancer equip.yml",
        )
    assert checks("laptop13")["conference-browser"]["status"] == "OK"


def test_native_check(run_as: Run, checks: Checks, playbook: Any) -> None:
    assert run_as("laptop13", "root", "dpkg --remove visio-natif").rc == 0
    assert_red(
        checks("laptop13")["conference-native"],
        "visio-natif is not installed",
        "works in the browser",
        "fonctionne dans le navigateur",
    )
    # switched off, it leaves with what it brought
    off = {"conference_client_native_package": "", "conference_client_native_url": ""}
    assert playbook("converge.yml", "--limit=laptop13", **off).returncode == 0
    present = run_as("laptop13", "root", "dpkg-query --show; ls /var/cache").stdout
    assert [name for name in ("visio-natif", "figlet", "nomade-") if name in present] == []
    assert "conference-native" not in checks("laptop13")
    # and switched on again
    assert playbook("converge.yml", "--limit=laptop13").returncode == 0
    assert checks("laptop13")["conference-native"]["message"] == "visio-natif 1.2"


# --- another town --------------------------------------------------------------------------------


def test_a_town_that_lets_people_decide_and_wants_the_service_beside_the_tunnel(
    run_as: Run, playbook: Any, checks: Checks
) -> None:
    other = {"conference_client_elsewhere": "ask", "conference_client_route": "beside"}
    assert playbook("converge.yml", "--limit=laptop12", **other).returncode == 0
    try:
        found = browse(run_as, "laptop12", OTHER, "rights()")
        assert {found[name] for name in ("camera", "microphone", "notifications")} == {"prompt"}
        assert found["devices"] == "asked"
        assert browse(run_as, "laptop12", ALLOWED, "rights()")["devices"] == "given"
        assert_red(
            checks("laptop12")["conference-way"],
            "through the tunnel, not beside it",
            "conference_client_route = beside",
            "conference_client_route = beside",
        )
    finally:
        assert playbook("converge.yml", "--limit=laptop12").returncode == 0
    assert checks("laptop12")["conference-way"]["status"] == "OK"


# --- taking over, and taking back ----------------------------------------------------------------


def test_somebody_elses_firefox_policies_are_not_touched(run_as: Run, playbook: Any) -> None:
    file = "/etc/firefox/policies/policies.json"
    theirs = '{"policies": {"DisableTelemetry": true}}'
    writing = f"mkdir -p /etc/firefox/policies; echo '{theirs}' > {file}"
    with broken(run_as, "laptop12", writing, "rm -r /etc/firefox/policies"):
        done = playbook("converge.yml", "--limit=laptop12", conference_client_firefox=True)
        assert done.returncode == 2
        assert "is there already and not from this role" in " ".join(done.stdout.split())
        assert run_as("laptop12", "root", f"cat {file}").stdout.strip() == theirs
        assert run_as("laptop12", PERSON, "which firefox-esr").rc != 0


OURS = "chromium|firefox|pipewire|wireplumber|portal|visio-natif|figlet|desktop-file"


def test_taken_back_nothing_is_left(run_as: Run, playbook: Any) -> None:
    assert playbook("absent.yml").returncode == 0
    for laptop in LAPTOPS:
        left = run_as(
            laptop,
            "root",
            f"""
            dpkg-query --show | grep -E '^({OURS})'
            find /etc /usr/local /usr/lib/nomade /var/lib/nomade /var/cache -ipath '*conference*' \
                -not -path '{PROGRAMS}*' -o -name policies.json -o -name 'nomade-*.deb'
            """,
        )
        assert left.stdout == ""
        theirs = run_as(laptop, "root", f"ls {MANAGED}; cat {MANAGED}/mairie.json")
        assert theirs.stdout == 'mairie.json\n{"BookmarkBarEnabled": true}'
        assert run_as(laptop, PERSON, "which chromium").rc != 0


def test_the_role_alone(run_as: Run, checks: Checks) -> None:
    """A ten-line playbook, no settings but its own, on a machine that has nothing of ours."""
    addresses = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory/rig.yml"
    done = subprocess.run(
        ["ansible-playbook", Path(__file__).with_name("alone.yml"), "--inventory", addresses],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    served = "python3 -m http.server 8000 --bind 127.0.0.1 --directory /var/empty"
    start = f"mkdir -p /var/empty; systemd-run --quiet --unit=elsewhere {served}; sleep 1"
    with broken(run_as, "bare", start, "systemctl stop elsewhere"):
        camera = "navigator.permissions.query({name: 'camera'}).then(found => found.state)"
        assert browse(run_as, "bare", "http://localhost:8000/", camera) == "denied"
    assert checks("bare")["conference-browser"]["status"] == "OK"
    way = checks("bare")["conference-way"]
    assert "jitsi.example.org cannot be looked up" in way["message"]
