"""Unknown machines that announced themselves: one JSON file each, checked before it is believed.

A machine that starts from the network and that the register doesn't know says what it is. Whoever
receives that writes `var/<town>/pending/<file_name(announcement)>`; `fleet pending` reads it. The
text comes from anybody on the preparation network, hence the bounds. Its shape::

    {"serial_number": "5CG1234XYZ",           as the firmware says, may be empty or a placeholder
     "mac_addresses": ["3c:52:82:0a:1b:2c"],  at least one
     "model": "HP EliteBook 840 G6",
     "ram_mb": 7812,                          MiB
     "firmware": "uefi",                      or "bios"
     "battery": 81,                           percent of its capacity when new; null: none, or mute
     "smart": "passed",                       or "failed", "unknown": the worst of its disks
     "wifi": true, "camera": true, "microphone": true,
     "disks": [{"name": "nvme0n1", "size_bytes": 256060514304, "partitions": [
         {"name": "nvme0n1p3", "size_bytes": 255000000000, "file_system": "ntfs",
          "used_bytes": 91000000000}]}],      used_bytes null: can't be told (encrypted, no system)
     "fit": false,
     "unfit_reasons": ["memory: 1984 MiB, 3500 wanted"],   as its screen shows them; empty if fit
     "seen": "2026-11-24T09:12:00+01:00"}     ISO 8601, when it announced itself last
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from nomade import files
from nomade.i18n import tr
from nomade.register import bare, is_placeholder_serial
from nomade.table import quote

DIRECTORY = "pending"  # of var/<town>
LARGEST_FILE = 65536
LONGEST_TEXT = 200
LONGEST_LIST = 64
FIRMWARE = ("uefi", "bios")
SMART = ("passed", "failed", "unknown")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class PendingError(Exception):
    """An announcement is refused; the message names the file, the field, the value, the remedy."""


@dataclass(frozen=True, slots=True)
class Partition:
    """What stands in a part of a disk; used_bytes is None where that can't be told."""

    name: str
    size_bytes: int
    file_system: str
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk and what is on it."""

    name: str
    size_bytes: int
    partitions: tuple[Partition, ...]


@dataclass(frozen=True, slots=True)
class Announcement:
    """What an unknown machine says of itself."""

    serial_number: str
    mac_addresses: tuple[str, ...]
    model: str
    ram_mb: int
    firmware: str
    battery: int | None
    smart: str
    wifi: bool
    camera: bool
    microphone: bool
    disks: tuple[Disk, ...]
    fit: bool
    unfit_reasons: tuple[str, ...]
    seen: datetime.datetime

    @property
    def key(self) -> str:
        """Return what tells it from others: its serial number, or a card where there is none."""
        unknown = is_placeholder_serial(self.serial_number)
        return self.mac_addresses[0] if unknown else self.serial_number

    def as_json(self) -> dict[str, Any]:
        """Return it in the shape of the file."""
        return {**asdict(self), "seen": self.seen.isoformat()}


def file_name(announcement: Announcement) -> str:
    """Return the name of its file."""
    return re.sub(r"[^a-z0-9]", "_", bare(announcement.key)) + ".json"


def write(directory: Path, announcement: Announcement) -> Path:
    """Keep an announcement in the place of the same machine's earlier one."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / file_name(announcement)
    text = json.dumps(announcement.as_json(), ensure_ascii=False, indent=2) + "\n"
    files.replace(path, text.encode(), 0o600)
    return path


def read(directory: Path) -> tuple[list[Announcement], list[PendingError]]:
    """Read all announcements, the youngest first, and why others can't be."""
    found, errors = [], []
    for path in sorted(directory.glob("*.json")):
        try:
            found.append(parse(path.name, _bounded(path)))
        except PendingError as error:
            errors.append(error)
    return sorted(found, key=lambda said: said.seen, reverse=True), errors


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE + 1)


