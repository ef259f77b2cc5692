"""The certificate of return on paper: what was archived, erased and proven, by whom, when."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nomade.i18n import is_french, tr

STEPS = {
    "confirm": ("Machine reconnue", "Machine recognised"),
    "revoke": ("Accès retirés", "Access revoked"),
    "archive": ("Dossier personnel archivé", "Home archived"),
    "verify": ("Archive relue et comparée", "Archive read back and compared"),
    "erase": ("Compte et données supprimés", "Account and data removed"),
    "remove": ("Équipement retiré, système à jour", "Equipment removed, system up to date"),
    "inspect": ("Journaux effacés, disque fouillé", "Logs removed, disk searched"),
    "destroy": ("Clés du disque chiffré détruites", "Keys of the encrypted disk destroyed"),
    "register": ("Registre mis à jour", "Register updated"),
    "order": ("Réinstallation commandée", "Rebuild ordered"),
}


def size(count: int) -> str:
    """Return bytes as people read them."""
    value, unit = float(count), 0
    while value >= 1000 and unit < 4:
        value, unit = value / 1000, unit + 1
    units = (("o", "ko", "Mo", "Go", "To"), ("B", "kB", "MB", "GB", "TB"))[not is_french()]
    text = f"{value:.0f}" if unit == 0 else f"{value:.1f}"
    return f"{text.replace('.', ',') if is_french() else text} {units[unit]}"


def page(content: Mapping[str, Any], templates: Path) -> str:
    """Return the certificate as HTML."""
    environment = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        t=lambda fr, en: tr(en, fr),
        size=size,
        step_name=lambda step: tr(*reversed(STEPS[step])),
        language="fr" if is_french() else "en",
    )
    facts = {step["step"]: step["facts"] for step in content["steps"]}
    return environment.get_template("certificate.html.j2").render(c=content, facts=facts)


def pdf(content: Mapping[str, Any], templates: Path) -> bytes:
    """Return the certificate as a tagged PDF (PDF/UA-1)."""
    from nomade import handout_pdf  # WeasyPrint takes a second to load

    document = handout_pdf.lay_out(page(content, templates))
    title = f"{content['town']} · {content['asset_tag']} · {content['closed']}"
    return handout_pdf.written(document, document.pages, title)
