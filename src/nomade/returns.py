"""The journal of a machine's return: what was done, when, by whom. It is only ever added to.

`records/returns/<asset>/<when it began>.jsonl` holds one line for each event. A return without a
line `closed` is open, and running return.yml again goes on with it: what is done isn't done again.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nomade import files, register
from nomade.i18n import tr
from nomade.register import bare, is_placeholder_serial

AUTO = "auto"  # the machine itself decides between the other two
METHODS = (AUTO, "clean", "rebuild")
# Steps that contact the machine in each run, and change nothing anywhere.
HARMLESS = {"confirm"}
# What may come back; a machine that is `lost` comes back by `fleet return`, unless it never does.
RETURNABLE = ("assigned", "returned", "quarantined")
PERSON = ("assignee_login", "assignee_name", "assignee_email")
# Why there is no machine, and what the register says of it from then on.
WITHOUT = {"stolen": "lost", "lost": "lost", "dead_disk": "quarantined"}

type Event = dict[str, Any]


class ReturnError(Exception):
    """Why a return can't go on; the message is one sentence with the remedy."""


@dataclass
class Journal:
    """The journal of one return."""

    path: Path
    events: list[Event] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Return when the return began, which names its files."""
        return self.path.stem

    @property
    def opened(self) -> Event:
        """Return the first line: the machine and the person as they were."""
        return self.events[0]

    @property
    def without_machine(self) -> str:
        """Return why there is no machine, as the newest run says it."""
        return self._newest("without_machine")

    @property
    def method(self) -> str:
        """Return the method as it was chosen last, or what is to choose it."""
        named = [str(event["method"]) for event in self.events if "method" in event]
        return ([AUTO] + [method for method in named if method != AUTO])[-1]

    @property
    def method_because(self) -> str:
        """Return who or what has chosen it."""
        return self._newest("because")

    def _newest(self, name: str) -> str:
        return str(([""] + [event[name] for event in self.events if name in event])[-1])

    @property
    def has_done_nothing(self) -> bool:
        """Say whether nothing was changed anywhere: no step was begun but harmless ones."""
        return not set(self.begun) - HARMLESS

    @property
    def method_begun(self) -> str:
        """Return the method by which something was removed already, or nothing."""
        begun = self.begun
        return "rebuild" if "destroy" in begun else "clean" if "removing" in begun else ""

    @property
    def is_closed(self) -> bool:
        """Say whether nothing is left to be done."""
        return any(event["event"] == "closed" for event in self.events)

    @property
    def done(self) -> dict[str, dict[str, Any]]:
        """Return the steps that are done, each with what is known of it."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.events:
            if event["event"] == "done":
                found[event["step"]] = event["facts"]
            elif event["event"] == "undone":
                found.pop(event["step"], None)
        return found

    @property
    def attempts(self) -> list[str]:
        """Return the archives that were begun and never proven, the one under way last.

        One that was proven and then overtaken by newer files is none of them: it stays.
        """
        names: list[str] = []
        archive = ""
        for event in self.events:
            if event["event"] == "attempt":
                names.append(event["name"])
            elif event["event"] == "done" and event["step"] == "archive":
                archive = event["facts"].get("archive", "")
            elif event["event"] == "done" and event["step"] == "verify" and archive in names:
                names.remove(archive)
        return names

    @property
    def begun(self) -> list[str]:
        """Return the steps that were begun, and not undone since."""
        found: list[str] = []
        for event in self.events:
            if event["event"] == "begun":
                found.append(event["step"])
            elif event["event"] == "undone":
                found = [step for step in found if step != event["step"]]
        return found

    @property
    def runs(self) -> list[Event]:
        """Return the first event of each run."""
        return list({event["run"]: event for event in reversed(self.events)}.values())[::-1]

    def add(self, event: str, run: str, **more: Any) -> Event:
        """Write a line, on disk for good before anything else happens."""
        line = {"at": now(), "run": run, "by": operator(), "event": event, **more}
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, (json.dumps(line, ensure_ascii=False) + "\n").encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        self.events.append(line)
        return line

    def sha256(self) -> str:
        """Return the digest of the journal as it is now."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()


def now() -> str:
    """Return the time, as the journal writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def told(error: Exception) -> str:
    """Return why a journal could not be written, in one sentence."""
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)


def operator() -> str:
    """Return who types: the technician's account and computer."""
    return f"{os.environ.get('SUDO_USER') or getpass.getuser()}@{socket.gethostname()}"


def folder(town: Path, asset: str) -> Path:
    """Return where a machine's returns are recorded."""
    return town / "records" / "returns" / asset


