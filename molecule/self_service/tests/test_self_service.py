"""A person's own session on two laptops: an Xfce desktop, keys, and what a screen reader is told.

The desktop, the sound server, the tunnel and its gateway are real; the screen is Xvfb, microphone
and speaker are PipeWire's own, and the camera is one that PipeWire knows. A camera of the kernel's
can't be had in a container: that one is a device node that another program holds open.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import statistics
import subprocess
import time
import wave
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

MACHINES = ["debian12", "debian13"]
PICTURES = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "pictures"
LOOK = "python3 -B /usr/local/lib/desktop.py"
SESSION = """
cd
run=/run/user/$(id -u)
export XDG_RUNTIME_DIR=$run DBUS_SESSION_BUS_ADDRESS=unix:path=$run/bus DISPLAY=:7 LANG=fr_FR.UTF-8
"""
# As a login screen does: a display, then the desktop, which starts what /etc/xdg/autostart names.
LOGIN = """
systemctl --user set-environment DISPLAY=:7 LANG=fr_FR.UTF-8
systemd-run --quiet --user --unit=screen Xvfb :7 -screen 0 1366x768x24 -nolisten tcp
until xdotool getdisplaygeometry; do sleep 0.2; done
for icon in home filesystem trash removable; do  # so that ours is the first
    xfconf-query -c xfce4-desktop -p /desktop-icons/file-icons/show-$icon -n -t bool -s false
done
systemd-run --quiet --user --unit=desktop xfce4-session
# A headset: what somebody says into it, and what is played in it.
pactl load-module module-null-sink sink_name=voice
pactl load-module module-remap-source master=voice.monitor source_name=microphone
pactl load-module module-null-sink sink_name=speaker
pactl set-default-sink speaker
pactl set-default-source microphone
"""
PROGRAM = "/usr/lib/nomade/self_service/mon-poste"
AGAIN = "Vérifier à nouveau"
TEST = "Tester micro, haut-parleur et caméra"
CLOSE = "Fermer"

Node = dict[str, Any]


def wait(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not so after {seconds:g} s"
        time.sleep(0.3)


class Desk:
    """A person in front of one of the laptops."""

    def __init__(self, name: str, machine: Any) -> None:
        self.name = name
        self.machine = machine

    def ask(self, command: str, login: str = "mdurand") -> Any:
        return self.machine.run("sudo --set-home --user=%s sh -c %s", login, SESSION + command)

    def run(self, command: str, login: str = "mdurand") -> str:
        done = self.ask(command, login)
        assert done.rc == 0, f"{self.name}: {command}: {done.stdout} {done.stderr}"
        return str(done.stdout)

    def root(self, command: str) -> str:
        return self.run(command, "root")

    def look(self, what: str) -> Any:
        return json.loads(self.run(f"{LOOK} {what}"))

    def tree(self) -> list[Node]:
        found: list[Node] = self.look("tree mon-poste")
        return found

    def keys(self, *names: str) -> None:
        self.run(f"xdotool key --delay 150 {' '.join(names)}")

    def focused(self) -> str:
        return next((str(node["name"]) for node in self.tree() if node["focused"]), "")

    def lights(self) -> dict[str, tuple[str, str]]:
        rows = [node for node in self.tree() if node["role"] == "list item"]
        lights = {}
        for row in rows:
            title, _, word = row["name"].rpartition(" : ")
            lights[title] = word, row["description"]
        return lights

    def heading(self) -> str:
        return next((str(n["name"]) for n in self.tree() if n["role"] == "heading"), "")

    def said(self) -> list[str]:
        return [str(node["name"]) for node in self.tree() if node["role"] == "status bar"]

    def picture(self, name: str) -> dict[str, float]:
        """Keep what the screen shows, for people to look at, and return its colours."""
        colours: dict[str, float] = self.look("picture /tmp/picture.png")
        PICTURES.mkdir(exist_ok=True)
        done = subprocess.run(
            ["base64", "--decode"],
            input=self.root("base64 /tmp/picture.png; rm /tmp/picture.png").encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
        (PICTURES / f"{name}-{self.name}.png").write_bytes(done.stdout)
        return colours

    def is_open(self) -> bool:
        return bool(self.heading())

    def open(self) -> None:
        if not self.is_open():
            self.run(f"systemd-run --quiet --user --collect {PROGRAM}")
            wait(lambda: AGAIN in self.focused())

    def check_until(self, right: Callable[[], bool], seconds: float = 60) -> None:
        """Press Enter until the window says what is right: a check under way began before."""

        def asked() -> bool:
            if right():
                return True
            self.keys("Return")
            end = time.monotonic() + 4
            while time.monotonic() < end:
                if right():
                    return True
            return False

        wait(asked, seconds)


Both = Callable[[Callable[[Desk], Any]], list[Any]]


@pytest.fixture(scope="session")
def desks(machine: Callable[[str], Any]) -> list[Desk]:
    """Two people who have just logged in."""
    desks = [Desk(name, machine(name)) for name in MACHINES]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda desk: desk.run(LOGIN), desks))
        list(pool.map(lambda desk: wait(lambda: "nomade" in light_of(desk), 60), desks))
    return desks


def light_of(desk: Desk) -> str:
    return str(desk.ask(f"{LOOK} light").stdout)


@pytest.fixture(scope="session")
def both(desks: list[Desk]) -> Both:
    """Do the same at both desks at once."""

    def run(action: Callable[[Desk], Any]) -> list[Any]:
        with ThreadPoolExecutor() as pool:
            return list(pool.map(action, desks))

    return run


@pytest.fixture
def opened(both: Both) -> Both:
    both(Desk.open)
    return both


@pytest.fixture
def server(machine: Callable[[str], Any]) -> Callable[[str, str], None]:
    """Run a command as root on a machine of the town hall's."""

    def run(name: str, command: str) -> None:
        done = machine(name).run("sudo sh -c %s", command)
        assert done.rc == 0, done.stderr

    return run


