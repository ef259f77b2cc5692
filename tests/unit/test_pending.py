"""Announcements of unknown machines: what is believed, and what is refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nomade import pending

SAID: dict[str, Any] = {
    "serial_number": "5CG1234XYZ",
    "mac_addresses": ["3c:52:82:0a:1b:2c"],
    "model": "HP EliteBook 840 G6",
    "ram_mb": 7812,
    "firmware": "uefi",
    "battery": 81,
    "smart": "passed",
    "wifi": True,
    "camera": True,
    "microphone": False,
    "disks": [
        {
            "name": "nvme0n1",
            "size_bytes": 256060514304,
            "partitions": [
                {
                    "name": "nvme0n1p3",
                    "size_bytes": 255000000000,
                    "file_system": "ntfs",
                    "used_bytes": 91000000000,
                },
                {
                    "name": "nvme0n1p4",
                    "size_bytes": 1000,
                    "file_system": "",
                    "used_bytes": None,
                },
            ],
        }
    ],
    "fit": True,
    "unfit_reasons": [],
    "seen": "2026-11-24T09:12:00+01:00",
}


pytestmark = pytest.mark.usefixtures("english")


def parse(**more: Any) -> pending.Announcement:
    return pending.parse("a.json", json.dumps({**SAID, **more}).encode())


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    announcement = parse()
    path = pending.write(tmp_path / "pending", announcement)
    assert path.name == "5cg1234xyz.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == SAID
    assert pending.read(tmp_path / "pending") == ([announcement], [])
    assert pending.write(tmp_path / "pending", parse(ram_mb=1)) == path


def test_a_machine_without_serial_number_is_known_by_its_card() -> None:
    assert pending.file_name(parse(serial_number="To be filled by O.E.M.")) == "3c52820a1b2c.json"
    assert pending.file_name(parse(serial_number="../../etc/x y")) == "etcxy.json"
    assert pending.file_name(parse(serial_number="é²")) == "__.json"


def test_the_youngest_first_and_the_broken_beside(tmp_path: Path) -> None:
    pending.write(tmp_path, parse(serial_number="OLD1", seen="2026-11-23"))
    pending.write(tmp_path, parse(serial_number="NEW2", seen="2026-11-24T10:00:00Z"))
    (tmp_path / "broken.json").write_text("{")
    found, errors = pending.read(tmp_path)
    assert [said.serial_number for said in found] == ["NEW2", "OLD1"]
    assert list(map(str, errors)) == [
        "broken.json: is no JSON; delete the file and start that machine from the network again"
    ]
    assert pending.read(tmp_path / "nowhere") == ([], [])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ram_mb": "8"}, 'a.json: ram_mb: "8": is missing or not'),
        ({"ram_mb": True}, "ram_mb"),
        ({"ram_mb": -1}, "ram_mb"),
        ({"firmware": "coreboot"}, "firmware"),
        ({"battery": 0.5}, "battery"),
        ({"smart": ""}, "smart"),
        ({"wifi": 1}, "wifi"),
        ({"model": "x\x1b[2J"}, r'model: "x\x1b[2J"'),
        ({"model": "x" * 201}, "model"),
        ({"mac_addresses": []}, "mac_addresses"),
        ({"mac_addresses": ["01"]}, "mac_addresses"),
        ({"mac_addresses": ["3c:52:82:0a:1b:2c"] * 65}, "mac_addresses"),
        ({"fit": False}, "unfit_reasons"),
        ({"fit": True, "unfit_reasons": ["old"]}, "unfit_reasons"),
        ({"seen": "yesterday"}, "seen"),
        ({"disks": [{}]}, "disks[0].name"),
        ({"disks": [{"name": "a", "size_bytes": 1, "partitions": [7]}]}, "disks[0].partitions[0]"),
        ({"disks": None}, "disks"),
    ],
)
def test_what_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(pending.PendingError) as refused:
        parse(**more)
    sentence = str(refused.value)
    assert said in sentence
    assert sentence.isprintable()
    assert len(sentence) < 250


@pytest.mark.parametrize("field", SAID)
def test_no_field_may_be_missing(field: str) -> None:
    said = {name: value for name, value in SAID.items() if name != field}
    with pytest.raises(pending.PendingError, match=field):
        pending.parse("a.json", json.dumps(said).encode())


@pytest.mark.parametrize("data", [b"[]", b"7", b"\xff", b"[" * 60000, b" " * 70000])
def test_what_is_no_announcement(data: bytes) -> None:
    with pytest.raises(pending.PendingError, match=r"^a\.json: "):
        pending.parse("a.json", data)


def test_in_french(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    with pytest.raises(pending.PendingError, match="manque, ou n'est pas ce qu'il faut ; suppr"):
        parse(ram_mb=None)
