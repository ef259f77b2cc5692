"""Sheets for the people of a town: what has to be made again, made side by side.

A run costs seconds of layout, so nothing is laid out whose words are the same as the last time: the
directory's `made.json` says from which words each file was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile

from nomade import files, handout_look
from nomade.handout_job import REFUSED, Job, encoded
from nomade.handout_page import Pages, Sheet, Town
from nomade.i18n import tr
from nomade.places import short
from nomade.register import slug

RECORD = "made.json"
PROGRAM = "nomade.handout_pdf"


class HandoutError(Exception):
    """Sheets can't be made: one sentence for each fault, with its remedy."""

    def __init__(self, faults: Sequence[str]) -> None:
        """Keep the faults apart: they are shown on lines of their own."""
        super().__init__("\n".join(faults))
        self.faults = list(faults)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run wrote and removed, by name of file."""

    directory: Path
    sheets: int
    waves: Sequence[str]  # names of files
    written: Sequence[str] = field(default_factory=tuple)
    removed: Sequence[str] = field(default_factory=tuple)

    @property
    def changed(self) -> bool:
        """Say whether anything is not as it was."""
        return bool(self.written or self.removed)

    def summary(self) -> str:
        """Say where the sheets are."""
        place = short(self.directory)
        waves = ", ".join(self.waves)
        return tr(
            f"Sheets: {self.sheets} in {place}, each as PDF and HTML; to print: {waves}"
            f" (written: {len(self.written)}, removed: {len(self.removed)})",
            f"Fiches : {self.sheets} dans {place}, chacune en PDF et en HTML ; à imprimer : {waves}"
            f" (écrits : {len(self.written)}, retirés : {len(self.removed)})",
        )


def faults_of(town: Town, sheets: Iterable[Sheet]) -> Iterator[str]:
    """Yield what keeps the sheets from being made, in sentences: host, variable, value, remedy."""
    if town.language not in ("fr", "en"):
        yield tr(
            f"handout_language is {town.language!r}; write fr or en",
            f"handout_language vaut {town.language!r} ; écrire fr ou en",
        )
    for name, english, french in handout_look.colour_faults(town.colours):
        yield f"handout_colours.{name}: " + tr(english, french)
    if town.logo and (fault := handout_look.logo_fault(Path(town.logo))):
        yield "handout_logo: " + tr(*fault)
    for variable, value in (("handout_town_name", town.name), ("handout_hotline", town.hotline)):
        if not value.strip():
            yield tr(f"{variable} is empty; write it", f"{variable} est vide ; l'écrire")
    if town.conference_url and not town.conference_url.startswith("https://"):
        yield tr(
            f"handout_conference_url is {town.conference_url!r}; write an address that begins"
            " with https://",
            f"handout_conference_url vaut {town.conference_url!r} ; écrire une adresse qui"
            " commence par https://",
        )
    for sheet in sheets:
        for variable, value in (("handout_name", sheet.name), ("handout_login", sheet.login)):
            if not value.strip():
                yield tr(
                    f"{sheet.asset}: {variable} is missing; write whose machine it is",
                    f"{sheet.asset} : {variable} manque ; écrire à qui est la machine",
                )


def wave_file(wave: str) -> str:
    """Return the name of the PDF with a wave's sheets."""
    return f"wave-{wave}.pdf" if wave else "without-wave.pdf"


def in_order(sheets: Iterable[Sheet]) -> list[Sheet]:
    """Return the sheets by department, then by name: as they are handed out."""
    return sorted(sheets, key=lambda sheet: (slug(sheet.department), slug(sheet.name), sheet.asset))