# --- the desktop -------------------------------------------------------------------------------


def test_it_opens_at_login_where_the_town_wants_it(desks: list[Desk]) -> None:
    closed, opened = desks
    wait(lambda: AGAIN in opened.focused())
    opened.keys("Escape")
    wait(lambda: not opened.is_open())
    assert not closed.is_open()


def test_the_desktop_begins_with_an_icon_that_opens_it(both: Both) -> None:
    def double_click(desk: Desk) -> None:
        wait(lambda: "nomade-mon-poste" in desk.run("ls $(xdg-user-dir DESKTOP)"))
        time.sleep(3)  # the desktop draws it
        desk.picture("desktop")

        def opens() -> bool:
            # what a person does whose desktop was still busy
            desk.run("xdotool mousemove 66 62 click --repeat 2 --delay 120 1")
            end = time.monotonic() + 20
            while not desk.is_open() and time.monotonic() < end:
                time.sleep(0.5)
            return desk.is_open()

        wait(opens, 60)
        wait(lambda: AGAIN in desk.focused())
        wait(lambda: "Vérifié" in desk.said()[0], 40)
        colours = desk.picture("mon-poste")
        # the banner's amber: a container has neither Wi-Fi nor battery, and all else is well
        assert colours["7a4a00"] > 0.05
        assert "points à surveiller" in desk.heading()

    both(double_click)


def test_the_panel_shows_the_tunnel(both: Both) -> None:
    def look(desk: Desk) -> None:
        light = desk.look("light")
        assert (light["Title"], light["Status"]) == ("Tunnel : en service", "Active")
        assert light["IconAccessibleDesc"] == "Tunnel : en service"
        assert light["IconName"].endswith("/tunnel-ok.svg")
        assert light["menu"] == [
            "Tunnel : en service",
            "Ouvrir Mon poste",
            "Assistance : 04 00 00 40 00",
        ]

    both(look)


