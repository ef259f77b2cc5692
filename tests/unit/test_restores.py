"""Which archive goes to a machine, who may have it, and what is recorded of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from nomade import register, restores, returns, sealed
from nomade.restores import Order, RestoreError

HEADER = ",".join(register.COLUMNS)
ANNE, BASILE = "anacarat,Anne Nacarat", "bsinople,Basile Sinople"
OLD, NEWER, BASILES = "vb-1-20260101T000000Z", "vb-3-20260201T000000Z", "vb-4-20260301T000000Z"


def line(asset: str, person: str = ANNE, state: str = "assigned") -> str:
    login = person.partition(",")[0]
    email = f"{login}@example.org" if login else ""
    return f"{asset},SER-{asset[-1]},,Modèle,Voirie,{state},{person},{email},,,"


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Return a town in which Anne's and Basile's machines have come back."""
    town = tmp_path / "town"
    town.mkdir()
    lines = [HEADER, line("vb-1", state="returned"), line("vb-2")]
    lines += [
        line("vb-5", BASILE),
        line("vb-6", ",", "stock"),
        line("vb-7", "cgarance,C", "assigned"),
    ]
    (town / "fleet.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    for name in ("town", "other"):
        key = tmp_path / f"{name}.age-identity"
        subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    public = subprocess.run(
        ["age-keygen", "-y", tmp_path / "town.age-identity"], check=True, capture_output=True
    )
    (tmp_path / "town.age.pub").write_bytes(public.stdout)
    for name, login in ((OLD, "anacarat"), (NEWER, "anacarat"), (BASILES, "bsinople")):
        returned(town, name, login)
    return town


def returned(town: Path, name: str, login: str, *, proven: bool = True) -> None:
    """Write the journal of a return with an archive."""
    asset = name[:4]
    journal = returns.Journal(returns.folder(town, asset) / f"{name[5:]}.jsonl")
    machine = {"asset_tag": asset, "assignee_login": login, "assignee_name": login.title()}
    journal.add("opened", "r", step="", machine=machine)
    facts = {"files": 3, "archive": name, "snapshot": "abc", "server": {"name": "hall"}}
    journal.add("done", "r", step="archive", facts=facts)
    if proven:
        journal.add("done", "r", step="verify", facts={"manifest_sha256": f"digest of {name}"})
    at = name[5:9] + "-" + name[9:11] + "-01T00:00:00Z"
    events = [{**event, "at": at} for event in journal.events]
    journal.path.write_text("".join(json.dumps(event) + "\n" for event in events))
    record = journal.path.with_name(f"{name}.age")
    sealed.seal(f"password of {name}", town.parent / "town.age.pub", record)


def order(town: Path, asset: str = "vb-2", **more: str) -> Order:
    return Order(asset, **{"identity": str(town.parent / "town.age-identity"), **more})


def test_the_newest_archive_of_the_person_or_the_one_that_is_named(town: Path) -> None:
    assert restores.chosen(town, order(town)).name == NEWER
    found = restores.chosen(town, order(town, archive=OLD))
    assert (found.name, found.asset, found.home) == (OLD, "vb-1", "/home/anacarat")
    assert found.manifest_sha256 == f"digest of {OLD}"
    assert restores.chosen(town, order(town, "vb-5")).name == BASILES


def test_an_archive_that_was_never_proven_is_none(town: Path) -> None:
    returned(town, "vb-1-20260401T000000Z", "anacarat", proven=False)
    assert restores.chosen(town, order(town)).name == NEWER


@pytest.mark.parametrize(
    ("asset", "more", "why"),
    [
        ("vb-9", {}, "vb-9 is not in the register"),
        ("vb-6", {}, "its state is stock, so that it is nobody's"),
        ("vb-1", {}, "its state is returned, so that it is nobody's"),
        ("vb-2", {"archive": BASILES}, "nobody gets another person's files this way"),
        ("vb-2", {"archive": "x"}, f"those of anacarat: {OLD}, {NEWER}"),
        ("vb-7", {}, "no return has archived files of cgarance"),
        ("vb-2", {"identity": ""}, "write where it is: -e identity="),
        ("vb-2", {"identity": "/nowhere"}, "the town's private key is not there"),
        ("vb-2", {"overwrite": "vb-1"}, "overwrite=vb-1 is not vb-2: is it the right machine?"),
    ],
)
def test_what_is_refused_before_any_machine_is_contacted(
    town: Path, asset: str, more: dict[str, str], why: str
) -> None:
    with pytest.raises((RestoreError, returns.ReturnError)) as error:
        restores.chosen(town, order(town, asset, **more))
    assert why in str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_that_is_not_the_towns_or_everybodys(town: Path) -> None:
    with pytest.raises(RestoreError, match="doesn't open it"):
        restores.chosen(town, order(town, identity=str(town.parent / "other.age-identity")))
    (town.parent / "town.age-identity").chmod(0o644)
    with pytest.raises(RestoreError, match="others than its owner can read the town's private key"):
        restores.chosen(town, order(town))


def test_a_sealed_password_that_is_gone(town: Path) -> None:
    restores.chosen(town, order(town)).record.unlink()
    with pytest.raises(RestoreError, match=r"is missing; the backup server has it as key\.age"):
        restores.chosen(town, order(town))


def test_one_journal_for_what_was_begun_and_one_more_for_what_comes_after(town: Path) -> None:
    archive = restores.chosen(town, order(town))
    first = restores.begin(town, order(town), archive, "r1", todo=3)
    assert restores.begin(town, order(town), archive, "r2", todo=2) == first
    assert restores.end(town, order(town), archive, "r2", "restored", files=3) == first
    assert restores.end(town, order(town), archive, "r3", "restored", files=3) == first
    events = [event["event"] for event in returns.read(first).events]
    assert events == ["opened", "resumed", "restored"]
    assert first.stat().st_mode & 0o777 == 0o600
    first.rename(first.with_name("20200101T000000Z.jsonl"))
    again = restores.begin(town, order(town), archive, "r4", todo=1)
    assert again.name != "20200101T000000Z.jsonl"
    assert "password of" not in again.read_text()
