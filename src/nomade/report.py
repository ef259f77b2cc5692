"""What a run did, machine by machine: the table at its end and the JSON file that it leaves.

The shape of the file (`var/<town>/equip.json`, `check.json`)::

    {"machines": [{"asset_tag": str, "assignee_login": str, "assignee_name": str,
                   "capabilities": {"vpn_client": "ok", ...}, "changed": int, "seconds": float,
                   "failures": [{"check": str, "message": str, "remedy": str}]}]}
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nomade import files
from nomade.i18n import is_french, tr

# What a capability of a machine can be, as said to people: English, French.
STATES: dict[str, tuple[str, str]] = {
    "ok": ("ok", "ok"),
    "failed": ("FAILED", "ÉCHEC"),
    "absent": ("absent", "absent"),
    "waiting": ("waiting for gateway", "attend la passerelle"),
    "unproven": ("not proven from outside", "non prouvé du dehors"),
    "planned": ("not checked (check mode)", "non vérifié (mode test)"),
    "skipped": ("not reached", "non atteint"),
    "off": ("-", "-"),
}
# Short headings, so that a line of the table fits a screen: English, French; or the name itself.
HEADINGS: dict[str, tuple[str, str]] = {
    "workstation": ("Desk", "Poste"),
    "vpn_client": ("Tunnel", "Tunnel"),
    "office_suite": ("Office", "Bureau"),
    "conference_client": ("Meetings", "Visio"),
    "links": ("Links", "Liens"),
    "self_service": ("Mon poste", "Mon poste"),
    "vpn_gateway": ("Gateway", "Passerelle"),
    "package_cache": ("Packages", "Paquets"),
    "backup_server": ("Archives", "Archives"),
    "netboot_server": ("Netboot", "Netboot"),
}
# What calls for somebody's attention, worst first.
BAD = ("failed", "skipped", "waiting", "unproven", "absent")


@dataclass(slots=True)
class Failure:
    """One thing that does not hold on a machine, and what to do about it."""

    check: str
    message: str
    remedy: str = ""


@dataclass(slots=True)
class Machine:
    """What a run did to one machine."""

    asset_tag: str
    assignee_login: str = ""
    assignee_name: str = ""
    capabilities: dict[str, str] = field(default_factory=dict)
    changed: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The worst state among the capabilities; a failure without one counts as failed."""
        found = set(self.capabilities.values())
        otherwise = "failed" if self.failures and not found else "ok"
        return next((state for state in (*BAD, "planned") if state in found), otherwise)


def machine_from(name: str, data: Mapping[str, Any], changed: int, seconds: float) -> Machine:
    """Make a machine's line from what the playbook left in its custom statistics."""
    return Machine(
        asset_tag=name,
        assignee_login=str(data.get("assignee_login", "")),
        assignee_name=str(data.get("assignee_name", "")),
        capabilities={str(k): str(v) for k, v in dict(data.get("capabilities", {})).items()},
        changed=changed,
        seconds=round(seconds, 1),
        failures=[
            Failure(
                str(f.get("check", "")),
                " ".join(localized(f.get("message", "")).split()),
                localized(f.get("remedy", "")),
            )
            for f in data.get("failures", [])
        ],
    )


def localized(text: Any) -> str:
    """Return a text that may come in two languages in that of the locale."""
    if isinstance(text, Mapping):
        text = text.get("fr" if is_french() else "en") or next(iter(text.values()), "")
    return str(text)


def render(machines: Iterable[Machine], title: str, *, colour: bool = False) -> str:
    """Return the table for people: one line a machine, then what to do about the failures."""
    rows = list(machines)
    names = list(dict.fromkeys(c for m in rows for c in m.capabilities))
    french = is_french()
    head = [
        tr("Machine", "Machine"),
        tr("Person", "Personne"),
        *(HEADINGS.get(name, (name, name))[french] for name in names),
        tr("Changed", "Changé"),
        tr("Seconds", "Secondes"),
    ]
    body = [
        [
            m.asset_tag,
            shorten(m.assignee_name or m.assignee_login or "-", 28),
            *(cell(c, m.capabilities.get(c, "off")) for c in names),
            str(m.changed),
            f"{m.seconds:.0f}",
        ]
        for m in rows
    ]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = ["", title, ""]
    lines.append("  ".join(cell.ljust(w) for cell, w in zip(head, widths, strict=True)).rstrip())
    lines.append("  ".join("─" * w for w in widths))
    for machine, cells in zip(rows, body, strict=True):
        line = "  ".join(cell.ljust(w) for cell, w in zip(cells, widths, strict=True)).rstrip()
        lines.append(paint(line, machine.state) if colour else line)
    if explained := explain(rows):
        lines += ["", *explained]
    lines += ["", summary(rows), ""]
    return "\n".join(lines)


def cell(capability: str, state: str) -> str:
    """Return how a state is said in the table; in full for the tunnel, which waits itself."""
    if state == "waiting" and capability != "vpn_client":
        return tr("waits", "attend")
    return STATES.get(state, ("?", "?"))[is_french()]


def explain(machines: Iterable[Machine]) -> list[str]:
    """Return what does not hold and what to do about it; what many machines share is said once."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for machine in machines:
        name = re.compile(rf"(?<![\w-]){re.escape(machine.asset_tag)}(?![\w-])")
        for failure in machine.failures:
            message, remedy = (name.sub("\0", text) for text in (failure.message, failure.remedy))
            key = (failure.check, re.sub("^\0 ?: ", "", message), remedy)
            alike.setdefault(key, []).append(machine.asset_tag)
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    lines = []
    for (check, message, remedy), tags in alike.items():
        listed = ", ".join(tags)
        colon = tr(": ", " : ")
        text = colon.join(filter(None, (listed, check, message.replace("\0", listed))))
        lines += textwrap.wrap(text, width, initial_indent="! ", subsequent_indent="  ")
        arrow = tr("  → to do: ", "  → à faire : ")
        # As --limit takes them.
        todo = remedy.replace("\0", ",".join(tags))
        lines += textwrap.wrap(
            todo, width, initial_indent=arrow, subsequent_indent="    ", break_on_hyphens=False
        )
    return lines


def summary(machines: list[Machine]) -> str:
    """Return the closing line: how many machines are in which state."""
    counts: dict[str, int] = {}
    for machine in machines:
        counts[machine.state] = counts.get(machine.state, 0) + 1
    french = is_french()
    return tr("Machines: ", "Machines : ") + ", ".join(
        f"{counts[state]} {STATES[state][french]}" for state in STATES if state in counts
    )


def paint(line: str, state: str) -> str:
    """Colour a line by its state: green, red, cyan for a plan, yellow for what waits."""
    code = {"ok": "32", "failed": "31", "skipped": "31", "planned": "36"}.get(state, "33")
    return f"\033[{code}m{line}\033[0m"


def shorten(text: str, width: int) -> str:
    """Cut a text that would not fit its column."""
    return text if len(text) <= width else text[: width - 1] + "…"


def write(path: Path, machines: Iterable[Machine], **more: Any) -> None:
    """Write the report, whole or not at all."""
    _write_json(path, {"machines": [asdict(m) for m in machines], **more})


def remember(path: Path, machines: Iterable[Machine], today: str) -> None:
    """Keep when each machine was last met, or since when it has been missed (dates, ISO 8601)."""
    try:
        seen = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        seen = {}
    for machine in machines:
        if machine.state == "absent":
            seen.setdefault(machine.asset_tag, {}).setdefault("missed_since", today)
        else:
            seen[machine.asset_tag] = {"seen": today}
    _write_json(path, seen)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    files.replace(path, text.encode(), 0o600)