def test_its_menu_opens_mon_poste(opened: Both) -> None:
    def choose(desk: Desk) -> None:
        desk.keys("Escape")
        wait(lambda: not desk.is_open())
        desk.look("menu 'Ouvrir Mon poste'")
        wait(desk.is_open)

    opened(choose)


def test_nothing_runs_as_root(opened: Both) -> None:
    def refuse(desk: Desk) -> None:
        for program in ("mon-poste", "tunnel-light"):
            done = desk.ask(f"/usr/lib/nomade/self_service/{program}", "root")
            assert (done.rc, "ne se lance pas en root" in done.stderr) == (1, True)
        owners = desk.root("ps -eo user=,args= | grep [/]self_service/")
        assert {line.split()[0] for line in owners.splitlines()} == {"mdurand"}

    opened(refuse)


# --- keyboard and screen reader ----------------------------------------------------------------


def test_the_keyboard_suffices(opened: Both) -> None:
    def walk(desk: Desk) -> None:
        desk.run("xdotool search --name '^Mon poste$' windowactivate --sync")
        # from the button that the window opens with, through the buttons, to the lights
        assert desk.focused() == AGAIN
        order = []
        for _ in range(3):
            desk.keys("Tab")
            order.append(desk.focused())
        assert order[:2] == [TEST, CLOSE]
        first = next(iter(desk.lights()))
        assert order[2].startswith(f"{first} : ")
        desk.keys("Down")
        assert desk.focused().startswith(f"{list(desk.lights())[1]} : ")
        desk.picture("keyboard")
        desk.keys("shift+Tab", "shift+Tab", "shift+Tab")
        # to the page with the tests and back
        desk.run("xdotool search --name '^Mon poste$' windowactivate --sync")
        desk.look(f"press mon-poste '{TEST}'")
        wait(lambda: "Parler 3 secondes" in desk.focused())
        order = []
        for _ in range(4):
            desk.keys("Tab")
            order.append(desk.focused())
        assert order == ["Jouer un son", "Voir l'image", "Retour", CLOSE]
        desk.keys("Escape")
        wait(lambda: desk.focused() == AGAIN)
        desk.keys("Escape")
        wait(lambda: not desk.is_open())

    opened(walk)


def test_everything_has_a_name_for_a_screen_reader(opened: Both) -> None:
    def read(desk: Desk) -> None:
        # while a check is under way the lines are being replaced
        wait(lambda: any("Vérifié" in said for said in desk.said()), 60)
        tree = desk.tree()
        assert {"frame", "heading", "list box", "list item", "button", "status bar"} <= {
            node["role"].replace("push button", "button") for node in tree
        }
        kept = ("scroll pane", "toggle button")
        nameless = [n for n in tree if n["focusable"] and n["role"] not in kept and not n["name"]]
        assert nameless == []
        wifi = next(node for node in tree if node["name"].startswith("Wi-Fi : "))
        assert wifi["name"] == "Wi-Fi : À surveiller"
        assert wifi["description"] == (
            "Ce poste n'a pas de Wi-Fi. Ce que vous pouvez faire : Branchez un câble."
            " Pour le Wi-Fi, demandez un adaptateur à l'assistance."
        )
        assert any(n["name"] == "Besoin d'aide ? Appelez 04 00 00 40 00" for n in tree)

    opened(read)


def test_it_speaks_english_in_an_english_session(desks: list[Desk]) -> None:
    desk = desks[1]
    if desk.is_open():
        desk.keys("Escape")
        wait(lambda: not desk.is_open())
    desk.run(f"systemd-run --quiet --user --collect env LANG=C.UTF-8 {PROGRAM}")
    wait(lambda: desk.focused() == "Check again")
    wait(lambda: "Checked at" in desk.said()[0], 40)
    assert desk.lights()["Wi-Fi"][0] == "To watch"
    desk.keys("Escape")
    wait(lambda: not desk.is_open())


