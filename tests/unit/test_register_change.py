"""Changing the register: which state follows which, one line at a time, nobody's work lost."""

from __future__ import annotations

import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nomade import files, lifecycle, register
from nomade.allocations import read_allocations
from nomade.register import COLUMNS, STATES, ChangeError, Draft, change, read_register
from nomade.table import TableError

BOM = b"\xef\xbb\xbf"
HEADER = ";".join([*COLUMNS, "note"])
PERSON = "zmontlune;Zoé Montlune;zoe@example.org;Finances;2042;1"
WORKER = """
import sys
from nomade.cli import main
for line in sys.stdin:
    town, login = line.split()
    sys.stdout = open(f"{town}/said.{login}", "w")
    networks = ["--ipv4-network", "10.66.0.0/16", "--ipv6-network", "fd66::/64"]
    done = main(["assign", "-i", town, "--next", "--login", login, "--name", login, *networks])
    sys.stdout.close()
    print(done, file=sys.stderr, flush=True)
"""


pytestmark = pytest.mark.usefixtures("english")


def line(tag: str, state: str, person: str = ";;;;;", note: str = "") -> str:
    return f"{tag};;;Model;Finances;{state};{person};{note}"


def write(town: Path, *lines: str, end: str = "\r\n") -> bytes:
    data = BOM + end.join([HEADER, *lines, ""]).encode()
    (town / "fleet.csv").write_bytes(data)
    return data


def state_of(town: Path, tag: str) -> str:
    found = {machine.asset_tag: machine.state for machine in read_register(town / "fleet.csv")}
    return found[tag]


# Which state may follow which --------------------------------------------------------------------


@pytest.mark.parametrize(("old", "new"), list(itertools.product(STATES, STATES)))
def test_only_the_moves_of_the_table_are_made(tmp_path: Path, old: str, new: str) -> None:
    before = write(tmp_path, line("m1", old, PERSON), line("m2", "stock"))
    if new == old or new in lifecycle.MAY_BECOME[old]:
        edit = change(tmp_path, "m1", new)
        assert state_of(tmp_path, "m1") == new
        assert edit.is_changed == (new != old)
        assert edit.after == (tmp_path / "fleet.csv").read_bytes()
    else:
        with pytest.raises(TableError) as refused:
            change(tmp_path, "m1", new)
        said = str(refused.value)
        assert said.startswith(f'fleet.csv:2: state: "{old}": m1 can\'t become {new} from there; ')
        assert "\n" not in said
        assert (tmp_path / "fleet.csv").read_bytes() == before


def test_the_table_knows_every_state_and_every_command() -> None:
    assert set(lifecycle.MAY_BECOME) == set(STATES)
    assert {new for moves in lifecycle.MAY_BECOME.values() for new in moves} <= set(STATES)
    assert [old for old in STATES if "assigned" in lifecycle.MAY_BECOME[old]] == ["stock"]
    assert lifecycle.MAY_BECOME["retired"] == {}


@pytest.mark.parametrize(
    ("old", "new", "is_forgotten"),
    [
        ("assigned", "returned", False),
        ("assigned", "lost", False),
        ("returned", "quarantined", False),
        ("returned", "stock", True),
        ("quarantined", "stock", True),
        ("lost", "retired", True),
        ("recovered", "stock", False),
    ],
)
def test_who_had_it_is_forgotten_with_the_data(
    tmp_path: Path, old: str, new: str, is_forgotten: bool
) -> None:
    write(tmp_path, line("m1", old, PERSON, "keep me"))
    change(tmp_path, "m1", new)
    person = ";;;;;" if is_forgotten else PERSON
    assert (tmp_path / "fleet.csv").read_text("utf-8-sig").split("\n")[1].rstrip() == (
        line("m1", new, person, "keep me")
    )


def test_other_cells_can_be_written_with_a_state_or_without(tmp_path: Path) -> None:
    write(tmp_path, line("m1", "returned", PERSON))
    change(tmp_path, "m1", "returned", {"model": "  Mode\u0301le "})
    assert read_register(tmp_path / "fleet.csv")[0].model == "Modéle"
    with pytest.raises(TableError, match=r'^fleet.csv:1: management_address: "192.168.1.4": the'):
        change(tmp_path, "m1", "stock", {"management_address": "192.168.1.4"})
    assert not change(tmp_path, "m1", "returned", {"management_address": ""}).is_changed


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", " =HYPERLINK(1)"])
def test_no_formula_is_written(tmp_path: Path, formula: str) -> None:
    before = write(tmp_path, line("m1", "stock"))
    with pytest.raises(TableError, match=r"fleet.csv:2: model: .* is a formula to a spreadsheet"):
        change(tmp_path, "m1", "stock", {"model": formula})
    assert (tmp_path / "fleet.csv").read_bytes() == before


def test_a_formula_that_stands_there_stays_untouched(tmp_path: Path) -> None:
    write(tmp_path, line("m1", "stock", note='"=HYPERLINK(""http://x"")"'))
    change(tmp_path, "m1", "lost")
    assert b'"=HYPERLINK(""http://x"")"\r\n' in (tmp_path / "fleet.csv").read_bytes()


