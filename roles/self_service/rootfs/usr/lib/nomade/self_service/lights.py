"""What a person without a terminal reads of this machine's checks; nothing here draws anything."""

from __future__ import annotations

import itertools
import json
import re
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXTS = Path("/usr/share/nomade/self_service/texts.toml")
SETTINGS = Path("/etc/nomade/self_service.json")
PUBLISHED = Path("/run/nomade")

# What a check says, and the light that it gives. The worst comes first.
OF_STATUS = {"CRITICAL": "broken", "UNKNOWN": "unknown", "WARNING": "watch", "OK": "ok"}
ORDER = ("broken", "unknown", "watch", "waiting", "ok")

STALE_AFTER = 180.0  # seconds, as nomade-check has it

# Whatever of a remedy is not for the person in front of the machine.
FOR_TECHNICIANS = re.compile(
    r"\ben root\b|\bas root\b|technicien|technician|systemctl|journalctl|\.yml\b"
    r"|/etc/|--\w|vpn-peers",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-ZÀ-Ý])")


@dataclass(frozen=True)
class Settings:
    """What the town says about its help and about the tunnel."""

    hotline: str = ""
    hotline_hours: str = ""
    town: str = ""
    refresh: int = 30
    tunnel_check: str = "vpn-handshake"
    tunnel_interface: str = "wg0"

    @classmethod
    def load(cls, path: Path = SETTINGS) -> Settings:
        """Read the settings; a machine without them has the defaults."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls()


class Texts:
    """The sentences of texts.toml in one language."""

    def __init__(self, content: Mapping[str, Any], language: str) -> None:
        """Keep what was read."""
        self.content = content
        self.language = language
        self.checks: dict[str, dict[str, Any]] = content["check"]
        self.ranks = {name: rank for rank, name in enumerate(self.checks)}

    @classmethod
    def load(cls, language: str, path: Path = TEXTS) -> Texts:
        """Read the sentences."""
        return cls(tomllib.loads(path.read_text(encoding="utf-8")), language)

    def __call__(self, key: str, **values: object) -> str:
        """Return a sentence of the window, with its blanks filled in."""
        return str(self.content["text"][key][self.language]).format(**values)

    def count(self, key: str, number: int, **values: object) -> str:
        """Return a sentence in the singular or in the plural."""
        return self(f"{key}_{'one' if number == 1 else 'many'}", number=number, **values)

    def of_check(self, name: str, key: str) -> str:
        """Return a sentence about one check, or nothing where there is none."""
        return str(self.checks.get(name, {}).get(key, {}).get(self.language, ""))

    def causes(self, name: str) -> list[str]:
        """Return the checks that explain why this one cannot be well."""
        return list(self.checks.get(name, {}).get("needs", []))


@dataclass(frozen=True)
class Light:
    """One line of the window."""

    name: str
    state: str
    title: str
    word: str
    message: str
    advice: str
    technician: str

    def spoken(self) -> str:
        """Return the line as a screen reader should say it."""
        return f"{self.title} : {self.word}" if self.word else self.title


@dataclass(frozen=True)
class Headline:
    """What the top of the window says."""

    state: str
    title: str
    sentence: str


def language_of(environ: Mapping[str, str]) -> str:
    """Return the reader's language: that of messages (locale(7)), French or else English."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((environ[name] for name in names if environ.get(name)), "")
    return "fr" if locale.startswith("fr") else "en"


def sentence(text: str) -> str:
    """Return a text that begins with a capital and ends with a full stop."""
    text = text.strip()
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


def split_remedy(remedy: str) -> str:
    """Return what the person can do of a remedy; where the technician begins, it ends."""
    sentences = SENTENCE.split(remedy.strip())
    own = itertools.takewhile(lambda text: not FOR_TECHNICIANS.search(text), sentences)
    return " ".join(own)


def light_of(check: Mapping[str, Any], texts: Texts, red: Mapping[str, str]) -> Light:
    """Return the light of one check; `red` holds the titles of those that are not well."""
    name, language = str(check["name"]), texts.language
    title = texts.of_check(name, "title") or check["title"].get(language) or name
    state = OF_STATUS.get(str(check["status"]), "unknown")
    if state == "ok":
        return Light(name, state, title, texts("word_ok"), "", "", "")
    said, remedy = sentence(str(check["message"])), sentence(str(check["remedy"].get(language, "")))
    everything = f"{name} : {said} {remedy}"
    cause = next((cause for cause in texts.causes(name) if cause in red), "")
    if cause:
        advice = texts("advice_waiting", cause=red[cause])
        return Light(name, "waiting", title, texts("word_waiting"), "", advice, everything)
    if state == "unknown":
        message, advice = texts("unknown_message"), texts("advice_unknown")
    else:
        message = texts.of_check(name, f"problem_{state}") or said
        advice = texts.of_check(name, f"advice_{state}") or texts.of_check(name, "advice")
        advice = advice or split_remedy(remedy) or texts("advice_call")
    return Light(name, state, title, texts(f"word_{state}"), message, advice, everything)


