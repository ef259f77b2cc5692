"""A whole life of laptop-13: recovered, adopted, Anne's; it comes back, and becomes Basile's."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from life import ANNE, BASILE, Journal, files_with, install
from town import PAGE, PROJECT, podman

if TYPE_CHECKING:
    from life import Life
    from town import Machine

ASSET = "laptop-13"
HOME = f"/home/{ANNE.login}"
# Words that stand nowhere else in the world.
PAGE_SEEN, COOKIE, DOCUMENT, JOB, WIFI, SECRET = (
    f"marque{word}" for word in ("vue", "biscuit", "ecrit", "impression", "borne", "motdepasse")
)
MARKS = [PAGE_SEEN, COOKIE, DOCUMENT, JOB, WIFI, SECRET]

pytestmark = pytest.mark.usefixtures("equipped")


@pytest.fixture(scope="module")
def worked(laptop_13: Machine) -> str:
    """Let Anne work for a day, and return the private key of her tunnel."""
    install(laptop_13, "chromium libreoffice-writer-nogui python3-uno cups cron")
    podman(
        "cp",
        str(PROJECT / "molecule/lifecycle/files/work.py"),
        f"{laptop_13.container}:/srv/work.py",
    )
    page = f"http://intranet.valbourg.example/?{PAGE_SEEN}"
    seen = laptop_13.sh(
        f"export HOME={HOME} && cd && python3 /srv/work.py '{page}' {COOKIE} {HOME}/{DOCUMENT}.odt",
        user=ANNE.login,
    )
    assert f"{COOKIE}=oui Bienvenue" in seen
    laptop_13.sh("lpadmin -p loin -E -v socket://10.130.0.99 -m raw")
    laptop_13.sh(f"echo {JOB} | lp -d loin -t {JOB}", user=ANNE.login)
    laptop_13.sh(
        f"nmcli connection add type wifi con-name {WIFI} ifname '*' ssid {WIFI}"
        f" wifi-sec.key-mgmt wpa-psk wifi-sec.psk {SECRET}"
    )
    laptop_13.sh(f"echo 'cat {DOCUMENT}' > {HOME}/.bash_history; crontab -", user=ANNE.login,
                 stdin=f"0 9 * * * echo {DOCUMENT}\n")  # fmt: skip
    laptop_13.sh(f"logger 'session of {ANNE.name}'")
    return laptop_13.sh("cat /etc/wireguard/wg0.key")


def test_anne_has_left_traces_everywhere(laptop_13: Machine, worked: str) -> None:
    assert worked
    found = "\n".join(files_with(laptop_13, MARKS))
    assert f"{HOME}/.config/chromium/Default/History" in found
    assert f"{HOME}/.config/chromium/Default/Cookies" in found
    assert f"{HOME}/.config/libreoffice/4/user/registrymodifications.xcu" in found
    assert "/var/spool/cups/" in found
    assert "/etc/NetworkManager/system-connections/" in found
    assert f"/var/spool/cron/crontabs/{ANNE.login}" in found


def test_her_key_is_refused_within_seconds(life: Life, laptop_13: Machine, worked: str) -> None:
    """Return the machine while it fetches a page of the intranet again and again."""
    assert worked
    assert laptop_13.holds(PAGE)
    last: list[float] = []
    over = threading.Event()

    def fetch() -> None:
        while not over.is_set():
            if laptop_13.holds(PAGE.replace("timeout=5", "timeout=1")):
                last.append(time.time())
            time.sleep(0.2)

    watcher = threading.Thread(target=fetch)
    watcher.start()
    try:
        done = life.returning(ASSET).wait()
    finally:
        over.set()
        watcher.join()
    assert done.code == 0
    assert life.state(ASSET) == "stock"
    revoked = next(
        e for e in Journal(ASSET).events if (e["event"], e["step"]) == ("done", "revoke")
    )
    assert last[-1] - datetime.fromisoformat(revoked["at"]).timestamp() < 3


def test_nothing_of_her_is_on_the_disk(laptop_13: Machine) -> None:
    assert files_with(laptop_13, [*MARKS, ANNE.login, ANNE.name, ANNE.email]) == []


def test_what_was_there_before_nomade_is_still_there(laptop_13: Machine) -> None:
    assert laptop_13.holds("command -v chromium && command -v soffice && systemctl is-active cups")
    assert laptop_13.holds("id nomade && nomade-check --baseline")


# how each check of the baseline is broken, and mended
BASELINE = {
    "baseline-people": ("useradd --create-home passante", "userdel --remove passante"),
    "baseline-capabilities": (
        "mkdir /var/lib/nomade/rootfs/links && touch /var/lib/nomade/rootfs/links/manifest.json",
        "rm -r /var/lib/nomade/rootfs/links",
    ),
    "baseline-packages": (
        "mkdir -p /run/p/DEBIAN && cd /run/p/DEBIAN && printf '#!/bin/sh\\nexit 1\\n' > postinst"
        " && chmod 755 postinst && printf '%s\\n' 'Package: half' 'Version: 1' 'Architecture: all'"
        " 'Maintainer: nobody <nobody@example.org>' 'Description: half' > control"
        " && dpkg-deb --build /run/p /run/half.deb && ! dpkg --install /run/half.deb",
        "dpkg --purge --force-all half && rm -r /run/p /run/half.deb",
    ),
}


@pytest.mark.parametrize("check", BASELINE)
def test_the_baseline_turns_red_and_green(laptop_13: Machine, check: str) -> None:
    ask = f"nomade-check --baseline --json --check {check}"
    broken, mended = BASELINE[check]
    laptop_13.sh(broken)
    red = json.loads(laptop_13.sh(f"{ask}; true"))["checks"][0]
    laptop_13.sh(mended)
    assert red["status"] == "CRITICAL"
    assert red["remedy"]
    assert json.loads(laptop_13.sh(ask))["checks"][0]["status"] == "OK"
    assert check not in laptop_13.sh("nomade-check --json; true")


def test_it_becomes_basiles_who_can_work(life: Life, laptop_13: Machine, hall: Machine) -> None:
    old = Journal(ASSET).facts("revoke")["vpn_public_key"]
    life.assign(ASSET, BASILE)
    done = life.town.play("equip", f"--limit={ASSET}")
    assert done.code == 0
    assert done.capabilities(ASSET) == {"workstation": "ok", "vpn_client": "ok"}
    laptop_13.sh(PAGE, user=BASILE.login)
    assert files_with(laptop_13, [*MARKS, ANNE.login, ANNE.name, ANNE.email]) == []
    peers = hall.sh("wg show wg0 peers").split()
    assert old not in peers
    assert len(peers) == 1


def test_her_old_key_opens_nothing(laptop_12: Machine, hall: Machine, worked: str) -> None:
    """Try Anne's key from another machine, as somebody who copied it would."""
    server = hall.sh("wg show wg0 public-key").strip()
    configuration = (
        f"[Interface]\nPrivateKey = {worked.strip()}\nAddress = 10.66.0.250/32\n"
        f"[Peer]\nPublicKey = {server}\nEndpoint = 10.130.0.10:51820\n"
        "AllowedIPs = 10.131.0.0/24\nPersistentKeepalive = 1\n"
    )
    install(laptop_12, "wireguard-tools wireguard-go")
    laptop_12.sh(
        "umask 077 && cat > /run/thief.conf && wg-quick up /run/thief.conf && sleep 4",
        stdin=configuration,
    )
    handshake = laptop_12.sh("wg show thief latest-handshakes").split()[-1]
    laptop_12.sh("wg-quick down /run/thief.conf && rm /run/thief.conf")
    assert handshake == "0"


def test_a_stolen_machine_loses_its_access_and_nothing_is_claimed(life: Life) -> None:
    done = life.town.play("return", asset="laptop-off", without_machine="stolen")
    assert done.code == 0
    assert life.state("laptop-off") == "lost"
    found = Journal("laptop-off").certificate
    assert found["verdict"] == "lost"
    assert [step["step"] for step in found["steps"]] == ["revoke", "register"]
    text = subprocess.run(
        ["pdftotext", Journal("laptop-off").path.with_suffix(".pdf"), "-"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "Nothing was erased on it" in " ".join(text.split())
