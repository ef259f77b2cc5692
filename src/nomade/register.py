"""The register: fleet.csv, one line per machine, checked as a whole before anybody uses it."""

from __future__ import annotations

import difflib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from nomade import files, lifecycle, table_edit
from nomade.i18n import tr
from nomade.register_checks import check_assignee, check_cells, check_duplicates
from nomade.register_rules import (
    RESERVED_LOGINS,
    STATES,
    bare,
    is_placeholder_serial,
    natural,
    slug,
)
from nomade.table import Fault, TableError, parse_table, show, visible

__all__ = [
    "COLUMNS",
    "FILE",
    "OPTIONAL_COLUMNS",
    "RESERVED_LOGINS",
    "STATES",
    "ChangeError",
    "Draft",
    "Edit",
    "Machine",
    "bare",
    "change",
    "count_states",
    "is_placeholder_serial",
    "parse_register",
    "read_register",
    "slug",
]

FILE = "fleet.csv"
COLUMNS = (
    "asset_tag",
    "serial_number",
    "mac_address",
    "model",
    "owner_department",
    "state",
    "assignee_login",
    "assignee_name",
    "assignee_email",
    "department",
    "extension",
    "wave",
)
OPTIONAL_COLUMNS = ("management_address",)


@dataclass(frozen=True, slots=True)
class Machine:
    """One line of the register. An empty cell is an empty string; no wave is None."""

    line: int
    asset_tag: str
    serial_number: str
    mac_address: str
    model: str
    owner_department: str
    state: str
    assignee_login: str
    assignee_name: str
    assignee_email: str
    department: str
    extension: str
    wave: int | None
    management_address: str

    @property
    def is_assigned(self) -> bool:
        """Say whether the machine is somebody's: only such machines are equipped."""
        return self.state == "assigned"


def read_register(path: Path) -> list[Machine]:
    """Read a register, or raise TableError with everything that is wrong with it."""
    return parse_register(path.name, path.read_bytes())


def parse_register(name: str, data: bytes) -> list[Machine]:
    """Read a register's bytes, or raise TableError; `name` is of its file."""
    table = parse_table(name, data, COLUMNS, OPTIONAL_COLUMNS)
    checked = [(row, check_cells(table, row)) for row in table.rows]
    for row in table.rows:
        check_assignee(table, row)
    check_duplicates(table)
    table.refuse_faults()
    return [_machine(row.line, cells) for row, cells in checked]


def _machine(line: int, cells: dict[str, str]) -> Machine:
    wave = cells.pop("wave")
    cells.setdefault("management_address", "")
    return Machine(line=line, wave=int(wave) if wave else None, **cells)


def count_states(machines: list[Machine]) -> dict[str, int]:
    """Return how many machines are in each state, in the order of a machine's life."""
    counted = Counter(machine.state for machine in machines)
    return {state: counted[state] for state in STATES if counted[state]}


# Changing it -------------------------------------------------------------------------------------


class ChangeError(Exception):
    """The register can't be changed; the message says why and what to do. It is as it was."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The register before and after a change, written or only looked at."""

    path: Path
    before: bytes
    after: bytes
    machines: list[Machine]  # afterwards

    @property
    def is_changed(self) -> bool:
        """Say whether any byte differs."""
        return self.before != self.after

    def diff(self) -> list[str]:
        """Return the lines that differ, as `diff -U0` shows them."""
        old, new = (
            [line.rstrip("\r\n") for line in io.StringIO(text.decode(), newline="")]
            for text in (self.before, self.after)
        )
        lines = difflib.unified_diff(old, new, self.path.name, self.path.name, n=0, lineterm="")
        return [visible(line) for line in lines]


def change(
    town: Path,
    asset_tag: str,
    state: str,
    cells: Mapping[str, str] | None = None,
    *,
    dry_run: bool = False,
) -> Edit:
    """Bring one machine into a state, and write other cells of its line with it.

    Raises TableError or ChangeError, with nothing written, if that may not be, or if the register
    would no longer be valid. Asking for what is so already changes nothing.
    """
    with files.locked(town):
        draft = Draft(town)
        draft.move(asset_tag, state, cells)
        edit = draft.edit()
        if not dry_run:
            draft.save(edit)
        return edit


