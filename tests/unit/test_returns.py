"""The journal of a return: what it lets begin, what it goes on with, what its certificate says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nomade import register, returns
from nomade.returns import Order, ReturnError

ROOT = Path(__file__).parents[2]
HEADER = ",".join(register.COLUMNS)
ANNE = "anacarat,Anne Nacarat,anne@example.org,Voirie,,"
ORDER = Order("vb-1", erase="SER-1")


def line(asset: str = "vb-1", state: str = "assigned", person: str = ANNE) -> str:
    return f"{asset},SER-{asset[-1]},,Modèle,Voirie,{state},{person}"


@pytest.fixture
def town(tmp_path: Path) -> Path:
    write(tmp_path, line(), line("vb-2", "stock", ",,,,,"), line("vb-3", "assigned"))
    return tmp_path


def write(town: Path, *lines: str) -> None:
    lines = tuple(text.replace("anacarat", f"anacarat{n}") for n, text in enumerate(lines))
    (town / "fleet.csv").write_text("\n".join([HEADER, *lines, ""]), encoding="utf-8")


def refused(town: Path, order: Order) -> str:
    with pytest.raises(ReturnError) as error:
        returns.open_(town, order, "r")
    said = str(error.value)
    assert "\n" not in said
    return said


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (Order("vb-9", erase="x"), "not in the register"),
        (Order("vb-2", erase="SER-2"), "its state is stock"),
        (Order("vb-1"), "confirm by -e erase="),
        (Order("vb-1", erase="SER-3"), "is it the right machine?"),
        (Order("vb-1", method="burn", erase="SER-1"), "write auto, clean or rebuild"),
        (Order("vb-1", without_machine="yes"), "write stolen, lost or dead_disk"),
    ],
)
def test_what_can_not_begin(town: Path, order: Order, why: str) -> None:
    assert why in refused(town, order)
    assert not (town / "records").exists()


def test_the_serial_number_is_never_told(town: Path) -> None:
    assert "SER" not in refused(town, Order("vb-1"))


def test_the_serial_number_is_typed_as_people_do(town: Path) -> None:
    assert returns.open_(town, Order("vb-1", erase="ser 1"), "r").events


def test_without_a_serial_number_the_tag_confirms(town: Path) -> None:
    write(town, line().replace("SER-1", ""))
    assert "followed by vb-1" in refused(town, Order("vb-1"))
    assert returns.open_(town, Order("vb-1", erase="vb-1"), "r").events


def test_a_machine_of_nobody_can_not_be_searched(town: Path) -> None:
    write(town, line(state="quarantined", person=",,,,,"))
    assert "doesn't say whose it was" in refused(town, ORDER)


def test_it_goes_on_where_it_stopped(town: Path) -> None:
    first = returns.open_(town, ORDER, "r1")
    first.add("begun", "r1", step="revoke")
    first.add("done", "r1", step="revoke", facts={"key": "k"})
    first.add("begun", "r1", step="archive")
    second = returns.open_(town, ORDER, "r2")
    assert second.path == first.path
    assert second.done == {"revoke": {"key": "k"}}
    assert second.begun == ["revoke", "archive"]
    assert [run["run"] for run in second.runs] == ["r1", "r2"]


def test_what_is_undone_is_to_be_done_again(town: Path) -> None:
    journal = returns.open_(town, ORDER, "r")
    for name in ("a1", "a2"):
        journal.add("begun", "r", step="archive")
        journal.add("attempt", "r", step="archive", name=name)
        journal.add("done", "r", step="archive", facts={"archive": name})
        if name == "a1":
            journal.add("undone", "r", step="archive", message="a byte")
            assert journal.done == {}
            assert journal.begun == []
            assert journal.attempts == ["a1"]
    assert journal.done == {"archive": {"archive": "a2"}}
    assert journal.attempts == ["a1", "a2"]
    journal.add("done", "r", step="verify", facts={})
    assert journal.attempts == ["a1"]


def test_a_torn_line_is_left_out_and_nothing_is_lost_after_it(town: Path) -> None:
    journal = returns.open_(town, ORDER, "r1")
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"at": "2026-')
    again = returns.open_(town, ORDER, "r2")
    again.add("begun", "r2", step="revoke")
    assert [event["event"] for event in returns.read(journal.path).events] == [
        "opened", "resumed", "begun"
    ]  # fmt: skip


def test_check_mode_writes_nothing(town: Path) -> None:
    assert returns.open_(town, ORDER, "r", dry=True).opened["machine"]["asset_tag"] == "vb-1"
    assert not (town / "records").exists()


@pytest.mark.parametrize("column", ["assignee_name", "assignee_login", "serial_number"])
def test_a_register_edited_meanwhile(town: Path, column: str) -> None:
    journal = returns.open_(town, ORDER, "r")
    journal.add("begun", "r", step="revoke")
    returns.set_state(town, "vb-1", "returned")
    returns.unchanged(town, journal)
    text = (town / "fleet.csv").read_text("utf-8")
    old = {"assignee_name": "Anne Nacarat", "assignee_login": "anacarat0", "serial_number": "SER-1"}
    (town / "fleet.csv").write_text(text.replace(old[column], "autre", 1), encoding="utf-8")
    with pytest.raises(ReturnError, match=f"{column} was changed in the register"):
        returns.unchanged(town, journal)
    assert f"{column} was changed" in refused(town, Order("vb-1", erase="autre"))


def test_a_run_killed_after_the_machine_became_stock_is_finished(town: Path) -> None:
    journal = returns.open_(town, ORDER, "r1")
    returns.set_state(town, "vb-1", "returned")
    journal.add("begun", "r1", step="register")
    returns.set_state(town, "vb-1", "stock")
    again = returns.open_(town, ORDER, "r2")
    assert again.path == journal.path
    returns.unchanged(town, again)


def test_one_that_is_somebodys_again_is_closed_and_a_new_return_begins(town: Path) -> None:
    journal = returns.open_(town, ORDER, "r1")
    returns.set_state(town, "vb-1", "returned")
    journal.add("begun", "r1", step="register")
    returns.set_state(town, "vb-1", "stock")
    cells = {"assignee_login": "bsinople", "assignee_name": "Basile Sinople"}
    register.change(town, "vb-1", "assigned", cells)
    journal.path = journal.path.rename(journal.path.with_name("20200101T000000Z.jsonl"))
    new = returns.open_(town, ORDER, "r2")
    assert new.path != journal.path
    assert new.opened["machine"]["assignee_login"] == "bsinople"
    assert returns.read(journal.path).is_closed
    assert json.loads(journal.path.with_suffix(".json").read_text("utf-8"))["verdict"] == "stock"


def test_the_method_can_not_change_once_something_is_removed(town: Path) -> None:
    journal = returns.open_(town, ORDER, "r")
    other = Order("vb-1", "rebuild", "SER-1")
    assert returns.open_(town, other, "r").path == journal.path
    journal.add("begun", "r", step="removing")
    assert "go on with -e return_method=clean" in refused(town, other)


def test_one_that_nothing_came_of_is_no_return(town: Path) -> None:
    """The wrong laptop, say because the register has another one's serial number."""
    wrong = returns.open_(town, ORDER, "r1")
    wrong.add("begun", "r1", step="confirm")
    wrong.add("refused", "r1", step="confirm", message="wrong machine")
    assert returns.open_(town, ORDER, "r2").path == wrong.path
    write(town, line().replace("SER-1", "SER-7"), line("vb-3"))
    wrong.path.rename(wrong.path.with_name("20200101T000000Z.jsonl"))
    new = returns.open_(town, Order("vb-1", erase="SER-7"), "r3")
    assert [event["event"] for event in new.events] == ["opened"]
    assert new.opened["machine"]["serial_number"] == "SER-7"
    old = returns.read(new.path.with_name("20200101T000000Z.jsonl"))
    assert old.is_closed
    new.add("begun", "r3", step="revoke")
    write(town, line().replace("SER-1", "SER-8"), line("vb-3"))
    assert "serial_number was changed" in refused(town, Order("vb-1", erase="SER-8"))


