"""The table at the end of a run and the file that it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nomade import report


@pytest.fixture
def french(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")


def machine(**data: object) -> report.Machine:
    return report.machine_from("vb-001", data, changed=3, seconds=12.34)


FAILED = {
    "assignee_name": "Zoé d'Estrées-Lœil",
    "assignee_login": "zestrees",
    "capabilities": {"workstation": "ok", "vpn_client": "failed"},
    "failures": [
        {
            "check": "vpn-handshake",
            "message": "no handshake\n  for 300 s",
            "remedy": {"fr": "Redémarrer la passerelle.", "en": "Restart the gateway."},
        }
    ],
}


@pytest.mark.parametrize(
    ("capabilities", "state"),
    [
        ({"a": "ok", "b": "ok"}, "ok"),
        ({"a": "ok", "b": "waiting"}, "waiting"),
        ({"a": "unproven", "b": "failed"}, "failed"),
        ({"a": "absent", "b": "absent"}, "absent"),
        ({"a": "planned", "b": "off"}, "planned"),
        ({"a": "planned", "b": "failed"}, "failed"),
        ({"a": "ok", "b": "off"}, "ok"),
    ],
)
def test_a_machine_is_as_good_as_its_worst_capability(
    capabilities: dict[str, str], state: str
) -> None:
    assert machine(capabilities=capabilities).state == state


def test_a_failure_without_a_capability_is_a_failure() -> None:
    assert machine(failures=[{"check": "contact", "message": "no route"}]).state == "failed"


@pytest.mark.usefixtures("english")
def test_the_table_names_machine_person_capability_and_remedy() -> None:
    text = report.render([machine(**FAILED)], "Nomade · Equipped")
    line = next(line for line in text.splitlines() if line.startswith("vb-001"))
    assert line.split() == ["vb-001", "Zoé", "d'Estrées-Lœil", "ok", "FAILED", "3", "12"]
    assert "! vb-001: vpn-handshake: no handshake for 300 s" in text
    assert "→ to do: Restart the gateway." in text
    assert "Machines: 1 FAILED" in text


@pytest.mark.usefixtures("english")
def test_what_many_machines_share_is_said_once_and_names_them_all() -> None:
    failure = {"check": "contact", "message": "{}: not enrolled", "remedy": "run --limit {}"}

    def lost(tag: str) -> report.Machine:
        told = {name: text.format(tag) for name, text in failure.items()}
        data = {"capabilities": {"vpn_client": "skipped"}, "failures": [told]}
        return report.machine_from(tag, data, 0, 0)

    lines = report.render([lost("vb-1"), lost("vb-10")], "t").splitlines()
    assert [line for line in lines if line.startswith(("! ", "  →"))] == [
        "! vb-1, vb-10: contact: not enrolled",
        "  → to do: run --limit vb-1,vb-10",
    ]


@pytest.mark.usefixtures("french")
def test_the_table_is_french_where_the_locale_is() -> None:
    text = report.render([machine(**FAILED)], "Nomade")
    assert "ÉCHEC" in text
    assert "→ à faire : Redémarrer la passerelle." in text


@pytest.mark.usefixtures("english")
def test_columns_stay_aligned_whatever_the_names() -> None:
    other = report.machine_from("a-much-longer-asset-tag", {"capabilities": {"x": "ok"}}, 0, 0)
    lines = report.render([machine(**FAILED), other], "t").splitlines()
    head = next(line for line in lines if line.startswith("Machine "))
    rows = [line for line in lines if line.startswith(("vb-001", "a-much"))]
    assert {row[: head.index("Person")].rstrip() for row in rows} == {
        "vb-001",
        "a-much-longer-asset-tag",
    }


def test_colour_marks_the_state_and_only_when_asked() -> None:
    assert "\033[31m" in report.render([machine(**FAILED)], "t", colour=True)
    assert "\033" not in report.render([machine(**FAILED)], "t")


def test_the_file_has_the_shape_that_other_tools_read(tmp_path: Path) -> None:
    path = tmp_path / "var" / "equip.json"
    report.write(path, [machine(**FAILED)], check_mode=False)
    (read,) = json.loads(path.read_text(encoding="utf-8"))["machines"]
    assert read["asset_tag"] == "vb-001"
    assert read["assignee_login"] == "zestrees"
    assert read["capabilities"] == {"workstation": "ok", "vpn_client": "failed"}
    assert (read["changed"], read["seconds"]) == (3, 12.3)
    assert read["failures"][0].keys() == {"check", "message", "remedy"}
    assert [p.name for p in path.parent.iterdir()] == ["equip.json"]


def test_it_is_remembered_when_a_machine_was_met_and_since_when_it_is_missed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "seen.json"
    here = report.machine_from("vb-001", {"capabilities": {"vpn_client": "failed"}}, 0, 0)
    away = report.machine_from("vb-001", {"capabilities": {"vpn_client": "absent"}}, 0, 0)
    never = report.machine_from("vb-002", {"capabilities": {"vpn_client": "absent"}}, 0, 0)
    report.remember(path, [here, never], "2026-01-01")
    report.remember(path, [away, never], "2026-01-02")
    report.remember(path, [away, never], "2026-01-03")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "vb-001": {"seen": "2026-01-01", "missed_since": "2026-01-02"},
        "vb-002": {"missed_since": "2026-01-01"},
    }
    report.remember(path, [here], "2026-01-04")
    assert json.loads(path.read_text(encoding="utf-8"))["vb-001"] == {"seen": "2026-01-04"}


def test_a_line_with_every_capability_fits_a_screen() -> None:
    known = dict.fromkeys(report.HEADINGS, "ok")
    servers = ("vpn_gateway", "package_cache", "backup_server", "netboot_server")
    laptop = {name: "ok" for name in known if name not in servers}
    data = {"assignee_name": "Barnabé d'Aubépine-Roncière", "capabilities": laptop}
    shown = report.render([report.machine_from("demo-0002", data, 12, 345)], "title")
    assert max(map(len, shown.splitlines())) <= 120
    assert "office_suite" not in shown
