"""What a town switches off is taken back, each by itself, and never the tunnel that a run uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WITHDRAWN = ["vpn_client", "office_suite", "links"]
REMEMBERED = "{{ {'failures': nomade_failures, 'left': nomade_withdrawn} | to_json }}"


def withdraw(directory: Path, play_rules: Callable[..., None], address: str) -> Any:
    """Take three capabilities back, of which one cannot be; return what went and what is told."""
    for role in WITHDRAWN:
        tasks: list[dict[str, Any]] = [
            {"ansible.builtin.file": {"path": f"{directory}/gone-{role}", "state": "touch"}},
        ]
        if role == "office_suite":
            tasks.insert(0, {"name": "Remove it", "ansible.builtin.fail": {"msg": "it is stuck"}})
        place = directory / f"roles/{role}/tasks/absent.yml"
        place.parent.mkdir(parents=True)
        place.write_text(yaml.safe_dump(tasks))
    told = directory / "told.json"
    tasks = [
        {"ansible.builtin.include_tasks": str(ROOT / "playbooks/tasks/withdraw.yml")},
        {"ansible.builtin.copy": {"content": REMEMBERED, "dest": str(told), "mode": "0600"}},
    ]
    play_rules(
        directory,
        [],
        tasks,
        nomade_withdrawn=WITHDRAWN,
        nomade_failures=[],
        nomade_report="equip",
        ansible_host=address,
        fleet_vpn_ipv4="10.66.0.17",
        fleet_vpn_ipv6="fd66::11",
    )
    gone = sorted(path.name.removeprefix("gone-") for path in directory.glob("gone-*"))
    return gone, json.loads(told.read_text())


def test_each_is_taken_back_by_itself(tmp_path: Path, play_rules: Callable[..., None]) -> None:
    gone, told = withdraw(tmp_path, play_rules, "192.168.10.7")
    assert gone == ["links", "vpn_client"]
    (failure,) = told["failures"]
    assert failure["capability"] == "office_suite"
    assert failure["message"] == "Remove it: it is stuck"


@pytest.mark.parametrize("address", ["10.66.0.17", "fd66::11"])
def test_the_tunnel_that_the_run_comes_through_stays(
    tmp_path: Path, play_rules: Callable[..., None], address: str
) -> None:
    gone, told = withdraw(tmp_path, play_rules, address)
    assert gone == ["links"]
    assert told["left"] == ["office_suite", "links"]
    tunnel, _ = told["failures"]
    assert tunnel["capability"] == "vpn_client"
    assert tunnel["message"].startswith(f"{address}: this run comes through the tunnel")
