"""The register says what a machine is after a run; only where it was what the run began with."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

ROOT = Path(__file__).parents[2]
HEAD = (
    "asset_tag;serial_number;mac_address;model;owner_department;state;assignee_login;assignee_name;"
    "assignee_email;department;extension;wave;management_address\n"
)


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    path = ROOT / "plugins/action/register_state.py"
    spec = importlib.util.spec_from_file_location("register_state", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(plugin: ModuleType, town: Path, asset: str, *, check: bool = False) -> dict[str, Any]:
    args = {"town": str(town), "state": "stock", "was": ["recovered", "quarantined"]}
    task = SimpleNamespace(args=args, check_mode=check, async_val=0, action="x")
    action = plugin.ActionModule(task, Mock(), Mock(), Mock(), Mock(), Mock())
    result: dict[str, Any] = action.run(task_vars={"inventory_hostname": asset})
    return result


@pytest.fixture
def town(tmp_path: Path) -> Path:
    lines = ["vb-1;SN1;;;Voirie;recovered;;;;;;;", "vb-2;SN2;;;Voirie;quarantined;;;;;;;"]
    lines += ["vb-3;SN3;;;Voirie;retired;;;;;;;"]
    (tmp_path / "fleet.csv").write_text(HEAD + "\n".join(lines) + "\n")
    return tmp_path


def states(town: Path) -> list[str]:
    return [line.split(";")[5] for line in (town / "fleet.csv").read_text().splitlines()[1:]]


def test_it_becomes_stock_once(plugin: ModuleType, town: Path) -> None:
    assert run(plugin, town, "vb-1", check=True)["changed"]
    assert states(town) == ["recovered", "quarantined", "retired"]
    assert run(plugin, town, "vb-1")["changed"]
    assert run(plugin, town, "vb-2")["changed"]
    assert states(town) == ["stock", "stock", "retired"]
    assert not run(plugin, town, "vb-1")["changed"]


def test_another_state_is_left_alone(plugin: ModuleType, town: Path) -> None:
    assert not run(plugin, town, "vb-3")["changed"]
    assert states(town) == ["recovered", "quarantined", "retired"]


def test_a_faulty_register_is_one_sentence(plugin: ModuleType, town: Path) -> None:
    (town / "fleet.csv").write_text(HEAD + "vb-1;SN1;;;Voirie;broken;;;;;;;\n")
    done = run(plugin, town, "vb-1")
    assert done["failed"]
    assert done["msg"].startswith("fleet.csv:2: state:")