def test_what_would_be_faulty_is_refused_as_a_whole(tmp_path: Path) -> None:
    before = write(tmp_path, line("m1", "assigned", PERSON), line("m2", "stock"))
    cells = {"assignee_login": "b", "assignee_name": "B", "extension": "2042", "wave": "x"}
    with pytest.raises(TableError) as refused:
        change(tmp_path, "m2", "assigned", cells)
    assert str(refused.value).splitlines() == [
        'fleet.csv:3: wave: "x": is no wave; write a whole number from 1 to 99',
        'fleet.csv:3: extension: "2042": stands on line 2 already ("m1"); '
        "write this machine's own",
    ]
    assert (tmp_path / "fleet.csv").read_bytes() == before


def test_a_faulty_register_is_not_changed(tmp_path: Path) -> None:
    before = write(tmp_path, line("m1", "stock"), line("m2", "gone"))
    with pytest.raises(TableError, match=r'^fleet.csv:3: state: "gone"'):
        change(tmp_path, "m1", "lost")
    assert (tmp_path / "fleet.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("tag", "hint"),
    [("m1", " (did you mean m0001?)"), ("M0002", " (did you mean m0002?)"), ("x", "")],
)
def test_an_unknown_machine(tmp_path: Path, tag: str, hint: str) -> None:
    write(tmp_path, line("m0001", "stock"), line("m0002", "stock"))
    with pytest.raises(ChangeError) as refused:
        change(tmp_path, tag, "lost")
    assert str(refused.value) == f"{tag} is not in fleet.csv{hint}; fleet list shows what is"


def test_dry(tmp_path: Path) -> None:
    before = write(tmp_path, line("m1", "stock"))
    edit = change(tmp_path, "m1", "lost", dry_run=True)
    assert edit.diff() == [
        "--- fleet.csv",
        "+++ fleet.csv",
        "@@ -2 +2 @@",
        "-" + line("m1", "stock"),
        "+" + line("m1", "lost"),
    ]
    assert (tmp_path / "fleet.csv").read_bytes() == before


def test_a_diff_does_not_disturb_the_terminal(tmp_path: Path) -> None:
    write(tmp_path, line("m1", "stock", note="\x1b[2J"))
    assert change(tmp_path, "m1", "lost").diff()[-1].endswith(r";\x1b[2J")


def test_rights_stay_and_links_are_followed(tmp_path: Path) -> None:
    real, town = tmp_path / "real", tmp_path / "town"
    real.mkdir()
    town.mkdir()
    write(real, line("m1", "stock"))
    (real / "fleet.csv").chmod(0o640)
    (town / "fleet.csv").symlink_to(real / "fleet.csv")
    change(town, "m1", "lost")
    assert (town / "fleet.csv").is_symlink()
    assert state_of(real, "m1") == "lost"
    assert (real / "fleet.csv").stat().st_mode & 0o777 == 0o640
    assert [path.name for path in real.iterdir()] == ["fleet.csv"]


# Byte for byte -----------------------------------------------------------------------------------


