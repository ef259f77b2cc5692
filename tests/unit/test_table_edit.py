"""Cells changed in a CSV file: every other byte stays, whatever program wrote the file."""

from __future__ import annotations

import io
import unicodedata
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from nomade.table import Table, parse_table
from nomade.table_edit import append_rows, set_cells

COLUMNS = ("asset_tag", "state", "note")
plain = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=8)
# what only quotes can hold
wild = st.text(st.sampled_from('ab é"\n\r,;= \u2028'), max_size=6)


@dataclass
class Cell:
    """A cell, and whether whoever wrote it put quotes around it."""

    text: str
    quoted: bool

    def render(self, delimiter: str) -> str:
        if self.quoted or any(sign in self.text for sign in (delimiter, '"', "\n", "\r")):
            return '"' + self.text.replace('"', '""') + '"'
        return self.text


@dataclass
class File:
    """A file as Calc, Excel or a person may have written it."""

    rows: list[list[Cell]]
    delimiter: str
    line_end: str
    bom: bool
    ended: bool

    def render(self) -> bytes:
        lines = [self.delimiter.join(c.render(self.delimiter) for c in row) for row in self.rows]
        text = self.line_end.join(lines) + self.line_end * self.ended
        return b"\xef\xbb\xbf" * self.bom + text.encode()

    def line(self, row: int) -> int:
        """Return the number of the line on which a row begins."""
        lines = [self.delimiter.join(c.render(self.delimiter) for c in r) for r in self.rows[:row]]
        before = self.line_end.join([*lines, ""])
        return len(io.StringIO(before, newline="").readlines()) + 1

    def table(self) -> Table:
        table = parse_table("a.csv", self.render(), COLUMNS[:2])
        table.refuse_faults()
        return table


@st.composite
def csv_files(draw: st.DrawFn) -> File:
    header = [Cell(name, draw(st.booleans())) for name in draw(st.permutations(COLUMNS))]
    rows = [header]
    for n in range(draw(st.integers(1, 4))):
        texts = {"asset_tag": f"m{n}", "state": draw(st.sampled_from(["stock", "lost"]))}
        texts["note"] = draw(plain | wild)
        rows.append([Cell(texts[head.text], draw(st.booleans())) for head in header])
    # a spreadsheet keeps empty cells to the right of the last column
    for row in rows[1:]:
        row += [Cell("", False)] * draw(st.integers(0, 2))
    return File(
        rows,
        draw(st.sampled_from(",;")),
        draw(st.sampled_from(["\n", "\r\n"])),
        draw(st.booleans()),
        draw(st.booleans()),
    )


@given(csv_files(), st.data())
def test_only_the_cells_asked_for_change(file: File, data: st.DataObject) -> None:
    row = data.draw(st.integers(1, len(file.rows) - 1))
    names = [cell.text for cell in file.rows[0]]
    column = data.draw(st.sampled_from(names))
    value = data.draw(plain | st.sampled_from(['"', 'a;b,"c"', "=1+1", ""]))

    done = set_cells(file.render(), file.table(), {file.line(row): {column: value}})

    cell = file.rows[row][names.index(column)]
    cell.quoted = cell.render(file.delimiter).startswith('"')  # quotes that were needed stay, too
    cell.text = as_read(value)
    assert done == file.render()


@given(csv_files(), st.lists(plain, min_size=1, max_size=3))
def test_lines_are_added_in_the_file_s_own_style(file: File, tags: list[str]) -> None:
    before = file.render()
    quoted = all(cell.quoted for cell in file.rows[0])
    done = append_rows(before, file.table(), [{"asset_tag": tag} for tag in tags])
    assert done.startswith(before)
    for tag in tags:
        texts = {"asset_tag": as_read(tag)}
        file.rows.append([Cell(texts.get(c.text, ""), quoted) for c in file.rows[0]])
    assert done == file.render()


def as_read(text: str) -> str:
    return unicodedata.normalize("NFC", text.strip())


def test_several_cells_of_several_lines_at_once() -> None:
    data = b'note;"asset_tag";state\r\n"a\nb";m1;stock\r\n;m2; stock \r\n;"m3";stock'
    table = parse_table("a.csv", data, COLUMNS[:2])
    changes = {2: {"state": "lost", "note": "x;y"}, 5: {"asset_tag": "m4"}}
    assert set_cells(data, table, changes) == (
        b'note;"asset_tag";state\r\n"x;y";m1;lost\r\n;m2; stock \r\n;"m4";stock'
    )
