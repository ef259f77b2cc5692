"""Where a town keeps what runs make and can make again, as group_vars/all.yml says it."""

from __future__ import annotations

from pathlib import Path

from nomade import pending


def short(place: Path) -> str:
    """Return a path as one would type it here."""
    here = Path.cwd()
    return str(place.relative_to(here) if place.is_relative_to(here) else place)


def var_directory(town: Path) -> Path:
    """Return var/<town> beside the directory of all towns (nomade_var_dir)."""
    town = town.resolve()
    return town.parent.parent / "var" / town.name


def pending_directory(town: Path) -> Path:
    """Return where unknown machines' announcements are kept."""
    return var_directory(town) / pending.DIRECTORY
