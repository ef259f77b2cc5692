"""The search of a disk: every spelling, every packing, and nothing that is nobody's."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

WORDS = ["anacarat", "Anne Nacarat", "Élodie Œuf", "anne@example.org"]


@pytest.fixture(scope="module")
def module(module_named: Callable[[str], ModuleType]) -> ModuleType:
    return module_named("disk_search")


@pytest.mark.parametrize(
    "text",
    [
        b"login=anacarat\n",
        b"ANNE NACARAT",
        "élodie œuf".encode(),
        "Élodie Œuf".encode("utf-16-le"),
        b"q=%C3%89lodie%20%C5%92uf&x",
        b"q=Anne+Nacarat",
        b"to: <anne@example.org>",
        b"/home/anacarat/.cache",
        b"anacarat",
    ],
)
def test_it_finds_every_spelling(module: ModuleType, text: bytes) -> None:
    assert module.Search(WORDS).in_bytes(text)


@pytest.mark.parametrize(
    "text", [b"anacarats", b"_anacarat", b"Anne  Nacarat", b"joanne@example.org"]
)
def test_a_word_within_a_word_is_none(module: ModuleType, text: bytes) -> None:
    assert not module.Search(WORDS).in_bytes(text)


def test_in_a_binary_file_a_neighbour_may_be_a_tag(module: ModuleType) -> None:
    assert module.Search(WORDS).in_bytes(b"\x00\x08anacaratB\x00\x08job-name")
    assert not module.Search(["ovy"]).in_bytes(b"\x00groovy\x00")
    assert module.Search(["ovy"]).in_bytes(b"\x00ovy\x00")


def test_it_finds_what_lies_across_two_blocks(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 64)
    for before in range(50, 70):
        assert module.Search(WORDS).in_stream(io.BytesIO(b"." * before + b"anacarat" + b"." * 99))


def test_it_looks_into_what_is_packed(module: ModuleType, tmp_path: Path) -> None:
    content = b"x" * 1000 + b" anacarat " + b"x" * 1000
    (tmp_path / "a.gz").write_bytes(gzip.compress(content))
    (tmp_path / "a.bz2").write_bytes(bz2.compress(content))
    (tmp_path / "a.xz").write_bytes(lzma.compress(content))
    for name, member in (("a.odt", "content.xml"), ("b.zip", "anacarat/x")):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, content if member == "content.xml" else "nothing")
    search = module.Search(WORDS)
    for path in tmp_path.iterdir():
        assert search.in_file(str(path)), path
    (tmp_path / "torn.gz").write_bytes(gzip.compress(content)[:20])
    assert not search.in_file(str(tmp_path / "torn.gz"))


def test_it_looks_at_names_links_and_contents(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "anacarat").mkdir()
    (tmp_path / "link").symlink_to("/home/anacarat/x")
    (tmp_path / "file").write_text("Anne Nacarat")
    (tmp_path / "clean").write_text("nothing")
    (tmp_path / "skipped").write_text("anacarat")
    monkeypatch.setattr(module, "local_mounts", lambda _kinds: [str(tmp_path)])
    said = module.search(WORDS, [str(tmp_path / "skipped")])
    assert [Path(path).name for path in sorted(said["found"])] == ["anacarat", "file", "link"]
    assert said["files"] == 2
    assert said["unreadable"] == []
    assert module.search(WORDS, [], str(tmp_path))["files"] == 0


def test_a_file_as_its_package_brought_it_is_nobodys(module: ModuleType, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text("anacarat")
    sums = tmp_path / "p.md5sums"
    digest = hashlib.md5(words.read_bytes(), usedforsecurity=False).hexdigest()
    sums.write_text(f"{digest}  {str(words)[1:]}\n")
    assert module._is_listed(str(words), sums)
    words.write_text("anacarat was here")
    assert not module._is_listed(str(words), sums)
