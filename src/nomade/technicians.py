"""Who may manage the machines: one public key for each technician."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nomade.i18n import tr
from nomade.pubkeys import PRIVATE, ssh_blob


class TechnicianError(Exception):
    """The list can't be used; the message is one sentence with the remedy."""


def key_lines(people: Sequence[Mapping[str, Any]], directory: str = "") -> list[str]:
    """Return one line for authorized_keys per technician: type, key, name."""
    if not people:
        raise TechnicianError(
            tr(
                "workstation_technicians: the list is empty, which would lock everybody out of the "
                "machines: name at least one technician and the key, as in "
                "[{name: alice, key_file: alice.pub}].",
                "workstation_technicians : la liste est vide, ce qui fermerait les machines à tout "
                "le monde : nommez au moins un technicien et sa clé, par exemple "
                "[{name: alice, key_file: alice.pub}].",
            )
        )
    lines: dict[str, str] = {}
    for person in people:
        name = "-".join(str(person.get("name", "")).split())
        text, source = _text(person, name, directory)
        if PRIVATE.search(text):
            raise _refused(
                name,
                source,
                tr(
                    "is a private key: give the .pub file, and make a new pair if others saw it",
                    "est une clé privée : donnez le fichier .pub, et refaites la paire si d'autres "
                    "l'ont vue",
                ),
            )
        blob, problem = ssh_blob(text)
        if problem:
            raise _refused(name, source, problem)
        kind = next(line for line in text.splitlines() if blob in line).split()[0]
        if blob in lines:
            raise _refused(
                name,
                source,
                tr(
                    "is another technician's key as well: one key each, or nobody can be removed",
                    "est aussi la clé d'un autre technicien : une clé chacun, sinon on ne peut "
                    "retirer personne",
                ),
            )
        lines[blob] = f"{kind} {blob} {name}"
    return list(lines.values())


def _text(person: Mapping[str, Any], name: str, directory: str) -> tuple[str, str]:
    """Return the key's text, and where it stands."""
    if not name or not (person.get("key") or person.get("key_file")):
        raise _refused(
            name or "?",
            "",
            tr(
                "needs a name and either key or key_file",
                "il faut un nom (name) et soit key, soit key_file",
            ),
        )
    if person.get("key"):
        return str(person["key"]), "key"
    path = Path(directory) / str(person["key_file"])
    try:
        return path.read_text("utf-8"), str(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise _refused(
            name,
            str(path),
            tr(
                f"can't be read ({reason}): put the public key there, or correct key_file",
                f"est illisible ({reason}) : mettez-y la clé publique, ou corrigez key_file",
            ),
        ) from error


def _refused(name: str, source: str, problem: str) -> TechnicianError:
    where = f"workstation_technicians: {name}" + (f": {source}" if source else "")
    return TechnicianError(f"{where}: {problem}.")