def test_high_contrast_keeps_its_own_colours(desks: list[Desk]) -> None:
    desk = desks[0]
    if desk.is_open():
        desk.keys("Escape")
        wait(lambda: not desk.is_open())
    theme = "xfconf-query -c xsettings -p /Net/ThemeName"
    before = desk.run(theme).strip()
    desk.run(f"{theme} -s HighContrast")
    try:
        desk.open()
        wait(lambda: "Vérifié" in desk.said()[0], 40)
        colours = desk.picture("high-contrast")
        assert colours.get("7a4a00", 0) < 0.001
        desk.keys("Escape")
        wait(lambda: not desk.is_open())
    finally:
        desk.run(f"{theme} -s '{before}'")


# --- what costs much -----------------------------------------------------------------------------

ROUNDS = "/var/tmp/rounds"
COUNTED = f"""
[[check]]
name = "counted"
capability = "self_service"
command = ["/bin/sh", "-c", "echo >> {ROUNDS}/counted; echo OK"]
remedy = {{fr = "Rien.", en = "Nothing."}}
[[check]]
name = "counted-heavy"
heavy = true
capability = "self_service"
command = ["/bin/sh", "-c", "echo >> {ROUNDS}/heavy; test ! -e {ROUNDS}/red || exit 2"]
title = {{fr = "Grand contrôle", en = "Big check"}}
remedy = {{fr = "Rien.", en = "Nothing."}}
"""


def test_what_costs_much_waits_until_it_is_asked_for_or_is_not_well(desks: list[Desk]) -> None:
    desk, settings = desks[1], "/etc/nomade/self_service.json"
    if desk.is_open():
        desk.keys("Escape")
        wait(lambda: not desk.is_open())

    def rounds(name: str) -> int:
        return len(desk.run(f"cat {ROUNDS}/{name}").splitlines())

    def big() -> str:
        return desk.lights().get("Grand contrôle", ("",))[0]

    definition = "/etc/nomade/checks.d/counted.toml"
    desk.root(f"install -d -m 1777 {ROUNDS}; printf %s {shlex.quote(COUNTED)} > {definition}")
    desk.root(f"cp -p {settings} /root/; sed -i '/refresh/s/[0-9]\\+/2/' {settings}")
    try:
        desk.open()
        wait(lambda: big() == "En ordre", 40)
        seen = rounds("counted")
        wait(lambda: rounds("counted") >= seen + 3, 60)
        assert (rounds("heavy"), big()) == (1, "En ordre")

        desk.keys("Return")
        wait(lambda: rounds("heavy") == 2)

        desk.run(f"touch {ROUNDS}/red")
        desk.check_until(lambda: big() == "En panne")
        desk.run(f"rm {ROUNDS}/red")
        wait(lambda: big() == "En ordre", 40)  # of itself
    finally:
        desk.root(f"mv /root/self_service.json {settings}; rm -r {definition} {ROUNDS}")
        desk.keys("Escape")
        wait(lambda: not desk.is_open())


# --- what is broken is named, and told what to do about -----------------------------------------


@contextlib.contextmanager
def broken(
    both: Both, breaks: Callable[[Desk], Any], mends: Callable[[Desk], Any]
) -> Iterator[None]:
    both(breaks)
    try:
        yield
    finally:
        both(mends)


def expect(both: Both, title: str, word: str, *sentences: str) -> None:
    """Check again at both desks until the light says so."""

    def seen(desk: Desk) -> None:
        desk.check_until(lambda: desk.lights().get(title, ("",))[0] == word)
        told = desk.lights()[title][1]
        for sentence in sentences:
            assert sentence in told, told

    both(seen)


def publish(desk: Desk) -> None:
    """Do what the timer does every minute."""
    desk.root("systemctl start nomade-publish.service")


