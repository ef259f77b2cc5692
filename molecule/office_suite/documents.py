"""Documents as they come from elsewhere, made by other programs than the one that is tested.

As a program it makes the town's overlay: documents.py DIRECTORY.
"""

from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pptx
from docx.shared import Pt
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._g_l_y_f import Glyph

FONT = "Valbourg Sans"
TEMPLATE = "Courrier de la mairie"
LETTER = (
    "Monsieur le maire de Valbourg a l'honneur de vous informer que le conseil municipal s'est "
    "réuni en séance publique et qu'il a délibéré sur les affaires inscrites à l'ordre du jour, "
    "notamment l'entretien des chemins communaux, la rénovation de l'école élémentaire et le "
    "programme des festivités de l'été."
)
PARAGRAPHS = 100


def saved(document: Any) -> bytes:
    """Return the bytes of what python-docx, openpyxl or python-pptx has made."""
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def letter(font: str) -> bytes:
    """Return a Word document of several pages, typed in one font."""
    document = docx.Document()
    document.styles["Normal"].font.name = font
    document.styles["Normal"].font.size = Pt(11)
    for number in range(1, PARAGRAPHS + 1):
        document.add_paragraph(f"Article {number}. {LETTER}")
    return saved(document)


def specimen(fonts: list[str]) -> bytes:
    """Return a Word document with one line in each font."""
    document = docx.Document()
    for font in fonts:
        document.add_paragraph().add_run(f"Écrit en {font}").font.name = font
    return saved(document)


def budget() -> bytes:
    """Return an Excel workbook of two sheets with a sum that nobody has computed yet."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Recettes"
    for row in (("Cantine", 1234.5), ("Piscine", 2000.25), ("Marché", 65.25)):
        sheet.append(row)
    sheet.append(("Total des recettes", "=SUM(B1:B3)"))
    for cell in sheet["B"]:
        cell.number_format = "#,##0.00"
    sheet.column_dimensions["A"].width = sheet.column_dimensions["B"].width = 30
    spent = book.create_sheet("Dépenses")
    spent.append(("Chauffage de l'école", 7))
    spent.column_dimensions["A"].width = 30
    return saved(book)


def slides() -> bytes:
    """Return a PowerPoint presentation of three slides."""
    show = pptx.Presentation()
    for title in ("Vœux du maire", "Travaux de l'été", "Questions des élus"):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = f"{title} : l'essentiel"
    return saved(show)


MANIFEST = """<?xml version="1.0" encoding="UTF-8"?>
<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
  manifest:version="1.2">
<manifest:file-entry manifest:full-path="/" manifest:version="1.2" manifest:media-type="{type}"/>
<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/>
{more}</manifest:manifest>
"""
CONTENT = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
  xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
  xmlns:script="urn:oasis:names:tc:opendocument:xmlns:script:1.0"
  xmlns:ooo="http://openoffice.org/2004/office" xmlns:dom="http://www.w3.org/2001/xml-events"
  xmlns:xlink="http://www.w3.org/1999/xlink" office:version="1.2">
{scripts}<office:body><office:text><text:p>{text}</text:p></office:text></office:body>
</office:document-content>
"""
ON_LOAD = """<office:scripts><office:event-listeners>
<script:event-listener script:language="ooo:script" script:event-name="dom:load" xlink:type="simple"
  xlink:href="vnd.sun.star.script:Standard.Opened.Main?language=Basic&amp;location=document"/>
</office:event-listeners></office:scripts>
"""
LIBRARIES = """<?xml version="1.0" encoding="UTF-8"?>
<library:libraries xmlns:library="http://openoffice.org/2000/library">
<library:library library:name="Standard" library:link="false"/>
</library:libraries>
"""
LIBRARY = """<?xml version="1.0" encoding="UTF-8"?>
<library:library xmlns:library="http://openoffice.org/2000/library" library:name="Standard"
  library:readonly="false" library:passwordprotected="false">
<library:element library:name="Opened"/>
</library:library>
"""
MODULE = """<?xml version="1.0" encoding="UTF-8"?>
<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Opened"
  script:language="StarBasic">Sub Main
  Open &quot;{marker}&quot; For Output As #1
  Print #1, &quot;the macro ran&quot;
  Close #1
End Sub
</script:module>
"""


def open_document(kind: str, text: str, marker: str = "") -> bytes:
    """Return an OpenDocument text or template; with a marker, opening it makes that file."""
    mime = f"application/vnd.oasis.opendocument.{kind}"
    parts = {"content.xml": CONTENT.format(scripts=ON_LOAD if marker else "", text=text)}
    if marker:
        parts |= {
            "Basic/script-lc.xml": LIBRARIES,
            "Basic/Standard/script-lb.xml": LIBRARY,
            "Basic/Standard/Opened.xml": MODULE.format(marker=marker),
        }
    entry = '<manifest:file-entry manifest:full-path="{}" manifest:media-type="text/xml"/>\n'
    more = "".join(entry.format(name) for name in parts if name != "content.xml")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", mime, zipfile.ZIP_STORED)
        for name, part in parts.items():
            archive.writestr(name, part, zipfile.ZIP_DEFLATED)
        archive.writestr("META-INF/manifest.xml", MANIFEST.format(type=mime, more=more))
    return buffer.getvalue()


def box() -> Glyph:
    """Return a letter that is a box."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (500, 700), (500, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


def font() -> bytes:
    """Return the town's own font, of one letter."""
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "V"])
    builder.setupCharacterMap({ord("V"): "V"})
    builder.setupGlyf({".notdef": box(), "V": box()})
    builder.setupHorizontalMetrics({".notdef": (600, 100), "V": (600, 100)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": FONT, "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWinAscent=800, usWinDescent=200)
    builder.setupPost()
    return saved(builder)


def main(overlay: Path) -> None:
    """Make the town's overlay."""
    share = overlay / "usr/local/share"
    for place, content in (
        (
            share / f"nomade/templates/Mairie/{TEMPLATE}.ott",
            open_document("text-template", "Valbourg"),
        ),
        (share / "fonts/nomade/valbourg.ttf", font()),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
