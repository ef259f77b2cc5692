"""What "Mon poste" makes of the checks: sentences, their order, and the tunnel's light."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TREE = ROOT / "roles/self_service/rootfs"
PROGRAMS = TREE / "usr/lib/nomade/self_service"
TEXTS = TREE / "usr/share/nomade/self_service/texts.toml"
ICONS = TREE / "usr/share/nomade/self_service/icons"
STYLE = TREE / "usr/share/nomade/self_service/style.css"


def load_module() -> Any:
    spec = importlib.util.spec_from_file_location("self_service_lights", PROGRAMS / "lights.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


lights: Any = load_module()
FRENCH = lights.Texts.load("fr", TEXTS)
ENGLISH = lights.Texts.load("en", TEXTS)
CONTENT = tomllib.loads(TEXTS.read_text(encoding="utf-8"))
BOTH = pytest.mark.parametrize("texts", [FRENCH, ENGLISH], ids=["fr", "en"])


def check(name: str, status: str = "OK", message: str = "", **more: Any) -> dict[str, Any]:
    remedy = {"fr": "Faites ceci. Sinon, en root : apt-get.", "en": "Do this. As root: apt-get."}
    title = {"fr": f"Titre {name}", "en": f"Title {name}"}
    found = {"name": name, "capability": "town", "status": status, "message": message}
    return {**found, "remedy": remedy, "title": title, "perfdata": "", "seconds": 0.1, **more}


def shown(*checks: dict[str, Any], texts: Any = FRENCH) -> list[Any]:
    found: list[Any] = lights.lights_of(checks, texts)
    return found


# --- the sentences -----------------------------------------------------------------------------


def sentences() -> list[tuple[str, dict[str, str]]]:
    found = [(f"text.{key}", value) for key, value in CONTENT["text"].items()]
    for name, entry in CONTENT["check"].items():
        found += [(f"{name}.{key}", value) for key, value in entry.items() if key != "needs"]
    return found


def test_every_sentence_stands_in_both_languages_with_the_same_blanks() -> None:
    for key, value in sentences():
        assert set(value) == {"fr", "en"}, key
        blanks = [sorted(re.findall(r"\{(\w+)\}", text)) for text in value.values()]
        assert blanks[0] == blanks[1], key
        assert all(text == text.strip() != "" for text in value.values()), key


def test_every_sentence_that_the_programs_ask_for_is_there_and_no_other() -> None:
    code = "".join(
        path.read_text(encoding="utf-8") for path in PROGRAMS.iterdir() if path.is_file()
    )
    asked = set(re.findall(r"[\"'](\w+)[\"']", code))
    asked |= {f"word_{state}" for state in lights.ORDER}
    asked |= {f"{state}_{more}" for state in lights.ORDER for more in ("sentence", "one", "many")}
    asked |= {f"tunnel_{state}" for state in ("ok", "watch", "broken")}
    asked |= {
        f"{test}_{more}"
        for test in ("microphone", "speaker", "camera")
        for more in ("title", "start", "idle")
    }
    assert set(CONTENT["text"]) <= asked
    for key in re.findall(r'\btexts(?:\.count)?\("(\w+)"[,)]', code):
        assert {key, f"{key}_one"} & set(CONTENT["text"]), key


def test_causes_are_checks_that_stand_further_up() -> None:
    seen: set[str] = set()
    for name, entry in CONTENT["check"].items():
        assert set(entry.get("needs", [])) <= seen, name
        seen.add(name)


def test_checks_with_sentences_of_their_own_exist() -> None:
    defined: set[str] = set()
    for path in (ROOT / "roles").glob("*/rootfs/etc/nomade/checks.d/*"):
        defined |= set(re.findall(r'^name = "([\w-]+)"', path.read_text("utf-8"), re.MULTILINE))
    assert set(CONTENT["check"]) <= defined


@BOTH
def test_no_sentence_is_for_technicians(texts: Any) -> None:
    for key, value in sentences():
        text = value[texts.language]
        if key != "text.root":
            for word in ("technicien", "technician"):
                text = text.replace(word, "")
            assert not lights.FOR_TECHNICIANS.search(text), key


def test_every_state_has_a_drawing_of_its_own() -> None:
    drawn = [(ICONS / f"light-{state}.svg").read_text() for state in lights.ORDER]
    shapes = {re.sub(r"#\w{6}", "", drawing) for drawing in drawn}
    assert len(shapes) == len(lights.ORDER)  # even in grey
    tunnels = [(ICONS / f"tunnel-{state}.svg").read_text() for state in ("ok", "watch", "broken")]
    assert len({re.sub(r"#\w{6}", "", drawing) for drawing in tunnels}) == 3


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_colours_can_be_read() -> None:
    """WCAG 2.2 and RGAA 4: 4.5 to 1 for text; we ask for more."""
    style = STYLE.read_text(encoding="utf-8")
    pairs = re.findall(r"background-color: (#\w{6});[^}]*?(?<![-\w])color: (#\w{6})", style)
    pairs += [
        ("#ffffff", colour)
        for colour in re.findall(r"^\.state[^{]*\{ color: (#\w{6})", style, re.M)
    ]
    assert len(pairs) >= 12
    assert [pair for pair in pairs if contrast(*pair) < 5.5] == []


# --- lights ------------------------------------------------------------------------------------


def test_the_worst_comes_first_and_causes_before_what_they_explain() -> None:
    found = shown(
        check("links", "WARNING"),
        check("disk", "OK"),
        check("unheard-of", "UNKNOWN"),
        check("vpn-dns", "CRITICAL"),
        check("camera", "WARNING"),
        check("vpn-handshake", "CRITICAL"),
        check("microphone", "CRITICAL"),
    )
    assert [(light.name, light.state) for light in found] == [
        ("vpn-handshake", "broken"),
        ("microphone", "broken"),
        ("unheard-of", "unknown"),
        ("camera", "watch"),
        ("links", "watch"),
        ("vpn-dns", "waiting"),
        ("disk", "ok"),
    ]


def test_what_a_cause_explains_only_waits() -> None:
    found = shown(check("vpn-handshake", "CRITICAL"), check("vpn-intranet", "CRITICAL"))
    assert found[1].state == "waiting"
    assert found[1].advice == "Rien pour l'instant : réglez d'abord « Passerelle de la mairie »."
    assert lights.headline_of(found, FRENCH).title == "En panne : Passerelle de la mairie"
    # a warning explains nothing
    found = shown(check("clock", "WARNING"), check("vpn-handshake", "CRITICAL"))
    assert [light.state for light in found] == ["broken", "watch"]


def test_the_remedy_of_an_unknown_check_is_cut_where_the_technician_begins() -> None:
    (light,) = shown(check("links", "CRITICAL", "le partage ne répond pas"))
    assert light.title == "Titre links"
    assert light.message == "Le partage ne répond pas."
    assert light.advice == "Faites ceci."
    assert light.technician == (
        "links : Le partage ne répond pas. Faites ceci. Sinon, en root : apt-get."
    )
    (light,) = shown(check("links", "CRITICAL"), texts=ENGLISH)
    assert light.advice == "Do this."


@pytest.mark.parametrize(
    ("remedy", "own"),
    [
        ("Demandez au service informatique de relancer equip.yml pour ce poste.", ""),
        ("Redémarrez l'ordinateur ; pour un technicien : systemctl enable x", ""),
        ("Videz la corbeille. Sinon, en root : apt-get clean.", "Videz la corbeille."),
        ("Appelez. Attendez. Journal : journalctl -u x.", "Appelez. Attendez."),
        ("Rebranchez le câble.", "Rebranchez le câble."),
    ],
)
def test_splitting_a_remedy(remedy: str, own: str) -> None:
    assert lights.split_remedy(remedy) == own
    (light,) = shown(check("links", "WARNING", remedy={"fr": remedy, "en": remedy}))
    assert light.advice == (own or "Appelez l'assistance : elle s'en occupe.")


def test_real_remedies_leave_something_to_say() -> None:
    """Every check of this repository has advice, ours or cut from its remedy, without a command."""
    for path in (ROOT / "roles").glob("*/rootfs/etc/nomade/checks.d/*"):
        text = re.sub(r"\{[%#].*?[%#]\}", "", path.read_text("utf-8"), flags=re.DOTALL)
        for entry in tomllib.loads(text)["check"]:
            if "{{" in entry["name"]:
                continue  # one for each thing that a town names
            for texts in (FRENCH, ENGLISH):
                for status in ("CRITICAL", "WARNING", "UNKNOWN"):
                    title = entry.get("title", {"fr": entry["name"], "en": entry["name"]})
                    (light,) = shown(
                        check(entry["name"], status, remedy=entry["remedy"], title=title),
                        texts=texts,
                    )
                    assert light.advice.endswith((".", "?", "!")), (entry["name"], light.advice)
                    assert not lights.FOR_TECHNICIANS.search(light.advice), entry["name"]


def test_a_light_that_is_well_gives_no_advice() -> None:
    (light,) = shown(check("disk", "OK", "40 % libres sur /"))
    assert (light.word, light.message, light.advice) == ("En ordre", "", "")


def test_what_a_check_says_in_its_own_words_is_for_the_technician() -> None:
    (light,) = shown(check("vpn-handshake", "CRITICAL", "la passerelle n'a jamais répondu"))
    assert light.message == "La mairie ne répond pas."
    assert "La passerelle n'a jamais répondu." in light.technician


def test_a_check_without_an_answer_is_no_fault() -> None:
    (light,) = shown(check("updates", "UNKNOWN", "pas de réponse en 15 s"))
    assert light.message == "Ce contrôle n'a pas répondu."
    assert light.advice.startswith("Attendez une minute")


def test_what_a_screen_reader_says() -> None:
    (light,) = shown(check("disk", "CRITICAL"))
    assert light.spoken() == "Place sur le disque : En panne"


DISK, FULL = check("disk", "WARNING"), check("disk", "CRITICAL")


@pytest.mark.parametrize(
    ("checks", "state", "title"),
    [
        ([check("disk")], "ok", "Tout va bien"),
        ([DISK], "watch", "À surveiller : Place sur le disque"),
        ([DISK, check("camera", "WARNING")], "watch", "2 points à surveiller"),
        ([check("disk", "UNKNOWN")], "unknown", "Sans réponse : Place sur le disque"),
        (
            [check("disk", "CRITICAL"), check("wifi", "WARNING")],
            "broken",
            "En panne : Place sur le disque",
        ),
        (
            [check("disk", "CRITICAL"), check("wifi", "CRITICAL")],
            "broken",
            "2 choses ne marchent pas",
        ),
    ],
)
def test_the_headline(checks: list[dict[str, Any]], state: str, title: str) -> None:
    head = lights.headline_of(shown(*checks), FRENCH)
    assert (head.state, head.title) == (state, title)
    assert head.sentence


@BOTH
@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"checks": 3}', '{"checks": []}', '{"checks": [1]}']
)
def test_a_report_that_cannot_be_read_is_a_fault_of_its_own(text: str, texts: Any) -> None:
    (light,) = lights.read_report(text, texts)
    assert light.state == "broken"
    assert light.advice


def report(*checks: dict[str, Any]) -> str:
    return json.dumps({"host": "x", "checks": checks})


HEAVY, RED = check("b", heavy=True), check("b", "CRITICAL", heavy=True)


@pytest.mark.parametrize(
    ("text", "can_wait"),
    [
        (report(check("a")), True),
        (report(check("a", "CRITICAL"), HEAVY), True),
        (report(check("a"), RED), False),
        (report(check("a"), check("b", "UNKNOWN", heavy=True)), False),
        ("", False),  # so that they are run at all
        ('{"checks": []}', False),
        ('{"checks": [1]}', False),
    ],
)
def test_what_costs_much_waits_for_the_person_while_it_is_well(text: str, can_wait: bool) -> None:
    assert lights.heavy_can_wait(text) is can_wait


def test_a_report_of_the_light_checks_keeps_the_heavy_ones() -> None:
    before = report(check("a"), HEAVY, check("c"), check("gone"))
    light = report(check("c", "WARNING"), check("a"), check("new"))
    found = lights.checks_of(lights.completed(light, before))
    assert [(check["name"], check["status"]) for check in found] == [
        ("a", "OK"),
        ("b", "OK"),
        ("c", "WARNING"),
        ("new", "OK"),
    ]
    # two definitions of one file that are no use have one name
    twice = report(check("wrong.toml", "UNKNOWN"), check("wrong.toml", "UNKNOWN"))
    assert len(lights.checks_of(lights.completed(twice, before))) == 3
    assert lights.completed("", before) == ""


def test_the_language_is_that_of_messages() -> None:
    assert lights.language_of({"LANG": "fr_FR.UTF-8"}) == "fr"
    assert lights.language_of({"LANG": "fr_FR.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}) == "en"
    assert lights.language_of({"LANG": "en_GB.UTF-8", "LC_ALL": "fr_BE.UTF-8"}) == "fr"
    assert lights.language_of({}) == "en"


def test_settings_that_cannot_be_read_are_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    assert lights.Settings.load(file) == lights.Settings()
    for content in ("", "[]", '{"unknown": 1}'):
        file.write_text(content)
        assert lights.Settings.load(file) == lights.Settings()
    file.write_text(json.dumps({"hotline": "Poste 4000", "refresh": 0}))
    assert lights.Settings.load(file) == lights.Settings(hotline="Poste 4000", refresh=0)


# --- the tunnel --------------------------------------------------------------------------------


def published(status: str, boot: float = 1000.0) -> str:
    return json.dumps({"status": status, "boot_clock": boot})


@pytest.mark.parametrize(
    ("text", "interface", "state"),
    [
        (published("OK"), True, "ok"),
        (published("CRITICAL"), True, "broken"),
        (published("WARNING"), True, "watch"),
        (published("UNKNOWN"), True, "watch"),
        (published("OK", 800.0), True, "watch"),  # stale
        (published("CRITICAL", 800.0), True, "watch"),
        (published("OK", 2000.0), True, "watch"),  # of an earlier boot
        ("", True, "watch"),
        ("[]", True, "watch"),
        (published("OK"), False, "broken"),  # gone this minute
    ],
)
def test_the_tunnels_light(text: str, interface: bool, state: str) -> None:
    found = lights.tunnel_of(text, 1010.0, interface=interface, texts=FRENCH)
    assert (found.state, found.text) == (state, FRENCH(f"tunnel_{state}"))


def test_the_tunnels_light_reads_the_machine(tmp_path: Path) -> None:
    settings = lights.Settings(tunnel_check="vpn-handshake", tunnel_interface="wg7")
    assert lights.tunnel_now(settings, FRENCH, tmp_path).text == "Tunnel : coupé"
    (tmp_path / "sys/class/net/wg7").mkdir(parents=True)
    assert lights.tunnel_now(settings, FRENCH, tmp_path).text == "Tunnel : à vérifier"
    (tmp_path / "run/nomade").mkdir(parents=True)
    text = published("OK", lights.boot_clock())
    (tmp_path / "run/nomade/vpn-handshake.json").write_text(text)
    assert lights.tunnel_now(settings, FRENCH, tmp_path).text == "Tunnel : en service"