def test_the_microphone_is_muted(opened: Both) -> None:
    # in a meeting: PipeWire mutes a microphone of its own only while it is in use
    meeting = "systemd-run --quiet --user --unit=meeting parecord --device=microphone /dev/null"
    mute = f"{meeting}; sleep 1; wpctl set-mute @DEFAULT_AUDIO_SOURCE@ 1"
    unmute = "wpctl set-mute @DEFAULT_AUDIO_SOURCE@ 0; systemctl --user stop meeting"
    expect(opened, "Micro", "En ordre")
    with broken(opened, lambda d: d.run(mute), lambda d: d.run(unmute)):
        expect(opened, "Micro", "En panne", "Le micro est coupé.", "Activez le micro")
        assert opened(Desk.heading) == ["En panne : Micro"] * 2
        assert all(colours["9b1c1c"] > 0.05 for colours in opened(lambda d: d.picture("muted")))
    expect(opened, "Micro", "En ordre")


CAMERA = """
mkdir -p /run/class/video4linux/video0 && cp -a /sys/class/net /run/class/net
echo 0 > /run/class/video4linux/video0/index; echo Webcam > /run/class/video4linux/video0/name
touch /dev/video0 && mount --bind /dev/null /dev/video0
mount --bind /run/class /sys/class
cp /usr/bin/sleep /usr/local/bin/visio
"""
NO_CAMERA = """
umount /sys/class /dev/video0 && rm -r /run/class /dev/video0
rm -f /usr/local/bin/visio
"""


def test_the_camera_is_taken_by_another_program(opened: Both) -> None:
    title = "Accès à la caméra"
    with broken(opened, lambda d: d.root(CAMERA), lambda d: d.root(NO_CAMERA)):
        expect(opened, "Caméra", "En ordre")
        hold = "systemd-run --quiet --user --unit=visio sh -c 'exec visio 300 3< /dev/video0'"
        drop = "systemctl --user stop visio"
        with broken(opened, lambda d: d.run(hold), lambda d: d.run(drop)):
            said = "La caméra est utilisée par visio."
            expect(opened, title, "À surveiller", said, "fermez ce programme")
        expect(opened, title, "En ordre")


def test_the_clock_is_wrong_by_two_days(opened: Both, server: Callable[[str, str], None]) -> None:
    """A container's clock can't be set: the town's time server tells another day."""
    title, said = "Date et heure", "L'horloge retarde de 2 jours."
    server("intranet", "echo 172800 > /run/wrong")
    try:
        expect(opened, title, "En panne", said, "il se remet à l'heure tout seul")
    finally:
        server("intranet", "rm /run/wrong")
    expect(opened, title, "En ordre")


def test_the_disk_is_full(opened: Both) -> None:
    file = "$(xdg-user-dir DOWNLOAD)/film"
    fill = f"head --bytes=$(df --output=avail --block-size=1 ~ | tail -1) /dev/zero > {file}"
    with broken(opened, lambda d: d.ask(fill), lambda d: d.run(f"rm -f {file}")):
        title = "Place sur le disque"
        expect(opened, title, "En panne", "Le disque est plein.", "Videz la corbeille")
    expect(opened, title, "En ordre")


def test_the_towns_dns_is_broken(opened: Both, server: Callable[[str, str], None]) -> None:
    title = "Adresses de la mairie (DNS)"
    server("intranet", "systemctl stop intranet-dns")
    try:
        opened(lambda desk: desk.root("resolvectl flush-caches"))
        said = "Le poste ne trouve plus les adresses de la mairie."
        expect(opened, title, "En panne", said, "dites : « panne de DNS »")
        expect(opened, "Intranet", "En attente", f"réglez d'abord « {title} »")
        assert opened(Desk.heading) == [f"En panne : {title}"] * 2
        opened(lambda desk: desk.picture("dns"))
    finally:
        server("intranet", "systemctl start intranet-dns")
    expect(opened, title, "En ordre")
    expect(opened, "Intranet", "En ordre")


