"""Public keys: well formed, and each one a single machine's or person's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from nomade import pubkeys
from nomade.i18n import tr
from nomade.preflight.town import Proof, Town


def look(town: Town, proof: Proof) -> Iterator[str]:
    """Yield what is wrong with the keys of the town."""
    keys = town.directory / "keys"
    yield from _unique(town, keys / "vpn", pubkeys.wireguard_key, proof)
    yield from _unique(town, keys / "technicians", pubkeys.ssh_blob, proof)
    yield from _technicians(town, keys / "technicians")
    yield from _host_keys(town, proof)
    yield from _town_key(town, keys / "town.age.pub", proof)


def _unique(
    town: Town, directory: Path, judge: Callable[[str], tuple[str, str]], proof: Proof
) -> Iterator[str]:
    first: dict[str, str] = {}
    for path in sorted(directory.glob("*.pub")):
        if not path.is_file() or pubkeys.is_private(path):
            continue  # told of with the files
        proof.count("keys")
        key, wrong = judge(path.read_text(encoding="utf-8", errors="replace"))
        if wrong:
            yield f"{town.where(path)}: {wrong}"
        elif (other := first.setdefault(key, path.name)) != path.name:
            yield f"{town.where(path)}: " + tr(
                f"is the same key as {other}; remove the one that is not in use",
                f"est la même clé que {other} ; supprimer celle qui ne sert pas",
            )


def _technicians(town: Town, directory: Path) -> Iterator[str]:
    """Yield the technicians without a key, whom the next run would lock out."""
    names = town.settings.get("workstation_technicians")
    for name in names if isinstance(names, list) else ():
        path = directory / f"{name}.pub"
        if isinstance(name, str) and not path.exists() and not path.is_symlink():
            yield f"{town.where(path)}: " + tr(
                f"is missing, and workstation_technicians names {name}; put the public key there",
                f"manque, et workstation_technicians nomme {name} ; y mettre la clé publique",
            )


def _host_keys(town: Town, proof: Proof) -> Iterator[str]:
    """Yield machines that share a host key: copies of one disk, and no identity at all."""
    path = town.directory / "known_hosts"
    first: dict[str, set[str]] = {}
    lines = (
        path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    )
    for number, line in enumerate(lines, 1):
        if not line.strip() or line[0] in "#@|":
            continue
        proof.count("keys")
        names, *rest = line.split()
        hosts = set(names.split(",")) & town.hosts
        others = first.setdefault(" ".join(rest[:2]), hosts)
        if hosts and others and hosts.isdisjoint(others):
            one, other = min(hosts), min(others)
            yield f"{town.where(path, number)}: {one}: " + tr(
                f"has the same host key as {other}, so the one can pass for the other; remove "
                f"/etc/ssh/ssh_host_* on {one}, run `ssh-keygen -A` there and enrol it again",
                f"a la même clé d'hôte que {other}, l'une peut donc passer pour l'autre ; "
                f"supprimer /etc/ssh/ssh_host_* sur {one}, y lancer « ssh-keygen -A » et "
                "l'enrôler à nouveau",
            )
        others |= hosts


def _town_key(town: Town, path: Path, proof: Proof) -> Iterator[str]:
    """Yield what is wrong with the key to which passwords are encrypted: they would be lost."""
    if path.is_file() and pubkeys.is_private(path):
        return  # told of with the files
    if path.is_file():
        proof.count("keys")
        if wrong := pubkeys.age_recipient(path.read_text(encoding="utf-8", errors="replace"))[1]:
            yield f"{town.where(path)}: {wrong}"
    elif not path.is_symlink() and town.groups.get("workstations"):
        yield f"{town.where(path)}: " + tr(
            "is missing, and first passwords are encrypted to it; make a key with `age-keygen`, "
            "keep it elsewhere, and write its public line here",
            "manque, et les premiers mots de passe sont chiffrés avec ; créer une clé avec "
            "« age-keygen », la garder ailleurs, et écrire ici sa ligne publique",
        )
