"""`fleet import`: what a list says is shown first, and only what is sure is written."""

from __future__ import annotations

import csv
import io
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade import files
from nomade.cli import main
from nomade.recovered import compare, numbered
from nomade.register import COLUMNS, FILE, STATES, Draft, read_register
from nomade.table import TableError

HEADER = ";".join(COLUMNS)
REGISTER = [
    HEADER,
    "vb-1;SN1;00:00:5e:00:53:01;HP 840;Culture;assigned;zmontlune;Zoé Montlune;;;;",
    "vb-2;;;HP 850;Culture;recovered;;;;;;",
    "vb-3;SN3;;Dell;Culture;lost;;;;;;",
    "vb-4;SN4;;Dell;Culture;retired;;;;;;",
]
LIST = ("asset_tag", "serial_number", "mac_address", "model", "owner_department")

Captured = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("english")


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "town").mkdir()
    (tmp_path / "town" / FILE).write_bytes(
        "\r\n".join(REGISTER).encode()
    )  # no end to the last line
    monkeypatch.chdir(tmp_path)
    return Path("town")


def take(town: Path, lines: list[str], *options: str) -> int:
    Path("list.csv").write_text("\n".join([",".join(LIST), *lines]) + "\n")
    return main(["import", "-i", str(town), "list.csv", *options])


def test_preview_then_apply(town: Path, capsys: Captured) -> None:
    before = (town / FILE).read_bytes()
    lines = ["vb-5,SN5,,HP 840,Finances", "vb-2,SN2,,,", "vb-1,sn-1,,,"]
    assert take(town, lines) == 0
    assert capsys.readouterr().out == (
        "new       vb-5  SN5, HP 840, Finances\n"
        "changed   vb-2  serial_number: - → SN2\n"
        "new: 1, changed: 1, doubtful: 0, unchanged: 1\n"
        "to write it: the same with --apply\n"
    )
    assert (town / FILE).read_bytes() == before

    assert take(town, lines, "--apply") == 0
    assert "town/fleet.csv: written\n" in capsys.readouterr().out
    after = "\r\n".join(REGISTER).replace("vb-2;;", "vb-2;SN2;")
    after += "\r\nvb-5;SN5;;HP 840;Finances;recovered;;;;;;"
    assert (town / FILE).read_bytes() == after.encode()

    assert take(town, lines, "--apply") == 0
    assert capsys.readouterr().out == (
        "new: 0, changed: 0, doubtful: 0, unchanged: 3\ntown/fleet.csv: is so already; unchanged\n"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "vb-5,SN1,,,",
            "serial_number: \"SN1\": is vb-1's (fleet.csv:2); write this machine's own",
        ),
        (
            "vb-1,SN9,,,",
            'serial_number: "SN9": is not vb-1\'s, which is SN1 (fleet.csv:2); compare',
        ),
        ("vb-1,,,Dell,", 'asset_tag: "vb-1": is assigned in the register (fleet.csv:2); if it is'),
        (
            "vb-3,,,,",
            'asset_tag: "vb-3": is lost in the register (fleet.csv:4); if it is back, type',
        ),
        ("vb-4,,,,", 'asset_tag: "vb-4": is retired in the register (fleet.csv:5); leave its line'),
        (",,,HP,", 'asset_tag: "": the cell is empty; write the name on its label, or its serial'),
        (
            ",SN9,,HP,",
            'asset_tag: "": the cell is empty; write the name on its label, or its serial',
        ),
        ("VB_5,,,,", 'asset_tag: "VB_5": is no host name (RFC 1123); write lower-case letters'),
        (
            "vb-5,,,=1+1,",
            'model: "=1+1": is a formula to a spreadsheet; write it without its first',
        ),
        ("vb-5,,00:00:5e:00:53:01,,", 'mac_address: "00:00:5e:00:53:01": is vb-1\'s (fleet.csv:2)'),
        ("vb-5,,nonsense,,", 'mac_address: "nonsense": is no MAC address; write it like 3c:52'),
    ],
)
def test_what_is_doubtful_is_left_out(town: Path, capsys: Captured, line: str, said: str) -> None:
    assert take(town, [line, "vb-6,SN6,,,"], "--apply") == 1
    output = capsys.readouterr().out
    assert f"doubtful  list.csv:2: {said}" in output
    assert "new: 1, changed: 0, doubtful: 1, unchanged: 0\n" in output
    assert (town / FILE).read_bytes() == (
        "\r\n".join([*REGISTER, "vb-6;SN6;;;;recovered;;;;;;"]).encode()
    )


