"""The checks of the workstation, below a false /sys, /proc and /, with false tools."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = Path(__file__).parents[2] / "roles/workstation/rootfs/usr/lib/nomade/checks/workstation"
DAY = 86400


def load_program() -> Any:
    loader = importlib.machinery.SourceFileLoader("workstation_checks", str(PROGRAM))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


checks: Any = load_program()


class Machine:
    """A machine's files below a directory, and tools that say what a test wants."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.sys, self.proc, self.bin = root / "sys", root / "proc", root / "bin"
        self.bin.mkdir()
        monkeypatch.setenv("PATH", str(self.bin))

    def write(self, path: str, content: str | float = "") -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{content}\n")
        return place

    def tool(self, name: str, script: str) -> None:
        self.write(f"bin/{name}", f"#!/bin/sh\n{script}").chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def said(result: Any) -> tuple[str, str]:
    return result.status, result.en


# --- the program -------------------------------------------------------------------------------


def test_one_line_in_the_language_of_the_reader(
    machine: Machine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LC_ALL", raising=False)
    for language, text in (("C.UTF-8", "has no camera"), ("fr_FR.UTF-8", "pas de caméra")):
        monkeypatch.setenv("LANG", language)
        assert checks.main([f"--sys={machine.sys}", "camera"]) == 1
        out = capsys.readouterr().out
        assert out.startswith("WARNING - ")
        assert text in out
        assert out.count("\n") == 1


# --- hardware ----------------------------------------------------------------------------------


def test_wifi(machine: Machine) -> None:
    assert said(checks.wifi(machine.sys)) == ("WARNING", "this machine has no Wi-Fi")
    machine.write("sys/bus/pci/devices/0000:02:00.0/class", "0x028000")
    assert "driver or firmware is missing" in checks.wifi(machine.sys).en
    (machine.sys / "class/net/wlp2s0/phy80211").mkdir(parents=True)
    machine.write("sys/class/rfkill/rfkill0/type", "bluetooth")
    machine.write("sys/class/rfkill/rfkill0/soft", 1)
    machine.write("sys/class/rfkill/rfkill1/type", "wlan")
    machine.write("sys/class/rfkill/rfkill1/hard", 1)
    assert "by a key or switch" in checks.wifi(machine.sys).en
    machine.write("sys/class/rfkill/rfkill1/hard", 0)
    machine.write("sys/class/rfkill/rfkill1/soft", 1)
    assert "airplane mode" in checks.wifi(machine.sys).en
    machine.write("sys/class/rfkill/rfkill1/soft", 0)
    machine.tool("nmcli", "exit 8")
    assert said(checks.wifi(machine.sys))[0] == "CRITICAL"
    machine.tool("nmcli", "echo")
    assert said(checks.wifi(machine.sys)) == ("CRITICAL", "no Wi-Fi network in sight")
    machine.tool("nmcli", "printf 'Home\\nHome\\n\\n'")
    assert said(checks.wifi(machine.sys)) == ("OK", "1 Wi-Fi network in sight")
    machine.tool("nmcli", "printf 'Home\\nNeighbour\\n'")
    result = checks.wifi(machine.sys)
    assert (result.fr, result.perfdata) == ("2 réseaux Wi-Fi en vue", "networks=2;;1:;0")


def test_camera(machine: Machine) -> None:
    machine.write("sys/bus/usb/devices/1-6:1.0/bInterfaceClass", "0e")
    assert said(checks.camera(machine.sys)) == ("CRITICAL", "a camera is there but has no driver")
    for number, index in enumerate((0, 1)):
        machine.write(f"sys/class/video4linux/video{number}/index", index)
        machine.write(f"sys/class/video4linux/video{number}/name", "HD Camera")
    result = checks.camera(machine.sys)
    assert (*said(result), result.perfdata) == ("OK", "HD Camera", "cameras=1;;;0")


def test_camera_free(machine: Machine) -> None:
    def check() -> tuple[str, str]:
        return said(checks.camera_free(machine.sys, machine.proc))

    def opens(number: int, name: str, node: str) -> None:
        machine.write(f"proc/{number}/comm", name)
        (machine.proc / f"{number}/fd").mkdir()
        (machine.proc / f"{number}/fd/3").symlink_to(node)

    opens(40, "mail", "/dev/null")
    assert check() == ("OK", "no camera that could be in use")
    for device in ("video0", "video1"):
        machine.write(f"sys/class/video4linux/{device}/index", device[-1])
    machine.write("proc/uptime", "9 9")
    (machine.proc / "41").mkdir()  # somebody else's: nothing in it can be read
    assert check() == ("OK", "no program uses the camera")
    opens(42, "firefox-esr", "/dev/video1")
    opens(43, "cheese", "/dev/video0")
    assert check() == ("WARNING", "the camera is in use by cheese, firefox-esr")


def test_network(machine: Machine) -> None:
    def check(*names: str) -> tuple[str, str]:
        links = [{"ifname": name, "addr_info": [{"local": "192.0.2.7"}]} for name in names]
        machine.write("links.json", json.dumps([*links, {"ifname": "wlan1", "addr_info": []}]))
        machine.tool("ip", f'while read -r line; do echo "$line"; done < {machine.root}/links.json')
        return said(checks.network(machine.sys))

    machine.write("sys/class/net/wg0/uevent", "DEVTYPE=wireguard")
    machine.write("sys/class/net/tun0/tun_flags", "0x1001")
    nowhere = ("CRITICAL", "this machine is not connected to any network")
    assert check() == nowhere
    assert check("lo", "wg0", "tun0") == nowhere
    assert check("wlp2s0", "eth0", "wg0") == ("OK", "connected by eth0, wlp2s0")
    machine.tool("ip", "exit 1")
    assert checks.network(machine.sys).status == "UNKNOWN"


PCM = """\
00-00: ALC257 Analog : ALC257 Analog : playback 1 : capture 1
00-03: HDMI 0 : HDMI 0 : playback 1
01-00: USB Audio : USB Audio : playback 1 : capture 1"""
SWITCH = "Simple mixer control 'Capture',0\\n  Front Left: {} 40 [{}%] [30.00dB] [{}]\\n"


def microphone(machine: Machine) -> tuple[str, str]:
    return said(checks.microphone(machine.sys, machine.proc))


def test_microphone_of_a_card(machine: Machine) -> None:
    assert microphone(machine) == ("WARNING", "this machine has no microphone")
    machine.write("sys/bus/pci/devices/0000:00:1f.3/class", "0x040380")
    machine.write("proc/asound/cards", "--- no soundcards ---")
    assert microphone(machine)[0] == "CRITICAL"
    machine.write("proc/asound/pcm", PCM)
    off = SWITCH.format("Playback 3 [3%] [on] Capture", "63", "off").replace("%", "%%")
    on = SWITCH.format("Playback 0 [0%] [off] Capture", "63", "on").replace("%", "%%")
    zero = SWITCH.format("Capture", "0", "on").replace("%", "%%")
    for silent in (off, zero):
        machine.tool("amixer", f'printf "{silent}"')
        assert microphone(machine) == ("CRITICAL", "the microphone is muted")
    # one of two that works is enough
    machine.tool("amixer", f'[ "$2" = 1 ] && printf "{on}" || printf "{off}"')
    assert microphone(machine) == ("OK", "ALC257 Analog, USB Audio")
    # a card without any switch can't be muted
    machine.tool("amixer", "echo \"Simple mixer control 'PCM',0\"")
    assert microphone(machine)[0] == "OK"


def test_microphone_of_the_session(machine: Machine) -> None:
    machine.write("proc/asound/pcm", PCM)
    machine.tool("amixer", "exit 1")
    for answer, status in (
        ("Volume: 0.40", "OK"),
        ("Volume: 0.40 [MUTED]", "CRITICAL"),
        ("Volume: 0.00", "CRITICAL"),
    ):
        machine.tool("wpctl", f"echo '{answer}'")
        assert microphone(machine)[0] == status
    machine.tool("wpctl", "exit 1")
    for answer, status in (("Mute: no", "OK"), ("Mute: yes", "CRITICAL")):
        machine.tool("pactl", f"echo '{answer}'")
        assert microphone(machine)[0] == status


def test_microphone_that_only_the_session_knows(machine: Machine) -> None:
    """A Bluetooth headset is no sound card."""
    machine.tool("pactl", "exit 1")
    inspected = '  * node.description = "Casque"\\n    media.class = "Audio/Source"\\n'
    machine.tool(
        "wpctl", f"[ $1 = inspect ] && printf '{inspected}' || echo 'Volume: 0.40 [MUTED]'"
    )
    assert microphone(machine) == ("CRITICAL", "the microphone is muted")
    machine.tool("wpctl", f"[ $1 = inspect ] && printf '{inspected}' || echo 'Volume: 0.40'")
    assert microphone(machine) == ("OK", "Casque")
    played = inspected.replace("Source", "Sink")
    machine.tool("wpctl", f"[ $1 = inspect ] && printf '{played}' || echo 'Volume: 0.40'")
    assert microphone(machine) == ("WARNING", "this machine has no microphone")
    machine.tool("wpctl", "exit 1")
    machine.tool("pactl", "[ $1 = get-default-source ] && echo card.monitor")
    assert microphone(machine) == ("WARNING", "this machine has no microphone")
    machine.tool("pactl", "[ $1 = get-default-source ] && echo headset || echo 'Mute: no'")
    assert microphone(machine) == ("OK", "headset")


@pytest.mark.parametrize(
    ("full", "capacity", "status", "expected"),
    [
        (45, 50, "OK", "charge 50 %, holds 90 % of what it held when new"),
        (20, 50, "WARNING", "charge 50 %, holds 40 % of what it held when new"),
        (10, 50, "CRITICAL", "the battery is worn out: it holds 20 % of what it held when new"),
        (45, 5, "WARNING", "the battery is at 5 % and no mains"),
    ],
)
@pytest.mark.parametrize("unit", ["energy", "charge"])
def test_battery(
    machine: Machine, unit: str, full: int, capacity: int, status: str, expected: str
) -> None:
    machine.write("sys/class/power_supply/AC/type", "Mains")
    machine.write("sys/class/power_supply/mouse/type", "Battery")
    machine.write("sys/class/power_supply/mouse/scope", "Device")
    assert said(checks.battery(machine.sys)) == ("WARNING", "this machine has no battery")
    for name, value in {
        "type": "Battery",
        "present": 1,
        "status": "Discharging" if capacity < 10 else "Full",
        "capacity": capacity,
        f"{unit}_full_design": 50,
        f"{unit}_full": full,
    }.items():
        machine.write(f"sys/class/power_supply/BAT0/{name}", str(value))
    assert said(checks.battery(machine.sys)) == (status, expected)


# --- the system --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "uptime", "status"),
    [
        ("NTP=yes\\nNTPSynchronized=yes", 10, "OK"),
        ("NTP=yes\\nNTPSynchronized=no", 10, "WARNING"),
        ("NTP=yes\\nNTPSynchronized=no", 900, "CRITICAL"),
        ("NTP=no\\nNTPSynchronized=no", 10, "CRITICAL"),
        ("", 10, "UNKNOWN"),
    ],
)
def test_clock(machine: Machine, answer: str, uptime: int, status: str) -> None:
    machine.tool("systemd-detect-virt", "exit 1")
    machine.tool("timedatectl", f"printf '{answer}\\n'")
    machine.write("proc/uptime", f"{uptime}.00 9.00")
    assert checks.clock(machine.proc, ["127.0.0.1"]).status == status
    machine.tool("systemd-detect-virt", "exit 0")
    assert checks.clock(machine.proc, ["127.0.0.1"]).status == "OK"


