"""The command `fleet`: what a technician does with the register beside the playbooks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from nomade import allocations, fleet_change, fleet_import, fleet_look, fleet_pending, register
from nomade.fleet_command import DONE, REFUSED, UNUSABLE, Command, network_options, no_options
from nomade.i18n import tr
from nomade.register import ChangeError
from nomade.table import TableError, plural


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
    network_options(parser)


def commands() -> dict[str, Command]:
    """Return the subcommands by name."""
    return {
        "check": Command(
            tr(
                "say everything that is wrong in a town's register",
                "dire tout ce qui ne va pas dans le registre d'une ville",
            ),
            no_options,
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
        **fleet_look.commands(),
        **fleet_pending.commands(),
        **fleet_change.commands(),
        **fleet_import.commands(),
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
            default=os.environ.get("ANSIBLE_INVENTORY"),
            required="ANSIBLE_INVENTORY" not in os.environ,
            metavar=tr("TOWN", "VILLE"),
            help=tr(
                "the town's directory, like inventories/valbourg (or else $ANSIBLE_INVENTORY)",
                "le dossier de la ville, comme inventories/valbourg (sinon $ANSIBLE_INVENTORY)",
            ),
        )
        command.options(subparser)
    arguments = parser.parse_args(argv)
    try:
        done = table[arguments.command].run(arguments)
        sys.stdout.flush()
        return done
    except (TableError, ChangeError, allocations.AllocationError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    except BrokenPipeError:  # whoever read us has seen enough: fleet list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return UNUSABLE


if __name__ == "__main__":
    sys.exit(main())
