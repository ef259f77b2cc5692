"""Language, clock, firmware, updates, menu and hardware by their behaviour, checks both ways.

A container has no Wi-Fi, camera, microphone, battery or clock of its own. Their checks read a false
/sys or /proc that is mounted over the container's, and a few false tools; the checks, nomade-check
and their remedies are the real ones. What the hardware does is for a real laptop to show.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

MACHINES = ["debian12", "debian13"]
LOGIN = "mdurand"
URL = "https://intranet.valbourg.example.org/?from=menu&lang=fr%20FR"

Playbook = Callable[..., subprocess.CompletedProcess[str]]
Checks = Callable[[str], dict[str, dict[str, Any]]]
Root = Callable[[str, str], str]
on_each_machine = pytest.mark.parametrize("name", MACHINES)


@pytest.fixture(scope="session")
def root(machine: Callable[[str], Any]) -> Root:
    """Run a command as root on a machine and return what it says."""

    def run(name: str, command: str) -> str:
        done = machine(name).run("sudo sh -c %s", command)
        assert done.rc == 0, f"{command}: {done.stderr}"
        return str(done.stdout)

    return run


# --- language, keyboard, time ------------------------------------------------------------------


def speaks_french(host: Any) -> None:
    """Look at a session as PAM opens it, and at what the console and the login screen read."""
    said = host.run("locale; ls /nowhere 2>&1; date --date=2026-07-14 '+%A %Z'").stdout
    assert "LANG=fr_FR.UTF-8" in said
    assert "Aucun fichier ou dossier" in said
    assert "mardi CEST" in said
    keyboard = host.run(". /etc/default/keyboard; echo $XKBLAYOUT $XKBVARIANT").stdout
    assert keyboard == "fr latin9\n"


def test_the_machine_speaks_french_and_upgrades_leave_it_so(host: Any) -> None:
    speaks_french(host)
    # what an upgrade of these packages runs
    reconfigure = "dpkg-reconfigure --frontend=noninteractive locales tzdata keyboard-configuration"
    assert host.run(f"sudo {reconfigure}").rc == 0
    speaks_french(host)


@on_each_machine
def test_other_languages_of_the_machine_stay(name: str, root: Root) -> None:
    root(name, "echo 'oc_FR.UTF-8 UTF-8' >> /etc/locale.gen && locale-gen --keep-existing")
    root(name, "systemctl restart nomade-locale.service")
    assert {"oc_FR.utf8", "fr_FR.utf8"} <= set(root(name, "locale -a").split())
    assert "oc_FR.UTF-8 UTF-8" in root(name, "cat /etc/locale.gen")


def test_the_clock_asks_the_town_servers(host: Any) -> None:
    assert host.service("systemd-timesyncd").is_enabled
    merged = host.run("systemd-analyze cat-config systemd/timesyncd.conf").stdout
    assert re.findall(r"^NTP=(.*)$", merged, re.MULTILINE)[-1] == "198.51.100.123"


# --- firmware, menu ----------------------------------------------------------------------------


def test_firmware_comes_from_the_component_that_was_missing(host: Any) -> None:
    assert host.package("firmware-realtek").is_installed
    policy = host.run("apt-cache policy firmware-realtek").stdout
    assert re.search(r"\*\*\* \S+ 500\n +500 \S+ \w+/non-free-firmware", policy)
    with host.sudo():
        warnings = host.run("apt-get --simulate upgrade")
    assert "configured multiple times" not in warnings.stderr


@on_each_machine
def test_menu_entries_open_what_they_say(name: str, root: Root) -> None:
    folder = "/usr/local/share/applications"
    root(
        name, f"desktop-file-validate {folder}/nomade-intranet.desktop {folder}/nomade-help.desktop"
    )
    entry = root(name, f"cat {folder}/nomade-intranet.desktop")
    assert "Name[fr]=Intranet de la mairie\n" in entry
    line = re.search(r"^Exec=(.*)$", entry, re.MULTILINE)
    assert line
    # The specification's own quoting is a part of the shell's; %% stands for a per cent sign.
    assert shlex.split(line[1].replace("%%", "%")) == ["xdg-open", URL]


def test_a_menu_entry_that_the_checker_refuses_changes_nothing(
    playbook: Playbook, root: Root
) -> None:
    listing = "ls -l --time-style=full-iso /usr/local/share/applications /etc/nomade/checks.d"
    before = root("debian13", listing)
    wrong = [{"name": "wrong", "title": "Wrong", "exec": "true", "categories": ["Not a Category"]}]
    done = playbook("converge.yml", "--limit=debian13", workstation_desktop_entries=wrong)
    assert done.returncode != 0
    assert "desktop-file-validate" in done.stdout
    assert root("debian13", listing) == before


# --- updates -----------------------------------------------------------------------------------

# Two repositories on the machine: one says that it is the distribution's security archive.
REPOSITORIES = """
set -eu
. /etc/os-release
build() {  # repository package version
    mkdir -p /srv/$1 /srv/build/DEBIAN
    {
        printf 'Package: %s\\nVersion: %s\\n' $2 $3
        printf 'Architecture: all\\nMaintainer: x <x@example.org>\\nDescription: a test\\n'
    } > /srv/build/DEBIAN/control
    dpkg-deb --build /srv/build /srv/$1/$2_$3.deb > /dev/null
}
index() {  # repository origin label codename
    cd /srv/$1
    : > Packages
    for deb in *.deb; do
        dpkg-deb --field $deb >> Packages
        printf 'Filename: ./%s\\nSize: %s\\nSHA256: %s\\n\\n' \
            $deb $(stat -c %s $deb) $(sha256sum $deb | cut -d ' ' -f 1) >> Packages
    done
    {
        printf 'Origin: %s\\nLabel: %s\\nSuite: %s\\nCodename: %s\\n' "$2" "$3" "$4" "$4"
        printf 'Date: %s\\nSHA256:\\n' "$(LC_ALL=C date -Ru)"
        printf ' %s %s Packages\\n' \
            $(sha256sum Packages | cut -d ' ' -f 1) $(stat -c %s Packages)
    } > Release
    echo "deb [trusted=yes] file:/srv/$1 ./" > /etc/apt/sources.list.d/test-$1.list
}
build security nomade-test-security 1
build other nomade-test-other 1
dpkg --install /srv/security/*_1.deb /srv/other/*_1.deb > /dev/null
build security nomade-test-security 2
build other nomade-test-other 2
index security Debian Debian-Security "$VERSION_CODENAME-security"
index other Elsewhere Elsewhere "$VERSION_CODENAME"
apt-get --quiet update
"""
NO_REPOSITORIES = """
dpkg --purge nomade-test-security nomade-test-other
rm -rf /srv/build /srv/security /srv/other /etc/apt/sources.list.d/test-*.list
apt-get --quiet update
"""


@on_each_machine
def test_security_updates_install_themselves_and_others_do_not(name: str, root: Root) -> None:
    versions = "dpkg-query --show --showformat '${Package} ${Version}\\n' 'nomade-test-*'"
    try:
        root(name, REPOSITORIES)
        # what apt-daily-upgrade.service runs (apt.systemd.daily), as its timer would
        root(name, "/usr/lib/apt/apt.systemd.daily install")
        assert root(name, versions).split("\n")[:2] == [
            "nomade-test-other 1",
            "nomade-test-security 2",
        ]
        assert root(name, "ls /var/lib/apt/periodic/upgrade-stamp")
    finally:
        root(name, NO_REPOSITORIES)


@on_each_machine
def test_the_timers_of_the_updates_run(name: str, root: Root) -> None:
    root(name, "systemctl is-enabled --quiet apt-daily.timer apt-daily-upgrade.timer")
    root(name, "systemctl is-active --quiet apt-daily.timer apt-daily-upgrade.timer")


# --- checks of the system ----------------------------------------------------------------------


def expect(check: dict[str, Any], status: str, french: str, remedy: str) -> None:
    """Compare what nomade-check says on a machine that speaks French."""
    assert (check["status"], french in check["message"]) == (status, True), check
    assert remedy in check["remedy"]["fr"]
    assert check["remedy"]["en"] != check["remedy"]["fr"]


# what breaks it, what mends it, and what the check says on a machine that speaks French
BROKEN_LANGUAGE = [
    (
        "sed --in-place s/fr_FR/C/ /etc/locale.conf",
        "echo LANG=fr_FR.UTF-8 > /etc/locale.conf",
        "C.UTF-8 au lieu de fr_FR.UTF-8",
    ),
    (
        'sed --in-place \'s/"fr"/"us"/\' /etc/default/keyboard',
        'sed --in-place \'s/"us"/"fr"/\' /etc/default/keyboard',
        "us au lieu de fr",
    ),
    (
        "ln -snf /usr/share/zoneinfo/UTC /etc/localtime",
        "ln -snf /usr/share/zoneinfo/Europe/Paris /etc/localtime",
        "UTC au lieu de Europe/Paris",
    ),
    (
        "mv /usr/lib/locale /usr/lib/locale.away",
        "mv /usr/lib/locale.away /usr/lib/locale",
        "n'est pas installée",
    ),
]
BROKEN_UPDATES = [
    (
        "systemctl stop apt-daily-upgrade.timer",
        "systemctl start apt-daily-upgrade.timer",
        "apt-daily-upgrade.timer n'est pas actif",
    ),
    (
        "echo 'APT::Periodic::Unattended-Upgrade \"0\";' > /etc/apt/apt.conf.d/99off",
        "rm /etc/apt/apt.conf.d/99off",
        "désactivées",
    ),
    (
        "touch -d '40 days ago' /etc/apt/apt.conf.d/52nomade-updates /var/lib/apt/periodic/*-stamp",
        "touch /etc/apt/apt.conf.d/52nomade-updates",
        "datent d'il y a 40 jours",
    ),
]


@pytest.mark.parametrize(
    ("name", "check", "faults", "remedy"),
    [
        ("debian12", "language", BROKEN_LANGUAGE, "relancer equip.yml"),
        ("debian13", "updates", BROKEN_UPDATES, "unattended-upgrade --verbose"),
    ],
)
def test_check_of_the_system(
    name: str,
    check: str,
    faults: list[tuple[str, str, str]],
    remedy: str,
    root: Root,
    checks: Checks,
) -> None:
    for breaks, mends, says in faults:
        root(name, breaks)
        try:
            expect(checks(name)[check], "CRITICAL", says, remedy)
        finally:
            root(name, mends)
    assert checks(name)[check]["status"] == "OK"


@on_each_machine
def test_check_of_the_disk(name: str, root: Root, checks: Checks) -> None:
    root(name, "mkdir -p /boot && mount -t tmpfs -o size=1M tmpfs /boot")
    try:
        assert checks(name)["disk"]["status"] == "OK"
        root(name, "head --bytes 1000K /dev/zero > /boot/full")
        expect(checks(name)["disk"], "CRITICAL", "libres sur /boot", "Videz la corbeille")
        root(name, "rm /boot/full; head --bytes 940K /dev/zero > /boot/nearly")
        assert checks(name)["disk"]["status"] == "WARNING"
        root(name, "rm /boot/nearly")
        assert checks(name)["disk"]["status"] == "OK"
    finally:
        root(name, "umount /boot")


# --- checks of the hardware --------------------------------------------------------------------


@contextlib.contextmanager
def instead(root: Root, name: str, place: str, build: str) -> Iterator[None]:
    """Mount a false directory or program over a real one, built by shell commands in $PWD."""
    false = f"/run/false{place}"
    root(name, f"rm -rf {false}; mkdir -p {false} && cd {false} && {build}")
    source = f"{false}/program" if root(name, f"ls {false}").split() == ["program"] else false
    root(name, f"mount --bind {source} {place}")
    try:
        yield
    finally:
        root(name, f"umount {place}; rm -rf {false}")


def program(script: str) -> str:
    return f"printf '#!/bin/sh\\n%s\\n' {shlex.quote(script)} > program && chmod 755 program"


@on_each_machine
def test_check_of_the_clock(name: str, root: Root, checks: Checks) -> None:
    # A container leaves the clock to its host; here it believes that it is a machine of its own.
    with contextlib.ExitStack() as stack:
        enter = stack.enter_context
        enter(instead(root, name, "/usr/bin/systemd-detect-virt", program("exit 1")))
        answers = "cat /run/false-clock"
        enter(instead(root, name, "/usr/bin/timedatectl", program(answers)))
        root(name, "printf 'NTP=yes\\nNTPSynchronized=yes\\n' > /run/false-clock")
        assert checks(name)["clock"]["status"] == "OK"
        root(name, "printf 'NTP=no\\nNTPSynchronized=no\\n' > /run/false-clock")
        expect(checks(name)["clock"], "CRITICAL", "désactivée", "timedatectl set-ntp true")
        root(name, "printf 'NTP=yes\\nNTPSynchronized=no\\n' > /run/false-clock")
        assert checks(name)["clock"]["status"] in ("WARNING", "CRITICAL")  # by the host's uptime
    assert checks(name)["clock"]["status"] == "OK"


BATTERY = (
    "mkdir BAT0 && cd BAT0 && echo Battery > type && echo 1 > present && echo 50 > capacity"
    " && echo Charging > status && echo 50000000 > energy_full_design && echo {} > energy_full"
)


@on_each_machine
def test_check_of_the_battery(name: str, root: Root, checks: Checks) -> None:
    amber = checks(name)["battery"]
    expect(amber, "WARNING", "pas de batterie", "branché sur le secteur")
    with instead(root, name, "/sys/class/power_supply", BATTERY.format(9000000)):
        expect(checks(name)["battery"], "CRITICAL", "18 %", "demandez-en une")
    with instead(root, name, "/sys/class/power_supply", BATTERY.format(45000000)):
        good = checks(name)["battery"]
    assert (good["status"], good["perfdata"].split()[1].startswith("health=90%")) == ("OK", True)


CAMERA = "mkdir video0 && echo 0 > video0/index && echo 'Caméra HD' > video0/name"
USB_CAMERA = "mkdir 1-6:1.0 && echo 0e > 1-6:1.0/bInterfaceClass"


@on_each_machine
def test_check_of_the_camera(name: str, root: Root, checks: Checks) -> None:
    expect(checks(name)["camera"], "WARNING", "pas de caméra", "cache de la caméra")
    # one mount over all of /sys: what a container lacks can't be a mount point in it
    build = "mkdir -p bus/usb/devices class/video4linux && (cd bus/usb/devices && {}) {}"
    with instead(root, name, "/sys", build.format(USB_CAMERA, "")):
        expect(checks(name)["camera"], "CRITICAL", "sans pilote", "cache de la caméra")
    both = build.format(USB_CAMERA, f"&& cd class/video4linux && {CAMERA}")
    with instead(root, name, "/sys", both):
        good = checks(name)["camera"]
    assert (good["status"], good["message"]) == ("OK", "Caméra HD")


@on_each_machine
def test_check_of_the_camera_in_use(name: str, root: Root, checks: Checks) -> None:
    assert checks(name)["camera-free"]["status"] == "OK"
    # a node of the right name, which opens like any other
    root(name, "touch /dev/video0 && mount --bind /dev/null /dev/video0")
    try:
        place = "class/video4linux"
        with instead(root, name, "/sys", f"mkdir -p {place} && cd {place} && {CAMERA}"):
            assert checks(name)["camera-free"]["status"] == "OK"
            holder = root(name, "sleep 300 < /dev/video0 > /dev/null 2>&1 & echo $!")
            expect(checks(name)["camera-free"], "WARNING", "utilisée par sleep", "fermez")
            root(name, f"kill {holder}")
            assert checks(name)["camera-free"]["status"] == "OK"
    finally:
        root(name, "umount /dev/video0 && rm /dev/video0")


@on_each_machine
def test_check_of_the_network(name: str, root: Root, checks: Checks) -> None:
    assert checks(name)["network"]["message"] == "relié par eth0"
    # ssh waits for the moment that the machine is away
    away = """
    address=$(ip -oneline -4 address show dev eth0 | awk '{print $4}')
    ip address flush dev eth0
    LANG=fr_FR.UTF-8 nomade-check --json --capability workstation > /run/away.json
    ip address add "$address" dev eth0
    cat /run/away.json; rm /run/away.json
    """
    found = json.loads(root(name, away))["checks"]
    check = next(check for check in found if check["name"] == "network")
    expect(check, "CRITICAL", "relié à aucun réseau", "branchez le câble")
    assert checks(name)["network"]["status"] == "OK"


WIFI = "mkdir -p class/net/wlan0/phy80211 class/rfkill/rfkill0 && cd class/rfkill/rfkill0"
WIFI += " && echo wlan > type && echo 0 > hard && echo {} > soft"


@on_each_machine
def test_check_of_the_wifi(name: str, root: Root, checks: Checks) -> None:
    expect(checks(name)["wifi"], "WARNING", "pas de Wi-Fi", "adaptateur USB")
    card = "mkdir -p bus/pci/devices/x && echo 0x028000 > bus/pci/devices/x/class"
    with instead(root, name, "/sys", card):
        expect(checks(name)["wifi"], "CRITICAL", "micrologiciel", "grep firmware")
    with instead(root, name, "/sys", WIFI.format(1)):
        expect(checks(name)["wifi"], "CRITICAL", "mode avion", "mode avion")
    with contextlib.ExitStack() as stack:
        stack.enter_context(instead(root, name, "/sys", WIFI.format(0)))
        # The real NetworkManager answers, and has no card that could see a network.
        expect(checks(name)["wifi"], "CRITICAL", "aucun réseau", "rapprochez-vous de la box")
        seen = program("printf 'Maison\\nVoisin\\nMaison\\n'")
        stack.enter_context(instead(root, name, "/usr/bin/nmcli", seen))
        good = checks(name)["wifi"]
        assert (good["status"], good["message"]) == ("OK", "2 réseaux Wi-Fi en vue")
    with contextlib.ExitStack() as stack:
        stack.enter_context(instead(root, name, "/sys", WIFI.format(0)))
        stack.enter_context(instead(root, name, "/usr/bin/nmcli", program("exit 8")))
        expect(checks(name)["wifi"], "CRITICAL", "ne répond pas", "restart NetworkManager")


MIXER = "printf \"Simple mixer control 'Capture',0\\n  Front Left: Capture 40 [63%%] [{}]\\n\""


@on_each_machine
def test_check_of_the_microphone(name: str, root: Root, checks: Checks) -> None:
    expect(checks(name)["microphone"], "WARNING", "pas de micro", "casque USB")
    # /proc can't be replaced under running programs: the check itself is told where to look
    pcm = "00-00: ALC257 Analog : ALC257 Analog : playback 1 : capture 1"
    root(name, f"mkdir -p /run/false-proc/asound && echo '{pcm}' > /run/false-proc/asound/pcm")
    definition = "/etc/nomade/checks.d/workstation.toml"
    told = 's#"microphone"\\]#"--proc", "/run/false-proc", "microphone"]#;'
    told += 's#\\["/usr/lib/nomade/checks/workstation", "--proc"#&#'
    root(name, f"cp {definition} /run/definition && sed --in-place '{told}' {definition}")
    try:
        with instead(root, name, "/usr/bin/amixer", program(MIXER.format("off"))):
            expect(checks(name)["microphone"], "CRITICAL", "coupé", "Activez le micro")
        with instead(root, name, "/usr/bin/amixer", program(MIXER.format("on"))):
            good = checks(name)["microphone"]
            assert (good["status"], good["message"]) == ("OK", "ALC257 Analog")
        session = program("echo 'Volume: 0.40 [MUTED]'")
        root(name, "test ! -e /usr/bin/wpctl && touch /usr/bin/wpctl")
        with instead(root, name, "/usr/bin/wpctl", session):
            expect(checks(name)["microphone"], "CRITICAL", "coupé", "réglages du son")
    finally:
        root(name, f"mv /run/definition {definition}; rm -rf /run/false-proc /usr/bin/wpctl")
    assert checks(name)["microphone"]["status"] == "WARNING"


# --- the run itself ----------------------------------------------------------------------------


def test_a_run_with_nothing_to_change_makes_few_module_calls(playbook: Playbook) -> None:
    done = playbook("converge.yml", "--limit=debian13", "-vvv")
    # Molecule has these lines sent to the standard error output.
    calls = re.findall(r"^<debian13> SSH: EXEC", done.stdout + done.stderr, re.MULTILINE)
    # firmware's component, packages, files, account; and one for nomade-check's own role
    assert 0 < len(calls) <= 5


@pytest.fixture
def taken_back(playbook: Playbook) -> Iterator[None]:
    done = playbook("absent.yml")
    assert done.returncode == 0
    yield
    done = playbook("converge.yml")
    assert done.returncode == 0


PERSONAL = (
    "getent passwd mdurand; getent shadow mdurand; id mdurand | tr ' ' '\\n' | head -2;"
    " find /home/mdurand -printf '%p %m %u %T@\\n' | sort"
)


def test_taking_it_back_leaves_the_person_and_what_was_there(
    request: pytest.FixtureRequest, root: Root
) -> None:
    person = {name: root(name, PERSONAL) for name in MACHINES}
    request.getfixturevalue("taken_back")
    for name in MACHINES:
        assert root(name, PERSONAL) == person[name]
        left = root(name, "find /etc /usr -ipath '*nomade*' -not -path '/etc/*sudoers*' -type f")
        assert [line for line in left.split() if "workstation" in line or "locale" in line] == []
        assert "52nomade-updates" not in left
        assert "nomade-firmware" not in left
        assert "Europe/Paris" not in root(name, "readlink /etc/localtime")
        assert "fr_FR" not in root(name, "cat /etc/default/locale")
        assert "Nomade" not in root(name, "cat /etc/locale.gen")
        status = root(name, "dpkg-query --show --showformat '${Package} ' | tr ' ' '\\n'").split()
        assert not {"firmware-realtek", "network-manager", "unattended-upgrades"} & set(status)
        assert {"openssh-server", "sudo", "locales", "tzdata"} <= set(status)
