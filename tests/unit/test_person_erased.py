"""Which connections tell of a person, and that removing keeps to what it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def module(module_named: Callable[[str], ModuleType]) -> ModuleType:
    return module_named("person_erased")


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("[connection]\nid=chez moi\ntype=wifi\n", True),
        ("[connection]\ntype=vpn\n", True),
        ("[connection]\ntype=ethernet\npermissions=user:anacarat:;\n", True),
        ("[connection]\ntype=ethernet\n[802-1x]\nidentity=x\n", True),
        ("[connection]\nid=bureau\ntype=ethernet\n[ipv4]\nmethod=auto\n", False),
    ],
)
def test_a_connection_that_tells_goes(
    module: ModuleType, tmp_path: Path, text: str, tells: bool
) -> None:
    (tmp_path / "c").write_text(text)
    assert module.tells(tmp_path / "c") is tells


def test_it_removes_whole_trees_and_follows_no_link(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "home/x/deep").mkdir(parents=True)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (tmp_path / "home/x/link").symlink_to(tmp_path / "kept")
    (tmp_path / "home/link").symlink_to(tmp_path / "kept")
    eraser = module.Eraser()
    eraser.remove([f"{tmp_path}/home/*", f"{tmp_path}/none/*"])
    assert sorted(eraser.removed) == [f"{tmp_path}/home/link", f"{tmp_path}/home/x"]
    assert (tmp_path / "kept/file").exists()
    again = module.Eraser()
    again.remove([f"{tmp_path}/home/*"])
    assert again.removed == []


def test_a_tool_that_is_missing_has_kept_nothing_and_one_that_fails_stops_it(
    module: ModuleType,
) -> None:
    assert module.Eraser().run("no-such-tool-anywhere") == ""
    with pytest.raises(module.RefusedError, match="false: 1"):
        module.Eraser().run("false")


def test_overwriting_leaves_zeros_of_the_same_size(module: ModuleType, tmp_path: Path) -> None:
    area = tmp_path / "swap"
    area.write_bytes(b"anacarat" * 300_000)
    module.overwrite(str(area))
    assert area.read_bytes() == bytes(2_400_000)
