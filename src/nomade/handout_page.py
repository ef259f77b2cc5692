"""Sheets as HTML: what is known of a person's machine, and the templates that say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nomade import handout_look, handout_text


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a person's sheet says about them and their machine. What is empty is left out."""

    asset: str
    name: str
    login: str
    model: str = ""
    department: str = ""
    extension: str = ""
    wave: str = ""
    large_print: bool = False
    first_password: bool = False  # a slip with a first password exists

    @property
    def sides(self) -> int:
        """Return the pages of the sheet: recto and verso, twice as many in large print."""
        return 4 if self.large_print else 2


@dataclass(frozen=True, slots=True)
class Town:
    """What all sheets of a town have in common. What is empty is left out."""

    name: str
    hotline: str
    language: str
    colours: Mapping[str, str]
    logo: str = ""
    conference_url: str = ""
    conference_title: str = ""
    tunnel: bool = True
    light: bool = False
    desk: str = ""
    may: Sequence[str] = field(default_factory=tuple)
    may_not: Sequence[str] = field(default_factory=tuple)


class Pages:
    """The templates of a directory, filled in for a town."""

    def __init__(self, templates: Path, town: Town) -> None:
        """Read the town's pictures once: they are the same on all sheets."""
        self.town = town
        self._environment = Environment(
            loader=FileSystemLoader(templates),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            unbroken=handout_text.unbroken, dialled=handout_text.dialled
        )
        self._environment.globals.update(
            t=handout_text.translator(town.language),
            picture=lambda drawing: handout_look.data_uri(str(drawing).encode()),
            language=town.language,
            colours=town.colours,
            logo=handout_look.logo_uri(town.logo),
            code=handout_look.code_uri(
                town.conference_url, town.colours["text"], town.colours["paper"]
            )
            if town.conference_url
            else "",
        )

    @cached_property
    def _style(self) -> Markup:
        # CSS and not HTML: what stands in it is ours, and colours that were checked
        return Markup(self._environment.get_template("style.css.j2").render())  # noqa: S704 - ours

    def _render(self, template: str, title: str, **values: Any) -> str:
        page = self._environment.get_template(template)
        return page.render(title=title, style=self._style, town=self.town, **values)

    def title(self, sheet: Sheet) -> str:
        """Return the title of a person's sheet."""
        return f"{self.town.name} · {sheet.asset} · {sheet.name}"

    def wave_title(self, wave: str) -> str:
        """Return the title of a wave's sheets."""
        word = {"fr": "vague", "en": "wave"}[self.town.language]
        return f"{self.town.name} · {word} {wave}" if wave else self.town.name

    def sheet(self, sheet: Sheet) -> str:
        """Return the sheet of one person, for a screen."""
        return self._render(
            "sheets.html.j2", self.title(sheet), sheets=[sheet], wave=None, links=True
        )

    def wave(self, wave: str, sheets: Sequence[Sheet]) -> str:
        """Return the sheets of a wave, in the order given, with a list to sign in front of them."""
        departments = [
            (department, list(people))
            for department, people in groupby(sheets, key=lambda sheet: sheet.department)
        ]
        return self._render(
            "sheets.html.j2",
            self.wave_title(wave),
            sheets=sheets,
            wave=wave,
            departments=departments,
            links=False,
        )

    def slip(self, sheet: Sheet, password: str, disk: str = "") -> str:
        """Return the slip with a first password, and the passphrase of the disk if it has one."""
        title = f"{self.town.name} · {sheet.asset}"
        return self._render("slip.html.j2", title, sheet=sheet, password=password, disk=disk)
