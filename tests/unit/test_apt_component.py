"""Firmware for a machine whose owner left its component out."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_spec = importlib.util.spec_from_file_location(
    "apt_component_module", ROOT / "plugins/modules/apt_component.py"
)
assert _spec
assert _spec.loader
apt_component = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(apt_component)

LIST = """\
# a machine of ours
deb http://mirror.example.org/debian trixie main contrib # the archive
deb [signed-by=/etc/k.gpg arch=amd64,i386] http://mirror.example.org/debian trixie-updates main
deb-src http://mirror.example.org/debian trixie main
deb [trusted=yes] file:/srv/vendor ./
deb cdrom:[Debian GNU/Linux 13]/ trixie main
deb http://vendor.example.org/apt stable
"""

SOURCES = """\
Types: deb deb-src
URIs: http://security.example.org/debian-security
Suites: trixie-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://mirror.example.org/debian
Suites: trixie
Components: main non-free-firmware
"""


@pytest.fixture
def apt(tmp_path: Path) -> Path:
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def wanted(apt: Path) -> str | None:
    own = apt / "sources.list.d/nomade.sources"
    result: str | None = apt_component.wanted(apt, "non-free-firmware", own, "trixie")
    return result


def test_takes_addresses_suites_and_keys_from_the_sources_of_main(apt: Path) -> None:
    (apt / "sources.list").write_text(LIST)
    (apt / "sources.list.d/security.sources").write_text(SOURCES)
    assert (
        wanted(apt)
        == """\
Types: deb
URIs: http://mirror.example.org/debian
Suites: trixie
Components: non-free-firmware

Types: deb
Signed-By: /etc/k.gpg
Architectures: amd64 i386
URIs: http://mirror.example.org/debian
Suites: trixie-updates
Components: non-free-firmware

Types: deb
URIs: http://security.example.org/debian-security
Suites: trixie-security
Components: non-free-firmware
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBF
 -----END PGP PUBLIC KEY BLOCK-----
"""
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list", "deb http://mirror.example.org/debian trixie main non-free-firmware\n"),
        ("sources.list.d/debian.sources", SOURCES.replace("Enabled: no\n", "")),
    ],
)
def test_does_nothing_where_a_source_offers_it(apt: Path, name: str, text: str) -> None:
    (apt / name).write_text(text)
    assert wanted(apt) is None


def test_a_second_run_wants_what_the_first_wrote(apt: Path) -> None:
    (apt / "sources.list").write_text(LIST)
    first = wanted(apt)
    assert first
    (apt / "sources.list.d/nomade.sources").write_text(first)
    assert wanted(apt) == first


def test_our_source_goes_when_the_owner_adds_the_component(apt: Path) -> None:
    (apt / "sources.list").write_text(LIST)
    (apt / "sources.list.d/nomade.sources").write_text(wanted(apt) or "")
    (apt / "sources.list").write_text(LIST.replace("main contrib", "main non-free-firmware"))
    assert wanted(apt) is None


@pytest.mark.parametrize("line", ["", "deb", "deb http://x", "deb [signed-by=/a http://x y main"])
def test_lines_that_cannot_be_read_are_left_to_apt(apt: Path, line: str) -> None:
    (apt / "sources.list").write_text(line)
    assert wanted(apt) is None
