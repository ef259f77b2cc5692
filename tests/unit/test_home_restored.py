"""What of an archive goes where, what is never replaced, and what never leads out of the home."""

from __future__ import annotations

import io
import os
import pwd
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

OLD = "/home/anacarat"
type Member = tuple[str, bytes, int]


@pytest.fixture(scope="module")
def module(module_named: Callable[[str], ModuleType]) -> ModuleType:
    return module_named("home_restored")


@pytest.fixture
def home(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "skel").mkdir()
    (tmp_path / "skel/.bashrc").write_text("of every new account")
    monkeypatch.setattr(module, "SKELETON", tmp_path / "skel")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def stream(*members: Member, link: tuple[str, str] = ("", "")) -> io.BytesIO:
    """Return an archive as restic dumps it: folders, files (path, content, mode), one link."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        folders = sorted({str(p) for path, _, _ in members for p in Path(path).parents})
        for folder in folders[1:]:
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o750
            tar.addfile(member)
        for path, content, mode in members:
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.mtime = len(content), mode, 1_700_000_000
            tar.addfile(member, io.BytesIO(content))
        if link[0]:
            member = tarfile.TarInfo(link[0])
            member.type, member.linkname = tarfile.SYMTYPE, link[1]
            tar.addfile(member)
    made.seek(0)
    return made


def restoring(module: ModuleType, home: Path, *, overwrite: bool = False) -> Any:
    me = pwd.getpwuid(os.geteuid())
    entry = pwd.struct_passwd((me.pw_name, "x", me.pw_uid, me.pw_gid, "", str(home), "/bin/sh"))
    params = {"home": OLD, "beside": "vb-1", "overwrite": overwrite}
    return module.Restoring(params, entry)


FILES: list[Member] = [
    (f"{OLD}/.bashrc", b"mine", 0o644),
    (f"{OLD}/Documents/a", b"a", 0o600),
    (f"{OLD}/Documents/tool", b"#!", 0o4755),
    ("/srv/atelier/plan", b"plan", 0o644),
]
LINK = (f"{OLD}/a", "Documents/a")


def test_everything_comes_back_as_it_was(module: ModuleType, home: Path) -> None:
    (home / ".bashrc").write_text("of every new account")
    plan = restoring(module, home).compare(stream(*FILES, link=LINK))
    assert (plan.different, plan.newer, plan.clashes) == ([], 0, [])
    assert plan.todo == 6  # with a folder
    held, written = restoring(module, home).restore(stream(*FILES, link=LINK))
    assert written == 6
    assert [f"{wanted}  {path}\n" for wanted, path in held] == plan.lines
    assert (home / ".bashrc").read_text() == "mine"
    assert (home / "Documents/a").stat().st_mode & 0o7777 == 0o600
    assert (home / "Documents/a").stat().st_mtime == 1_700_000_000
    assert (home / "Documents").stat().st_mode & 0o7777 == 0o750
    assert (home / "Documents/tool").stat().st_mode & 0o7777 == 0o755
    assert (home / "a").readlink() == Path("Documents/a")
    assert (home / "vb-1/srv/atelier/plan").read_text() == "plan"
    assert not (home / "vb-1/home").exists()
    # the second time nothing is to be done, and nothing is done
    assert restoring(module, home).compare(stream(*FILES, link=LINK)).todo == 0
    before = (home / "Documents/a").stat()
    assert restoring(module, home).restore(stream(*FILES, link=LINK))[1] == 0
    assert (home / "Documents/a").stat() == before
    assert [p for p in home.rglob("*") if ".nomade-" in p.name] == []


def test_what_somebody_has_here_is_told_and_kept(module: ModuleType, home: Path) -> None:
    (home / "Documents").mkdir()
    (home / "Documents/a").write_text("newer")
    plan = restoring(module, home).compare(stream(*FILES))
    assert (plan.different, plan.newer) == ([str(home / "Documents/a")], 1)
    with pytest.raises(module.RefusedError, match="has changed meanwhile"):
        restoring(module, home).restore(stream(*FILES))
    assert (home / "Documents/a").read_text() == "newer"
    restoring(module, home, overwrite=True).restore(stream(*FILES))
    assert (home / "Documents/a").read_text() == "a"


def test_rights_that_are_wrong_are_put_right(module: ModuleType, home: Path) -> None:
    restoring(module, home).restore(stream(*FILES))
    (home / "Documents/a").chmod(0o666)
    plan = restoring(module, home).compare(stream(*FILES))
    assert (plan.todo, plan.different) == (1, [])
    assert restoring(module, home).restore(stream(*FILES))[1] == 1
    assert (home / "Documents/a").stat().st_mode & 0o7777 == 0o600


def test_nothing_follows_a_link_out_of_the_home(
    module: ModuleType, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "etc").mkdir()
    (home / "Documents").symlink_to(tmp_path / "etc")
    plan = restoring(module, home).compare(stream(*FILES))
    assert str(home / "Documents/a") in plan.clashes
    with pytest.raises(module.RefusedError, match="leads elsewhere"):
        restoring(module, home, overwrite=True).restore(stream(*FILES))
    assert list((tmp_path / "etc").iterdir()) == []


def test_a_file_that_is_a_folder_here_is_a_clash(module: ModuleType, home: Path) -> None:
    (home / "Documents/a").mkdir(parents=True)
    assert restoring(module, home).compare(stream(*FILES)).clashes == [str(home / "Documents/a")]


def test_a_path_that_leads_out_of_the_archive_is_refused(module: ModuleType, home: Path) -> None:
    with pytest.raises(module.RefusedError, match="leads elsewhere"):
        restoring(module, home).compare(stream((f"{OLD}/../../etc/passwd", b"x", 0o644)))
