"""Who may manage the machines: one public key for each technician, in a file named like them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nomade.i18n import tr
from nomade.pubkeys import PRIVATE, ssh_blob


class TechnicianError(Exception):
    """The list can't be used; the message is one sentence with the remedy."""


def key_lines(names: Sequence[str], directory: str) -> list[str]:
    """Return one line for authorized_keys per technician: type, key, name."""
    if not names:
        raise TechnicianError(
            tr(
                "workstation_technicians: the list is empty, which would lock everybody out of the "
                "machines: name at least one technician, whose key is in keys/technicians/.",
                "workstation_technicians : la liste est vide, ce qui fermerait les machines à tout "
                "le monde : nommez au moins un technicien, dont la clé est dans keys/technicians/.",
            )
        )
    lines: dict[str, str] = {}
    for name in dict.fromkeys(names):
        path = Path(directory) / f"{name}.pub"
        text = _read(path)
        blob, problem = ssh_blob(text)
        if problem:
            raise _refused(path, problem)
        if blob in lines:
            raise _refused(
                path,
                tr(
                    "is another technician's key as well: one key each, or nobody can be removed",
                    "est aussi la clé d'un autre technicien : une clé chacun, sinon on ne peut "
                    "retirer personne",
                ),
            )
        kind = next(line for line in text.splitlines() if blob in line).split()[0]
        lines[blob] = f"{kind} {blob} {name}"
    return list(lines.values())


def _read(path: Path) -> str:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise _refused(
            path,
            tr(
                f"can't be read ({reason}): put the technician's public key there, or correct the "
                "name",
                f"est illisible ({reason}) : mettez-y la clé publique du technicien, ou corrigez "
                "le nom",
            ),
        ) from None
    if PRIVATE.search(text):
        raise _refused(
            path,
            tr(
                "is a private key: put the .pub file there, and make a new pair if others saw it",
                "est une clé privée : mettez-y le fichier .pub, et refaites la paire si d'autres "
                "l'ont vue",
            ),
        )
    return text


def _refused(path: Path, problem: str) -> TechnicianError:
    return TechnicianError(f"workstation_technicians: {path}: {problem}.")
