"""Rebuilds as the controller sees them: what may be ordered, what is shown and kept."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from nomade import hostkeys, rebuild

AGE = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----"


pytestmark = pytest.mark.usefixtures("english")


def line(**cells: str) -> dict[str, str]:
    return {"fleet_serial_number": "5CG-1", "fleet_state": "stock", **cells}


@pytest.mark.parametrize("state", ["recovered", "stock", "returned", "quarantined"])
def test_what_nobody_uses_may_be_rebuilt(state: str) -> None:
    assert rebuild.order("vb-1", line(fleet_state=state), []) == rebuild.Order("vb-1", "5CG-1", "")


@pytest.mark.parametrize(
    ("cells", "wipe", "why"),
    [
        ({"fleet_state": "assigned"}, [], "somebody's files"),
        ({"fleet_state": "assigned"}, ["5CG-2"], "somebody's files"),
        ({"fleet_state": "lost"}, ["5CG-1"], "is lost"),
        ({"fleet_state": "retired"}, [], "is retired"),
        ({"fleet_serial_number": ""}, [], "serial number"),
        ({"fleet_serial_number": "To be filled by O.E.M."}, [], "serial number"),
    ],
)
def test_what_may_not(cells: dict[str, str], wipe: list[str], why: str) -> None:
    with pytest.raises(rebuild.RebuildError, match=why):
        rebuild.order("vb-1", line(**cells), wipe)


def test_an_assigned_one_may_where_its_serial_number_is_said() -> None:
    ordered = rebuild.order("vb-1", line(fleet_state="assigned"), ["5cg1"])
    assert ordered.wipe == "5CG-1"


STATE: dict[str, Any] = {
    "id": "22967df44c23c3d1",
    "asset_tag": "vb-1",
    "serial_number": "5CG-1",
    "state": "done",
    "made": 1_795_537_095.0,
    "ended": 1_795_538_000.0,
    "stages": [
        {"name": "taken", "at": 1_795_537_500.0},
        {"name": "unpack", "at": 1_795_537_600.0},
        {"name": "up", "at": 1_795_537_990.0},
    ],
    "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGz root@vb-1",
    "escrow": AGE,
    "token": "",
}


def test_what_is_kept_of_a_rebuild(tmp_path: Path) -> None:
    record = json.loads(rebuild.keep(tmp_path, STATE, "anne@mairie").read_text())
    assert (record["who"], record["state"], record["seconds"]) == ("anne@mairie", "done", 500)
    assert record["seconds_of_stages"] == {"taken": 100, "unpack": 390, "up": 10}
    assert "escrow" not in record
    (escrow,) = (tmp_path / "records/recovery-passphrases").iterdir()
    assert escrow.read_text() == AGE + "\n"
    assert escrow.stat().st_mode & 0o777 == 0o600


def test_the_passphrase_of_the_former_disk_goes_and_a_newer_one_stays(tmp_path: Path) -> None:
    record = tmp_path / "records/disk-passphrases/vb-1.age"
    record.parent.mkdir(parents=True)
    for seconds, stays in ((-1, False), (1, True)):
        record.touch()
        os.utime(record, (STATE["ended"] + seconds,) * 2)
        rebuild.keep(tmp_path, STATE, "anne@mairie")
        assert record.exists() is stays


def test_a_passphrase_that_is_not_encrypted_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(rebuild.RebuildError, match="not come encrypted"):
        rebuild.keep(tmp_path, {**STATE, "escrow": "bcdfg"}, "anne@mairie")
    assert not list(tmp_path.rglob("*.age"))


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "vb-1: done in 500 s"),
        ({"state": "taken"}, "vb-1: up"),
        ({"state": "waiting", "stages": []}, "vb-1: start it from the network"),
        ({"state": "failed", "reason": "no internal disk\n"}, "vb-1: failed: no internal disk"),
    ],
)
def test_what_the_technician_reads(state: dict[str, Any], said: str) -> None:
    assert rebuild.line({**STATE, **state}) == said


def test_the_new_host_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("# ours\nvb-1 ssh-ed25519 OLD\nvb-1 ssh-rsa OLD\nvb-11 ssh-ed25519 X\n")
    rebuild.pin(known_hosts, STATE)
    key = hostkeys.HostKey("ssh-ed25519", "AAAAC3NzaC1lZDI1NTE5AAAAIGz")
    assert hostkeys.pinned(known_hosts, "vb-1") == [key]
    assert known_hosts.read_text().startswith("# ours\nvb-11 ssh-ed25519 X\n")
    assert hostkeys.replace(known_hosts, "vb-1", key) is False


def test_only_the_orders_of_this_run_are_watched() -> None:
    newer = {**STATE, "id": "newer", "made": 1_795_537_096.0}
    assert rebuild.mine([newer, STATE], {"vb-1": str(STATE["id"])}) == {"vb-1": STATE}
    assert rebuild.mine([newer, STATE], {"vb-1": "another"}) == {}
    assert rebuild.mine([newer, STATE], {"vb-1": ""}) == {"vb-1": newer}
    assert rebuild.mine([STATE], {"vb-2": ""}) == {}


def test_nobody_knows_yet_how_long_a_rebuild_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: dict[str, Any] = {**STATE, "state": "taken", "stages": STATE["stages"][:1]}
    monkeypatch.setattr(time, "time", lambda: 1_795_537_500.0)
    clock = time.strftime("%H:%M", time.localtime(1_795_537_500 + rebuild.USUAL_SECONDS))
    assert rebuild.summary([begun], {"vb-1": begun}, 1) == f"0 of 1, done by {clock}"
    # one that takes longer than others is no reason to promise the past
    monkeypatch.setattr(time, "time", lambda: 1_795_539_900.0)
    clock = time.strftime("%H:%M", time.localtime(1_795_539_930))
    assert rebuild.summary([begun], {"vb-1": begun}, 1) == f"0 of 1, done by {clock}"


def test_how_fast_the_server_sends_also_after_it_began_again() -> None:
    rate = rebuild.Rate()
    for moment, counted in ((0, 700), (10, 1700), (20, 500)):
        rate.add(moment, counted)
    assert (rate.total, rate.now) == (1500, 50.0)