def parse(name: str, data: bytes) -> Announcement:
    """Return what an announcement says, or raise PendingError; `name` is of its file."""
    if len(data) > LARGEST_FILE:
        wrong = tr(f"is longer than {LARGEST_FILE} bytes;", f"dépasse {LARGEST_FILE} octets ;")
        raise PendingError(f"{name}: {wrong} {_remedy()}")
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        wrong = tr("is no JSON;", "n'est pas du JSON ;")
        raise PendingError(f"{name}: {wrong} {_remedy()}") from None
    return _announcement(_Reader(name, "", said))


def _announcement(said: _Reader) -> Announcement:
    macs = said.texts("mac_addresses")
    for mac in macs:
        if not _MAC.fullmatch(mac):
            said.refuse("mac_addresses", mac)
    if not macs:
        said.refuse("mac_addresses", [])
    fit, reasons = said.truth("fit"), said.texts("unfit_reasons")
    if fit == bool(reasons):
        said.refuse("unfit_reasons", list(reasons))
    return Announcement(
        serial_number=said.text("serial_number"),
        mac_addresses=macs,
        model=said.text("model"),
        ram_mb=said.number("ram_mb"),
        firmware=said.one_of("firmware", FIRMWARE),
        battery=said.number_or_none("battery"),
        smart=said.one_of("smart", SMART),
        wifi=said.truth("wifi"),
        camera=said.truth("camera"),
        microphone=said.truth("microphone"),
        disks=tuple(_disk(disk) for disk in said.readers("disks")),
        fit=fit,
        unfit_reasons=reasons,
        seen=said.moment("seen"),
    )


def _disk(said: _Reader) -> Disk:
    return Disk(
        said.text("name"),
        said.number("size_bytes"),
        tuple(
            Partition(
                part.text("name"),
                part.number("size_bytes"),
                part.text("file_system"),
                part.number_or_none("used_bytes"),
            )
            for part in said.readers("partitions")
        ),
    )


class _Reader:
    """The fields of one object, each asked for by its kind."""

    def __init__(self, file: str, place: str, said: object) -> None:
        self.file, self.place = file, place
        self.said = said if isinstance(said, Mapping) else {}
        if not isinstance(said, Mapping):
            self.refuse("", said)

    def refuse(self, field: str, value: object) -> NoReturn:
        where = ".".join(filter(None, (self.place, field))) or "-"
        shown = quote(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        wrong = tr("is missing or not what it must be", "manque, ou n'est pas ce qu'il faut")
        raise PendingError(f"{self.file}: {where}: {shown}: {wrong}{tr(';', ' ;')} {_remedy()}")

    def text(self, field: str) -> str:
        value = self.said.get(field)
        if not isinstance(value, str) or len(value) > LONGEST_TEXT or not value.isprintable():
            self.refuse(field, value)
        return value.strip()

    def one_of(self, field: str, words: tuple[str, ...]) -> str:
        value = self.text(field)
        return value if value in words else self.refuse(field, value)

    def truth(self, field: str) -> bool:
        value = self.said.get(field)
        return value if isinstance(value, bool) else self.refuse(field, value)

    def number(self, field: str) -> int:
        value = self.said.get(field)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
            self.refuse(field, value)
        return value

    def number_or_none(self, field: str) -> int | None:
        return None if self.said.get(field) is None and field in self.said else self.number(field)

    def items(self, field: str) -> list[Any]:
        value = self.said.get(field)
        if not isinstance(value, list) or len(value) > LONGEST_LIST:
            self.refuse(field, value)
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        values = self.items(field)
        return tuple(_Reader(self.file, self.place, {field: value}).text(field) for value in values)

    def readers(self, field: str) -> list[_Reader]:
        place = ".".join(filter(None, (self.place, field)))
        return [_Reader(self.file, f"{place}[{n}]", v) for n, v in enumerate(self.items(field))]

    def moment(self, field: str) -> datetime.datetime:
        value = self.text(field)
        try:
            moment = datetime.datetime.fromisoformat(value)
        except ValueError:
            self.refuse(field, value)
        return moment if moment.tzinfo else moment.astimezone()


def _remedy() -> str:
    return tr(
        "delete the file and start that machine from the network again",
        "supprimer le fichier et redémarrer cette machine par le réseau",
    )