@st.composite
def towns(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """Return a valid register as somebody may have left it, and its tags."""
    delimiter, end = draw(st.sampled_from(",;")), draw(st.sampled_from(["\n", "\r\n"]))
    columns = draw(st.permutations([*COLUMNS, "own"]))
    lines = [columns]
    count = draw(st.integers(1, 5))
    for n in range(count):
        cells = dict.fromkeys(columns, "")
        cells |= {"asset_tag": f"m{n}", "state": draw(st.sampled_from(STATES))}
        cells["model"] = draw(st.sampled_from(["", "Dell", " spaced ", "É", 'a "b"', "=1"]))
        cells["own"] = draw(st.sampled_from(["", "x;y,z", '"', "two\nlines", "\u2028", "été"]))
        cells |= {
            "assignee_login": f"u{n}",
            "assignee_name": draw(st.sampled_from(["A B", "Ô, Vy"])),
        }
        lines.append([cells[column] for column in columns])

    def cell(text: str) -> str:
        wants = any(sign in text for sign in (delimiter, '"', "\n")) or draw(st.booleans())
        return '"' + text.replace('"', '""') + '"' if wants else text

    text = end.join(delimiter.join(map(cell, cells)) for cells in lines)
    text += draw(st.sampled_from(["", end, end + delimiter * 12 + end, end + end]))
    return BOM * draw(st.booleans()) + text.encode(), [f"m{n}" for n in range(count)]


@given(towns(), st.data())
def test_every_other_line_stays_byte_for_byte(
    town: tuple[bytes, list[str]], data: st.DataObject
) -> None:
    before, tags = town
    tag, state = data.draw(st.sampled_from(tags)), data.draw(st.sampled_from(STATES))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "fleet.csv"
        path.write_bytes(before)
        old = {machine.asset_tag: machine for machine in read_register(path)}
        try:
            edit = change(path.parent, tag, state)
        except TableError:
            assert path.read_bytes() == before
            return
        after = path.read_bytes()
        new = {machine.asset_tag: machine for machine in read_register(path)}
    assert edit.after == after
    assert new.pop(tag).state == state
    line_before = old.pop(tag).line
    assert new == old
    # the lines of this machine's record (its own column may hold a line break) and no other
    olds, news = before.splitlines(keepends=True), after.splitlines(keepends=True)
    assert len(olds) == len(news)
    differing = [n for n, pair in enumerate(zip(olds, news, strict=True), 1) if pair[0] != pair[1]]
    assert set(differing) <= {line_before, line_before + 1}
    assert [end_of(olds[n - 1]) for n in differing] == [end_of(news[n - 1]) for n in differing]


def end_of(said: bytes) -> bytes:
    return said[len(said.rstrip(b"\r\n")) :]


# Somebody else at the same moment ----------------------------------------------------------------


@pytest.fixture
def technicians() -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes that assign when they are told to."""
    command = [sys.executable, "-c", WORKER]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    yield both
    for process in both:
        process.communicate()


def test_two_technicians_take_two_machines_fifty_times(
    tmp_path: Path, technicians: list[subprocess.Popen[str]]
) -> None:
    rounds = 50
    tags = [f"m{n:03}" for n in range(2 * rounds + 1)]
    lines = [line(tag, "stock", note=f'"=A{n}"') for n, tag in enumerate(tags)]
    write(tmp_path, *lines)
    for n in range(rounds):
        logins = [f"anne{n}", f"paul{n}"]
        with files.locked(tmp_path):  # both wait at the door, then it opens
            for process, login in zip(technicians, logins, strict=True):
                assert process.stdin
                process.stdin.write(f"{tmp_path} {login}\n")
                process.stdin.flush()
            time.sleep(0.02)
        for process in technicians:
            assert process.stderr
            assert process.stderr.readline() == "0\n"
        machines = read_register(tmp_path / "fleet.csv")
        taken = {m.assignee_login: m.asset_tag for m in machines if m.is_assigned}
        assert len(taken) == len(set(taken.values())) == 2 * n + 2
        assert set(taken) >= set(logins)

    data = (tmp_path / "fleet.csv").read_bytes()
    text = data.removeprefix(BOM).decode()
    assert data.startswith(BOM)
    assert text.count("\r\n") == text.count("\n") == len(tags) + 1
    for n, (tag, said) in enumerate(zip(tags, text.split("\r\n")[1:], strict=False)):
        assert said.startswith(f"{tag};;;Model;Finances;")
        assert said.endswith(f';"=A{n}"')
    given = read_allocations(tmp_path / "allocations.csv")
    assert set(given) == set(tags[:-1])
    assert len({one.vpn_ipv4 for one in given.values()}) == 2 * rounds


def test_a_line_edited_by_hand_meanwhile_is_not_lost(tmp_path: Path) -> None:
    before = write(tmp_path, line("m1", "stock"))
    with files.locked(tmp_path):
        draft = Draft(tmp_path)
        draft.move("m1", "lost")
        edit = draft.edit()
        by_hand = before + line("m2", "recovered").encode() + b"\r\n"
        (tmp_path / "fleet.csv").write_bytes(by_hand)
        with pytest.raises(ChangeError) as refused:
            draft.save(edit)
    assert str(refused.value) == (
        "fleet.csv: somebody else has changed it just now; nothing was written: type the command "
        "again"
    )
    assert (tmp_path / "fleet.csv").read_bytes() == by_hand
    assert [path.name for path in tmp_path.iterdir()] == ["fleet.csv"]


def test_a_register_that_is_open_in_libreoffice_is_left_alone(tmp_path: Path) -> None:
    before = write(tmp_path, line("m1", "stock"))
    lock = tmp_path / ".~lock.fleet.csv#"
    lock.write_text(",anne,pc-12,24.11.2026 16:00,file:///home/anne/.config/libreoffice/4;")
    with pytest.raises(ChangeError, match=r"is open in LibreOffice \(anne\), where saving it"):
        change(tmp_path, "m1", "lost")
    assert (tmp_path / "fleet.csv").read_bytes() == before
    lock.unlink()
    change(tmp_path, "m1", "lost")


def test_killed_while_writing_it_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    before = write(tmp_path, *(line(f"m{n}", "stock") for n in range(2000)))
    code = (
        "import sys; from pathlib import Path; from nomade.register import change\n"
        "for n in range(2000): print(n, flush=True); change(Path(sys.argv[1]), f'm{n}', 'lost')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    for _ in range(3):
        process.stdout.readline()
    time.sleep(0.05)
    process.kill()
    process.communicate()
    states = [machine.state for machine in read_register(tmp_path / "fleet.csv")]
    done = states.count("lost")
    assert 2 <= done < 2000
    assert states == ["lost"] * done + ["stock"] * (2000 - done)
    assert len((tmp_path / "fleet.csv").read_bytes()) == len(before) - done
    register.change(tmp_path, "m1999", "lost")  # the lock died with its holder
