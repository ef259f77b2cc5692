"""`fleet import`: a list of recovered laptops is shown against the register, then taken over."""

from __future__ import annotations

import argparse
from pathlib import Path

from nomade.fleet_command import REFUSED, Command, Plan, commit_option, make_change
from nomade.i18n import tr
from nomade.recovered import Found, compare
from nomade.register import Draft
from nomade.table import plural, show


def take_over(arguments: argparse.Namespace) -> int:
    """Show what a list says that the register doesn't; with --apply, write what is sure."""
    found = Found()

    def plan(draft: Draft) -> Plan:
        nonlocal found
        found = compare(arguments.list, draft, arguments.first_tag)
        for cells in found.new:
            draft.add(cells)
        for machine, cells in found.changed:
            draft.write(machine, cells)
        _show(found, draft)
        machines = plural(len(found.new), tr("recovered machine", "machine récupérée"))
        return Plan(
            tr(
                f"{machines} from {arguments.list.name}, {len(found.changed)} completed",
                f"{machines} de {arguments.list.name}, {len(found.changed)} complétées",
            )
        )

    arguments.dry_run = not arguments.apply
    done = make_change(arguments, plan, diff=arguments.apply)
    if not arguments.apply and (found.new or found.changed):
        print(tr("to write it: the same with --apply", "pour l'écrire : la même avec --apply"))
    return REFUSED if found.doubtful else done


def _show(found: Found, draft: Draft) -> None:
    new, changed, doubtful = (
        tr(english, french)
        for english, french in (
            ("new", "nouvelle"),
            ("changed", "modifiée"),
            ("doubtful", "douteuse"),
        )
    )
    for cells in found.new:
        said = [cells[c] for c in ("serial_number", "model", "owner_department") if cells[c]]
        print(f"{new:<9} {cells['asset_tag']}  {show(', '.join(said))}")
    for machine, cells in found.changed:
        old = draft.said(machine)
        for column, value in cells.items():
            said_ = f"{column}: {show(old[column]) or '-'} → {show(value)}"
            print(f"{changed:<9} {machine.asset_tag}  {said_}")
    for fault in found.doubtful:
        print(f"{doubtful:<9} {fault}")
    lines = len({fault.line for fault in found.doubtful})
    counts = [len(found.new), len(found.changed), lines, found.unchanged]
    words = tr(
        "new: |changed: |doubtful: |unchanged: ",
        "nouvelles : |modifiées : |douteuses : |inchangées : ",
    )
    print(", ".join(f"{word}{n}" for n, word in zip(counts, words.split("|"), strict=True)))
    if found.doubtful:
        print(tr("doubtful lines are left out", "les lignes douteuses sont laissées de côté"))


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "list",
        type=Path,
        metavar=tr("LIST", "LISTE"),
        help=tr(
            "a CSV with the columns asset_tag, serial_number, and if known mac_address, model, "
            "owner_department",
            "un CSV à colonnes asset_tag, serial_number et, si connues, mac_address, model, "
            "owner_department",
        ),
    )
    parser.add_argument(
        "--apply",
        action="store_true",
        help=tr("write what is sure", "écrire ce qui est sûr"),
    )
    parser.add_argument(
        "--first-tag",
        default="",
        metavar=tr("TAG", "ÉTIQUETTE"),
        help=tr(
            "number lines without a tag from here, like my-0041",
            "numéroter à partir d'ici les lignes sans étiquette, comme my-0041",
        ),
    )
    commit_option(parser)


def commands() -> dict[str, Command]:
    """Return the subcommands by name."""
    return {
        "import": Command(
            tr(
                "compare a list of recovered laptops with the register, then take it over",
                "comparer une liste de portables récupérés au registre, puis la reprendre",
            ),
            _options,
            take_over,
        )
    }
