"""The subcommands of `fleet` that write the register: one for each step of a machine's life."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from nomade.choice import choose
from nomade.fleet_command import (
    Command,
    Plan,
    change_options,
    make_change,
    network_options,
    playbook,
    tag_argument,
)
from nomade.i18n import tr
from nomade.lifecycle import PERSON
from nomade.places import short
from nomade.register import FILE, ChangeError, Draft, Machine
from nomade.table import Fault, TableError

# Assigning ---------------------------------------------------------------------------------------


def assign(arguments: argparse.Namespace) -> int:
    """Give a machine of the stock to a person."""

    def plan(draft: Draft) -> Plan:
        machine = _taken(arguments, draft)
        cells = {column: getattr(arguments, column) or "" for column in PERSON}
        if not arguments.wave:
            del cells["wave"]  # it may have been planned before the person was known
        _refuse_second(draft, machine, cells["assignee_login"], arguments.inventory)
        return _handed_to(draft, machine, cells, arguments.inventory)

    return make_change(arguments, plan)


def swap(arguments: argparse.Namespace) -> int:
    """Give the person of a machine another one, with everything the register says of them."""

    def plan(draft: Draft) -> Plan:
        old = draft.machine(arguments.old)
        login = old.assignee_login
        if not login:
            raise ChangeError(
                tr(
                    f"{old.asset_tag} has no person in {FILE}; type fleet assign instead",
                    f"{old.asset_tag} n'a personne dans {FILE} ; taper plutôt fleet assign",
                )
            )
        new = _taken(arguments, draft)
        state = old.state
        if old.is_assigned:
            state = "lost" if arguments.lost else "returned"
            draft.move(old.asset_tag, state)
        else:
            _refuse_second(draft, new, login, arguments.inventory)
        said = draft.said(old)
        made = _handed_to(draft, new, {c: said[c] for c in PERSON}, arguments.inventory)
        who = old.assignee_name or login
        made.message = tr(
            f"{who}: {new.asset_tag} instead of {old.asset_tag}",
            f"{who} : {new.asset_tag} au lieu de {old.asset_tag}",
        )
        made.next = [
            *_after(arguments.inventory, old, state),
            *made.next,
            *_files_back(arguments.inventory, new, state),
        ]
        return made

    return make_change(arguments, plan)


def _files_back(town: Path, new: Machine, state: str) -> list[str]:
    """Return what brings the archive of a machine that comes back onto the new one."""
    if state == "lost":
        return []
    key = f"identity=~/.config/nomade/{town.resolve().name}.age-identity"
    return [playbook(town, "restore", "-e", f"asset={new.asset_tag}", "-e", key)]


def _taken(arguments: argparse.Namespace, draft: Draft) -> Machine:
    """Return the machine that was named, or with --next the one to take."""
    if not arguments.next:
        return draft.machine(arguments.tag)
    choice = choose(arguments.inventory, draft.machines, arguments.model)
    for reason in choice.because:
        print(f"{choice.machine.asset_tag}: {reason}")
    return choice.machine


def _handed_to(draft: Draft, machine: Machine, cells: Mapping[str, str], town: Path) -> Plan:
    draft.move(machine.asset_tag, "assigned", cells)
    who = cells["assignee_name"] or cells["assignee_login"]
    return Plan(
        tr(f"{machine.asset_tag}: assigned to {who}", f"{machine.asset_tag} : attribuée à {who}"),
        addresses=[machine.asset_tag],
        next=[playbook(town, "equip", "--limit", machine.asset_tag)],
    )


def _refuse_second(draft: Draft, machine: Machine, login: str, town: Path) -> None:
    """Refuse a person who has a machine already: two would be equipped with one account."""
    for other in draft.machines:
        if other.is_assigned and other.assignee_login == login and other != machine:
            command = f"fleet swap -i {short(town)} {other.asset_tag} {machine.asset_tag}"
            raise ChangeError(
                tr(
                    f"{login} has {other.asset_tag} already ({FILE}:{other.line}); to exchange it, "
                    f"type: {command}",
                    f"{login} a déjà {other.asset_tag} ({FILE}:{other.line}) ; pour l'échanger, "
                    f"taper : {command}",
                )
            )


# The other steps ---------------------------------------------------------------------------------


def _step(state: str) -> Callable[[argparse.Namespace], int]:
    def run(arguments: argparse.Namespace) -> int:
        def plan(draft: Draft) -> Plan:
            machine = draft.machine(arguments.tag)
            draft.move(arguments.tag, state)
            return Plan(
                f"{arguments.tag}: {machine.state} → {state}",
                next=_after(arguments.inventory, machine, state),
            )

        return make_change(arguments, plan)

    return run


def _stock(arguments: argparse.Namespace) -> int:
    """Write that a machine is ready, which for one with somebody's data needs more than a word."""

    def plan(draft: Draft) -> Plan:
        machine = draft.machine(arguments.tag)
        if machine.state in {"returned", "quarantined"} and not arguments.erased:
            raise TableError(
                [Fault(FILE, machine.line, "state", machine.state, *_not_erased(machine))]
            )
        draft.move(arguments.tag, "stock")
        return Plan(
            f"{arguments.tag}: {machine.state} → stock",
            next=[f"fleet assign -i {short(arguments.inventory)} {arguments.tag} --login ..."],
        )

    return make_change(arguments, plan)