def lights_of(checks: Iterable[Mapping[str, Any]], texts: Texts) -> list[Light]:
    """Return the lights, the worst first, and causes before what they explain."""
    known = [check for check in checks if isinstance(check.get("name"), str)]
    red = {
        str(check["name"]): texts.of_check(str(check["name"]), "title") or str(check["name"])
        for check in known
        if check["status"] in ("CRITICAL", "UNKNOWN")
    }
    lights = [light_of(check, texts, red) for check in known]
    place = {light.name: number for number, light in enumerate(lights)}
    unknown = len(texts.ranks)
    return sorted(
        lights,
        key=lambda light: (
            ORDER.index(light.state),
            texts.ranks.get(light.name, unknown),
            place[light.name],
        ),
    )


def checks_of(report: str) -> list[Mapping[str, Any]]:
    """Return the checks of a report; none where it cannot be read."""
    try:
        found: list[Mapping[str, Any]] = json.loads(report)["checks"]
        return found if all(check["name"] for check in found) else []
    except (ValueError, KeyError, TypeError):
        return []


def heavy_can_wait(report: str) -> bool:
    """Say whether the checks that cost much can wait for the person to ask: all are well."""
    found = checks_of(report)
    return bool(found) and all(check["status"] == "OK" for check in found if check.get("heavy"))


def completed(light: str, before: str) -> str:
    """Return a report of the light checks with the heavy ones of the report before, as it was."""
    fresh, known = checks_of(light), checks_of(before)
    if not fresh:
        return light
    place = {check["name"]: number for number, check in enumerate(known)}
    checks = [*fresh, *(check for check in known if check.get("heavy"))]
    checks.sort(key=lambda check: place.get(check["name"], len(place)))
    return json.dumps({"checks": checks})


def read_report(text: str, texts: Texts) -> list[Light]:
    """Return the lights of what `nomade-check --json` printed, or one that says it printed none."""
    try:
        lights = lights_of(json.loads(text)["checks"], texts)
    except (ValueError, KeyError, TypeError, AttributeError):
        lights = []
    return lights or [
        Light(
            name="",
            state="broken",
            title=texts("no_report_title"),
            word=texts("word_broken"),
            message=texts("no_report_message"),
            advice=texts("no_report_advice"),
            technician="nomade-check --json",
        )
    ]


def headline_of(lights: Sequence[Light], texts: Texts) -> Headline:
    """Return the one sentence that sums the lights up."""
    broken = [light for light in lights if light.state == "broken"]
    if broken:
        title = texts.count("broken", len(broken), name=broken[0].title)
        return Headline("broken", title, texts("broken_sentence"))
    for state in ("unknown", "watch"):
        found = [light for light in lights if light.state == state]
        if found:
            title = texts.count(state, len(found), name=found[0].title)
            return Headline(state, title, texts(f"{state}_sentence"))
    return Headline("ok", texts("ok_title"), texts("ok_sentence"))


# --- The light in the panel -------------------------------------------------------------------


@dataclass(frozen=True)
class Tunnel:
    """What the panel says of the tunnel."""

    state: str
    text: str


def boot_clock() -> float:
    """Return the seconds since boot, sleep included, with which results are stamped."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def tunnel_of(published: str, now: float, *, interface: bool, texts: Texts) -> Tunnel:
    """Return the tunnel's light from the result that root published and from what anybody sees."""
    if not interface:
        return Tunnel("broken", texts("tunnel_broken"))
    try:
        record = json.loads(published)
        status, age = str(record["status"]), now - float(record["boot_clock"])
    except (ValueError, KeyError, TypeError):
        status, age = "UNKNOWN", 0.0
    if not 0 <= age <= STALE_AFTER:
        status = "UNKNOWN"
    state = {"OK": "ok", "CRITICAL": "broken"}.get(status, "watch")
    return Tunnel(state, texts(f"tunnel_{state}"))


def tunnel_now(settings: Settings, texts: Texts, root: Path = Path("/")) -> Tunnel:
    """Return the tunnel's light at this moment."""
    interface = root / "sys/class/net" / settings.tunnel_interface
    published = root / f"run/nomade/{settings.tunnel_check}.json"
    try:
        text = published.read_text(encoding="utf-8")
    except (OSError, ValueError):
        text = ""
    return tunnel_of(text, boot_clock(), interface=interface.exists(), texts=texts)