class TimeServer(threading.Thread):
    """A time server that is wrong by as much as a test wants."""

    def __init__(self, wrong: float) -> None:
        super().__init__(daemon=True)
        self.wrong = wrong
        self.line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.line.bind(("127.0.0.1", 0))

    def run(self) -> None:
        question, address = self.line.recvfrom(512)
        assert question[0] & 7 == 3
        now = int((time.time() + self.wrong + checks.NTP_EPOCH) * 2**32)
        self.line.sendto(b"\x24\x02" + bytes(38) + now.to_bytes(8, "big"), address)


@pytest.mark.parametrize(
    ("wrong", "en", "fr"),
    [
        (2 * DAY, "the clock is 2 days slow", "l'horloge retarde de 2 jours"),
        (-2 * DAY, "the clock is 2 days fast", "l'horloge avance de 2 jours"),
        (3600, "the clock is 60 minutes slow", "l'horloge retarde de 60 minutes"),
        (-7200, "the clock is 2 hours fast", "l'horloge avance de 2 heures"),
        (61, "the clock is 1 minute slow", "l'horloge retarde de 1 minute"),
        (5, "", ""),
    ],
)
@pytest.mark.parametrize("container", [True, False])
def test_a_clock_that_is_wrong(
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    wrong: float,
    en: str,
    fr: str,
    container: bool,
) -> None:
    server = TimeServer(wrong)
    server.start()
    where = server.line.getsockname()
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, _port, **k: real(*where, **k))
    machine.tool("systemd-detect-virt", f"exit {int(not container)}")
    answers = "printf 'NTP=yes\\nNTPSynchronized=no\\n'"
    machine.tool("timedatectl", f"[ $1 = show ] && {answers} || echo time.example.org")
    machine.write("proc/uptime", "900.00 9.00")
    result = checks.clock(machine.proc, ["time.example.org"] if container else [])
    if en:
        assert (result.status, result.en, result.fr) == ("CRITICAL", en, fr)
        assert result.perfdata.startswith("offset=")
    else:
        assert (result.status, result.perfdata) == ("OK" if container else "CRITICAL", "")


