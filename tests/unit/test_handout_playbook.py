"""The playbook over Valbourg's register: it prints what stands there, and contacts nobody."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pypdf
import pytest
from ansible.utils.display import Display

from nomade import register
from nomade.register import Machine

ROOT = Path(__file__).parents[2]
TOWN = ROOT / "inventories/valbourg"
MACHINES = [m for m in register.read_register(TOWN / register.FILE) if m.is_assigned]
WAVE = [machine for machine in MACHINES if machine.wave == 3]

# the second person's is in large print
WAVE_3 = ("--limit=wave_3", "-e", f'{{"handout_large_print_machines": ["{WAVE[1].asset_tag}"]}}')


def run(var: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook. Who would reach a machine meets a program that is none."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "playbooks/handout.yml"]
    command += ["-i", str(TOWN), "-e", f"nomade_var_dir={var}", *arguments]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "LC_"))}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={
            **environ,
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_SSH_EXECUTABLE": "/nonexistent",
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the playbook made of wave 3."""
    directory = tmp_path_factory.mktemp("var")
    done = run(directory, *WAVE_3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Sheets: {len(WAVE)} in {directory}/handout" in done.stdout
    assert "to print: wave-3.pdf" in done.stdout
    return directory


def text_of(pdf: Path) -> str:
    done = subprocess.run(
        ["pdftotext", "-raw", str(pdf), "-"], stdout=subprocess.PIPE, text=True, check=True
    )
    return "".join(done.stdout.split())


@pytest.mark.parametrize("machine", WAVE, ids=lambda machine: machine.asset_tag)
def test_a_sheet_holds_what_the_register_says(machine: Machine, var: Path) -> None:
    said = text_of(var / "handout" / f"{machine.asset_tag}.pdf")
    for column in (
        "asset_tag",
        "assignee_name",
        "assignee_login",
        "model",
        "department",
        "extension",
    ):
        value = getattr(machine, column)
        assert "".join(value.split()) in said, f"{column}: {value}"
    assert "+33199004242" in said
    others = [m.assignee_login for m in WAVE if m is not machine and len(m.assignee_login) > 6]
    assert not [login for login in others if f"identifiant{login}Votre" in said]


def test_a_wave_holds_its_people_and_nobody_else(var: Path) -> None:
    made = {path.name for path in (var / "handout").iterdir()}
    sheets = {f"{m.asset_tag}.{kind}" for m in WAVE for kind in ("pdf", "html")}
    assert made == sheets | {"wave-3.pdf", "made.json"}
    pages = pypdf.PdfReader(var / "handout/wave-3.pdf").pages
    assert len(pypdf.PdfReader(var / f"handout/{WAVE[1].asset_tag}.pdf").pages) == 4
    # and the list to sign, on whole sheets of paper
    assert len(pages) - 2 * len(WAVE) - 2 in (2, 4)
    said = text_of(var / "handout/wave-3.pdf")
    assert all("".join(machine.assignee_name.split()) in said for machine in WAVE)


def test_a_second_run_changes_nothing(var: Path) -> None:
    done = run(var, *WAVE_3)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(written: 0, removed: 0)" in done.stdout
    assert "changed=0" in done.stdout


def test_a_town_without_a_capability_does_not_print_it(tmp_path: Path) -> None:
    off = '{"nomade_capabilities": {"vpn_client": false, "self_service": false}}'
    done = run(tmp_path, "--limit", WAVE[0].asset_tag, "--check", "-e", off)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(written: 3, removed: 0)" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_colours_that_nobody_can_read_stop_the_run(tmp_path: Path) -> None:
    grey = '{"text": "#999999", "paper": "#ffffff", "panel": "#ffffff", "call": "#ffffff",'
    grey += ' "accent": "#000000", "on_accent": "#ffffff"}'
    done = run(tmp_path, "--limit", "wave_3", "-e", f'{{"handout_colours": {grey}}}')
    assert done.returncode != 0
    assert "handout_colours.text: #999999 on paper #ffffff has a contrast of 2.8:1" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_slip_needs_a_record_and_says_so(tmp_path: Path) -> None:
    slip = WAVE[0].asset_tag
    done = run(tmp_path, "-e", f"slip={slip}", "-e", f"identity={tmp_path}/none")
    assert done.returncode != 0
    assert (
        f"{slip}: {TOWN}/records/first-passwords/{slip}.age is missing" in done.stderr + done.stdout
    )
    assert list(tmp_path.iterdir()) == []


def test_progress_is_shown_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(Display, "display", lambda _self, text, **_options: shown.append(text))
    spec = importlib.util.spec_from_file_location("action", ROOT / "plugins/action/handout.py")
    assert spec is not None
    assert spec.loader is not None
    action = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(action)
    quick, slow = action.Progress(seconds=0), action.Progress(seconds=60)
    for done in range(1, 4):
        quick.show(done, 3)
        slow.show(done, 3)
    assert len(shown) == 3
    assert "3" in shown[-1]
