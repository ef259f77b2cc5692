"""A whole life of laptop-13: recovered, adopted, Anne's; it comes back, and becomes Basile's.

Anne gets laptop-12 in its place, with her files.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from life import ANNE, BASILE, STICK, Journal, files_with, hashes, install, sentence
from town import PAGE, PROJECT, Processes, podman

if TYPE_CHECKING:
    from life import Life
    from town import Done, Machine

ASSET, OTHER = "laptop-13", "laptop-12"
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
    laptop_13.sh(
        f"cd {HOME} && mkdir -p Personnel/été bin && echo {DOCUMENT} > Personnel/été/lettre.txt"
        " && echo '#!/bin/sh' > bin/outil && chmod 750 bin/outil && ln -s bin/outil outil"
        " && touch -d 2021-02-03 bin/outil",
        user=ANNE.login,
    )
    laptop_13.sh(f"mkdir {STICK} && mount -t tmpfs tmpfs {STICK}")
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


def test_she_gets_another_machine(life: Life, worked: str) -> None:
    assert worked
    said = life.fleet("swap", ASSET, OTHER).splitlines()
    commands = [line.removeprefix("next: ") for line in said if line.startswith("next: ")]
    names = [Path(command.split()[3]).stem for command in commands]
    assert names == ["return", "equip", "restore"]
    assert life.state(ASSET) == "returned"
    assert life.state(OTHER) == "assigned"


@pytest.fixture(scope="module")
def left(laptop_13: Machine, worked: str) -> dict[str, str]:
    """Return the digest of every file of hers that is to come back."""
    assert worked
    found = hashes(laptop_13, HOME)
    private = ("./.cache/", "./Personnel/", "./.local/share/Trash/")
    return {path: digest for path, digest in found.items() if not path.startswith(private)}


def test_her_key_is_refused_within_seconds(
    life: Life, laptop_13: Machine, left: dict[str, str]
) -> None:
    """Return the machine while it fetches a page of the intranet again and again."""
    assert left
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
        done = life.returning(ASSET, return_personal="hand_back", return_personal_to=STICK).wait()
    finally:
        over.set()
        watcher.join()
    assert done.code == 0
    assert life.state(ASSET) == "stock"
    revoked = next(
        e for e in Journal(ASSET).events if (e["event"], e["step"]) == ("done", "revoke")
    )
    assert last[-1] - datetime.fromisoformat(revoked["at"]).timestamp() < 3


def test_what_is_her_own_went_home_with_her_and_is_in_no_archive(laptop_13: Machine) -> None:
    assert laptop_13.sh(f"cat {STICK}/Personnel/été/lettre.txt") == f"{DOCUMENT}\n"
    laptop_13.sh(f"umount {STICK}")
    facts = Journal(ASSET).facts("archive")
    assert (facts["handed_back"], facts["handed_back_files"]) == ([f"{HOME}/Personnel"], 1)
    assert f"{HOME}/Personnel" in facts["left_out"]


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
    done = life.town.play("equip", f"--limit={ASSET},{OTHER}")
    assert done.code == 0
    assert done.capabilities(ASSET) == {"workstation": "ok", "vpn_client": "ok"}
    assert done.capabilities(OTHER) == {"workstation": "ok", "vpn_client": "ok"}
    laptop_13.sh(PAGE, user=BASILE.login)
    assert files_with(laptop_13, [*MARKS, ANNE.login, ANNE.name, ANNE.email]) == []
    peers = hall.sh("wg show wg0 peers").split()
    assert old not in peers
    assert len(peers) == 2


def test_her_old_key_opens_nothing(laptop_12: Machine, hall: Machine, worked: str) -> None:
    """Try Anne's key from another machine, as somebody who copied it would."""
    server = hall.sh("wg show wg0 public-key").strip()
    configuration = (
        f"[Interface]\nPrivateKey = {worked.strip()}\nAddress = 10.66.0.250/32\nTable = off\n"
        f"[Peer]\nPublicKey = {server}\nEndpoint = 10.130.0.10:51820\n"
        "AllowedIPs = 10.131.0.0/24\nPersistentKeepalive = 1\n"
    )
    laptop_12.sh(
        "umask 077 && cat > /run/thief.conf && wg-quick up /run/thief.conf && sleep 4",
        stdin=configuration,
    )
    handshake = laptop_12.sh("wg show thief latest-handshakes").split()[-1]
    laptop_12.sh("wg-quick down /run/thief.conf && rm /run/thief.conf")
    assert handshake == "0"