def updates(machine: Machine, days: float, uptime: float, stamp: str = "") -> Any:
    since = machine.write("since")
    os.utime(since, (0, time.time() - (100 if stamp else days) * DAY))
    if stamp:
        path = machine.write(f"var/lib/apt/periodic/{stamp}")
        os.utime(path, (0, time.time() - days * DAY))
    machine.write("proc/uptime", f"{uptime} 9.00")
    return checks.updates(7, since, machine.root, machine.proc)


def test_updates(machine: Machine) -> None:
    machine.tool("systemctl", "exit 0")
    machine.tool("apt-config", "echo 1")
    assert updates(machine, 0, 100).status == "OK"
    # a laptop that comes back from a holiday, and one that is on and doesn't update
    assert updates(machine, 10, 100).status == "WARNING"
    assert updates(machine, 10, 2 * DAY).status == "CRITICAL"
    assert updates(machine, 40, 100).status == "CRITICAL"
    for stamp in ("upgrade-stamp", "unattended-upgrades-stamp"):
        assert updates(machine, 1, 2 * DAY, stamp).status == "OK"
    restart = machine.write("run/reboot-required")
    assert updates(machine, 1, 100).status == "OK"
    os.utime(restart, (0, time.time() - 4 * DAY))
    assert updates(machine, 1, 100).en == "updates wait for a restart of the machine"
    machine.tool("systemctl", '[ "$3" = apt-daily.timer ]')
    assert updates(machine, 0, 100).en == "apt-daily-upgrade.timer does not run"
    for off in ("echo 0", "true"):
        machine.tool("apt-config", off)
        assert updates(machine, 0, 100).en == "automatic security updates are switched off"


