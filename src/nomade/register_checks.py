"""What the register's lines must hold: cell by cell, line by line, and across lines."""

from __future__ import annotations

from nomade.i18n import tr
from nomade.register_rules import RULES, CellError, bare, is_placeholder_serial, states_to_write
from nomade.table import Row, Table, quote


def check_cells(table: Table, row: Row) -> dict[str, str]:
    """Return the cells in their one form (MAC addresses with colons); note what is refused."""
    cells = {}
    for column, cell in row.cells.items():
        try:
            cells[column] = RULES[column](cell) if cell and column in RULES else cell
        except CellError as error:
            table.fault(row.line, column, cell, *error.args)
    for column in ("asset_tag", "state"):
        if row.cells.get(column) == "":
            table.fault(
                row.line,
                column,
                "",
                tr("the cell is empty", "la cellule est vide"),
                tr(
                    "write the name on the machine's label, like vb-0042",
                    "écrire le nom porté par l'étiquette de la machine, comme vb-0042",
                )
                if column == "asset_tag"
                else states_to_write(),
            )
    return cells


def check_assignee(table: Table, row: Row) -> None:
    """Ask for the person of an assigned machine: a login for the account, a name for the sheet."""
    if row.cells.get("state") != "assigned":
        return
    for column in ("assignee_login", "assignee_name"):
        if row.cells.get(column) == "":
            table.fault(
                row.line,
                column,
                "",
                tr("the machine is assigned to nobody", "la machine n'est attribuée à personne"),
                tr(
                    "write whose it is, or the state stock",
                    "écrire à qui elle est, ou l'état stock",
                ),
            )


def check_duplicates(table: Table) -> None:
    """Refuse what two machines can't share, whatever the case or the separator.

    A person whose laptop was lost or came back has a line with that state and an assigned one:
    logins and extensions are unique among the assigned machines.
    """
    everywhere = {"asset_tag": str.casefold, "serial_number": bare, "mac_address": bare}
    assigned = {"assignee_login": str.casefold, "extension": str.casefold}
    for column, key in {**everywhere, **assigned}.items():
        first: dict[str, Row] = {}
        for row in table.rows:
            cell = row.cells.get(column, "")
            if not cell or (column in assigned and row.cells.get("state") != "assigned"):
                continue
            if column == "serial_number" and is_placeholder_serial(cell):
                continue
            other = first.setdefault(key(cell), row)
            if other is not row:
                tag = quote(other.cells.get("asset_tag", ""))
                table.fault(
                    row.line,
                    column,
                    cell,
                    tr(
                        f"stands on line {other.line} already ({tag})",
                        f"se trouve déjà à la ligne {other.line} ({tag})",
                    ),
                    tr("write this machine's own", "écrire celui de cette machine-ci"),
                )
