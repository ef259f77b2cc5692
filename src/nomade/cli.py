"""The command `fleet`: what a technician does with the register beside the playbooks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nomade import allocations, register
from nomade.i18n import tr
from nomade.table import TableError, plural

DONE, REFUSED, UNUSABLE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: what it says of itself, its options, and what it does."""

    help: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def check(arguments: argparse.Namespace) -> int:
    """Say what is wrong in the register and the allocations, or what they hold."""
    town: Path = arguments.inventory
    machines, allocated = allocations.read_town(town / register.FILE)
    if missing := allocations.missing_allocations(machines, allocated):
        print(allocations.missing_message(missing, town), file=sys.stderr)
        return REFUSED
    count = plural(len(machines), "machine")
    states = ", ".join(f"{n} {state}" for state, n in register.count_states(machines).items())
    states = f" ({states})" if states else ""
    print(
        tr(
            f"{town / register.FILE}: {count} without a fault{states}",
            f"{town / register.FILE} : {count} sans faute{states}",
        )
    )
    return DONE


def allocate(arguments: argparse.Namespace) -> int:
    """Give VPN addresses to the machines that need some and have none."""
    town: Path = arguments.inventory
    new = allocations.allocate(
        town, arguments.asset, arguments.ipv4_network, arguments.ipv6_network
    )
    for allocation in new:
        print(f"{allocation.asset_tag:<16} {allocation.vpn_ipv4!s:<15} {allocation.vpn_ipv6}")
    if not new:
        print(tr("Every machine has its addresses.", "Chaque machine a ses adresses."))
    return DONE


def _no_options(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the town is enough."""


def _allocate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--asset",
        action="append",
        default=[],
        metavar="TAG",
        help=tr(
            "this machine too, assigned or not (may be repeated)",
            "aussi cette machine, attribuée ou non (peut être répété)",
        ),
    )
    for version, example in (("4", "10.66.0.0/16"), ("6", "fd66:1234:5678::/64")):
        parser.add_argument(
            f"--ipv{version}-network",
            metavar="CIDR",
            help=tr(
                f"instead of the town's vpn_ipv{version}_network, like {example}",
                f"au lieu de vpn_ipv{version}_network de la ville, comme {example}",
            ),
        )


def commands() -> dict[str, Command]:
    """Return the subcommands by name."""
    return {
        "check": Command(
            tr(
                "say everything that is wrong in a town's register",
                "dire tout ce qui ne va pas dans le registre d'une ville",
            ),
            _no_options,
            check,
        ),
        "allocate": Command(
            tr(
                "give VPN addresses to the assigned machines that have none",
                "donner des adresses VPN aux machines attribuées qui n'en ont pas",
            ),
            _allocate_options,
            allocate,
        ),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand: 0 is done, 1 is refused, 2 can't be tried at all."""
    parser = argparse.ArgumentParser(
        prog="fleet",
        description=tr(
            "The register of a town's machines.", "Le registre des machines d'une ville."
        ),
    )
    subparsers = parser.add_subparsers(dest="command", required=True)
    table = commands()
    for name, command in table.items():
        subparser = subparsers.add_parser(name, help=command.help, description=command.help)
        subparser.add_argument(
            "-i",
            "--inventory",
            type=Path,
            required=True,
            metavar=tr("TOWN", "VILLE"),
            help=tr(
                "the town's directory, like inventories/valbourg",
                "le dossier de la ville, comme inventories/valbourg",
            ),
        )
        command.options(subparser)
    arguments = parser.parse_args(argv)
    try:
        return table[arguments.command].run(arguments)
    except (TableError, allocations.AllocationError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
