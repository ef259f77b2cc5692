"""Rebuilds from the network: which may be ordered, how far they are, what the town keeps of them.

The netboot server keeps an order and how far its machine has come; this is the controller's half.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from nomade import files, hostkeys
from nomade.i18n import tr
from nomade.register import bare, is_placeholder_serial

# Nothing of these comes back to the town's network.
GONE = ("lost", "retired")
ENDED = ("done", "failed", "cancelled", "expired")
# Seconds of a rebuild, until one of this day has shown how long it takes here.
USUAL_SECONDS = 900
AGE = "-----BEGIN AGE ENCRYPTED FILE-----"


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


def orders(
    assets: Sequence[str], machines: Mapping[str, Mapping[str, Any]], wipe: Sequence[str]
) -> list[Order]:
    """Return the orders for machines of the register, or raise RebuildError and order none."""
    made = [order(asset, machines[asset], wipe) for asset in assets]
    known = {bare(one.serial) for one in made}
    if strange := [serial for serial in wipe if bare(serial) not in known]:
        raise RebuildError(
            tr(
                f"wipe names {strange[0]}, which is the serial number of none of "
                f"{', '.join(assets)}: nothing was ordered; compare it with the register",
                f"wipe nomme {strange[0]}, qui n'est le numéro de série d'aucune de "
                f"{', '.join(assets)} : rien n'a été commandé ; comparez avec le registre",
            )
        )
    return made


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
    stages = [*(state.get("stages") or []), {"at": state.get("ended", 0)}]
    return {
        str(stage["name"]): round(float(following["at"]) - float(stage["at"]))
        for stage, following in pairwise(stages)
    }


def keep(town: Path, state: Mapping[str, Any], who: str) -> Path:
    """Keep an order that has ended in the town's records, and its recovery passphrase encrypted.

    The passphrase of its former disk opens nothing any more: that record goes. A rebuild whose
    recovery passphrase could not be kept is recorded as failed, then RebuildError says so.
    """
    asset, fault = str(state["asset_tag"]), _fault(state)
    began = datetime.datetime.fromtimestamp(float(state["made"]), datetime.UTC).astimezone()
    name = f"{asset}-{began:%Y%m%dT%H%M%S}"
    escrow = str(state.get("escrow") or "")
    if escrow and not fault:
        place = town / "records/recovery-passphrases"
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(place / f"{name}.age", escrow.strip().encode() + b"\n", 0o600)
    kept = {key: value for key, value in state.items() if key not in ("escrow", "token")}
    if fault:
        kept |= {"state": "failed", "reason": fault}
    times = {"seconds": seconds(state), "seconds_of_stages": durations(state)}
    path = town / "records/rebuilds" / f"{name}.json"
    text = json.dumps({**kept, "who": who, **times}, ensure_ascii=False, indent=2)
    hostkeys.write_atomically(path, text + "\n")
    if fault:
        raise RebuildError(fault)
    former = town / f"records/disk-passphrases/{asset}.age"
    # one that is newer was made since: this order is looked at again
    if state["state"] == "done" and former.exists() and former.stat().st_mtime < state["ended"]:
        former.unlink()
    return path


def _fault(state: Mapping[str, Any]) -> str:
    """Return why a rebuilt machine is of no use to the town, or nothing."""
    asset, escrow = str(state["asset_tag"]), str(state.get("escrow") or "")
    if escrow and not escrow.startswith(AGE):
        return tr(
            f"{asset}: its recovery passphrase did not come encrypted: rebuild it again",
            f"{asset} : sa phrase de secours n'est pas arrivée chiffrée : reconstruisez-la",
        )
    if state["state"] == "done" and not escrow:
        return tr(
            f"{asset}: its recovery passphrase did not come: rebuild it again",
            f"{asset} : sa phrase de secours n'est pas arrivée : reconstruisez-la",
        )
    if state["state"] == "done" and len(str(state.get("host_key", "")).split()) < 2:
        return tr(
            f"{asset}: its host key did not come: rebuild it again",
            f"{asset} : sa clé d'hôte n'est pas arrivée : reconstruisez-la",
        )
    return ""


def pin(known_hosts: Path, state: Mapping[str, Any]) -> None:
    """Pin the host key that the machine made while it was rebuilt; its former one is forgotten."""
    kind, blob = str(state["host_key"]).split()[:2]
    hostkeys.replace(known_hosts, str(state["asset_tag"]), hostkeys.HostKey(kind, blob))


def mine(
    states: Iterable[Mapping[str, Any]], ids: Mapping[str, str]
) -> dict[str, Mapping[str, Any]]:
    """Return those of the server's orders that this run watches, by asset tag: {asset: id}.

    Where no id is known it is the machine's newest order.
    """
    found = {}
    for state in sorted(states, key=lambda state: float(state["made"])):
        asset = str(state["asset_tag"])
        if asset in ids and ids[asset] in ("", state["id"]):
            found[asset] = state
    return found


class Rate:
    """How fast the server sends, from what its network card has counted at several moments."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.total = 0
        self.now = 0.0  # bytes a second, between the last two looks
        self._last: tuple[float, int] | None = None

    def add(self, moment: float, counted: int) -> None:
        """Look once more; a counter that began again with the server counts from nothing."""
        if self._last:
            before, had = self._last
            sent = counted - had if counted >= had else counted
            self.total += sent
            self.now = sent / (moment - before) if moment > before else 0.0
        self._last = moment, counted


def summary(
    states: Iterable[Mapping[str, Any]],
    watched: Mapping[str, Mapping[str, Any]],
    total: int,
    rate: float = 0.0,
) -> str:
    """Return how many of a run's machines are done, and when the running ones probably will be.

    `rate` is how fast the server sends, in bytes a second.

    How long a rebuild takes here, all of the server's orders of this day say.
    """
    took = sorted(seconds(state) for state in states if state["state"] == "done")
    usual = took[len(took) // 2] if took else USUAL_SECONDS
    done = sum(state["state"] == "done" for state in watched.values())
    failed = sum(state["state"] in ENDED for state in watched.values()) - done
    failed += total - len(watched)  # replaced by others' orders
    text = tr(f"{done} of {total}", f"{done} sur {total}")
    text += tr(f", {failed} failed", f", échec : {failed}") if failed else ""
    begun = [
        float(state["stages"][0]["at"])
        for state in watched.values()
        if state["state"] in ("taken", "installed")
    ]
    if begun:
        end = time.localtime(max(max(begun) + usual, time.time() + 30))
        clock = time.strftime("%H:%M", end)
        text += tr(f", done by {clock}", f", fini vers {clock}")
        megabytes = f"{rate / 1e6:.1f}"
        text += tr(f", {megabytes} MB/s", f", {megabytes.replace('.', ',')} Mo/s") if rate else ""
    return text
