"""After converge, check mode finds nothing to change."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path


def test_check_mode_reports_no_change() -> None:
    scenario = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
    run = subprocess.run(
        [
            "ansible-playbook",
            "--check",
            "--diff",
            f"--inventory={os.environ['MOLECULE_EPHEMERAL_DIRECTORY']}/inventory",
            f"--inventory={scenario}/inventory",
            "--skip-tags=notest,molecule-notest",
            str(scenario / "converge.yml"),
        ],
        # Molecule asks for colours, which would hide the recap from the pattern below.
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    changes = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+)", run.stdout, re.MULTILINE)
    print(run.stdout, run.stderr)
    assert run.returncode == 0
    assert changes, "no recap"
    assert [host for host, changed in changes if changed != "0"] == []
