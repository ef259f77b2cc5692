"""Rebuilds from the network: which may be ordered, how far they are, what the town keeps of them.

The netboot server keeps an order and how far its machine has come; this is the controller's half.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomade import files, hostkeys
from nomade.i18n import tr
from nomade.register import bare, is_placeholder_serial

# Nothing of these comes back to the town's network.
GONE = ("lost", "retired")
ENDED = ("done", "failed", "cancelled", "expired")


class RebuildError(Exception):
    """A rebuild is refused; the message is one sentence with the remedy."""


@dataclass(frozen=True, slots=True)
class Order:
    """A machine that is to be rebuilt; `wipe` is its serial number once more, or nothing."""

    asset: str
    serial: str
    wipe: str

    def as_dict(self) -> dict[str, str]:
        """Return it for a playbook."""
        return {"asset": self.asset, "serial": self.serial, "wipe": self.wipe}


def order(asset: str, machine: Mapping[str, Any], wipe: Sequence[str]) -> Order:
    """Return the order for a line of the register, or raise RebuildError."""
    serial, state = str(machine.get("fleet_serial_number", "")), machine.get("fleet_state")
    if is_placeholder_serial(serial):
        raise RebuildError(
            tr(
                f"{asset}: an order is for a serial number, and the register has none of it: "
                "start it from the network, it shows its own, and write that into its line",
                f"{asset} : une commande vaut pour un numéro de série, et le registre n'en a pas : "
                "démarrez-la par le réseau, elle montre le sien, et écrivez-le dans sa ligne",
            )
        )
    if state in GONE:
        raise RebuildError(
            tr(
                f"{asset} is {state} in the register: nothing is ordered for it; change its state "
                "first if it is here after all",
                f"{asset} est « {state} » au registre : rien n'est commandé pour elle ; changez "
                "d'abord son état si elle est bien là",
            )
        )
    wiped = bare(serial) in {bare(one) for one in wipe}
    if state == "assigned" and not wiped:
        raise RebuildError(
            tr(
                f"{asset} is assigned: somebody's files are on its disk. Return it first "
                f"(playbooks/return.yml), or add -e wipe={serial} if they may go",
                f"{asset} est attribuée : son disque porte les fichiers de quelqu'un. Passez-la "
                f"d'abord par playbooks/return.yml, ou ajoutez -e wipe={serial} s'ils peuvent "
                "disparaître",
            )
        )
    return Order(asset, serial, serial if wiped else "")


def line(state: Mapping[str, Any]) -> str:
    """Return what a technician reads of one order."""
    stages = state.get("stages") or []
    stage = str(stages[-1]["name"]) if stages else ""
    words = {
        "waiting": tr("start it from the network", "démarrez-la par le réseau"),
        "taken": stage,
        "installed": tr("starts from its disk", "démarre de son disque"),
        "done": tr(f"done in {seconds(state)} s", f"terminée en {seconds(state)} s"),
        "failed": tr("failed: ", "échec : ") + str(state.get("reason", "")).strip(),
        "cancelled": tr("taken back", "commande reprise"),
        "expired": tr("nobody started it in time", "personne ne l'a démarrée à temps"),
    }
    return f"{state['asset_tag']}: {words.get(str(state['state']), state['state'])}"


def seconds(state: Mapping[str, Any]) -> int:
    """Return how long a rebuild took, from its order being taken."""
    stages = state.get("stages") or []
    return round(float(state.get("ended", 0)) - float(stages[0]["at"])) if stages else 0


def durations(state: Mapping[str, Any]) -> dict[str, int]:
    """Return the seconds of each stage."""
    stages = state.get("stages") or []
    ends = [*(stage["at"] for stage in stages[1:]), state.get("ended", 0)]
    return {
        str(stage["name"]): round(float(end) - float(stage["at"]))
        for stage, end in zip(stages, ends, strict=True)
    }


def keep(town: Path, state: Mapping[str, Any]) -> Path:
    """Keep an order that has ended in the town's records, and its recovery passphrase encrypted."""
    asset = str(state["asset_tag"])
    began = datetime.datetime.fromtimestamp(float(state["made"]), datetime.UTC).astimezone()
    name = f"{asset}-{began:%Y%m%dT%H%M%S}"
    if escrow := str(state.get("escrow") or ""):
        if not escrow.startswith("-----BEGIN AGE ENCRYPTED FILE-----"):
            raise RebuildError(
                tr(
                    f"{asset}: its recovery passphrase did not come encrypted: rebuild it again",
                    f"{asset} : sa phrase de secours n'est pas arrivée chiffrée : reconstruisez-la",
                )
            )
        place = town / "records/recovery-passphrases"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(place / f"{name}.age", escrow.strip().encode() + b"\n", 0o600)
    kept = {key: value for key, value in state.items() if key not in ("escrow", "token")}
    record = {**kept, "seconds": seconds(state), "seconds_of_stages": durations(state)}
    path = town / "records/rebuilds" / f"{name}.json"
    hostkeys.write_atomically(path, json.dumps(record, ensure_ascii=False, indent=2) + "\n")
    return path


def pin(known_hosts: Path, state: Mapping[str, Any]) -> None:
    """Pin the host key that the machine made while it was rebuilt; its former one is forgotten."""
    kind, blob = str(state.get("host_key", "")).split()[:2]
    hostkeys.replace(known_hosts, str(state["asset_tag"]), hostkeys.HostKey(kind, blob))


def mine(states: Iterable[Mapping[str, Any]], ids: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """Return those of the server's orders that this run made: {asset: id}."""
    return [state for state in states if ids.get(str(state["asset_tag"])) == state["id"]]
