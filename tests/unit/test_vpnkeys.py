from __future__ import annotations

import stat
from pathlib import Path

import pytest

from nomade import vpnkeys


@pytest.fixture
def town(tmp_path: Path) -> tuple[Path, Path]:
    return tmp_path / "keys" / "vpn", tmp_path / "records" / "vpn-keys"


def test_a_key_is_written_once(town: tuple[Path, Path]) -> None:
    keys, records = town
    assert vpnkeys.publish(keys, records, "VB-0001", "AAA=") == (True, "")
    assert vpnkeys.publish(keys, records, "VB-0001", "AAA=") == (False, "")
    assert [p.name for p in keys.iterdir()] == ["VB-0001.pub"]
    assert stat.S_IMODE((keys / "VB-0001.pub").stat().st_mode) == 0o644
    assert not records.exists()


def test_a_replaced_key_is_kept_in_the_records(town: tuple[Path, Path]) -> None:
    keys, records = town
    vpnkeys.publish(keys, records, "VB-0001", "AAA=")
    assert vpnkeys.publish(keys, records, "VB-0001", "BBB=") == (True, "AAA=")
    vpnkeys.publish(keys, records, "VB-0001", "CCC=")
    assert vpnkeys.read(keys, "VB-0001") == "CCC="
    lines = (records / "VB-0001").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "AAA= replaced by BBB=",
        "BBB= replaced by CCC=",
    ]


def test_a_copied_disk_is_refused(town: tuple[Path, Path]) -> None:
    keys, records = town
    vpnkeys.publish(keys, records, "VB-0001", "AAA=")
    with pytest.raises(vpnkeys.TwinError, match=r"VB-0002: its VPN key is also that of VB-0001"):
        vpnkeys.publish(keys, records, "VB-0002", "AAA=")
    assert vpnkeys.read(keys, "VB-0002") == ""


def test_check_mode_writes_nothing(town: tuple[Path, Path]) -> None:
    keys, records = town
    assert vpnkeys.publish(keys, records, "VB-0001", "AAA=", dry=True) == (True, "")
    assert not keys.exists()


def test_a_failed_write_keeps_the_old_key(
    town: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, records = town
    vpnkeys.publish(keys, records, "VB-0001", "AAA=")

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        vpnkeys.publish(keys, records / "x", "VB-0002", "BBB=")
    assert sorted(p.name for p in keys.iterdir()) == ["VB-0001.pub"]