def test_two_lines_of_one_machine_are_both_doubtful(town: Path, capsys: Captured) -> None:
    lines = ["vb-5,SN5,,,", "vb-6,sn5,,,", "vb-7,SN7,3c:52:82:0a:1b:2c,,"]
    lines += ["vb-8,SN8,3C-52-82-0A-1B-2C,,"]
    assert take(town, lines) == 1
    said = capsys.readouterr().out
    assert said.count("serial_number: ") == said.count("mac_address: ") == 2
    assert "if it is a shared dongle's" in said
    assert "doubtful: 4" in said


def test_numbering(town: Path, capsys: Captured) -> None:
    lines = [",SN5,,,", "vb-5,SN6,,,", ",SN7,,,", "vb-6,SN8,,=1,", ",,,HP,", ",SN1,,,"]
    assert take(town, lines, "--first-tag", "vb-4") == 1
    said = capsys.readouterr().out
    assert [line.split()[1:3] for line in said.splitlines() if line.startswith("new ")] == [
        ["vb-7", "SN5"],
        ["vb-5", "SN6"],
        ["vb-8", "SN7"],
    ]
    assert "new: 3, changed: 0, doubtful: 2, unchanged: 1" in said


@pytest.mark.parametrize(
    ("first", "tags"),
    [("my-0041", ["my-0041", "my-0042"]), ("pc9", ["pc9", "pc10"]), ("pc", []), ("a1b9", ["a1b9"])],
)
def test_numbers_are_as_wide_as_the_first(first: str, tags: list[str]) -> None:
    found = numbered(first)
    assert [tag for tag, _ in zip(found, tags, strict=False)] == tags


def test_a_list_that_can_t_be_read(town: Path, capsys: Captured) -> None:
    Path("list.csv").write_text("Étiquette;serial_number\nvb-5;SN5\n")
    assert main(["import", "-i", str(town), "list.csv"]) == 1
    assert capsys.readouterr().err.startswith("list.csv:1: asset_tag: ")
    assert main(["import", "-i", str(town), "nowhere.csv"]) == 2
    assert capsys.readouterr().err == "nowhere.csv: No such file or directory\n"