@dataclass(slots=True)
class Workshop:
    """A directory of sheets, and what it takes to keep them up to date."""

    templates: Path
    directory: Path
    town: Town
    everyone: Sequence[Sheet]  # all who have a sheet: waves are whole, whoever the run is about
    assets: frozenset[str]  # those whom the run is about
    progress: Callable[[int, int], None]  # files done, of how many; called from several threads

    def run(self, *, dry: bool = False) -> Outcome:
        """Bring the directory up to date, or only say what that would change."""
        if faults := list(faults_of(self.town, self.everyone)):
            raise HandoutError(faults)
        pages = Pages(self.templates, self.town)
        waves: dict[str, list[Sheet]] = {}
        for sheet in in_order(self.everyone):
            waves.setdefault(sheet.wave, []).append(sheet)
        concerned = {
            wave: sheets
            for wave, sheets in waves.items()
            if any(sheet.asset in self.assets for sheet in sheets)
        }
        known = self._known()
        wanted, html = self._wanted(pages, concerned)
        stale = [
            name for name, made_from in wanted.items() if not self._holds(name, made_from, known)
        ]
        removed = self._left_over(known)
        if not dry and (stale or removed):
            self._write(concerned, wanted, html, stale, removed, known)
        return Outcome(
            self.directory,
            sum(sheet.asset in self.assets for sheet in self.everyone),
            [
                wave_file(wave)
                for wave in sorted(concerned, key=lambda wave: (not wave, len(wave), wave))
            ],
            stale,
            removed,
        )

    def _known(self) -> dict[str, dict[str, str]]:
        try:
            known: dict[str, dict[str, str]] = json.loads(
                (self.directory / RECORD).read_text("utf-8")
            )
        except (OSError, ValueError):
            return {}  # nothing is known of what is there: everything is made again
        return known

    def _wanted(
        self, pages: Pages, concerned: Mapping[str, Sequence[Sheet]]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Return for each file the hash of what it is made from, and the HTML files themselves."""
        wanted: dict[str, str] = {}
        html: dict[str, str] = {}
        for wave, sheets in concerned.items():
            wanted[wave_file(wave)] = _made_from(pages.wave(wave, sheets))
            for sheet in sheets:
                if sheet.asset in self.assets:
                    html[f"{sheet.asset}.html"] = text = pages.sheet(sheet)
                    for ending in (".pdf", ".html"):
                        wanted[f"{sheet.asset}{ending}"] = _made_from(text)
        return wanted, html

    def _holds(self, name: str, made_from: str, known: Mapping[str, Mapping[str, str]]) -> bool:
        """Say whether a file is there as it was made, and would be made the same way again."""
        path = self.directory / name
        then = known.get(name, {})
        return (
            then.get("made_from") == made_from
            and path.is_file()
            and then.get("sha256") == _digest(path)
        )

    def _left_over(self, known: Mapping[str, object]) -> list[str]:
        """Return the files of ours about people who have no sheet any more."""
        kept = {f"{sheet.asset}{ending}" for sheet in self.everyone for ending in (".pdf", ".html")}
        kept |= {wave_file(sheet.wave) for sheet in self.everyone}
        return sorted(name for name in known if name not in kept)

    def _write(
        self,
        concerned: Mapping[str, Sequence[Sheet]],
        wanted: Mapping[str, str],
        html: Mapping[str, str],
        stale: Sequence[str],
        removed: Sequence[str],
        known: dict[str, dict[str, str]],
    ) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.locked(self.directory):
            for name in removed:
                (self.directory / name).unlink(missing_ok=True)
                del known[name]
            for name in stale:
                if name in html:
                    files.replace(self.directory / name, html[name].encode(), 0o600)
            # Their names first: what a run that is killed leaves behind is known, and not believed.
            known.update({name: {} for name in stale})
            self._remember(known)
            try:
                self._print(list(self._jobs(concerned, stale)))
            finally:
                # also of a run that fails half-way: what it made need not be made again
                for name in stale:
                    path = self.directory / name
                    if path.is_file():
                        known[name] = {"made_from": wanted[name], "sha256": _digest(path)}
                self._remember(known)

    def _remember(self, known: Mapping[str, object]) -> None:
        record = json.dumps(known, indent=1, sort_keys=True) + "\n"
        files.replace(self.directory / RECORD, record.encode(), 0o600)

    def _jobs(
        self, concerned: Mapping[str, Sequence[Sheet]], stale: Sequence[str]
    ) -> Iterator[Job]:
        for wave, sheets in concerned.items():
            names = {wave_file(wave), *(f"{sheet.asset}.pdf" for sheet in sheets)}
            if needed := [name for name in stale if name in names]:
                yield Job(
                    templates=str(self.templates),
                    directory=str(self.directory),
                    town=self.town,
                    wave=wave,
                    wave_file=wave_file(wave),
                    sheets=sheets,
                    wanted=needed,
                )

    def _print(self, jobs: Sequence[Job]) -> None:
        """Make the PDFs: a process for each core, the longest work first."""
        total = sum(len(job.wanted) for job in jobs)
        done = count(1)
        ordered = sorted(jobs, key=lambda job: len(job.sheets), reverse=True)
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            told = pool.map(
                lambda job: lay_out(job, lambda: self.progress(next(done), total)), ordered
            )
            faults = [fault for faults in told for fault in faults]
        if faults:
            raise HandoutError(faults)


def lay_out(job: Job, made_one: Callable[[], None]) -> list[str]:
    """Have a process do a job, and return what kept it from that."""
    with TemporaryFile("w+") as order, TemporaryFile("w+") as complaint:
        order.write(encoded(job))
        order.seek(0)
        with subprocess.Popen(
            [sys.executable, "-m", PROGRAM],
            stdin=order,
            stdout=subprocess.PIPE,
            stderr=complaint,
        ) as process:
            for _ in process.stdout or ():
                made_one()
        complaint.seek(0)
        said = complaint.read().splitlines()
    if process.returncode in (0, REFUSED):
        return said if process.returncode else []
    why = said[-1] if said else f"{PROGRAM}: {process.returncode}"
    return [
        tr(
            f"layout stopped ({why}); type make setup, which installs what it needs",
            f"la mise en page s'est arrêtée ({why}) ; taper make setup, qui installe ce qu'il faut",
        )
    ]


def _made_from(html: str) -> str:
    """Return what stands for the words of a file, and for the version of what lays them out."""
    return hashlib.sha256(f"{version('weasyprint')}\n{html}".encode()).hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
