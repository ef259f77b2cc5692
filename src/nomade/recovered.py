"""A list of recovered laptops held against the register: what is new, changed, doubtful."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nomade.i18n import tr
from nomade.register import FILE, Draft, Machine, is_formula
from nomade.register_rules import RULES, CellError, bare
from nomade.table import Fault, Row, Table, read_table

REQUIRED = ("asset_tag", "serial_number")
OPTIONAL = ("mac_address", "model", "owner_department")
UNIQUE: dict[str, Callable[[str], str]] = {
    "asset_tag": str.casefold,
    "serial_number": bare,
    "mac_address": bare,
}


@dataclass(slots=True)
class Found:
    """What a list says that the register doesn't."""

    new: list[dict[str, str]] = field(default_factory=list)
    changed: list[tuple[Machine, dict[str, str]]] = field(default_factory=list)
    doubtful: list[Fault] = field(default_factory=list)
    unchanged: int = 0


def compare(path: Path, draft: Draft, first_tag: str = "") -> Found:
    """Read a list and sort its lines; raise TableError if the list as a whole can't be read.

    Lines without a tag get `first_tag` and the numbers after it, if it is given.
    """
    table = read_table(path, REQUIRED, OPTIONAL)
    table.refuse_faults()
    found = Found()
    lines = [(row, _cells(table, row)) for row in table.rows]
    _check_doubles(table, lines)
    _check_against(table, draft, lines)
    doubted = {fault.line for fault in table.faults}
    sure = [(row, cells) for row, cells in lines if row.line not in doubted]
    taken = {m.asset_tag for m in draft.machines} | {row.cells["asset_tag"] for row in table.rows}
    tags = (tag for tag in numbered(first_tag) if tag not in taken) if first_tag else iter(())
    known = _Known(draft.machines)
    for row, cells in sure:
        machine = known.machine(cells)
        if machine is None and not cells["asset_tag"]:
            # without a serial number it would be another machine each time the list is read
            tag = next(tags, "") if cells["serial_number"] else ""
            if not tag:
                table.fault(row.line, "asset_tag", "", *_untagged())
                continue
            cells["asset_tag"] = tag
        if machine is None:
            found.new.append({**cells, "state": "recovered"})
        elif changes := _changes(machine, cells):
            found.changed.append((machine, changes))
        else:
            found.unchanged += 1
    found.doubtful = sorted(table.faults, key=lambda fault: fault.line)
    return found


def numbered(first: str) -> Iterator[str]:
    """Yield my-0041, my-0042, ...: as many digits as the first one has."""
    if match := re.fullmatch(r"(.*?)([0-9]+)", first):
        stem, digits = match.groups()
        for number in range(int(digits), 10 ** max(len(digits), 4)):
            yield f"{stem}{number:0{len(digits)}}"


class _Known:
    """The register's machines by what tells one from another."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.by = {
            column: {
                key(value): machine for machine in machines if (value := getattr(machine, column))
            }
            for column, key in UNIQUE.items()
        }

    def machine(self, cells: dict[str, str]) -> Machine | None:
        """Return the machine that a line means: by its tag, or by its serial number alone."""
        return self.find("asset_tag" if cells["asset_tag"] else "serial_number", cells)

    def find(self, column: str, cells: dict[str, str]) -> Machine | None:
        return self.by[column].get(UNIQUE[column](cells[column])) if cells[column] else None


def _cells(table: Table, row: Row) -> dict[str, str]:
    """Return the cells in their one form; note what is refused."""
    cells = dict.fromkeys((*REQUIRED, *OPTIONAL), "")
    for column, cell in row.cells.items():
        try:
            if is_formula(cell):
                raise CellError(
                    tr("is a formula to a spreadsheet", "est une formule pour un tableur"),
                    tr("write it without its first sign", "l'écrire sans son premier signe"),
                )
            cells[column] = RULES[column](cell) if cell and column in RULES else cell
        except CellError as error:
            table.fault(row.line, column, cell, *error.args)
    return cells


def _check_doubles(table: Table, lines: Sequence[tuple[Row, dict[str, str]]]) -> None:
    """Doubt every one of several lines that claim the same."""
    for column, key in UNIQUE.items():
        count = Counter(key(cells[column]) for _, cells in lines if cells[column])
        for row, cells in lines:
            if cells[column] and count[key(cells[column])] > 1:
                table.fault(
                    row.line,
                    column,
                    cells[column],
                    tr("stands in this list more than once", "est plusieurs fois dans cette liste"),
                    _remedy(column),
                )


def _check_against(table: Table, draft: Draft, lines: Sequence[tuple[Row, dict[str, str]]]) -> None:
    """Doubt what would give a machine of the register another identity, or another life."""
    known = _Known(draft.machines)
    for row, cells in lines:
        machine = known.machine(cells)
        for column in ("serial_number", "mac_address"):
            other = known.find(column, cells)
            if other is not None and other is not machine:
                table.fault(row.line, column, cells[column], _is_of(other), _remedy(column))
        if machine is None:
            continue
        serial = machine.serial_number
        if serial and cells["serial_number"] and bare(serial) != bare(cells["serial_number"]):
            table.fault(row.line, "serial_number", cells["serial_number"], *_other_serial(machine))
        is_shelved = machine.state in {"recovered", "stock"}
        if machine.state in {"lost", "retired"} or (not is_shelved and _changes(machine, cells)):
            table.fault(row.line, "asset_tag", machine.asset_tag, *_other_life(machine))


def _changes(machine: Machine, cells: dict[str, str]) -> dict[str, str]:
    """Return what the list says otherwise; an empty cell says nothing."""
    return {
        column: cells[column]
        for column in ("serial_number", *OPTIONAL)
        if cells[column]
        and UNIQUE.get(column, str)(cells[column])
        != UNIQUE.get(column, str)(getattr(machine, column))
    }


def _is_of(machine: Machine) -> str:
    place = f"{FILE}:{machine.line}"
    return tr(f"is {machine.asset_tag}'s ({place})", f"est à {machine.asset_tag} ({place})")


def _other_serial(machine: Machine) -> tuple[str, str]:
    return (
        tr(
            f"is not {machine.asset_tag}'s, which is {machine.serial_number} ({FILE}:"
            f"{machine.line})",
            f"n'est pas celui de {machine.asset_tag}, qui est {machine.serial_number} ({FILE}:"
            f"{machine.line})",
        ),
        tr("compare label and firmware", "comparer l'étiquette et le microprogramme"),
    )


def _other_life(machine: Machine) -> tuple[str, str]:
    return (
        tr(
            f"is {machine.state} in the register ({FILE}:{machine.line})",
            f"est à l'état {machine.state} dans le registre ({FILE}:{machine.line})",
        ),
        tr("leave its line out", "omettre sa ligne")
        if machine.state == "retired"
        else tr(
            f"if it is back, type fleet return {machine.asset_tag}; else leave its line out",
            f"si elle est revenue, taper fleet return {machine.asset_tag} ; sinon omettre sa ligne",
        ),
    )


def _untagged() -> tuple[str, str]:
    return (
        tr("the cell is empty", "la cellule est vide"),
        tr(
            "write the name on its label, or its serial number and give --first-tag",
            "écrire le nom porté par son étiquette, ou son numéro de série et donner --first-tag",
        ),
    )


def _remedy(column: str) -> str:
    if column == "mac_address":
        return tr(
            "leave it empty if it is a shared dongle's",
            "la laisser vide si c'est celle d'un adaptateur partagé",
        )
    return tr("write this machine's own", "écrire celui de cette machine-ci")
