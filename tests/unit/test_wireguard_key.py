"""The key module, with a stand-in for `wg` ; molecule uses the real one."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
WG = """#!/bin/sh
case $1 in
    genkey) echo "private-$$" ;;
    pubkey) read -r key; case $key in private-*) echo "public-of-$key" ;; *) exit 1 ;; esac ;;
    show) cat "$WG_RUNS" ;;
    set) sed 's/^/public-of-/' "$4" > "$WG_RUNS" ;;
esac
"""


@pytest.fixture
def key_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    wg = tmp_path / "bin" / "wg"
    wg.parent.mkdir()
    wg.write_text(WG)
    wg.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wg.parent}:{os.environ['PATH']}")
    spec = importlib.util.spec_from_file_location(
        "wireguard_key", ROOT / "plugins/modules/wireguard_key.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("wireguard_key", module)
    spec.loader.exec_module(module)
    module.OWNER = os.getuid()
    return module


def test_a_key_is_made_once_for_its_owner_alone(key_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "wireguard" / "wg0.key"
    first = key_module.ensure(path, dry=False)
    private = path.read_text()
    second = key_module.ensure(path, dry=False)
    assert first["changed"] is True
    assert first["created"] is True
    assert second == {"changed": False, "created": False, "public_key": first["public_key"]}
    assert path.read_text() == private
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["wg0.key"]


def test_the_result_never_holds_the_private_key(key_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "wg0.key"
    result = key_module.ensure(path, dry=False)
    assert result["public_key"] == f"public-of-{path.read_text().strip()}"  # the stand-in's way
    assert set(result) == {"changed", "created", "public_key"}


def test_check_mode_tells_and_makes_nothing(key_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "wireguard" / "wg0.key"
    result = key_module.ensure(path, dry=True)
    assert result == {"changed": True, "created": True, "public_key": ""}
    assert not path.parent.exists()


def test_a_mode_too_wide_is_put_right(key_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "wg0.key"
    key_module.ensure(path, dry=False)
    path.chmod(0o644)
    assert key_module.ensure(path, dry=True)["changed"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert key_module.ensure(path, dry=False)["changed"] is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_no_key_is_refused_and_kept(key_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "wg0.key"
    path.write_text("garbage\n")
    with pytest.raises(key_module.KeyFileError, match=r"holds no WireGuard key: move it away"):
        key_module.ensure(path, dry=False)
    assert path.read_text() == "garbage\n"


def test_a_link_is_refused(key_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "wg0.key"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(key_module.KeyFileError, match=r"no ordinary file"):
        key_module.ensure(path, dry=False)


def test_a_failure_half_way_leaves_nothing(
    key_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(key_module.KeyFileError, match=r"install wireguard-tools first"):
        key_module.ensure(tmp_path / "wireguard" / "wg0.key", dry=False)
    assert list((tmp_path / "wireguard").iterdir()) == []


def test_check_mode_bears_a_key_without_the_tool(
    key_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wg0.key"
    key_module.ensure(path, dry=False)
    monkeypatch.setenv("PATH", "/nowhere")
    result = key_module.ensure(path, dry=True)
    assert result == {"changed": False, "created": False, "public_key": ""}


def test_an_interface_with_another_key_is_given_this_one(
    key_module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = tmp_path / "runs"
    runs.write_text("public-of-private-lost\n")
    monkeypatch.setenv("WG_RUNS", str(runs))
    path = tmp_path / "wg0.key"
    key_module.ensure(path, dry=False)
    assert key_module.ensure(path, dry=True, interface="lo")["changed"] is True
    assert runs.read_text() == "public-of-private-lost\n"
    assert key_module.ensure(path, dry=False, interface="lo")["changed"] is True
    assert runs.read_text() == f"public-of-{path.read_text()}"
    assert key_module.ensure(path, dry=False, interface="lo")["changed"] is False
    assert key_module.ensure(path, dry=False, interface="not-up")["changed"] is False


def test_removal(key_module: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "wg0.key"
    key_module.ensure(path, dry=False)
    assert key_module.remove(path, dry=True)["changed"] is True
    assert path.exists()
    assert key_module.remove(path, dry=False)["changed"] is True
    assert key_module.remove(path, dry=False)["changed"] is False
