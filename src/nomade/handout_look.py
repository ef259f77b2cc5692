"""The look of a sheet: colours that can be read, the town's logo, codes for telephones."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import segno

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
# What stands on what, and the least ratio. WCAG 2.2: 7 is success criterion 1.4.6 (level AAA), for
# what is read as text; 4.5 is 1.4.3 (level AA), for titles and the letters of a coloured bar.
CONTRASTS = (
    ("text", "paper", 7.0),
    ("text", "panel", 7.0),
    ("text", "call", 7.0),
    ("accent", "paper", 4.5),
    ("accent", "panel", 4.5),
    ("accent", "call", 4.5),
    ("on_accent", "accent", 4.5),
)
COLOURS = ("text", "paper", "panel", "call", "accent", "on_accent")
LOGO_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def luminance(colour: str) -> float:
    """Return the relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2), from 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def colour_faults(colours: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the town's colours: name, English and French sentence."""
    for name in sorted(set(colours) - set(COLOURS)):
        known = ", ".join(COLOURS)
        yield (
            name,
            f"is no colour of a sheet; they are {known}",
            f"n'est pas une couleur de la fiche ; ce sont {known}",
        )
    unusable = [name for name in COLOURS if not COLOUR.fullmatch(str(colours.get(name, "")))]
    for name in unusable:
        value = colours.get(name)
        yield (
            name,
            f"is {value!r}; write it as in #0b4f71, with six hexadecimal digits and in quotes",
            f"vaut {value!r} ; l'écrire comme #0b4f71, six chiffres hexadécimaux entre guillemets",
        )
    if unusable:
        return
    for front, back, least in CONTRASTS:
        ratio = contrast(str(colours[front]), str(colours[back]))
        if ratio < least:
            yield (
                front,
                f"{colours[front]} on {back} {colours[back]} has a contrast of {ratio:.1f}:1, and"
                f" {least:g}:1 is the least (WCAG 2.2); make one of the two darker, or lighter",
                f"{colours[front]} sur {back} {colours[back]} a un contraste de {ratio:.1f}:1, et"
                f" il en faut {least:g}:1 (WCAG 2.2) ; foncer ou éclaircir l'une des deux",
            )


def logo_fault(path: Path) -> tuple[str, str] | None:
    """Return why a file can't be the logo, in English and French, or None."""
    if path.suffix.lower() not in LOGO_TYPES:
        return (
            f"{path} is neither .svg nor .png; convert the logo to one of them",
            f"{path} n'est ni .svg ni .png ; convertir le logo dans l'un des deux",
        )
    if not path.is_file():
        return (
            f"{path} is no file; write the path of the town's logo, or nothing",
            f"{path} n'est pas un fichier ; écrire le chemin du logo de la ville, ou rien",
        )
    return None


def data_uri(content: bytes, kind: str = "image/svg+xml") -> str:
    """Return a picture as an address that holds it: a sheet needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def logo_uri(path: str) -> str:
    """Return the logo as an address, or an empty string where the town has none."""
    if not path:
        return ""
    file = Path(path)
    return data_uri(file.read_bytes(), LOGO_TYPES[file.suffix.lower()])


def code_uri(address: str, dark: str, light: str) -> str:
    """Return the QR code (ISO/IEC 18004, level M) of an address, as a vector picture."""
    code = segno.make(address, error="m", micro=False)
    return str(code.svg_data_uri(border=4, dark=dark, light=light, scale=4))