def test_the_gateway_is_down(opened: Both, server: Callable[[str, str], None]) -> None:
    title = "Passerelle de la mairie"

    def notice(desk: Desk) -> None:
        desk.root("systemctl restart wg-quick@wg0")  # as a laptop that is switched on now
        publish(desk)
        wait(lambda: desk.look("light")["Title"] == "Tunnel : coupé")

    server("gateway", "systemctl stop wg-quick@wg0")
    try:
        opened(notice)
        expect(opened, title, "En panne", "La mairie ne répond pas.", "redémarrez votre box")
        expect(opened, "Intranet", "En attente", f"réglez d'abord « {title} »")
        assert opened(Desk.heading) == [f"En panne : {title}"] * 2
        opened(lambda desk: desk.picture("gateway"))
        light = opened(lambda desk: desk.look("light"))
        assert all(found["IconName"].endswith("/tunnel-broken.svg") for found in light)
    finally:
        server("gateway", "systemctl start wg-quick@wg0")

    def well_again(desk: Desk) -> None:
        def shines() -> bool:
            publish(desk)
            return bool(desk.look("light")["Title"] == "Tunnel : en service")

        wait(shines, 60)

    opened(well_again)
    expect(opened, title, "En ordre")
    expect(opened, "Intranet", "En ordre")


def test_the_light_follows_the_tunnel_at_once_and_doubts_old_news(both: Both) -> None:
    def cut(desk: Desk) -> None:
        title = lambda: desk.look("light")["Title"]  # noqa: E731 (asked again and again)
        desk.root("systemctl stop nomade-publish.timer wg-quick@wg0")
        try:
            wait(lambda: title() == "Tunnel : coupé", 10)
        finally:
            desk.root("systemctl start wg-quick@wg0")
        desk.root("rm /run/nomade/vpn-handshake.json")
        wait(lambda: title() == "Tunnel : à vérifier", 10)
        assert desk.look("light")["IconName"].endswith("/tunnel-watch.svg")
        desk.root("systemctl start nomade-publish.timer")
        wait(lambda: title() == "Tunnel : en service", 30)

    both(cut)


# --- microphone, speaker, camera ---------------------------------------------------------------


@pytest.fixture
def testing(opened: Both) -> Iterator[Both]:
    """Both people on the page with the tests."""

    def go(desk: Desk) -> None:
        desk.look(f"press mon-poste '{TEST}'")
        wait(lambda: "Parler 3 secondes" in desk.focused())

    def leave(desk: Desk) -> None:
        desk.look("press mon-poste Retour")
        wait(lambda: desk.focused() == AGAIN)

    opened(go)
    yield opened
    opened(leave)


def hear(desk: Desk, sentence: str, seconds: float = 20) -> None:
    """Wait until the page says so."""
    end = time.monotonic() + seconds
    while sentence not in (told := " ".join(desk.said())):
        assert time.monotonic() < end, f"{desk.name}: {told}; the keys go to {desk.focused()}"


def tone(frequency: int, sink: str) -> str:
    launch = f"gst-launch-1.0 audiotestsrc freq={frequency} volume=0.5 ! pulsesink device={sink}"
    return f"systemd-run --quiet --user --unit=tone {launch}"


