"""What enrolment says of a machine: who else can enter it, whether it is fit, its record."""

from __future__ import annotations

import csv
import datetime
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomade.i18n import tr
from nomade.register import is_placeholder_serial

Identity = Mapping[str, Any]
GIB = 1024**3
_DELIMITERS = ",;"


# Ways in that are not the town's -----------------------------------------------------------------


def ways_in(identity: Identity) -> dict[str, str]:
    """Return every way into the machine that isn't Nomade's: its name, and what it is."""
    found = {f"directory:{name}": name for name in identity["directory_services"]}
    for kind in ("accounts", "sudoers", "keys", "sshd"):
        for item in identity[f"foreign_{kind}"]:
            found[item["name"]] = item["detail"]
    return found


def refusal(asset: str, found: Mapping[str, str], accepted: Collection[str]) -> str:
    """Return why the machine isn't taken yet: the ways in that nobody accepted by name."""
    waiting = {name: detail for name, detail in found.items() if name not in accepted}
    if not waiting:
        return ""
    names = json.dumps({"enrolment_accept": list(waiting)}, ensure_ascii=False)
    lines = "".join(f"\n  {name}  ({detail})" for name, detail in waiting.items())
    return (
        tr(
            f"{asset}: ways into this machine that are not the town's: {len(waiting)}; it is not "
            "enrolled until you remove them there, or accept each by name (in host_vars or with "
            f"-e '{names}'):",
            f"{asset} : accès qui ne sont pas ceux de la ville : {len(waiting)} ; elle n'est pas "
            "enrôlée tant que vous ne les retirez pas, ou n'acceptez pas chacun par son nom (dans "
            f"host_vars ou avec -e '{names}') :",
        )
        + lines
    )


# Fit or unfit ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Thresholds:
    """What a machine needs to be handed to a person."""

    ram_mib: int
    disk_bytes: int
    battery_percent: int
    systems: Sequence[str]


def judge(identity: Identity, needs: Thresholds) -> tuple[list[str], list[str]]:
    """Return why the machine is unfit (nothing: it is fit), and what to be warned of."""
    unfit, warnings = [], []
    ram, system = identity["ram_mib"], f"{identity['os_id']} {identity['os_version_id']}".strip()
    if ram < needs.ram_mib:
        unfit.append(
            tr(
                f"memory: {ram} MiB, {needs.ram_mib} wanted: add memory",
                f"mémoire : {ram} Mio au lieu de {needs.ram_mib} : ajoutez de la mémoire",
            )
        )
    if system not in needs.systems:
        names = ", ".join(needs.systems)
        unfit.append(
            tr(
                f"system: {system or '?'}, not one of {names}: rebuild it",
                f"système : {system or '?'}, hors de {names} : réinstallez la machine",
            )
        )
    unfit += [
        tr(
            f"disk {disk['name']}: it says that it is failing (SMART): replace it",
            f"disque {disk['name']} : il s'annonce en panne (SMART) : remplacez-le",
        )
        for disk in identity["disks"]
        if disk["smart"] == "failed"
    ]
    largest = max((disk["size_bytes"] for disk in identity["disks"]), default=0)
    if identity["disks"] and largest < needs.disk_bytes:
        gib, wanted = largest // GIB, needs.disk_bytes // GIB
        unfit.append(
            tr(
                f"disk: {gib} GiB, {wanted} wanted: fit a larger one",
                f"disque : {gib} Gio au lieu de {wanted} : montez-en un plus grand",
            )
        )
    if identity["firmware"] != "uefi":
        warnings.append(
            tr(
                "firmware: started as legacy BIOS, without Secure Boot: choose UEFI in its "
                "settings before the next reinstallation",
                "microprogramme : démarré en BIOS hérité, sans Secure Boot : choisissez UEFI dans "
                "ses réglages avant la prochaine réinstallation",
            )
        )
    warnings += _peripherals(identity, needs)
    return unfit, warnings


def _peripherals(identity: Identity, needs: Thresholds) -> list[str]:
    warnings = [
        tr(
            f"battery {battery['name']}: holds {battery['health_percent']} % of what it did when "
            "new: keep it on mains, or replace it",
            f"batterie {battery['name']} : ne garde que {battery['health_percent']} % de sa "
            "capacité : laissez sur secteur, ou remplacez-la",
        )
        for battery in identity["batteries"]
        if (battery["health_percent"] or 100) < needs.battery_percent
    ]
    if any(not card["driver"] for card in identity["wifi"]):
        warnings.append(
            tr(
                "Wi-Fi: the card has no driver: its firmware is missing (equip installs it)",
                "Wi-Fi : la carte est sans pilote : son microprogramme manque (equip l'installe)",
            )
        )
    missing = {
        "wifi": tr("Wi-Fi: none found: hand out a cable", "Wi-Fi : absent : prévoir un câble"),
        "cameras": tr("camera: none found: hand out one", "caméra : absente : en prévoir une"),
        "microphones": tr(
            "microphone: none found: hand out a headset", "micro : absent : prévoir un casque"
        ),
    }
    return warnings + [text for kind, text in missing.items() if not identity[kind]]


# The record --------------------------------------------------------------------------------------

_HARDWARE = (
    "vendor",
    "model",
    "macs",
    "ram_mib",
    "firmware",
    "secure_boot",
    "disks",
    "batteries",
    "wifi",
    "cameras",
    "microphones",
)


