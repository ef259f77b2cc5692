"""A CSV table that people keep in a spreadsheet, read so that every fault is told with its place.

LibreOffice Calc and Excel write commas or semicolons, LF or CRLF, with or without a byte order
mark, and quote cells as they like: all of that is accepted. What would be guessed at is refused.
"""

from __future__ import annotations

import csv
import difflib
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nomade.i18n import tr

LONGEST_CELL = 255
LONGEST_SHOWN = 60
# control, invisible, lone surrogate, private, unassigned, line and paragraph separator
UNWANTED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a table: where it stands, what is wrong, what to write instead."""

    file: str
    line: int
    column: str
    value: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        """Return the fault as one line."""
        said = self.problem + tr("; ", " ; ") + self.remedy
        return f"{self.file}:{self.line}: {show(self.column) or '-'}: {quote(self.value)}: {said}"


class TableError(Exception):
    """Tables are refused; `faults` holds every reason, in the order of the lines."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        """Keep the faults, sorted by file and line."""
        self.faults = sorted(faults, key=lambda fault: (fault.file, fault.line))
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its number, and its well-formed cells by column."""

    line: int
    cells: dict[str, str]


@dataclass(slots=True)
class Table:
    """A table as read: its form, its rows, and the faults found so far."""

    file: str
    delimiter: str = ","
    header: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def fault(self, line: int, column: str, value: str, problem: str, remedy: str) -> None:
        """Note a fault."""
        self.faults.append(Fault(self.file, line, column, value, problem, remedy))

    def refuse_faults(self) -> None:
        """Raise TableError if there is any fault."""
        if self.faults:
            raise TableError(self.faults)


def plural(count: int, word: str) -> str:
    """Return the count with its word: 1 machine, 2 machines (French says 0 machine, too)."""
    return f"{count} {word}{tr('s', '' if count == 0 else 's') if count != 1 else ''}"