class Draft:
    """The register being changed: whoever makes one holds the town's lock (files.locked)."""

    def __init__(self, town: Path) -> None:
        """Read the register; raise if it is faulty, or open in a spreadsheet."""
        self.path = (town / FILE).resolve()
        _refuse_if_open(self.path)
        self.before = self.path.read_bytes()
        self.machines = parse_register(FILE, self.before)
        self.table = parse_table(FILE, self.before, COLUMNS, OPTIONAL_COLUMNS)
        self.cells: dict[int, dict[str, str]] = {}
        self.rows: list[Mapping[str, str]] = []

    def machine(self, asset_tag: str) -> Machine:
        """Return the machine of that name, or raise ChangeError."""
        found = next((m for m in self.machines if m.asset_tag == asset_tag), None)
        return found or _unknown(asset_tag, self.machines)

    def move(self, asset_tag: str, state: str, cells: Mapping[str, str] | None = None) -> None:
        """Bring a machine into a state, and write these cells; the person's go where they must."""
        machine = self.machine(asset_tag)
        new = {column: table_edit.tidy(value) for column, value in (cells or {}).items()}
        if lifecycle.forgets_person(machine.state, state):
            new = {**dict.fromkeys(lifecycle.PERSON, ""), **new}
        said = self.said(machine)
        new = {column: value for column, value in new.items() if value != said.get(column, "")}
        stays = state == machine.state and not new.keys() & set(lifecycle.PERSON)
        if not stays and state not in lifecycle.MAY_BECOME[machine.state]:
            reason = lifecycle.refusal(asset_tag, machine.state, state)
            raise TableError([Fault(FILE, machine.line, "state", machine.state, *reason)])
        if state != machine.state:
            new["state"] = state
        self.write(machine, new)

    def said(self, machine: Machine) -> dict[str, str]:
        """Return the cells of a machine's line as they stand there."""
        return next(row.cells for row in self.table.rows if row.line == machine.line)

    def write(self, machine: Machine, cells: Mapping[str, str]) -> None:
        """Write cells of a machine's line, whatever its state."""
        self._refuse_cells(machine.line, cells)
        self.cells.setdefault(machine.line, {}).update(cells)

    def add(self, cells: Mapping[str, str]) -> None:
        """Add a line."""
        self._refuse_cells(len(self.before.splitlines()) + len(self.rows) + 1, cells)
        self.rows.append(cells)

    def _refuse_cells(self, line: int, cells: Mapping[str, str]) -> None:
        """Refuse a column that isn't there, and what Calc or Excel would calculate."""
        faults = []
        for column, value in cells.items():
            if is_formula(value):
                problem = tr("is a formula to a spreadsheet", "est une formule pour un tableur")
                remedy = tr("write it without its first sign", "l'écrire sans son premier signe")
                faults.append(Fault(FILE, line, column, value, problem, remedy))
            elif value and column not in self.table.header:
                problem = tr("the column is missing", "la colonne manque")
                remedy = tr("write it in the first line", "l'écrire dans la première ligne")
                faults.append(Fault(FILE, 1, column, value, problem, remedy))
        if faults:
            raise TableError(faults)

    def edit(self) -> Edit:
        """Read the register as it would be; raise TableError with everything wrong with it."""
        after = table_edit.set_cells(self.before, self.table, self.cells)
        after = table_edit.append_rows(after, self.table, self.rows)
        return Edit(self.path, self.before, after, parse_register(FILE, after))

    def save(self, edit: Edit) -> None:
        """Write what `edit` returned, unless somebody wrote the register meanwhile."""
        if not edit.is_changed:
            return
        try:
            files.replace(self.path, edit.after, files.mode_of(self.path), expected=self.before)
        except files.ChangedMeanwhileError:
            raise ChangeError(
                tr(
                    f"{FILE}: somebody else has changed it just now; nothing was written: type the "
                    "command again",
                    f"{FILE} : quelqu'un d'autre vient de le modifier ; rien n'a été écrit : "
                    "retaper la commande",
                )
            ) from None


def is_formula(value: str) -> bool:
    """Say whether a spreadsheet would calculate a cell: whoever opens the register trusts it."""
    return value.lstrip().startswith(("=", "+", "-", "@"))


def _unknown(asset_tag: str, machines: list[Machine]) -> NoReturn:
    tags = [machine.asset_tag for machine in machines]
    alike = [tag for tag in tags if natural(tag) == natural(asset_tag.lower())]
    alike = alike or difflib.get_close_matches(asset_tag, tags, n=1)
    hint = tr(f" (did you mean {alike[0]}?)", f" (vouliez-vous {alike[0]} ?)") if alike else ""
    raise ChangeError(
        tr(
            f"{show(asset_tag)} is not in {FILE}{hint}; fleet list shows what is",
            f"{show(asset_tag)} n'est pas dans {FILE}{hint} ; fleet list montre ce qui y est",
        )
    )


def _refuse_if_open(path: Path) -> None:
    """Refuse a register that LibreOffice holds open: saving it there would undo the change."""
    lock = path.with_name(f".~lock.{path.name}#")
    try:
        by = lock.read_bytes().decode("utf-8", "replace").strip(",").split(",")[0]
    except FileNotFoundError:
        return
    who = show(by or "?")
    raise ChangeError(
        tr(
            f"{FILE}: is open in LibreOffice ({who}), where saving it would undo the change; close "
            f"it there first (if nobody has it open, delete {lock.name})",
            f"{FILE} : est ouvert dans LibreOffice ({who}), où l'enregistrer déferait le "
            f"changement ; le fermer d'abord (si personne ne l'a ouvert, supprimer {lock.name})",
        )
    )