class TestHerFilesComeBack:
    """What was archived on laptop-13 is given back on laptop-12."""

    def restore(self, life: Life, **variables: object) -> Done:
        """Type the line."""
        key = str(life.town.var / "town.age-identity")
        return life.town.play("restore", **{"asset": OTHER, "identity": key, **variables})

    def test_what_can_not_be_is_refused_before_anything_is_done(
        self, life: Life, laptop_12: Machine
    ) -> None:
        before = hashes(laptop_12, HOME)
        for variables, why in (
            ({"identity": str(life.town.var / "other.age-identity")}, "doesn't open it"),
            ({"asset": ASSET}, f"no return has archived files of {BASILE.login}"),
        ):
            done = self.restore(life, **variables)
            assert done.code
            assert why in sentence(done)
        assert hashes(laptop_12, HOME) == before
        assert not (life.town.directory / "records/restores").exists()

    def test_a_file_that_is_newer_here_is_kept(self, life: Life, laptop_12: Machine) -> None:
        laptop_12.sh(f"mkdir {HOME}/bin && echo neuf > {HOME}/bin/outil", user=ANNE.login)
        said = sentence(self.restore(life))
        assert f"1 files are not as in the archive, 1 of them newer here ({HOME}/bin/outil)" in said
        assert laptop_12.sh(f"cat {HOME}/bin/outil") == "neuf\n"
        assert not laptop_12.holds(f"test -e {HOME}/{DOCUMENT}.odt")
        wrong = sentence(self.restore(life, overwrite=ASSET))
        assert f"overwrite={ASSET} is not {OTHER}" in wrong

    def test_they_are_all_there_with_equal_hashes_rights_and_dates(
        self, life: Life, laptop_12: Machine, left: dict[str, str]
    ) -> None:
        done = self.restore(life, overwrite=OTHER)
        assert done.code == 0
        found = hashes(laptop_12, HOME)
        assert {path: found.get(path) for path in left} == left
        assert (
            laptop_12.sh(f"stat -c '%U %a %y' {HOME}/bin/outil")[:23]
            == f"{ANNE.login} 750 2021-02-03"
        )
        assert laptop_12.sh(f"readlink {HOME}/outil") == "bin/outil\n"
        assert laptop_12.sh(f"find {HOME} ! -user {ANNE.login}") == ""
        manifest = Journal(ASSET).facts("verify")["manifest_sha256"]
        assert manifest in done.output
        records = list((life.town.directory / "records/restores" / OTHER).glob("*.jsonl"))
        events = [json.loads(line) for line in records[-1].read_text("utf-8").splitlines()]
        assert events[-1]["event"] == "restored"
        assert events[-1]["manifest_sha256"] == manifest
        assert events[-2]["overwritten"] == [f"{HOME}/bin/outil"]

    def test_the_second_time_there_is_nothing_to_do(
        self, life: Life, laptop_12: Machine, hall: Machine
    ) -> None:
        done = self.restore(life)
        assert done.code == 0
        assert not done.changes_on(OTHER)
        assert "0 written now" in done.output
        # and nothing of how it was done is left
        assert not laptop_12.holds("test -e /run/nomade-return")
        assert hall.sh("cat /etc/ssh/authorized_keys.d/nomade-archive") == ""

    def test_neither_password_nor_key_was_ever_seen(self, life: Life, laptop_12: Machine) -> None:
        folder = life.town.directory / "records/returns" / ASSET
        password = life.town.unseal(next(folder.glob("*.age"))).encode()
        key = (life.town.var / "town.age-identity").read_text("ascii").split()[-1].encode()
        for secret in (password, key):
            assert not [command for command in Processes.seen if secret in command]
            assert not [
                log for log in (life.town.var / "log").iterdir() if secret in log.read_bytes()
            ]
            assert files_with(laptop_12, [secret.decode()]) == []


def test_a_stolen_machine_loses_its_access_and_nothing_is_claimed(life: Life) -> None:
    done = life.town.play("return", asset="laptop-off", without_machine="stolen")
    assert done.code == 0
    assert life.state("laptop-off") == "lost"
    found = Journal("laptop-off").certificate
    assert found["verdict"] == "lost"
    assert [step["step"] for step in found["steps"]] == ["revoke", "register"]
    assert "Nothing was erased on it" in Journal("laptop-off").text


def test_of_a_dead_disk_no_erasure_is_claimed(life: Life) -> None:
    done = life.town.play("return", asset="laptop-dead", without_machine="dead")
    assert "write stolen, lost or dead_disk" in sentence(done)
    done = life.town.play("return", asset="laptop-dead", without_machine="dead_disk")
    assert done.code == 0
    assert life.state("laptop-dead") == "quarantined"
    found = Journal("laptop-dead")
    assert found.certificate["verdict"] == "quarantined"
    assert [step["step"] for step in found.certificate["steps"]] == ["revoke", "register"]
    assert "Nothing was erased on it; the disk is to be destroyed by hand" in found.text
