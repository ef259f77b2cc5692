"""What the subcommands of `fleet` share: their options, how they print, how a change is made."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nomade import allocations, files, register, town_git
from nomade.i18n import tr
from nomade.places import short
from nomade.register import Draft, Edit, Machine
from nomade.table import visible

DONE, REFUSED, UNUSABLE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: what it says of itself, its options, and what it does."""

    help: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


# Options -----------------------------------------------------------------------------------------


def no_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the town is enough."""


def tag_argument(parser: argparse.ArgumentParser) -> None:
    """Add the machine that is meant, by the name on its label."""
    says = tr("the name on the machine's label", "le nom porté par l'étiquette de la machine")
    parser.add_argument("tag", metavar=tr("TAG", "ÉTIQUETTE"), help=says)


def json_option(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument(
        "--json", action="store_true", help=tr("for programs", "pour des programmes")
    )


def network_options(parser: argparse.ArgumentParser) -> None:
    """Add the networks from which VPN addresses are given."""
    for version, example in (("4", "10.66.0.0/16"), ("6", "fd66:1234:5678::/64")):
        parser.add_argument(
            f"--ipv{version}-network",
            metavar="CIDR",
            help=tr(
                f"instead of the town's vpn_ipv{version}_network, like {example}",
                f"au lieu de vpn_ipv{version}_network de la ville, comme {example}",
            ),
        )


def change_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command that writes the register can be told."""
    parser.add_argument(
        "--dry-run",
        "--check",
        dest="dry_run",
        action="store_true",
        help=tr("show the change, write nothing", "montrer la modification, ne rien écrire"),
    )
    commit_option(parser)


def commit_option(parser: argparse.ArgumentParser) -> None:
    """Add --commit."""
    parser.add_argument(
        "--commit",
        action="store_true",
        help=tr(
            "commit what was written to the town's git, and nothing else",
            "valider ce qui a été écrit dans le git de la ville, et rien d'autre",
        ),
    )


# Printing ----------------------------------------------------------------------------------------


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns side by side; on a screen the last one is cut where it would wrap."""
    lines = [tuple(head), *(tuple(map(visible, row)) for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(head))]
    lines.insert(1, tuple("─" * width for width in widths))
    screen = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for line in lines:
        text = "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        print(text if len(text) <= screen else text[: screen - 1] + "…")


def print_json(document: Any) -> None:
    """Print what a program asked for."""
    print(json.dumps(document, ensure_ascii=False, indent=2))


def describe(machine: Machine) -> str:
    """Return what tells a machine from others on the shelf: label, model, serial number."""
    serial = machine.serial_number or "-"
    said = [machine.model, tr(f"serial number {serial}", f"numéro de série {serial}")]
    return f"{machine.asset_tag}  {', '.join(filter(None, said))}"


def playbook(town: Path, name: str, *words: str) -> str:
    """Return the command that runs a playbook on the town."""
    return shlex.join(["ansible-playbook", "-i", short(town), f"playbooks/{name}.yml", *words])


def _print_diff(edit: Edit) -> None:
    colours = (
        {"-": "31", "+": "32"} if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else {}
    )
    for line in edit.diff():
        colour = colours.get(line[:1])
        print(f"\033[{colour}m{line}\033[0m" if colour else line)


def _print_cells(before: Sequence[Machine], after: Sequence[Machine]) -> None:
    """Say in words what the diff shows: per machine, each cell that changed."""
    olds = {machine.asset_tag: asdict(machine) for machine in before}
    for machine in after:
        new, old = asdict(machine), olds.get(machine.asset_tag, {})
        changed = [c for c in new if c != "line" and (new[c] or "") != (old.get(c) or "")]
        if changed:
            print(describe(machine))
        if not old:
            continue  # a new line is said by the diff
        for column in changed:
            print(f"  {column:<16} {old.get(column) or '-'} → {new[column] or '-'}")


# Changing ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Plan:
    """What a change amounts to: its commit message, who needs an address, what to type next."""

    message: str
    addresses: Collection[str] = ()
    next: list[str] = field(default_factory=list)


def make_change(
    arguments: argparse.Namespace, plan_it: Callable[[Draft], Plan], *, diff: bool = True
) -> int:
    """Change the register as `plan_it` says, in one step: shown, written, committed if asked."""
    town: Path = arguments.inventory
    dry = arguments.dry_run
    with files.locked(town):
        dirty: set[str] = set()
        if arguments.commit and not dry:
            town_git.refuse_if_uncommittable(town)
            dirty = town_git.uncommitted(town, [register.FILE, allocations.FILE])
        draft = Draft(town)
        plan = plan_it(draft)
        edit = draft.edit()
        given: list[allocations.Allocation] = []
        if not dry:
            if plan.addresses:  # first: an address without a person does no harm
                networks = (arguments.ipv4_network, arguments.ipv6_network)
                given = allocations.allocate_held(town, list(plan.addresses), *networks)
            draft.save(edit)
        if diff:
            _say_change(draft, edit, given, town, dry)
        names = [register.FILE] * edit.is_changed + [allocations.FILE] * bool(given)
        if arguments.commit and names and not dry:
            _commit(town, names, dirty.intersection(names), plan.message)
    if edit.is_changed and not dry:
        for command in plan.next:
            print(tr(f"next: {command}", f"ensuite : {command}"))
    return DONE


def _say_change(
    draft: Draft, edit: Edit, given: Sequence[allocations.Allocation], town: Path, dry: bool
) -> None:
    path = f"{short(town)}/{register.FILE}"
    if not edit.is_changed:
        print(tr(f"{path}: is so already; unchanged", f"{path} : c'est déjà le cas ; inchangé"))
    else:
        _print_diff(edit)
        print()
        _print_cells(draft.machines, edit.machines)
        if dry:
            print(tr(f"{path}: nothing was written", f"{path} : rien n'a été écrit"))
        else:
            print(tr(f"{path}: written", f"{path} : écrit"))
    for one in given:
        print(f"VPN: {one.asset_tag} {one.vpn_ipv4}, {one.vpn_ipv6}")


def _commit(town: Path, names: Sequence[str], dirty: Collection[str], message: str) -> None:
    commit = town_git.commit(town, names, message)
    print(tr(f"committed: {commit} {message}", f"validé : {commit} {message}"))
    if dirty:
        files_ = ", ".join(sorted(dirty))
        print(
            tr(
                f"mind: {files_} held other changes, not committed before; they are in it too",
                f"à noter : {files_} contenait d'autres modifications pas encore validées ; elles "
                "y sont aussi",
            )
        )