def test_committed_in_plain_words(
    town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("gitconfig").write_text("[user]\nname = Paul\nemail = paul@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(Path("gitconfig").resolve()))
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", "-C", town, *words], check=True)
    assert take(town, ["vb-5,SN5,,,", "vb-2,SN2,,,"], "--apply", "--commit") == 0
    assert "1 recovered machine from list.csv, 1 completed\n" in capsys.readouterr().out


def test_in_french(town: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert take(town, ["vb-5,SN5,,,", "vb-3,,,,"]) == 1
    assert capsys.readouterr().out == (
        "nouvelle  vb-5  SN5\n"
        'douteuse  list.csv:3: asset_tag: "vb-3": est à l\'état lost dans le registre '
        "(fleet.csv:4) ; si elle est revenue, taper fleet return vb-3 ; sinon omettre sa ligne\n"
        "nouvelles : 1, modifiées : 0, douteuses : 1, inchangées : 0\n"
        "les lignes douteuses sont laissées de côté\n"
        "pour l'écrire : la même avec --apply\n"
    )


# Whatever the list ------------------------------------------------------------------------------


@st.composite
def lists(draw: st.DrawFn) -> list[tuple[str, ...]]:
    """Return a list as a department may send it: mostly sound, with every mistake there is."""
    texts = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=6)
    lines = []
    for n in range(draw(st.integers(1, 5))):
        sound = [f"m{n}", f"SN{n}", f"00:00:5e:00:53:0{n}", "HP", "Culture"]
        other = [f"x{n}", f"sn-9{n}", f"02-00-00-00-00-0{n}", "Dell; 7490", "Finances"]
        wrong = [
            draw(st.sampled_from(["m1", "VB_5", "all", "x0"])),
            draw(st.sampled_from(["SN1", "None", "=1+1", "0000000"])),
            draw(st.sampled_from(["00:00:5e:00:53:01", "01:00:5e:00:53:01", "x"])),
            draw(st.just("@SUM(1)") | texts),
            "!",
        ]
        kinds = [sound, sound, other, other, [""] * 5, [""] * 5]
        kinds += [wrong] * draw(st.sampled_from([0, 0, 1]))
        lines.append(tuple(draw(st.sampled_from(kinds))[column] for column in range(5)))
    return lines


def render(header: tuple[str, ...], lines: list[tuple[str, ...]], end: str) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator=end).writerows([header, *lines])
    return text.getvalue().encode("utf-8", "surrogatepass")


@st.composite
def registers(draw: st.DrawFn) -> bytes:
    lines = []
    for n in range(draw(st.integers(0, 4))):
        serial = draw(st.sampled_from([f"SN{n}", "", "Default string"]))
        mac = draw(st.sampled_from([f"00:00:5e:00:53:0{n}", ""]))
        person = (f"u{n}", "A B") + ("",) * 4
        states = [*STATES, "recovered", "stock", "recovered", "stock", "recovered", "stock"]
        state = draw(st.sampled_from(states))
        lines.append((f"m{n}", serial, mac, "HP", "Culture", state, *person))
    data = render(COLUMNS, lines, draw(st.sampled_from(["\n", "\r\n"])))
    return data if draw(st.booleans()) else data.rstrip(b"\r\n")


@given(registers(), lists(), st.sampled_from(["", "m1", "z-01"]))
def test_whatever_the_list_nothing_else_is_touched(
    before: bytes, lines: list[tuple[str, ...]], first_tag: str
) -> None:
    with tempfile.TemporaryDirectory() as place:
        town, source = Path(place), Path(place) / "list.csv"
        (town / FILE).write_bytes(before)
        source.write_bytes(render(LIST, lines, "\n"))
        old = {machine.asset_tag: machine for machine in read_register(town / FILE)}
        with files.locked(town):
            draft = Draft(town)
            try:
                found = compare(source, draft, first_tag)
            except TableError:
                return  # the list as a whole can't be read
            for cells in found.new:
                draft.add(cells)
            for machine, cells in found.changed:
                draft.write(machine, cells)
            edit = draft.edit()  # what is called sure never makes the register faulty
            draft.save(edit)
            again = compare(source, Draft(town), first_tag)
        after = (town / FILE).read_bytes()

    # each line of the list is one of the four
    lines_read = sum(any(cell.strip() for cell in line) for line in lines)
    doubtful = {fault.line for fault in found.doubtful}
    assert lines_read == len(found.new) + len(found.changed) + len(doubtful) + found.unchanged
    # a machine keeps its state and its person; the others keep everything, byte for byte
    changed = {machine.asset_tag for machine, _ in found.changed}
    olds, news = before.split(b"\n"), after.split(b"\n")
    for machine in edit.machines[: len(old)]:
        kept = old[machine.asset_tag]
        assert (machine.state, machine.assignee_login) == (kept.state, kept.assignee_login)
        if machine.asset_tag not in changed:
            assert machine == kept
            place_ = machine.line - 1
            assert news[place_].rstrip(b"\r") == olds[place_].rstrip(b"\r")
    assert {m.state for m in edit.machines[len(old) :]} <= {"recovered"}
    if not changed:
        assert after.startswith(before)
    # read once more, the list has nothing new to say
    assert (again.new, again.changed) == ([], [])
