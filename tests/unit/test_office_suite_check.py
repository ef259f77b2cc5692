"""The checks of the office suite, with a few lines in place of LibreOffice and fontconfig."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CHECK = Path(__file__).parents[2] / "roles/office_suite/rootfs/usr/lib/nomade/checks/office-suite"

# As far as the macro is concerned: an answer goes into the file that it names.
ANSWERS = """
for argument; do
    case $argument in -env:UserInstallation=file://*) profile=${argument#*file://} ;; esac
done
test "$(grep -c true "$profile/user/registrymodifications.xcu")" = 1 || exit 9
module=$profile/user/basic/Standard/Nomade.xba
answer=$(sed -n 's#.*openFileWrite("file://\\([^"]*\\)").*#\\1#p' "$module")
pdf=$(sed -n 's#.*storeToURL("file://\\([^"]*\\)".*#\\1#p' "$module")
document=${pdf%.pdf}.fodt
grep -q PDF "$document" || exit 7
grep -q "loadComponentFromURL(.file://$document" "$module" || exit 8
echo %PDF-1.7 > "$pdf"
cp "$module" "$SAID"
cat "$VALUES" > "$answer"
"""
POLICY = [
    {"path": "/org.openoffice.Office.Common/Save", "name": "AutoSave", "value": True},
    {"path": "/org.openoffice.Office.Common/Security", "name": "SecureURL", "value": ["a", "b"]},
    {"path": "/org.openoffice.Office.Common/Security", "name": "Level", "value": 2},
    {"path": "/org/Factory['x&y']/InternalPaths", "node": 'file:///a"b'},
    {"path": "/org.openoffice.Setup/Product", "name": "New", "value": False, "newer": True},
]
GOOD = ["true", "a\tb", "2", 'file:///a"b', ""]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """run("policy", FILE, soffice="exit 1") runs a check with programs of these lines."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "bin").mkdir()

    def check(*arguments: str, language: str = "C", **programs: str) -> Any:
        for name, lines in programs.items():
            program = tmp_path / "bin" / name.replace("_", "-")
            program.write_text(f"#!/bin/sh\n{lines}\n")
            program.chmod(0o755)
        return subprocess.run(
            [CHECK, *arguments],
            env={
                **os.environ,
                "PATH": f"{tmp_path / 'bin'}" + (":/usr/bin:/bin" if programs else ""),
                "TMPDIR": str(tmp_path / "tmp"),
                "LC_ALL": language,
                "SAID": str(tmp_path / "said"),
                "VALUES": str(tmp_path / "values"),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    return check


def test_fonts(run: Run) -> None:
    pairs = ("Calibri=Carlito", "Courier New=Liberation Mono", "Arial=Liberation Sans")
    match = (
        'case $2 in Calibri) printf Carlito ;; C*) printf "Liberation Mono" ;; *) printf %s ;; esac'
    )
    done = run("fonts", *pairs, fc_match=match % "Arial")  # the font itself
    assert (done.returncode, done.stdout[:21]) == (0, "OK - 3 common fonts h")
    done = run("fonts", *pairs, fc_match=match % '"DejaVu Sans"', language="fr_FR.UTF-8")
    assert done.returncode == 2
    assert done.stdout == (
        "CRITICAL - des polices d'une autre chasse remplacent : Arial → DejaVu Sans\n"
    )


def suite(
    run: Run, tmp_path: Path, values: list[str] = GOOD, soffice: str = ANSWERS, **more: Any
) -> subprocess.CompletedProcess[str]:
    (tmp_path / "policy.json").write_text(json.dumps(POLICY))
    (tmp_path / "values").write_text("".join(f"{n}\t{v}\n" for n, v in enumerate(values)))
    return run("suite", str(tmp_path / "policy.json"), soffice=soffice, **more)


def test_a_document_that_becomes_a_pdf_and_a_policy_in_force(run: Run, tmp_path: Path) -> None:
    done = suite(run, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(
        r"OK - a document became a PDF, 5 settings of the town are in force \(\d\.\d s\)"
        r" \| time=\d\.\ds\n",
        done.stdout,
    )
    assert list((tmp_path / "tmp").iterdir()) == []
    said = (tmp_path / "said").read_text()
    assert """Setting("/org/Factory['x&amp;y']/InternalPaths", "file:///a""b", True)""" in said
    french = suite(run, tmp_path, language="fr_FR.UTF-8").stdout
    assert re.match(
        r"OK - un document est devenu un PDF, 5 réglages de la mairie sont en vigueur \(\d,\d s\)",
        french,
    )


@pytest.mark.parametrize(
    ("soffice", "says"),
    [
        ("exit 77", "LibreOffice does not start (exit code 77)"),
        ("exit 0", "LibreOffice does not make a PDF of a document"),
        (ANSWERS.replace("%PDF", "nothing"), "LibreOffice does not make a PDF of a document"),
        (ANSWERS.replace('cat "$VALUES"', "true"), "LibreOffice does not tell its settings"),
    ],
)
def test_libreoffice_that_fails(run: Run, tmp_path: Path, soffice: str, says: str) -> None:
    done = suite(run, tmp_path, soffice=soffice)
    assert (done.returncode, done.stdout) == (2, f"CRITICAL - {says}\n")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_libreoffice_that_is_not_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text("[]")
    done = run("suite", str(tmp_path / "policy.json"))
    assert (done.returncode, done.stdout) == (2, "CRITICAL - LibreOffice is not installed\n")


@pytest.mark.parametrize(
    ("number", "value", "says"),
    [
        (0, "false", "AutoSave is false and not true"),
        (1, "a", "SecureURL is a and not a, b"),
        (2, "", "Level is - and not 2"),
        (3, "", 'file:///a"b is - and not file:///a"b'),
        (4, "true", "New is true and not false"),
    ],
)
def test_a_policy_that_is_not(run: Run, tmp_path: Path, number: int, value: str, says: str) -> None:
    done = suite(run, tmp_path, [*GOOD[:number], value, *GOOD[number + 1 :]])
    assert (done.returncode, done.stdout) == (2, f"CRITICAL - {says}\n")
