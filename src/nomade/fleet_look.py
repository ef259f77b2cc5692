"""The subcommands of `fleet` that only look: list, show, next, history."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from nomade import allocations, lifecycle, register, town_git
from nomade.allocations import Allocation
from nomade.choice import choose, record_of
from nomade.fleet_command import (
    DONE,
    Command,
    describe,
    json_option,
    print_json,
    print_table,
)
from nomade.i18n import tr
from nomade.places import short, var_directory
from nomade.register import STATES, ChangeError, Machine
from nomade.register_rules import bare, slug
from nomade.table import plural, show, visible


def _read(arguments: argparse.Namespace) -> tuple[list[Machine], dict[str, Allocation]]:
    return allocations.read_town(arguments.inventory / register.FILE)


def _as_json(machine: Machine, given: Allocation | None) -> dict[str, Any]:
    addresses = {
        "vpn_ipv4": str(given.vpn_ipv4) if given else None,
        "vpn_ipv6": str(given.vpn_ipv6) if given else None,
    }
    return {**asdict(machine), **addresses}


# list --------------------------------------------------------------------------------------------


def list_machines(arguments: argparse.Namespace) -> int:
    """Print the machines that all filters let through."""
    machines, given = _read(arguments)
    found = [machine for machine in machines if _is_wanted(machine, arguments)]
    if arguments.json:
        print_json({"machines": [_as_json(m, given.get(m.asset_tag)) for m in found]})
        return DONE
    if found:
        head = tr(
            "Machine|State|Person|Department|Wave|Model",
            "Machine|État|Personne|Service|Vague|Modèle",
        )
        print_table(head.split("|"), [_row(machine) for machine in found])
        print()
    counts = ", ".join(f"{n} {state}" for state, n in register.count_states(found).items())
    print(tr("Machines: ", "Machines : ") + (counts or "0"))
    return DONE


def _row(machine: Machine) -> list[str]:
    person = machine.assignee_name or machine.assignee_login or "-"
    return [
        machine.asset_tag,
        machine.state,
        person if len(person) <= 28 else person[:27] + "…",
        machine.department or "-",
        str(machine.wave or "-"),
        machine.model or "-",
    ]


def _is_wanted(machine: Machine, wanted: argparse.Namespace) -> bool:
    """Compare without accents and case: a tired technician types "etat civil"."""
    cells = " ".join(str(value) for value in asdict(machine).values() if value)
    return (
        (not wanted.state or machine.state in wanted.state)
        and (not wanted.wave or machine.wave in wanted.wave)
        and slug(wanted.department) in slug(machine.department)
        and slug(wanted.model) in slug(machine.model)
        and all(slug(word) in slug(cells) for word in wanted.text)
    )


# show --------------------------------------------------------------------------------------------


def show_machine(arguments: argparse.Namespace) -> int:
    """Print all that is known of one machine, and what can be done with it."""
    machines, given = _read(arguments)
    machine = _meant(arguments.tag, machines)
    tag = machine.asset_tag
    enrolled = record_of(arguments.inventory, machine)
    contact = _last_contact(arguments, tag)
    if arguments.json:
        more = {"enrolment": enrolled or None, "contact": contact or None}
        follows = list(lifecycle.MAY_BECOME[machine.state])
        print_json({**_as_json(machine, given.get(tag)), **more, "may_become": follows})
        return DONE
    print(describe(machine))
    said = {name: value for name, value in asdict(machine).items() if value}
    for name in ("asset_tag", "model", "serial_number", "line"):
        said.pop(name, None)
    if tag in given:
        said["vpn"] = f"{given[tag].vpn_ipv4}, {given[tag].vpn_ipv6}"
    said[tr("enrolled", "enrôlée")] = _fitness(enrolled)
    said[tr("last met", "vue")] = contact.get("seen", contact.get("missed_since", "-"))
    for name, value in said.items():
        print(f"  {name:<18} {visible(str(value))}")
    follow = [
        f"fleet {command} -i {short(arguments.inventory)} {tag}"
        for command in lifecycle.MAY_BECOME[machine.state].values()
    ]
    for n, command in enumerate(follow):
        print(f"  {tr('may follow', 'peut suivre') if n == 0 else '':<18} {command}")
    return DONE


def _meant(text: str, machines: Sequence[Machine]) -> Machine:
    """Return the machine of that tag, serial number or login (an assigned one before others)."""
    for column in ("asset_tag", "serial_number", "assignee_login"):
        found = [m for m in machines if bare(getattr(m, column)) == bare(text) != ""]
        if found:
            return next((machine for machine in found if machine.is_assigned), found[-1])
    raise ChangeError(
        tr(
            f"{show(text)} is no tag, serial number or login of {register.FILE}; search with fleet "
            "list TEXT",
            f"{show(text)} n'est ni étiquette, ni numéro de série, ni identifiant de "
            f"{register.FILE} ; chercher avec fleet list TEXTE",
        )
    )


def _fitness(record: dict[str, Any]) -> str:
    if not record:
        return tr("no", "non")
    fit = tr("fit", "apte") if record.get("fit") else tr("UNFIT", "INAPTE")
    reasons = [*record.get("unfit_because", []), *record.get("warnings", [])]
    return "; ".join([f"{record.get('enrolled_on', '?')}, {fit}", *map(str, reasons)])


def _last_contact(arguments: argparse.Namespace, tag: str) -> dict[str, Any]:
    try:
        seen = json.loads((var_directory(arguments.inventory) / "seen.json").read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return dict(seen.get(tag, {}))


# next --------------------------------------------------------------------------------------------


def next_machine(arguments: argparse.Namespace) -> int:
    """Say which machine of the stock to take, and why."""
    machines, _ = _read(arguments)
    choice = choose(arguments.inventory, machines, arguments.model)
    print(describe(choice.machine))
    for reason in choice.because:
        print(f"  {reason}")
    if choice.others:
        tags = ", ".join(machine.asset_tag for machine in choice.others[:5])
        more = " …" if len(choice.others) > 5 else ""
        print(tr(f"  then: {tags}{more}", f"  puis : {tags}{more}"))
    for machine, reason in choice.unfit:
        print(tr("  left out: ", "  écartée : ") + f"{machine.asset_tag} ({visible(reason)})")
    command = f"fleet assign -i {short(arguments.inventory)} {choice.machine.asset_tag} --login ..."
    print(tr(f"next: {command}", f"ensuite : {command}"))
    return DONE


# history -----------------------------------------------------------------------------------------


def show_history(arguments: argparse.Namespace) -> int:
    """Print what changed in the register, as the town's git remembers it."""
    entries = town_git.history(arguments.inventory, arguments.tag or "")
    for entry in islice(entries, arguments.number or None):
        print("  ".join(filter(None, (entry.when, entry.who, entry.subject))))
        for tag, changes in islice(entry.changes.items(), None if arguments.tag else 5):
            cells = ", ".join(
                f"{c} {show(old) or '-'} → {show(new) or '-'}" for c, old, new in changes
            )
            print(f"    {tag}: {cells}")
        if not arguments.tag and len(entry.changes) > 5:
            more = plural(len(entry.changes) - 5, tr("more machine", "autre machine"))
            print(f"    + {more}")
    return DONE