def test_a_machine_that_is_stolen_on_its_way_back(town: Path) -> None:
    journal = returns.open_(town, ORDER, "r1")
    journal.add("begun", "r1", step="revoke")
    journal = returns.open_(town, Order("vb-1", without_machine="stolen"), "r2")
    assert returns.certificate(journal, "V", "lost")["without_machine"] == "stolen"


@pytest.mark.parametrize(
    ("setting", "encrypted", "rebuilds", "begun", "method", "because"),
    [
        ("auto", True, True, "", "rebuild", "disk is encrypted and the town has a netboot server"),
        ("auto", True, False, "", "clean", "no server of the town rebuilds machines"),
        ("auto", False, True, "", "clean", "its disk is not encrypted"),
        ("clean", True, True, "", "clean", "return_method says so"),
        ("rebuild", False, True, "", "rebuild", "return_method says so"),
        ("auto", True, True, "removing", "clean", "this return began by it"),
        ("auto", False, False, "destroy", "rebuild", "this return began by it"),
    ],
)
def test_the_method_and_who_has_decided(
    town: Path,
    setting: str,
    *,
    encrypted: bool,
    rebuilds: bool,
    begun: str,
    method: str,
    because: str,
) -> None:
    journal = returns.open_(town, ORDER, "r")
    if begun:
        journal.add("begun", "r", step=begun)
    found = returns.choose(setting, journal, encrypted=encrypted, rebuilds=rebuilds)
    assert found.method == method
    assert because in found.because