def read(path: Path) -> Journal:
    """Read a journal; a line that a power cut tore is left out, and the next one starts anew."""
    events = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        events.append(event)
    if text and not text.endswith("\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
    return Journal(path, events)


def unfinished(town: Path, asset: str) -> Journal | None:
    """Return the return of this machine that is still open."""
    for path in sorted(folder(town, asset).glob("*.jsonl"), reverse=True):
        journal = read(path)
        if journal.events and not journal.is_closed:
            return journal
    return None


def machine_of(town: Path, asset: str) -> register.Machine:
    """Return the machine's line as the register has it at this moment."""
    for machine in register.read_register(town / register.FILE):
        if machine.asset_tag == asset:
            return machine
    raise ReturnError(
        tr(
            f"{asset} is not in the register (fleet.csv): nothing was done",
            f"{asset} n'est pas dans le registre (fleet.csv) : rien n'a été fait",
        )
    )


@dataclass(frozen=True)
class Order:
    """What the technician asked for."""

    asset: str
    method: str = "clean"
    erase: str = ""
    without_machine: str = ""


def refusal(order: Order, machine: register.Machine, journal: Journal | None) -> str:
    """Return why this return can't begin or go on, or nothing."""
    asset = order.asset
    if order.method not in METHODS:
        return tr(
            f"return_method is {order.method!r}: write auto, clean or rebuild",
            f"return_method est {order.method!r} : écrire auto, clean ou rebuild",
        )
    if order.without_machine and order.without_machine not in WITHOUT:
        return tr(
            f"without_machine is {order.without_machine!r}: write stolen, lost or dead_disk",
            f"without_machine est {order.without_machine!r} : écrire stolen, lost ou dead_disk",
        )
    ended = journal is not None and "register" in journal.begun and machine.state == "stock"
    if (
        machine.state not in (*RETURNABLE, *(["lost"] if order.without_machine else []))
        and not ended
    ):
        return tr(
            f"{asset}: its state is {machine.state}, so that it can't come back; only machines "
            f"that are {', '.join(RETURNABLE)} can (a lost one after: fleet return {asset})",
            f"{asset} : son état est {machine.state}, elle ne peut donc pas revenir ; seules les "
            f"machines {', '.join(RETURNABLE)} le peuvent (une machine lost après : fleet return "
            f"{asset})",
        )
    if journal is None:
        if not machine.assignee_login and not order.without_machine:
            return tr(
                f"{asset}: the register doesn't say whose it was, so that nothing could be "
                "searched for afterwards: write the person's login into assignee_login",
                f"{asset} : le registre ne dit pas à qui elle était, on ne saurait donc rien "
                "chercher ensuite : écrire l'identifiant de la personne dans assignee_login",
            )
    elif not ended and (changed := differing(journal, machine)):
        return tr(
            f"{asset}: {changed} was changed in the register since this return began "
            f"({journal.id}): put it back, then run again; nothing more was done",
            f"{asset} : {changed} a changé dans le registre depuis le début de ce retour "
            f"({journal.id}) : remettre l'ancienne valeur, puis relancer ; rien de plus n'a "
            "été fait",
        )
    elif (begun := journal.method_begun) and order.method not in (AUTO, begun):
        return tr(
            f"{asset}: this return began by {begun}: go on with -e return_method={begun}",
            f"{asset} : ce retour a commencé par {begun} : continuer avec -e return_method={begun}",
        )
    return "" if order.without_machine else _unconfirmed(order, machine)


def _unconfirmed(order: Order, machine: register.Machine) -> str:
    """Ask for what only somebody who holds the machine in their hands can type."""
    known = not is_placeholder_serial(machine.serial_number)
    wanted = machine.serial_number if known else order.asset
    if order.erase and bare(order.erase) == bare(wanted):
        return ""
    whose = machine.assignee_name or tr("the person", "la personne")
    label = tr("the serial number on its case", "le numéro de série sous son boîtier")
    what = label if known else order.asset
    if not order.erase:
        return tr(
            f"{order.asset}: this erases what {whose} has on it: confirm by -e erase=, followed by "
            f"{what}; nothing was done",
            f"{order.asset} : ceci efface ce que {whose} y a mis : confirmer par -e erase=, suivi "
            f"de {what} ; rien n'a été fait",
        )
    return tr(
        f"{order.asset}: erase={order.erase} is not {what}: is it the right machine? nothing was "
        "done",
        f"{order.asset} : erase={order.erase} n'est pas {what} : est-ce la bonne machine ? rien "
        "n'a été fait",
    )


def differing(journal: Journal, machine: register.Machine) -> str:
    """Return the cell that says something else than when the return began."""
    before = journal.opened["machine"]
    for column in ("serial_number", *PERSON):
        if getattr(machine, column) != before[column]:
            return column
    return ""


def is_overtaken(journal: Journal, machine: register.Machine) -> bool:
    """Say whether a run was killed after the machine became stock, and it is somebody's again."""
    return (
        "register" in journal.begun
        and not journal.without_machine
        and machine.state not in ("returned", "quarantined", "stock")
    )


def open_(town: Path, order: Order, run: str, *, dry: bool = False) -> Journal:
    """Begin a return, or go on with the one that is open."""
    machine = machine_of(town, order.asset)
    journal = unfinished(town, order.asset)
    if journal and is_overtaken(journal, machine):
        if not dry:
            write_certificate(journal, certificate(journal, town.name, "stock"))
            journal.add("closed", run, step="", verdict="stock")
        journal = None
    if journal and journal.has_done_nothing and differing(journal, machine):
        # the wrong machine, or a register that was wrong: whatever comes now is another return
        if not dry:
            journal.add("closed", run, step="", verdict="")
        journal = None
    if refused := refusal(order, machine, journal):
        raise ReturnError(refused)
    if journal is None:
        at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        journal = Journal(folder(town, order.asset) / f"{at}.jsonl")
    asked = {"step": "", "method": order.method, "without_machine": order.without_machine}
    columns = ("asset_tag", "serial_number", "model", "state", *PERSON)
    known = {name: getattr(machine, name) for name in columns}
    if dry:
        journal.events = journal.events or [
            {"run": run, "event": "opened", **asked, "machine": known}
        ]
    elif journal.events:
        journal.add("resumed", run, **asked)
    else:
        journal.add("opened", run, **asked, machine=known)
    return journal


@dataclass(frozen=True)
class Choice:
    """The method, and who or what has decided it."""

    method: str
    because: str


def choose(setting: str, journal: Journal, *, encrypted: bool, rebuilds: bool) -> Choice:
    """Return the method: what is set or begun, or else the strongest that there can be here."""
    if begun := journal.method_begun:
        # whoever chose it then is who has chosen it
        because = journal.method_because if journal.method == begun else ""
        return Choice(
            begun,
            because or tr("this return began by it", "ce retour a commencé par cette méthode"),
        )
    if setting != AUTO:
        return Choice(setting, tr("return_method says so", "return_method le dit"))
    if not encrypted:
        return Choice(
            "clean",
            tr(
                "chosen by itself, as its disk is not encrypted",
                "choisie d'elle-même, car son disque n'est pas chiffré",
            ),
        )
    if not rebuilds:
        return Choice(
            "clean",
            tr(
                "chosen by itself, as no server of the town rebuilds machines (netboot_servers)",
                "choisie d'elle-même, car aucun serveur de la ville ne réinstalle de machines "
                "(netboot_servers)",
            ),
        )
    return Choice(
        "rebuild",
        tr(
            "chosen by itself, as its disk is encrypted and the town has a netboot server",
            "choisie d'elle-même, car son disque est chiffré et la ville a un serveur netboot",
        ),
    )


def unchanged(town: Path, journal: Journal) -> None:
    """Refuse to go on when somebody has edited the machine's line meanwhile."""
    machine = machine_of(town, journal.opened["machine"]["asset_tag"])
    if "register" in journal.begun and machine.state == "stock":
        return  # a run was killed between the register and its line here
    states = ("returned", "quarantined")
    changed = differing(journal, machine) or ("" if machine.state in states else "state")
    if changed:
        asset = machine.asset_tag
        raise ReturnError(
            tr(
                f"{asset}: {changed} was changed in the register while the machine came back: put "
                "it back as it was, then run again; nothing more was done",
                f"{asset} : {changed} a changé dans le registre pendant le retour : remettre "
                "l'ancienne valeur, puis relancer ; rien de plus n'a été fait",
            )
        )


def set_state(town: Path, asset: str, state: str) -> None:
    """Write the machine's state into the register, if it isn't there already."""
    register.change(town, asset, state)


def certificate(journal: Journal, town_name: str, verdict: str) -> dict[str, Any]:
    """Return what the certificate says; it says no more than the journal."""
    opened = journal.opened
    refused = [event for event in journal.events if event["event"] == "refused"]
    done = [
        event
        for event in journal.events
        if event["event"] == "done" and journal.done.get(event["step"]) is event["facts"]
    ]
    return {
        "certificate": "nomade-return/1",
        "town": town_name,
        "asset_tag": opened["machine"]["asset_tag"],
        "serial_number": opened["machine"]["serial_number"],
        "model": opened["machine"]["model"],
        "person": {name.removeprefix("assignee_"): opened["machine"][name] for name in PERSON},
        "method": "" if journal.without_machine else journal.method,
        "method_because": journal.method_because,
        "without_machine": journal.without_machine,
        "opened": opened["at"],
        "closed": now(),
        "verdict": verdict,
        "runs": [
            {
                "run": run["run"],
                "at": run["at"],
                "by": run["by"],
                "steps": [
                    event["step"]
                    for event in journal.events
                    if event["run"] == run["run"] and event["event"] == "done"
                ],
            }
            for run in journal.runs
        ],
        "steps": [
            {"step": event["step"], "at": event["at"], "by": event["by"], "facts": event["facts"]}
            # what is proven anew in each run stands before what was done once
            for event in sorted(done, key=lambda event: event["step"] not in HARMLESS)
        ],
        "stops": [
            {"step": event["step"], "at": event["at"], "message": event["message"]}
            for event in refused
        ],
        "journal": journal.path.name,
        "journal_sha256": journal.sha256(),
    }


def write_certificate(journal: Journal, content: Mapping[str, Any], pdf: bytes = b"") -> Path:
    """Write the certificate beside the journal, and return where."""
    path = journal.path.with_suffix(".json")
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    files.replace(path, text.encode(), 0o600)
    if pdf:
        files.replace(path.with_suffix(".pdf"), pdf, 0o600)
    return path