def show(text: str) -> str:
    """Return the text short, and with nothing in it that would disturb a terminal."""
    return visible(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…")


def visible(text: str) -> str:
    """Return the text with nothing in it that would disturb a terminal."""
    return "".join(map(_visible, text))


def quote(value: str) -> str:
    """Return a cell as a message shows it."""
    return f'"{show(value)}"'


def _visible(character: str) -> str:
    if _is_raw_byte(character):
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _is_raw_byte(character: str) -> bool:
    """Say whether it stands for a byte that is not UTF-8 (PEP 383)."""
    return "\udc80" <= character <= "\udcff"


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Table:
    """Read the columns that are asked for from a CSV file: see parse_table."""
    return parse_table(path.name, path.read_bytes(), required, optional)


def parse_table(
    name: str, data: bytes, required: Sequence[str], optional: Sequence[str] = ()
) -> Table:
    """Read the columns that are asked for from the bytes of a CSV file; others are ignored.

    Faults of form (encoding, quotes, columns, length of lines) are noted in the table, and what
    can still be read is read, so that the caller adds the faults of content to them.
    """
    table = Table(name)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        table.fault(1, "-", "", tr("is UTF-16, not UTF-8", "est en UTF-16, pas en UTF-8"), _utf8())
        return table
    # Bytes that are not UTF-8 stay in their cells, and so are told with line and column.
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    lines = list(io.StringIO(text, newline=""))
    start = next((n for n, line in enumerate(lines) if line.strip(" ,;\t\r\n")), None)
    if start is None:
        columns = ",".join(required)
        table.fault(
            1,
            "-",
            "",
            tr("the file is empty", "le fichier est vide"),
            tr(f"write as its first line {columns}", f"écrire en première ligne {columns}"),
        )
        return table
    _read_lines(table, lines, start, required, [*required, *optional])
    return table


def _read_lines(
    table: Table, lines: Sequence[str], start: int, required: Sequence[str], known: Sequence[str]
) -> None:
    undecodable: list[Fault] = []
    table.delimiter = _delimiter(lines[start], known)
    for line, record in _records(lines, start, table.delimiter):
        if isinstance(record, csv.Error):
            table.fault(
                line,
                "-",
                lines[line - 1].strip(),
                tr(
                    'a quote (") is not closed, or stands inside a cell',
                    "un guillemet (\") n'est pas fermé, ou se trouve dans une cellule",
                ),
                tr('close it, or double it ("")', 'le fermer, ou le doubler ("")'),
            )
        elif not table.header:
            table.header = [cell.strip().casefold() for cell in record]
            _check_header(table, line, required, known)
        elif any(cell.strip() for cell in record):
            _read_record(table, line, record, known, undecodable)
        if not table.header:
            return  # without columns nothing more can be said
    if undecodable:
        # A file in another encoding has such a fault in every other line: one is enough.
        first, others = undecodable[0], len(undecodable) - 1
        table.fault(
            first.line,
            first.column,
            first.value,
            tr("is not UTF-8", "n'est pas en UTF-8")
            + (
                tr(f", nor are {others} more cells", f", ni {others} autres cellules")
                * bool(others)
            ),
            _utf8(),
        )


def _delimiter(header: str, known: Sequence[str]) -> str:
    """Choose comma or semicolon: the one with which the header names more of the columns."""

    def columns_named(delimiter: str) -> int:
        cells = next(csv.reader([header], delimiter=delimiter), [])
        return sum(cell.strip().casefold() in known for cell in cells)

    return max(",", ";", key=columns_named)


def _records(
    lines: Sequence[str], start: int, delimiter: str
) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Yield each record with the number of its first line, or what is wrong with it.

    An unclosed quote would swallow the rest of the file: reading goes on at the next line.
    """
    while start < len(lines):
        reader = csv.reader(lines[start:], delimiter=delimiter, strict=True)
        first = start
        try:
            for record in reader:
                yield first + 1, record
                first = start + reader.line_num
        except csv.Error as error:
            yield first + 1, error
            start = first + 1
        else:
            return


def _check_header(table: Table, line: int, required: Sequence[str], known: Sequence[str]) -> None:
    for column in known:
        if table.header.count(column) > 1:
            table.fault(
                line,
                column,
                column,
                tr("the column stands there twice", "la colonne est en double"),
                tr("delete one of the two", "supprimer l'une des deux"),
            )
    others = [column for column in table.header if column not in known]
    for column in required:
        if column not in table.header:
            alike = difflib.get_close_matches(column, others, n=1)
            table.fault(
                line,
                column,
                alike[0] if alike else "",
                tr("the column is missing", "la colonne manque"),
                tr(
                    f"write {column} in the first line",
                    f"écrire {column} dans la première ligne",
                ),
            )


def _read_record(
    table: Table,
    line: int,
    record: Sequence[str],
    known: Sequence[str],
    undecodable: list[Fault],
) -> None:
    """Add the record to the table's rows, without the cells that are noted as faulty."""
    header = table.header
    whole = ",".join(record)
    unlike = tr(
        f"the line has {len(record)} cells, the first line {len(header)}",
        f"la ligne a {len(record)} cellules, la première ligne {len(header)}",
    )
    if len(record) < len(header):
        remedy = tr("add the missing ones, empty or not", "ajouter celles qui manquent, même vides")
        table.fault(line, header[len(record)], whole, unlike, remedy)
        return
    if any(cell.strip() for cell in record[len(header) :]):
        remedy = tr(
            "put quotes around the cell that holds a comma or semicolon",
            "mettre entre guillemets la cellule qui contient une virgule ou un point-virgule",
        )
        table.fault(line, "-", whole, unlike, remedy)
        return
    cells: dict[str, str] = {}
    for column, raw in zip(header, record, strict=False):
        cell = unicodedata.normalize("NFC", raw.strip())
        if any(map(_is_raw_byte, cell)):
            undecodable.append(Fault(table.file, line, column, cell, "", ""))
        elif problem := _malformed(cell, column in known):
            table.fault(line, column, cell, *problem)
        elif column in known:
            cells.setdefault(column, cell)
    table.rows.append(Row(line, cells))


def _malformed(cell: str, is_known: bool) -> tuple[str, str] | None:
    """Say what is wrong with the characters of a cell, and the remedy."""
    if "\0" in cell:
        return tr("holds a NUL byte", "contient un octet nul"), _again()
    if not is_known:
        return None
    if unwanted := next((c for c in cell if unicodedata.category(c) in UNWANTED), None):
        if unwanted in "\r\n":
            return (
                tr("holds a line break", "contient un retour à la ligne"),
                tr("write it on one line", "l'écrire sur une seule ligne"),
            )
        name = f"U+{ord(unwanted):04X}"
        return (
            tr(
                f"holds the invisible character {name}",
                f"contient le caractère invisible {name}",
            ),
            _again(),
        )
    if len(cell) > LONGEST_CELL:
        return (
            tr(f"is {len(cell)} characters long", f"fait {len(cell)} caractères"),
            tr(f"write at most {LONGEST_CELL}", f"en écrire {LONGEST_CELL} au plus"),
        )
    return None


def _utf8() -> str:
    return tr(
        'save the file as UTF-8 (LibreOffice Calc: Save As, "Edit filter settings")',
        "enregistrer le fichier en UTF-8 (LibreOffice Calc : Enregistrer sous, "
        "« Éditer les paramètres du filtre »)",
    )


def _again() -> str:
    return tr("type the cell again", "ressaisir la cellule")
