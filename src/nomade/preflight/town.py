"""What preflight judges, and what comes out of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from nomade.i18n import tr
from nomade.settings import Catalogue, did_you_mean, load_catalogue


@dataclass(frozen=True)
class Town:
    """A town's directory, and what Ansible makes of it."""

    root: Path  # of the project, with roles/, playbooks/ and group_vars/
    directory: Path  # inventories/<town>
    groups: Mapping[str, Sequence[str]]  # hosts by group
    settings: Mapping[str, object] = field(default_factory=dict)  # rendered, as they take effect
    unrendered: Mapping[str, str] = field(default_factory=dict)  # settings by what went wrong
    extra_vars: Mapping[str, object] = field(default_factory=dict)
    # reads a file of ansible-vault's; None when no password opens it
    decrypt: Callable[[Path], Mapping[str, object] | None] = field(default=lambda _path: None)
    password_files: Sequence[Path] = ()  # that open them

    @cached_property
    def catalogue(self) -> Catalogue:
        """Return the settings that exist."""
        return load_catalogue(self.root)

    @cached_property
    def hosts(self) -> set[str]:
        """Return the names of all hosts."""
        return {host for hosts in self.groups.values() for host in hosts}

    def where(self, path: Path, line: int | None = None) -> str:
        """Return a place as a message names it, from the project's directory if inside it."""
        shown = path.relative_to(self.root) if path.is_relative_to(self.root) else path
        return f"{shown}:{line}" if line else str(shown)

    def walk(self) -> Iterator[Path]:
        """Yield everything in the town's directory; links are not followed."""
        for base, directories, files in os.walk(self.directory):
            directories[:] = [name for name in directories if name != ".git"]
            yield from (Path(base, name) for name in sorted([*directories, *files]))


@dataclass
class Proof:
    """What came out: nothing is proven while there is a fault."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """Remember how many things of a kind were looked at."""
        self.counts[what] = self.counts.get(what, 0) + number

    def summary(self) -> str:
        """Say in one line what was proven, or how much is wrong."""
        number = len(self.faults)
        if number == 1:
            return tr(
                "1 fault in the town's data; no machine was contacted",
                "1 défaut dans les données de la commune ; aucune machine n'a été contactée",
            )
        if number:
            return tr(
                f"{number} faults in the town's data; no machine was contacted",
                f"{number} défauts dans les données de la commune ; "
                "aucune machine n'a été contactée",
            )
        kinds = {
            "hosts": tr("hosts", "machines"),
            "settings": tr("settings", "réglages"),
            "addresses": tr("addresses", "adresses"),
            "keys": tr("keys", "clés"),
        }
        counted = ", ".join(f"{kinds[kind]} {self.counts.get(kind, 0)}" for kind in kinds)
        return "; ".join([tr(f"proven: {counted}", f"vérifié : {counted}"), *self.notes])


def near(word: str, known: Collection[str], otherwise: str = "") -> str:
    """Return the end of a sentence about an unknown name: what may have been meant."""
    if found := did_you_mean(word, known):
        return tr(f"; did you mean {found}?", f" ; vouliez-vous dire {found} ?")
    return otherwise
