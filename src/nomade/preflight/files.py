"""Files that Ansible leaves out without a word, and links that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from nomade import pubkeys, varfiles
from nomade.i18n import tr
from nomade.preflight.town import Proof, Town, near
from nomade.register import STATES

# Groups that the register makes, and that are empty some days.
REGISTER_GROUP = re.compile(rf"wave_\d+|state_(?:{'|'.join(STATES)})")


def look(town: Town, _proof: Proof) -> Iterator[str]:
    """Yield what is wrong with the files of the town."""
    yield from _links(town)
    yield from _variable_files(town)
    yield from _private_files(town)


def _links(town: Town) -> Iterator[str]:
    for path in [*town.walk(), town.root / "playbooks" / "group_vars"]:
        if path.is_symlink() and not path.exists():
            yield f"{town.where(path)}: {path.readlink()}: " + tr(
                "this link leads nowhere; mend or remove it",
                "ce lien ne mène nulle part ; le réparer ou le supprimer",
            )


def _variable_files(town: Town) -> Iterator[str]:
    yield from _left_out(town, varfiles.candidates(town.root / "group_vars"), set())
    for kind, known in (("group_vars", {*town.groups, "all"}), ("host_vars", town.hosts)):
        found = varfiles.candidates(town.directory / kind)
        yield from _left_out(town, found, known)
        # Only here: the policy also speaks of groups that a small town doesn't have.
        for one in found:
            if one.name not in known and not one.skipped() and not _is_of_register(one.name):
                yield f"{town.where(one.read)}: " + _nameless(kind, one.name, known)


def _left_out(
    town: Town, found: Sequence[varfiles.Candidates], known: Collection[str]
) -> Iterator[str]:
    """Yield the files that Ansible does not read, although they look like it."""
    for one in found:
        for path in one.ignored:
            read = town.where(one.read) + ("/" if one.read.is_dir() else "")
            yield f"{town.where(path)}: " + tr(
                f"Ansible reads {read} and not this file; move it in there",
                f"Ansible lit {read} et non ce fichier ; l'y déplacer",
            )
        for path in one.skipped():
            if path.name not in known:  # a host's name may have dots
                yield f"{town.where(path)}: " + tr(
                    "Ansible skips this file because of the end of its name; make it .yml",
                    "Ansible saute ce fichier à cause de la fin de son nom ; le terminer par .yml",
                )


def _is_of_register(group: str) -> bool:
    return bool(REGISTER_GROUP.fullmatch(group))


def _nameless(kind: str, name: str, known: Collection[str]) -> str:
    """Return the sentence about variables for a group or host that does not exist."""
    remedy = tr(
        "; `ansible-inventory --graph` lists what there is",
        " ; « ansible-inventory --graph » en donne la liste",
    )
    if kind == "group_vars":
        text = tr("no group has this name", "aucun groupe ne porte ce nom")
    else:
        text = tr("no host has this name", "aucune machine ne porte ce nom")
    return text + near(name, known, remedy)


def _private_files(town: Town) -> Iterator[str]:
    """Yield private keys that lie where they must not, or that others can read."""
    for path in town.walk():
        if path.is_symlink() or not path.is_file():
            continue
        if path.is_relative_to(town.directory / "keys") and pubkeys.is_private(path):
            yield f"{town.where(path)}: " + tr(
                "this is a private key, and keys/ holds public ones; move it out of here",
                "c'est une clé privée, et keys/ contient des clés publiques ; la sortir d'ici",
            )
        elif _is_open(path) and pubkeys.is_private(path):
            yield f"{town.where(path)}: " + tr(
                f"others can read this private key; run `chmod 600 {path}`",
                f"d'autres peuvent lire cette clé privée ; taper « chmod 600 {path} »",
            )
    for path in town.password_files:
        if path.is_file() and _is_open(path) and not path.stat().st_mode & 0o100:
            yield f"{town.where(path)}: " + tr(
                f"others can read the vault password; run `chmod 600 {path}`",
                f"d'autres peuvent lire le mot de passe ansible-vault ; taper « chmod 600 {path} »",
            )


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)
