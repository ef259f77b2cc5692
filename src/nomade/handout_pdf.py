"""Sheets as PDF: tagged (PDF/UA-1), and refused where something would not fit.

As a program (`python -m nomade.handout_pdf`) it makes what a JSON document on its standard input
asks for, and says the name of each file on a line of its own once it is there: layout keeps a
core busy for seconds, and another process is how a second core comes in.
"""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from weasyprint import HTML
from weasyprint.document import Document, DocumentMetadata, Page
from weasyprint.text.fonts import FontConfiguration
from weasyprint.urls import URLFetcher

from nomade import files
from nomade.handout_job import REFUSED, Job, decoded
from nomade.handout_page import Pages, Sheet
from nomade.i18n import tr

VARIANT = "pdf/ua-1"


class LayoutError(Exception):
    """A sheet can't be laid out; the message is one sentence with the remedy."""


def lay_out(html: str) -> Document:
    """Lay a page out. It holds all that it needs: nothing is fetched, from nowhere."""
    logging.getLogger("weasyprint").setLevel(logging.ERROR)
    fetcher = URLFetcher(allowed_protocols=("data",))
    return HTML(string=html, url_fetcher=fetcher).render(
        font_config=FontConfiguration(), pdf_variant=VARIANT
    )


def written(document: Document, pages: Sequence[Page], title: str) -> bytes:
    """Return some pages of a document as a PDF of their own. The same pages are the same bytes."""
    metadata = DocumentMetadata(title=title, lang=document.metadata.lang, generator="Nomade")
    part = Document(
        list(pages),
        metadata,
        document.url_fetcher,
        document.font_config,
        document.color_profiles,
        document.output_intent,
    )
    pdf: bytes = part.write_pdf(pdf_variant=VARIANT)
    return pdf


def pages_of(document: Document, sheet: Sheet) -> list[Page]:
    """Return the pages of a person's sheet, or raise LayoutError where something doesn't fit."""
    places: dict[str, list[tuple[int, float]]] = {}
    for number, page in enumerate(document.pages):
        for anchor, place in page.anchors.items():
            places.setdefault(anchor, []).append((number, place[1]))
    first = places[f"{sheet.asset}/1"][0][0]
    # Whatever is too long flows onto a further page, or down to the box at the foot of its own.
    fits = True
    for side in range(1, sheet.sides + 1):
        own = f"{sheet.asset}/{side}"
        end, call = places.get(f"{own}/end", []), places.get(f"{own}/call", [])
        fits &= [number for number, _ in places[own]] == [first + side - 1]
        fits &= end < call and len(call) == 1 if call else True
    if not fits:
        raise LayoutError(
            tr(
                f"{sheet.asset}: the sheet doesn't fit on {sheet.sides} pages; shorten"
                " handout_may, handout_may_not or another text of the town",
                f"{sheet.asset} : la fiche ne tient pas en {sheet.sides} pages ; raccourcir"
                " handout_may, handout_may_not ou un autre texte de la ville",
            )
        )
    return list(document.pages[first : first + sheet.sides])


def make(job: Job) -> Iterator[str]:
    """Make the files that are wanted, and yield the name of each."""
    pages = Pages(Path(job.templates), job.town)
    document = lay_out(pages.wave(job.wave, job.sheets))
    own, faults = {}, []
    for sheet in job.sheets:
        try:
            own[sheet] = pages_of(document, sheet)
        except LayoutError as error:
            faults.append(str(error))
    if faults:
        raise LayoutError("\n".join(faults))
    made = [(f"{sheet.asset}.pdf", own[sheet], pages.title(sheet)) for sheet in job.sheets]
    made.append((job.wave_file, document.pages, pages.wave_title(job.wave)))
    for name, part, title in made:
        if name in job.wanted:
            files.replace(Path(job.directory) / name, written(document, part, title), 0o600)
            yield name


def main() -> int:
    """Do the job of the standard input."""
    # A short life with much to remember: looking for what could be forgotten costs a seventh of it.
    gc.disable()
    try:
        for name in make(decoded(sys.stdin.read())):
            print(name, flush=True)
    except LayoutError as error:
        print(error, file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main())
