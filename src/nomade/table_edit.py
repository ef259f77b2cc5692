"""A CSV table changed cell by cell: every byte that nobody asked to change stays as it was."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterable, Mapping

from nomade.table import Table

BOM = b"\xef\xbb\xbf"


def set_cells(data: bytes, table: Table, changes: Mapping[int, Mapping[str, str]]) -> bytes:
    """Write cells, by line and column; a cell keeps its quotes, and gets some if it needs them."""
    text = _decode(data)
    starts = _line_starts(text)
    for line in sorted(changes, reverse=True):  # from the end: what stands before doesn't move
        spans = _cells(text, starts[line - 1], table.delimiter)
        where = {
            table.header.index(column): value
            for column, value in changes[line].items()
            if column in table.header
        }
        for column in sorted(where, reverse=True):
            start, end = spans[column]
            quoted = text.startswith('"', start, end)
            cell = _cell(where[column], table.delimiter, quoted)
            text = text[:start] + cell + text[end:]
    return _encode(text, data)


def append_rows(data: bytes, table: Table, rows: Iterable[Mapping[str, str]]) -> bytes:
    """Add lines at the end, in the file's own style; a last line without an end stays so."""
    text = _decode(data)
    lines = io.StringIO(text, newline="").readlines()
    head = next(n for n, line in enumerate(lines) if line.strip(" ,;\t\r\n"))
    spans = _cells(text, sum(map(len, lines[:head])), table.delimiter)
    quoted = all(text.startswith('"', start, end) for start, end in spans)
    ends = (line[len(line.rstrip("\r\n")) :] for line in lines[head:])
    line_end = next(filter(None, ends), "\n")
    is_ended = text.endswith(("\n", "\r"))
    for row in rows:
        cells = [_cell(row.get(column, ""), table.delimiter, quoted) for column in table.header]
        line = table.delimiter.join(cells)
        text += line + line_end if is_ended else line_end + line
    return _encode(text, data)


def tidy(value: str) -> str:
    """Return a cell as it is read again."""
    return unicodedata.normalize("NFC", value.strip())


def _decode(data: bytes) -> str:
    return data.removeprefix(BOM).decode("utf-8", "surrogateescape")


def _encode(text: str, data: bytes) -> bytes:
    # what the command line couldn't decode goes on as it came, and is refused when it is read
    return BOM * data.startswith(BOM) + text.encode("utf-8", "surrogateescape")


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in io.StringIO(text, newline=""):
        starts.append(starts[-1] + len(line))
    return starts


def _cells(text: str, start: int, delimiter: str) -> list[tuple[int, int]]:
    """Return where each cell of a record begins and ends, quotes included (RFC 4180)."""
    cell = re.compile(rf'"(?:[^"]|"")*"|[^{delimiter}\r\n]*')
    spans = []
    while match := cell.match(text, start):
        spans.append(match.span())
        if not text.startswith(delimiter, match.end()):
            break
        start = match.end() + len(delimiter)
    return spans


def _cell(value: str, delimiter: str, quoted: bool) -> str:
    value = tidy(value)
    if quoted or any(sign in value for sign in (delimiter, '"', "\r", "\n")):
        return '"' + value.replace('"', '""') + '"'
    return value