def heard(desk: Desk) -> tuple[int, float]:
    """Return the tone that the speaker has been playing, in hertz, and for how many seconds."""
    desk.run("systemctl --user stop ear")
    desk.root("cp /run/user/$(id -u mdurand)/heard.wav /tmp && base64 /tmp/heard.wav > /tmp/heard")
    raw = subprocess.run(
        ["base64", "--decode"],
        input=desk.root("cat /tmp/heard; rm /tmp/heard /tmp/heard.wav").encode(),
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    desk.run("rm $XDG_RUNTIME_DIR/heard.wav")
    file = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / f"heard-{desk.name}.wav"
    file.write_bytes(raw)
    with wave.open(str(file)) as sound:
        rate = sound.getframerate()
        frames = memoryview(sound.readframes(sound.getnframes())).cast("h")
    # Tenths of a second, for a busy machine drops some: how often each crosses zero upwards.
    tenths = [frames[start : start + rate // 10] for start in range(0, len(frames), rate // 10)]
    loud = [tenth for tenth in tenths if max(map(abs, tenth)) > 3000]
    ups = [sum(a < 0 <= b for a, b in itertools.pairwise(tenth)) * 10 for tenth in loud]
    return statistics.mode(ups or [0]), len(loud) / 10


def listen(desk: Desk) -> None:
    record = "parecord --device=speaker.monitor --channels=1 --rate=16000 --format=s16le"
    unit = "systemd-run --quiet --user --unit=ear"
    desk.run(f"{unit} {record} --file-format=wav $XDG_RUNTIME_DIR/heard.wav")


def test_the_microphone_is_recorded_and_played_back(testing: Both) -> None:
    def speak(desk: Desk) -> None:
        desk.run(tone(300, "voice"))
        listen(desk)
        desk.keys("Return")
        hear(desk, "Parlez maintenant…")
        colours = desk.picture("microphone")
        assert colours.get("1b5e2f", 0) > 0.005  # the level meter's green
        hear(desk, "Le micro marche : on vous entend.", 25)
        desk.run("systemctl --user stop tone")
        hertz, seconds = heard(desk)
        assert 290 <= hertz <= 310
        assert seconds > 0.5
        assert "wav" not in desk.run("ls $XDG_RUNTIME_DIR")  # nothing is kept

    testing(speak)


def test_a_silent_microphone_is_said_to_be_silent(testing: Both) -> None:
    def keep_quiet(desk: Desk) -> None:
        desk.run(tone(300, "voice").replace("volume=0.5", "volume=0"))
        desk.keys("Return")
        hear(desk, "Le micro n'entend rien.", 25)
        desk.run("systemctl --user stop tone")
        assert "wav" not in desk.run("ls $XDG_RUNTIME_DIR")

    testing(keep_quiet)


def test_the_speaker_plays_a_tone(testing: Both) -> None:
    def play(desk: Desk) -> None:
        listen(desk)
        desk.keys("Tab", "Return")
        hear(desk, "Vous n'avez rien entendu ?", 25)
        hertz, seconds = heard(desk)
        assert 430 <= hertz <= 450
        assert seconds > 0.5

    testing(play)


SCENE = """
systemd-run --quiet --user --unit=scene gst-launch-1.0 videotestsrc is-live=true \
    ! video/x-raw,format=YUY2,width=640,height=360,framerate=15/1 \
    ! pipewiresink mode=provide stream-properties=props,media.class=Video/Source
"""
BARS = {"ffff00", "00ffff", "ff00ff", "00ff00"}


def near(colour: str, wanted: str) -> bool:
    pairs = ((int(colour[n : n + 2], 16), int(wanted[n : n + 2], 16)) for n in (0, 2, 4))
    return all(abs(one - other) < 24 for one, other in pairs)


def test_the_cameras_picture_is_shown(testing: Both) -> None:
    def show(desk: Desk) -> None:
        desk.keys("Tab", "Tab", "Return")
        hear(desk, "ne voit pas de caméra")
        desk.run(SCENE)
        wait(lambda: "Video/Source" in desk.run("pw-dump"))
        desk.keys("Return")
        hear(desk, "La caméra marche : voici votre image.")
        time.sleep(1)
        colours = desk.picture("camera")
        assert all(any(near(colour, bar) for colour in colours) for bar in BARS)
        desk.keys("Return")
        hear(desk, "vous verrez votre image")
        desk.ask("systemctl --user stop scene")

    testing(show)


# --- the check of the role itself --------------------------------------------------------------


@pytest.mark.parametrize("name", MACHINES)
def test_the_check_of_mon_poste(
    name: str, run_as: Callable[[str, str, str], Any], checks: Callable[[str], Any]
) -> None:
    folder = "/usr/lib/*/girepository-1.0"
    assert checks(name)["mon-poste"]["status"] == "OK"
    assert run_as(name, "root", f"mv {folder}/GstBase-1.0.typelib /root").rc == 0
    assert run_as(name, "root", f"mv {folder}/Gst-1.0.typelib /root").rc == 0
    try:
        check = checks(name)["mon-poste"]
        assert (check["status"], "Gst" in check["message"]) == ("CRITICAL", True)
        assert "relancer equip.yml" in check["remedy"]["fr"]
        assert check["remedy"]["en"] != check["remedy"]["fr"]
    finally:
        assert run_as(name, "root", f"mv /root/*.typelib {folder}/").rc == 0
    assert checks(name)["mon-poste"]["status"] == "OK"
    assert (
        "self_service" not in run_as(name, "root", "find /usr/lib/nomade -name __pycache__").stdout
    )


# --- the machine of somebody who has only this role ---------------------------------------------


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"self_service_refresh_seconds": 3}, "self_service_refresh_seconds is 3"),
        ({"self_service_hotline": "0" * 61}, "at most 60 characters"),
        ({"self_service_town": "Val\nbourg"}, "has a line break"),
        ({"self_service_tunnel_interface": "../wg0"}, "the name of a network interface"),
        ({"self_service_tunnel_check": "VPN"}, "the name of a check"),
        ({"self_service_gnome": "perhaps"}, "value of self_service_gnome must be one of"),
    ],
)
def test_wrong_settings_are_refused_before_any_change(
    setting: dict[str, Any], says: str, playbook: Callable[..., Any]
) -> None:
    done = playbook("alone.yml", **setting)
    assert done.returncode != 0
    assert says in " ".join(done.stdout.split())
    assert "changed=0" in done.stdout


