"""First and console passwords: random, encrypted to the town's key, hashed for the machine."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path

import pytest
from ansible.utils.encrypt import _crypt_facade

from nomade import sealed


@pytest.fixture
def town(tmp_path: Path) -> Path:
    """Return a directory with the town's pair of keys."""
    subprocess.run(
        ["age-keygen", "--output", tmp_path / "town.age"], check=True, capture_output=True
    )
    public = subprocess.run(
        ["age-keygen", "-y", tmp_path / "town.age"], check=True, capture_output=True
    ).stdout
    (tmp_path / "town.age.pub").write_bytes(public)
    return tmp_path


def opened(town: Path, record: Path) -> str:
    return subprocess.run(
        ["age", "--decrypt", "--identity", town / "town.age", record],
        check=True,
        capture_output=True,
    ).stdout.decode()


def test_a_password_is_strong_enough_and_can_be_typed_on_either_keyboard() -> None:
    passwords = {sealed.generate() for _ in range(50)}
    assert len(passwords) == 50
    assert all(re.fullmatch("[a-z]{20}", password) for password in passwords)
    assert set("".join(passwords)) == set(sealed.ALPHABET)
    # other keys on AZERTY, or taken for one another on paper
    assert not set(sealed.ALPHABET) & set("aqwzmilo")
    assert sealed.LENGTH * math.log2(len(set(sealed.ALPHABET))) > 80


def test_the_record_opens_with_the_town_key_alone(town: Path) -> None:
    record = town / "records/first-passwords/vb-001.age"
    sealed.seal("bcdefghj", town / "town.age.pub", record)
    assert opened(town, record) == "bcdefghj"
    assert record.stat().st_mode & 0o777 == 0o600
    assert record.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in record.parent.iterdir()] == ["vb-001.age"]


def test_what_comes_back_is_the_hash_of_what_was_recorded(town: Path) -> None:
    record = town / "vb-001.age"
    hashed = sealed.new_sealed(town / "town.age.pub", record)
    assert re.fullmatch(r"\$y\$j9T\$\S+", hashed)
    again = _crypt_facade.crypt(opened(town, record).encode(), hashed.encode())
    assert again.decode() == hashed


def test_a_new_password_replaces_the_record(town: Path) -> None:
    record = town / "vb-001.age"
    sealed.new_sealed(town / "town.age.pub", record)
    first = opened(town, record)
    sealed.new_sealed(town / "town.age.pub", record)
    assert opened(town, record) != first


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (None, "town.age.pub: the town's public key is missing; make the pair with age-keygen"),
        ("age1nonsense\n", "town.age.pub: age can't encrypt to this key: age: error:"),
        ("", "town.age.pub: age can't encrypt to this key: age: error:"),
    ],
)
def test_without_a_key_there_is_no_record(tmp_path: Path, key: str | None, said: str) -> None:
    public, record = tmp_path / "town.age.pub", tmp_path / "records/vb-001.age"
    if key is not None:
        public.write_text(key)
    with pytest.raises(sealed.SealError) as refused:
        sealed.new_sealed(public, record)
    assert said in str(refused.value)
    assert not record.exists()


def test_an_old_record_survives_a_failure(town: Path) -> None:
    record = town / "vb-001.age"
    sealed.new_sealed(town / "town.age.pub", record)
    before = record.read_bytes()
    with pytest.raises(sealed.SealError):
        sealed.new_sealed(town / "nothing.pub", record)
    assert record.read_bytes() == before


def test_a_record_that_cannot_be_written_is_told_in_one_sentence(town: Path) -> None:
    (town / "file").write_text("")
    with pytest.raises(sealed.SealError, match=r"vb-001.age: the record can't be written: "):
        sealed.new_sealed(town / "town.age.pub", town / "file/vb-001.age")


def test_age_must_be_installed(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(town))
    with pytest.raises(sealed.SealError, match="install Debian's package age"):
        sealed.new_sealed(town / "town.age.pub", town / "vb-001.age")
