"""What of a home is archived, what comes back, and what is told where it can't be."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PARAMS: dict[str, Any] = {
    "login": "anacarat",
    "exclude": [".cache", "*/Trash"],
    "personal": ["personnel", "privé *"],
    "with_personal": False,
    "personal_to": "",
}


@pytest.fixture(scope="module")
def module(module_named: Callable[[str], ModuleType]) -> ModuleType:
    return module_named("home_archive")


@pytest.fixture
def home(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in (".cache/x", "Personnel", "Documents/personnel", "Privé été", ".local/Trash"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text(folder)
    (tmp_path / "link").symlink_to("Documents")
    os.mkfifo(tmp_path / "pipe")

    class Account:
        pw_dir, pw_uid = str(tmp_path), 12345

    monkeypatch.setattr(module, "account", lambda _login: Account)
    monkeypatch.setattr(module, "owned_elsewhere", lambda _uid, _home, _stick: [])
    return tmp_path


def names(found: Any, home: Path) -> list[str]:
    return sorted(str(Path(path).relative_to(home)) for path in found.entries if path != str(home))


def test_caches_and_personal_folders_stay_out(module: ModuleType, home: Path) -> None:
    found = module.look(PARAMS)
    assert names(found, home) == [
        ".local", "Documents", "Documents/personnel", "Documents/personnel/file", "link"
    ]  # fmt: skip
    assert sorted(Path(path).name for path in found.personal) == ["Personnel", "Privé été"]
    assert found.files == 1


def test_personal_folders_are_archived_where_the_town_says_so(
    module: ModuleType, home: Path
) -> None:
    found = module.look({**PARAMS, "with_personal": True})
    assert "Personnel/file" in names(found, home)


@pytest.mark.parametrize("change", ["content", "mode", "new", "gone"])
def test_the_fingerprint_sees_every_change(module: ModuleType, home: Path, change: str) -> None:
    before = module.look(PARAMS).fingerprint()
    assert module.look(PARAMS).fingerprint() == before
    file = home / "Documents/personnel/file"
    if change == "content":
        file.write_text("documents/personnel")
    elif change == "mode":
        file.chmod(0o600)
    elif change == "new":
        (home / "new").touch()
    else:
        file.unlink()
    assert module.look(PARAMS).fingerprint() != before


@pytest.mark.usefixtures("home")
def test_a_folder_that_can_not_be_read_stops_it(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(top: str, onerror: Any = None) -> Any:
        onerror(OSError(5, "Input/output error", top))
        yield from ()

    monkeypatch.setattr(module.os, "walk", broken)
    with pytest.raises(
        module.RefusedError, match=r"can't be read \(Input/output error\): nothing was"
    ):
        module.look(PARAMS)


def test_what_comes_back_is_told_with_its_digest(module: ModuleType) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, kind in (("a/f", b"0"), ("a/hard", b"1"), ("a/soft", b"2"), ("a", b"5")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "a/f"
            member.size = 3 if kind == b"0" else 0
            tar.addfile(member, io.BytesIO(b"abc") if kind == b"0" else None)
    stream.seek(0)
    digest = hashlib.sha256(b"abc").hexdigest()
    assert list(module.restored(stream)) == [
        ("/a/f", digest), ("/a/hard", digest), ("/a/soft", "-> a/f")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (["x", "rclone: 2026/01/01 ERROR : data/1: put: no space left on device",
          "Save(<data/1>) returned error, retrying after 1s"],
         "data/1: put: no space left on device"),
        (["ssh: connect to host h port 22: Connection timed out", "Fatal: unable to open"],
         "unable to open"),
        ([], "restic ended without a word"),
    ],
)  # fmt: skip
def test_the_reason_is_the_first_that_was_said(
    module: ModuleType, tmp_path: Path, said: list[str], why: str
) -> None:
    repository = module.Repository({"server": None}, tmp_path)
    (tmp_path / "said").write_text("\n".join(said))
    assert repository.why() == why


def test_excluded_paths_are_taken_literally(module: ModuleType) -> None:
    assert module.literal("/home/a/x [1] *$HOME") == "/home/a/x \\[1\\] \\*$$HOME"


def test_the_stick_must_not_be_the_disk_that_is_erased(module: ModuleType, home: Path) -> None:
    with pytest.raises(module.RefusedError, match="mount the person's stick there first"):
        module.hand_back(module.look(PARAMS), str(home))


def test_personal_folders_are_copied_to_the_stick_and_compared(
    module: ModuleType, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "Personnel/photos").mkdir()
    (home / "Personnel/photos/été.jpg").write_bytes(b"jpg")
    (home / "Personnel/link").symlink_to("/etc/passwd")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as stick:
        done = module.hand_back(module.look(PARAMS), stick)
        copies = {str(p.relative_to(stick)) for p in Path(stick).rglob("*") if not p.is_dir()}
        assert copies == {"Personnel/file", "Personnel/photos/été.jpg", "Privé été/file"}
        assert done["handed_back_files"] == 3
        assert [Path(path).name for path in done["handed_back"]] == ["Personnel", "Privé été"]

        def copied_by_a_bad_stick(_one: Path, copy: Path) -> None:
            copy.write_bytes(b"something else")

        monkeypatch.setattr(module.shutil, "copyfile", copied_by_a_bad_stick)
        with pytest.raises(module.RefusedError, match="try another stick"):
            module.hand_back(module.look(PARAMS), stick)


def test_what_a_stick_holds_is_not_the_machines(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    mounts = ["/", "/home/anacarat/x", "/media/anne/CLÉ", "/mnt/stick", "/srv", "/var/lib/x"]
    monkeypatch.setattr(module, "local_mounts", lambda: mounts)

    def run(words: list[str], **_: Any) -> Any:
        asked.append(words[1])
        return subprocess.CompletedProcess(words, 0, b"", b"")

    monkeypatch.setattr(module.subprocess, "run", run)
    assert module.owned_elsewhere(1000, "/home/anacarat", "/mnt/stick") == []
    assert asked == ["/", "/srv"]