def test_alone_it_works_and_leaves_nothing(
    machine: Callable[[str], Any],
    run_as: Callable[[str, str, str], Any],
    playbook: Callable[..., Any],
) -> None:
    assert run_as("alone", "nomade", f"{PROGRAM} --self-test").stdout.startswith("OK - ")
    assert json.loads(run_as("alone", "nomade", "nomade-check --json").stdout)["status"] == "OK"
    # no tunnel, no light
    assert run_as("alone", "nomade", "/usr/lib/nomade/self_service/tunnel-light").rc == 0
    icon = "/usr/lib/nomade/self_service/desktop-icon && ls $(xdg-user-dir DESKTOP)"
    assert "nomade-mon-poste.desktop" in run_as("alone", "nomade", icon).stdout
    assert playbook("absent.yml").returncode == 0
    left = "find / -xdev -not -path '/proc/*' -iname '*nomade*' -not -path '/var/log/*'"
    found = run_as("alone", "root", left).stdout.split()
    own = ("/home/nomade", "/etc/sudoers.d/nomade", "/var/lib/nomade", "/var/mail/nomade")
    assert [path for path in found if not path.startswith(own)] == []
    assert run_as("alone", "root", "find /home -name 'nomade-*'").stdout == ""
    # What apt keeps of their dependencies, something that was there before would like to have.
    new = "dpkg-query --show | grep -vxFf /root/packages-before | cut -f 1"
    wishes = "-o APT::AutoRemove::RecommendsImportant=0 -o APT::AutoRemove::SuggestsImportant=0"
    wished = f"LC_ALL=C apt-get --simulate {wishes} autoremove | sed -n 's/^Remv //p'"
    kept = {line.split()[0] for line in run_as("alone", "root", wished).stdout.splitlines()}
    left = {line.split(":")[0] for line in run_as("alone", "root", new).stdout.splitlines()}
    assert left <= kept
    assert not left & {"python3-gi", "gir1.2-gtk-3.0", "gstreamer1.0-plugins-good"}
