"""The words of a sheet and its colours: rules that can be computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nomade import handout_look, handout_text

ROOT = Path(__file__).parents[2]
DEFAULT = yaml.safe_load((ROOT / "roles/handout/defaults/main.yml").read_text(encoding="utf-8"))
COLOURS: dict[str, str] = DEFAULT["handout_colours"]


@pytest.mark.parametrize(
    ("text", "french"),
    [
        ("Un souci ?", "Un souci\u202f?"),
        ("Appelez !", "Appelez\u202f!"),
        ("lieu ; écran", "lieu\u202f; écran"),
        ("Identifiant : x", "Identifiant\u00a0: x"),
        ("« Mon poste »", "«\u00a0Mon poste\u00a0»"),
        ("l'ordinateur", "l\u2019ordinateur"),
        ("https://example.org:8443/?a", "https://example.org:8443/?a"),
        ("à 8 h : oui", "à 8 h\u00a0: oui"),
    ],
)
def test_french_is_set_as_printers_set_it(text: str, french: str) -> None:
    assert handout_text.typeset(text, "fr") == french


def test_english_signs_have_no_space_before_them() -> None:
    assert handout_text.typeset("It's: here? Yes!", "en") == "It\u2019s: here? Yes!"


def test_values_of_others_stay_as_they_are_and_are_no_html() -> None:
    t = handout_text.translator("fr")
    said = t(fr="Pour <b>{name}</b> ?", en="", name="L'Hauÿ <script> : {x}")
    assert said == "Pour <b>L&#39;Hauÿ &lt;script&gt; : {x}</b>\u202f?"


def test_a_number_stays_on_its_line() -> None:
    assert (
        handout_text.unbroken(" +33 1 99 00 42 42 ") == "+33\u00a01\u00a099\u00a000\u00a042\u00a042"
    )


# Known ratios: W3C's own examples, and the grey that is just light enough for 4.5:1 on white.
@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#000000", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#767676", "#ffffff", 4.54),
        ("#0000ff", "#ffffff", 8.59),
        ("#123456", "#123456", 1.0),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert handout_look.contrast(one, other) == pytest.approx(ratio, abs=0.005)


def test_the_default_colours_can_be_read_by_everybody() -> None:
    assert list(handout_look.colour_faults(COLOURS)) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"accent": "#7fb2cc"},
            "#7fb2cc on paper #ffffff has a contrast of 2.3:1, and 4.5:1 is the least (WCAG 2.2);"
            " make one of the two darker, or lighter",
        ),
        ({"text": "#707070"}, "7:1 is the least"),
        ({"paper": "blue"}, "is 'blue'; write it as in #0b4f71"),
        ({"border": "#000000"}, "is no colour of a sheet; they are text, paper"),
    ],
)
def test_colours_that_cannot_be_read_are_refused(changed: dict[str, str], said: str) -> None:
    faults = list(handout_look.colour_faults({**COLOURS, **changed}))
    assert any(said in english for _, english, _ in faults), faults
    assert all(french and french != english for _, english, french in faults)


def test_a_missing_colour_is_named() -> None:
    (fault,) = handout_look.colour_faults({k: v for k, v in COLOURS.items() if k != "call"})
    assert fault[0] == "call"


def test_a_logo_is_a_picture_that_is_there(tmp_path: Path) -> None:
    picture = tmp_path / "logo.svg"
    assert "is no file" in (handout_look.logo_fault(picture) or ("",))[0]
    picture.write_text("<svg/>")
    assert handout_look.logo_fault(picture) is None
    assert "neither .svg nor .png" in (handout_look.logo_fault(tmp_path / "logo.bmp") or ("",))[0]
    assert handout_look.logo_uri(str(picture)) == "data:image/svg+xml;base64,PHN2Zy8+"
    assert handout_look.logo_uri("") == ""


# The policy prints the names of two programs: those that the roles put into the menu.
@pytest.mark.parametrize(
    ("setting", "names"),
    [
        (
            "handout_desk",
            "roles/self_service/rootfs/usr/local/share/applications/nomade-mon-poste.desktop",
        ),
        ("handout_conference_title", "roles/conference_client/defaults/main.yml"),
    ],
)
def test_printed_names_are_those_of_the_menu(setting: str, names: str) -> None:
    policy = yaml.safe_load((ROOT / "group_vars/workstations.yml").read_text(encoding="utf-8"))
    shown = policy[setting].split("'")[1]
    text = (ROOT / names).read_text(encoding="utf-8")
    assert f"Name[fr]={shown}\n" in text or f"conference_client_title_fr: {shown}\n" in text