# Their options -----------------------------------------------------------------------------------


def _model_option(parser: argparse.ArgumentParser) -> None:
    text = tr("TEXT", "TEXTE")
    says = tr("whose model holds this text", "dont le modèle contient ce texte")
    parser.add_argument("--model", default="", metavar=text, help=says)


def _list_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "text",
        nargs="*",
        metavar=tr("TEXT", "TEXTE"),
        help=tr("which some cell holds", "que contient une cellule"),
    )
    parser.add_argument(
        "--state",
        action="append",
        choices=STATES,
        help=tr("in this state (may be repeated)", "dans cet état (peut être répété)"),
    )
    parser.add_argument(
        "--department",
        default="",
        metavar=tr("TEXT", "TEXTE"),
        help=tr("whose person works there", "dont la personne y travaille"),
    )
    parser.add_argument(
        "--wave",
        action="append",
        type=int,
        metavar="N",
        help=tr("of this wave (may be repeated)", "de cette vague (peut être répété)"),
    )
    _model_option(parser)
    json_option(parser)


def _show_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tag",
        metavar=tr("TAG", "ÉTIQUETTE"),
        help=tr(
            "the name on its label, its serial number, or its person's login",
            "le nom sur son étiquette, son numéro de série, ou l'identifiant de sa personne",
        ),
    )
    json_option(parser)


def _history_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tag",
        nargs="?",
        metavar=tr("TAG", "ÉTIQUETTE"),
        help=tr("of this machine only", "de cette machine seulement"),
    )
    parser.add_argument(
        "-n",
        "--number",
        type=int,
        metavar="N",
        help=tr("no more than so many commits", "pas plus de N validations"),
    )


def commands() -> dict[str, Command]:
    """Return the subcommands by name."""
    return {
        "list": Command(
            tr("list the machines", "lister les machines"), _list_options, list_machines
        ),
        "show": Command(tr("show one machine", "montrer une machine"), _show_options, show_machine),
        "next": Command(
            tr("say which machine in stock to take", "dire quelle machine du stock prendre"),
            _model_option,
            next_machine,
        ),
        "history": Command(
            tr("show what changed, from git", "montrer ce qui a changé, d'après git"),
            _history_options,
            show_history,
        ),
    }