def record(
    asset: str,
    identity: Identity,
    *,
    fingerprint: str,
    accepted: Collection[str],
    verdict: tuple[list[str], list[str]],
    old: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what is kept of the enrolment; the old record where nothing but wear is new."""
    unfit, warnings = verdict
    new = {
        "asset_tag": asset,
        "enrolled_on": old.get("enrolled_on") or datetime.datetime.now().date().isoformat(),
        "serial_number": identity["serial_number"],
        "host_key": fingerprint,
        "fit": not unfit,
        "unfit_because": unfit,
        "warnings": warnings,
        "accepted": sorted(name for name in ways_in(identity) if name in accepted),
        "system": f"{identity['os_id']} {identity['os_version_id']}".strip(),
        "hardware": {name: identity[name] for name in _HARDWARE},
    }
    if old and _without_wear(new) == _without_wear(old):
        return dict(old)
    return new


def _without_wear(record_: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what changes by itself from day to day, and the words chosen by the locale."""
    hardware = {k: v for k, v in record_.get("hardware", {}).items() if k != "batteries"}
    kept = {k: v for k, v in record_.items() if k not in ("unfit_because", "warnings")}
    return {**kept, "hardware": hardware}


def remembered(path: Path) -> dict[str, Any]:
    """Return the record of an earlier enrolment, if there is one."""
    try:
        old = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        return {}  # cut short: it is written anew
    return old if isinstance(old, dict) else {}


# What the technician reads -----------------------------------------------------------------------


def summary(
    identity: Identity,
    record_: Mapping[str, Any],
    *,
    registered_serial: str,
    state: str,
    town: str,
    notes: Sequence[str] = (),
) -> list[str]:
    """Return what was done, what is to be known, and the next command to type."""
    asset = record_["asset_tag"]
    lines = [f"{asset}: {_machine(identity)}"]
    if not state:  # a server: nobody carries it home
        command = f"ansible-playbook -i {town} playbooks/servers.yml --limit {asset}"
        return [*lines, *notes, tr(f"next: {command}", f"ensuite : {command}")]
    if record_["fit"]:
        lines.append(tr("fit to be handed out", "apte à être remise"))
    lines += [tr(f"UNFIT: {text}", f"INAPTE : {text}") for text in record_["unfit_because"]]
    lines += [tr(f"mind: {text}", f"à noter : {text}") for text in record_["warnings"]]
    found = identity["serial_number"]
    if is_placeholder_serial(registered_serial) and not is_placeholder_serial(found):
        lines.append(
            tr(
                f"register: write {found} into serial_number of {asset} in fleet.csv",
                f"registre : écrivez {found} dans serial_number de {asset} dans fleet.csv",
            )
        )
    lines += notes
    if not record_["fit"]:
        retire = f"fleet retire -i {town} {asset}"
        lines.append(
            tr(
                f"next: mend it and enrol it again, or give it up: {retire}",
                f"ensuite : réparez-la et enrôlez-la de nouveau, ou renoncez-y : {retire}",
            )
        )
        return lines
    command = f"ansible-playbook -i {town} playbooks/equip.yml --limit {asset}"
    steps = [command]
    if state == "returned":  # with somebody's data
        steps = [f"ansible-playbook -i {town} playbooks/return.yml -e asset={asset}"]
    elif state != "assigned":
        steps.insert(0, f"fleet assign -i {town} {asset} --login ... --name ...")
        if state != "stock":
            steps.insert(0, f"fleet stock -i {town} {asset}")
    lines.append(tr("next: ", "ensuite : ") + tr(", then: ", ", puis : ").join(steps))
    return lines


def _machine(identity: Identity) -> str:
    parts = [
        " ".join(filter(None, (identity["vendor"], identity["model"])))
        or tr("unknown model", "modèle inconnu"),
        tr("serial number ", "numéro de série ") + (identity["serial_number"] or "-"),
        f"{identity['os_id']} {identity['os_version_id']}",
        tr(f"{identity['ram_mib']} MiB", f"{identity['ram_mib']} Mio"),
    ]
    parts += [
        f"{disk['name']} {disk['size_bytes'] // GIB} "
        + tr(f"GiB (SMART {disk['smart']})", f"Gio (SMART {disk['smart']})")
        for disk in identity["disks"]
    ]
    return ", ".join(parts)


def line_to_add(register: Path, asset: str) -> str:
    """Return the line that puts a machine into the register, in the order of its columns."""
    first = register.read_text("utf-8-sig").splitlines()[0]
    delimiter = max(_DELIMITERS, key=first.count)
    header = next(csv.reader([first], delimiter=delimiter))
    cells = {"asset_tag": asset, "state": "recovered"}
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="").writerow(
        [cells.get(name.strip(), "") for name in header]
    )
    return text.getvalue()


def not_in_register(asset: str, town: Path) -> str:
    """Return the refusal of a machine that the register doesn't have."""
    register = town / "fleet.csv"
    try:
        line = line_to_add(register, asset)
    except (OSError, UnicodeDecodeError, IndexError):
        line = f"{asset},…"
    return tr(
        f"{asset} is not in the register: add its line to {register} (a server's to servers.yml), "
        f"for example: {line}",
        f"{asset} n'est pas dans le registre : ajoutez sa ligne à {register} (celle d'un serveur à "
        f"servers.yml), par exemple : {line}",
    )