def _not_erased(machine: Machine) -> tuple[str, str]:
    tag = machine.asset_tag
    playbook_ = "return" if machine.state == "returned" else "rebuild"
    run = f"ansible-playbook playbooks/{playbook_}.yml -e asset={tag}"
    return (
        tr(f"{tag} may hold somebody's data", f"{tag} contient peut-être les données de quelqu'un"),
        tr(
            f"type: {run}; or, if it was erased otherwise: fleet stock {tag} --erased",
            f"taper : {run} ; ou, si elle a été effacée autrement : fleet stock {tag} --erased",
        ),
    )


def _after(town: Path, machine: Machine, state: str) -> list[str]:
    """Return what to type once a machine is in a state."""
    if state == "returned":
        return [playbook(town, "return", "-e", f"asset={machine.asset_tag}")]
    if machine.is_assigned and state in {"lost", "quarantined"}:
        return [playbook(town, "servers")]  # which shuts it out
    return []


# Their options -----------------------------------------------------------------------------------


def _step_options(parser: argparse.ArgumentParser) -> None:
    tag_argument(parser)
    change_options(parser)


def _stock_options(parser: argparse.ArgumentParser) -> None:
    _step_options(parser)
    parser.add_argument(
        "--erased",
        action="store_true",
        help=tr(
            "a returned one was erased, and not by return.yml: you answer for it",
            "une machine rendue a été effacée, et pas par return.yml : vous en répondez",
        ),
    )


def _take_options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "tag",
        nargs="?",
        metavar=tr("TAG", "ÉTIQUETTE"),
        help=tr("the machine in stock", "la machine en stock"),
    )
    which.add_argument(
        "--next",
        action="store_true",
        help=tr("take the one that fleet next names", "prendre celle que désigne fleet next"),
    )
    parser.add_argument(
        "--model",
        default="",
        metavar=tr("TEXT", "TEXTE"),
        help=tr("with --next: of this model", "avec --next : de ce modèle"),
    )


def _assign_options(parser: argparse.ArgumentParser) -> None:
    _take_options(parser)
    texts = {
        "login": ("the person's account", "le compte de la personne"),
        "name": ("first and last name", "prénom et nom"),
        "email": ("the person's address", "l'adresse électronique"),
        "department": ("where the person works", "où travaille la personne"),
        "extension": ("the telephone extension", "le numéro de poste"),
        "wave": ("when its turn comes: 1, 2, ...", "quand vient son tour : 1, 2, ..."),
    }
    for name, (english, french) in texts.items():
        parser.add_argument(
            f"--{name}",
            dest=f"assignee_{name}" if name in {"login", "name", "email"} else name,
            required=name in {"login", "name"},
            metavar=name.upper(),
            help=tr(english, french),
        )
    network_options(parser)
    change_options(parser)


def _swap_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "old",
        metavar=tr("OLD", "ANCIENNE"),
        help=tr("the machine that the person had", "la machine qu'avait la personne"),
    )
    _take_options(parser)
    parser.add_argument(
        "--lost",
        action="store_true",
        help=tr("the old one is lost, not returned", "l'ancienne est perdue, pas rendue"),
    )
    network_options(parser)
    change_options(parser)


def commands() -> dict[str, Command]:
    """Return the subcommands by name."""
    steps = {
        "return": ("returned", "write that it is back", "écrire qu'elle est rendue"),
        "lose": ("lost", "write that it is lost or stolen", "écrire qu'elle est perdue ou volée"),
        "retire": ("retired", "write that it is out of use", "écrire qu'elle est hors service"),
        "quarantine": (
            "quarantined",
            "write that it can't be trusted",
            "écrire qu'on ne peut pas s'y fier",
        ),
    }
    return {
        "assign": Command(
            tr("give a machine to a person", "attribuer une machine à une personne"),
            _assign_options,
            assign,
        ),
        "swap": Command(
            tr(
                "give the person of a machine another one",
                "donner une autre machine à la personne d'une machine",
            ),
            _swap_options,
            swap,
        ),
        "stock": Command(
            tr("write that it is ready to be assigned", "écrire qu'elle est prête à l'attribution"),
            _stock_options,
            _stock,
        ),
        **{
            name: Command(tr(english, french), _step_options, _step(state))
            for name, (state, english, french) in steps.items()
        },
    }