def test_disk_names_the_fullest_and_counts_each_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = {"/a": (30, 90), "/b": (8, 90), "/c": (90, 3)}
    for name in free:
        (machine.root / name[1:]).mkdir()

    def statvfs(path: Path) -> Any:
        blocks, files = free[f"/{path.name}"]
        return os.statvfs_result((4096, 4096, 100, blocks, blocks, 100, files, files, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    paths = [machine.root / name[1:] for name in free]
    # one file system: only the first path counts
    assert checks.disk(10, 5, paths).status == "OK"
    same = os.stat_result
    numbers = iter(range(100))
    monkeypatch.setattr(
        Path, "stat", lambda _self, **_: same((0o40755, 0, next(numbers) // 2, *[0] * 7))
    )
    monkeypatch.setattr(Path, "is_dir", lambda _self: True)
    assert checks.disk(10, 5, paths[:2]).status == "WARNING"
    worst = checks.disk(10, 5, paths)
    assert worst.status == "CRITICAL"
    assert worst.en.startswith(f"3 % free on {paths[2]}")
    assert checks.disk(10, 5, []).status == "UNKNOWN"


def test_locale(machine: Machine) -> None:
    def check() -> tuple[str, str]:
        return said(checks.locale("fr_FR.UTF-8", "fr", "Europe/Paris", machine.root))

    machine.tool("locale", "echo C.utf8")
    assert check() == ("CRITICAL", "the language fr_FR.UTF-8 is not installed")
    machine.tool("locale", "printf 'C.utf8\\nfr_FR.utf8\\n'")
    assert check() == ("CRITICAL", "the language is not set, not fr_FR.UTF-8")
    machine.write("etc/default/locale", "LANG=en_US.UTF-8")
    assert check() == ("CRITICAL", "the language is en_US.UTF-8, not fr_FR.UTF-8")
    machine.write("etc/default/locale", '# ours\nLANG="fr_FR.UTF-8"')
    machine.write("etc/default/keyboard", 'XKBMODEL="pc105"\nXKBLAYOUT="us"')
    assert check() == ("CRITICAL", "the keyboard is us, not fr")
    machine.write("etc/default/keyboard", 'XKBLAYOUT="fr"')
    assert check() == ("CRITICAL", "the time zone is not set, not Europe/Paris")
    (machine.root / "etc/localtime").symlink_to("/usr/share/zoneinfo/Europe/Paris")
    assert check() == ("OK", "fr_FR.UTF-8, fr, Europe/Paris")


# --- the account -------------------------------------------------------------------------------

ME = checks.pwd.getpwuid(os.geteuid()).pw_name


def test_first_password(machine: Machine) -> None:
    def check(login: str = ME) -> tuple[str, str]:
        result = checks.first_password(login, 7, machine.root)
        return result.status, result.perfdata.partition(";")[0]

    mark = f"var/lib/nomade/accounts/{ME}.json"
    machine.write("etc/shadow", f"other:x:1:0:99999:7:::\n{ME}:$y$first:0:0:99999:7:::")
    assert check("nobody-at-all") == ("WARNING", "changed=0")
    assert check() == ("OK", "changed=1")
    digest = hashlib.sha256(b"$y$first").hexdigest()
    machine.write(mark, json.dumps({"pending": True}))
    assert check() == ("CRITICAL", "changed=0")
    machine.write(mark, "{")
    assert check() == ("CRITICAL", "changed=0")
    machine.write(mark, json.dumps({"set": time.time() - 2 * DAY, "sha256": digest}))
    assert check() == ("OK", "changed=0")
    machine.write(mark, json.dumps({"set": time.time() - 8 * DAY, "sha256": digest}))
    assert check() == ("WARNING", "changed=0")
    machine.write("etc/shadow", f"{ME}:$y$own:20000:0:99999:7:::")
    assert check() == ("OK", "changed=1")


# --- the disk of a rebuilt machine -------------------------------------------------------------


def test_a_disk_that_opens_by_itself(machine: Machine) -> None:
    key = machine.write("boot/nomade-preparation.key")
    status, text = said(checks.passphrase(machine.root))
    assert (status, text) == (
        "CRITICAL",
        "the disk opens by itself: whoever steals the machine reads it",
    )
    key.unlink()
    assert checks.passphrase(machine.root).status == "OK"
