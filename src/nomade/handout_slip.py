"""The slip with a person's first password and the passphrase of their disk.

Opened, set and written without leaving a trace: they exist in this process's memory and in the PDF,
which only its owner may read. They are in no argument, no log and no file beside it.
"""

from __future__ import annotations

from pathlib import Path

from nomade import files, handout_pdf, sealed
from nomade.handout_page import Pages, Sheet
from nomade.i18n import tr


class SlipError(Exception):
    """A slip can't be made; the message is one sentence with the remedy."""


def unseal(record: Path, identity: Path) -> str:
    """Return what a record holds, by the town's private key."""
    asset = record.stem
    if not record.is_file():
        if record.with_suffix(".changed").is_file():
            raise SlipError(
                tr(
                    f"{asset}: its person has replaced the first password already; there is nothing"
                    " to print",
                    f"{asset} : la personne a déjà remplacé le premier mot de passe ; il n'y a rien"
                    " à imprimer",
                )
            )
        raise SlipError(
            tr(
                f"{asset}: {record} is missing; run equip.yml for this machine first (an account"
                " that was there before keeps its password, and has no slip)",
                f"{asset} : {record} manque ; lancer d'abord equip.yml pour cette machine (un"
                " compte qui existait déjà garde son mot de passe et n'a pas de papier)",
            )
        )
    try:
        return sealed.unseal(record, identity)
    except sealed.SealError as error:
        raise SlipError(str(error)) from error


def unseal_both(records: Path, asset: str, identity: Path) -> tuple[str, str]:
    """Return the first password and the passphrase of the disk; a machine may have one of them."""
    first = records / "first-passwords" / f"{asset}.age"
    disk = records / "disk-passphrases" / f"{asset}.age"
    opens_disk = unseal(disk, identity) if disk.is_file() else ""
    password = "" if opens_disk and not first.is_file() else unseal(first, identity)
    return password, opens_disk


def make(
    pages: Pages,
    sheet: Sheet,
    password: str,
    directory: Path,
    *,
    disk: str = "",
    dry: bool = False,
) -> bool:
    """Write the slip, and say whether it was not there as it is now."""
    document = handout_pdf.lay_out(pages.slip(sheet, password, disk))
    if len(document.pages) != 1:
        raise SlipError(
            tr(
                f"{sheet.asset}: the slip doesn't fit on one page; shorten the person's name",
                f"{sheet.asset} : le papier ne tient pas sur une page ; abréger le nom",
            )
        )
    content = handout_pdf.written(document, document.pages, f"{pages.town.name} · {sheet.asset}")
    path = directory / f"{sheet.asset}.pdf"
    if path.is_file() and path.read_bytes() == content and path.stat().st_mode & 0o777 == 0o600:
        return False
    if not dry:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(path, content, 0o600)
    return True
