"""Which machine of the stock to hand out next, and why that one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomade.enrolment import remembered
from nomade.i18n import tr
from nomade.register import ChangeError, Machine
from nomade.register_rules import bare, is_placeholder_serial, natural, slug
from nomade.table import plural, show


@dataclass(frozen=True, slots=True)
class Choice:
    """The machine to take, why, and what comes after it."""

    machine: Machine
    because: list[str]
    others: list[Machine]  # in the order in which they would be taken
    unfit: list[tuple[Machine, str]]


@dataclass(frozen=True, slots=True)
class _Candidate:
    machine: Machine
    record: dict[str, Any]

    @property
    def rank(self) -> tuple[bool, int, list[str | int]]:
        """Sort those known to be fit first, then those with the least to mind, then by tag."""
        return (not self.record, len(self.warnings), natural(self.machine.asset_tag))

    @property
    def warnings(self) -> list[str]:
        return [str(text) for text in self.record.get("warnings", [])]


def record_of(town: Path, machine: Machine) -> dict[str, Any]:
    """Return what enrolment wrote of a machine, unless it wrote it of another one."""
    found = remembered(town / "records" / "enrolments" / f"{machine.asset_tag}.json")
    serial = str(found.get("serial_number", ""))
    numbers = {bare(text) for text in (serial, machine.serial_number) if text}
    if len(numbers) > 1 and not is_placeholder_serial(serial):
        return {}
    return found


def choose(town: Path, machines: Sequence[Machine], model: str = "") -> Choice:
    """Return the machine of the stock to take, or raise ChangeError if there is none."""
    stock = [m for m in machines if m.state == "stock" and slug(model) in slug(m.model)]
    candidates, unfit = [], []
    for machine in stock:
        record = record_of(town, machine)
        if record.get("fit", True):
            candidates.append(_Candidate(machine, record))
        else:
            unfit.append((machine, "; ".join(map(str, record.get("unfit_because", [])))))
    if not candidates:
        raise ChangeError(_none(stock, model))
    best, *others = sorted(candidates, key=lambda candidate: candidate.rank)
    alike = [other for other in others if other.rank[:2] == best.rank[:2]]
    return Choice(
        best.machine, _because(best, len(alike)), [other.machine for other in others], unfit
    )


def _because(best: _Candidate, alike: int) -> list[str]:
    if not best.record:
        reasons = [
            tr(
                "never enrolled: nobody has looked whether it is fit",
                "jamais enrôlée : personne n'a vérifié qu'elle est apte",
            )
        ]
    else:
        day = best.record.get("enrolled_on", "?")
        reasons = [tr(f"enrolled on {day}, fit", f"enrôlée le {day}, apte")]
        reasons += [tr(f"mind: {text}", f"à noter : {text}") for text in best.warnings]
    if alike:
        machines = plural(alike, tr("other", "autre"))
        reasons.append(
            tr(
                f"first by its tag, with {machines} as good",
                f"première par son étiquette, {machines} se valant",
            )
        )
    return reasons


def _none(stock: Sequence[Machine], model: str) -> str:
    which = tr(f" of model {show(model)}", f" du modèle {show(model)}") if model else ""
    if stock:
        return tr(
            f"all {len(stock)} machines in stock{which} are unfit; fleet list --state stock shows "
            "them, fleet show TAG why: mend one and enrol it again",
            f"les {len(stock)} machines en stock{which} sont inaptes ; fleet list --state stock "
            "les montre, fleet show ÉTIQUETTE dit pourquoi : en réparer une et l'enrôler de "
            "nouveau",
        )
    return tr(
        f"no machine{which} is in stock; fleet list --state recovered --state returned shows what "
        "could become one",
        f"aucune machine{which} en stock ; fleet list --state recovered --state returned montre "
        "ce qui pourrait y entrer",
    )