def test_the_certificate_names_the_method_that_was_taken(town: Path) -> None:
    journal = returns.open_(town, Order("vb-1", "auto", "SER-1"), "r")
    journal.add("method", "r", step="", method="rebuild", because="its disk is encrypted")
    said = returns.certificate(journal, "V", "stock")
    assert (said["method"], said["method_because"]) == ("rebuild", "its disk is encrypted")


def test_the_certificate_says_what_the_journal_says(town: Path) -> None:
    journal = returns.open_(town, ORDER, "r1")
    journal.add("begun", "r1", step="archive")
    journal.add("refused", "r1", step="archive", message="full")
    returns.open_(town, ORDER, "r2")
    journal = returns.read(journal.path)
    journal.add("done", "r2", step="archive", facts={"files": 3})
    said = returns.certificate(journal, "Valbourg", "stock")
    assert [(step["step"], step["facts"]) for step in said["steps"]] == [("archive", {"files": 3})]
    assert [(run["run"], run["steps"]) for run in said["runs"]] == [("r1", []), ("r2", ["archive"])]
    assert [stop["message"] for stop in said["stops"]] == ["full"]
    assert said["journal_sha256"] == journal.sha256()
    assert said["person"]["login"] == "anacarat0"


def test_records_are_for_their_owner_alone(town: Path) -> None:
    journal = returns.open_(town, ORDER, "r")
    path = returns.write_certificate(journal, returns.certificate(journal, "V", "stock"), b"%PDF")
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.path.parent.stat().st_mode & 0o777 == 0o700
    assert {p.stat().st_mode & 0o777 for p in (path, path.with_suffix(".pdf"))} == {0o600}


@pytest.mark.parametrize("language", ["fr_FR.UTF-8", "C.UTF-8"])
@pytest.mark.parametrize("without", ["", "stolen"])
def test_the_certificate_on_paper(
    town: Path, monkeypatch: pytest.MonkeyPatch, language: str, without: str
) -> None:
    from nomade import certificate

    monkeypatch.setenv("LC_ALL", language)
    journal = returns.open_(town, Order("vb-1", erase="SER-1", without_machine=without), "r")
    facts = {"files": 0, "account": False}
    journal.add("done", "r", step="revoke", facts={})
    if not without:
        journal.add("done", "r", step="archive", facts=facts)
    page = certificate.page(
        returns.certificate(journal, "Valbourg", "lost" if without else "stock"),
        ROOT / "playbooks/templates",
    )
    assert "Anne Nacarat" in page
    french = language.startswith("fr")
    assert ("Rien n&#39;y a été effacé" in page or "Rien n'y a été effacé" in page) is (
        french and bool(without)
    )
    assert ("The person has left no file" in page) is (not french and not without)


def test_the_certificate_tells_what_went_home_with_the_person(town: Path) -> None:
    from nomade import certificate

    journal = returns.open_(town, ORDER, "r")
    journal.add("method", "r", step="", method="clean", because="its disk is not encrypted")
    handed = {"handed_back": ["/home/anacarat/Perso"], "handed_back_files": 7}
    facts = {"files": 0, "left_out": ["/home/anacarat/Perso"], **handed}
    journal.add("done", "r", step="confirm", facts={})
    journal.add("done", "r", step="archive", facts=facts)
    said = returns.certificate(journal, "Valbourg", "stock")
    page = certificate.page(said, ROOT / "playbooks/templates")
    for words in ("/home/anacarat/Perso (7 files, compared one by one)", "Machine recognised"):
        assert words in page
    assert "clean : its disk is not encrypted" in page


def test_of_a_dead_disk_nothing_is_claimed(town: Path) -> None:
    from nomade import certificate

    journal = returns.open_(town, Order("vb-1", without_machine="dead_disk"), "r")
    said = returns.certificate(journal, "Valbourg", "quarantined")
    page = certificate.page(said, ROOT / "playbooks/templates")
    assert "the disk is to be destroyed by hand" in page
    assert said["method"] == ""
