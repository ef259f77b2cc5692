"""`fleet pending` and `fleet add`: machines that announced themselves from the network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nomade import pending, register
from nomade.fleet_command import (
    DONE,
    REFUSED,
    Command,
    Plan,
    change_options,
    json_option,
    make_change,
    playbook,
    print_json,
    tag_argument,
)
from nomade.i18n import tr
from nomade.places import pending_directory, short
from nomade.register import ChangeError, Draft, Machine
from nomade.register_rules import bare, is_placeholder_serial
from nomade.table import show

MIB, GIB = 1024**2, 1024**3


def show_pending(arguments: argparse.Namespace) -> int:
    """Print what unknown machines said of themselves when they started from the network."""
    machines = register.read_register(arguments.inventory / register.FILE)
    announced, errors = pending.read(pending_directory(arguments.inventory))
    known = _by_key(machines)
    if arguments.json:
        listed = [
            {**said.as_json(), "asset_tag": machine.asset_tag if machine else None}
            for said in announced
            for machine in [known.get(bare(said.key))]
        ]
        print_json({"machines": listed, "refused": list(map(str, errors))})
        return REFUSED if errors else DONE
    for said in announced:
        _print_announcement(said, known.get(bare(said.key)), arguments)
    for error in errors:
        print(error)
    if not announced and not errors:
        print(tr("No machine has announced itself.", "Aucune machine ne s'est annoncée."))
    return REFUSED if errors else DONE


def _by_key(machines: Sequence[Machine]) -> dict[str, Machine]:
    """Return the register's machines by what tells an announcement from others (pending.key)."""
    keys = ((bare(m.serial_number or m.mac_address), m) for m in machines)
    return {key: machine for key, machine in keys if key}


def _print_announcement(
    said: pending.Announcement, machine: Machine | None, arguments: argparse.Namespace
) -> None:
    battery = "-" if said.battery is None else f"{said.battery} %"
    memory = tr(f"{said.ram_mb} MiB", f"{said.ram_mb} Mio")
    print(f"{said.key}  {said.model or '-'}, {memory}, {said.firmware}, SMART {said.smart}")
    has = {
        "Wi-Fi": said.wifi,
        tr("camera", "caméra"): said.camera,
        tr("microphone", "micro"): said.microphone,
    }
    lacks = ", ".join(name for name, there in has.items() if not there)
    if said.fit:
        print(tr("  fit", "  apte"))
    for reason in said.unfit_reasons:
        print(tr("  UNFIT: ", "  INAPTE : ") + reason)
    print(tr("  battery ", "  batterie ") + battery, end="")
    print((tr("; without ", " ; sans ") + lacks) if lacks else "", end="")
    print(tr("; seen ", " ; vue ") + f"{said.seen.astimezone():%Y-%m-%d %H:%M}")
    for disk in said.disks:
        parts = ", ".join(map(_partition, disk.partitions)) or tr("empty", "vide")
        print(f"  {disk.name} {_size(disk.size_bytes)}: {parts}")
    if machine:
        print(
            tr("  in the register: ", "  au registre : ") + f"{machine.asset_tag}, {machine.state}"
        )
    else:
        tag = tr("TAG", "ÉTIQUETTE")
        command = f"fleet add -i {short(arguments.inventory)} {tag} --serial {said.key}"
        print(tr(f"  unknown; type: {command}", f"  inconnue ; taper : {command}"))


def _partition(part: pending.Partition) -> str:
    said = f"{part.name} {part.file_system or '?'} {_size(part.size_bytes)}"
    if part.used_bytes is None:
        return said
    used = _size(part.used_bytes)
    return said + tr(f" ({used} used)", f" ({used} occupés)")


def _size(size: int) -> str:
    if size < GIB:
        return tr(f"{size / MIB:.0f} MiB", f"{size / MIB:.0f} Mio")
    return tr(f"{size / GIB:.0f} GiB", f"{size / GIB:.0f} Gio")


# add ----------------------------------------------------------------------------------------------


def add(arguments: argparse.Namespace) -> int:
    """Write a machine that announced itself into the register, under the name on its label."""

    def plan(draft: Draft) -> Plan:
        said = _announced(arguments, draft)
        known = {bare(machine.mac_address) for machine in draft.machines}
        mac = next((mac for mac in said.mac_addresses if bare(mac) not in known), "")
        serial = "" if is_placeholder_serial(said.serial_number) else said.serial_number
        draft.add(
            {
                "asset_tag": arguments.tag,
                "serial_number": serial,
                "mac_address": mac,
                "model": said.model,
                "owner_department": arguments.owner_department or "",
                "state": "recovered",
            }
        )
        return Plan(
            tr(f"{arguments.tag}: recovered", f"{arguments.tag} : récupérée"),
            next=[playbook(arguments.inventory, "rebuild", "-e", f"asset={arguments.tag}")],
        )

    return make_change(arguments, plan)


def _announced(arguments: argparse.Namespace, draft: Draft) -> pending.Announcement:
    """Return the announcement that is meant: by its serial number, or the only unknown one."""
    known = _by_key(draft.machines)
    announced, _ = pending.read(pending_directory(arguments.inventory))
    found = [said for said in announced if bare(said.key) not in known]
    if arguments.serial:
        found = [said for said in found if bare(said.key) == bare(arguments.serial)]
    if len(found) == 1:
        return found[0]
    serials = ", ".join(show(said.key) for said in found[:5])
    if found:
        raise ChangeError(
            tr(
                f"{len(found)} unknown machines have announced themselves; say which with --serial:"
                f" {serials}",
                f"{len(found)} machines inconnues se sont annoncées ; préciser laquelle avec "
                f"--serial : {serials}",
            )
        )
    which = (
        tr(f" {show(arguments.serial)}", f" {show(arguments.serial)}") if arguments.serial else ""
    )
    raise ChangeError(
        tr(
            f"no unknown machine{which} has announced itself; start it from the network, or look "
            "with fleet pending",
            f"aucune machine inconnue{which} ne s'est annoncée ; la démarrer par le réseau, ou "
            "regarder avec fleet pending",
        )
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    tag_argument(parser)
    parser.add_argument(
        "--serial",
        metavar=tr("NUMBER", "NUMÉRO"),
        help=tr("which one, if several wait", "laquelle, si plusieurs attendent"),
    )
    parser.add_argument(
        "--owner-department",
        metavar=tr("DEPARTMENT", "SERVICE"),
        help=tr("whom it was taken from", "à qui elle a été reprise"),
    )
    change_options(parser)


def commands() -> dict[str, Command]:
    """Return the subcommands by name."""
    return {
        "pending": Command(
            tr(
                "show the machines that announced themselves from the network",
                "montrer les machines qui se sont annoncées par le réseau",
            ),
            json_option,
            show_pending,
        ),
        "add": Command(
            tr(
                "write a machine that announced itself into the register",
                "inscrire au registre une machine qui s'est annoncée",
            ),
            _add_options,
            add,
        ),
    }
