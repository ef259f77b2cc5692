"""From what a run saw on a machine to one word for each capability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# A check in one of these states does not hold (Monitoring Plugins: 2 and 3).
RED = ("CRITICAL", "UNKNOWN")
# What holds only while the tunnel reaches the town hall.
BEHIND_THE_TUNNEL = ("vpn_client", "conference_client", "links")
# What the system, apt and rootfs say of a full disk.
FULL = ("No space left on device", "enough free space", " is full ", "Disk quota exceeded")

GATEWAY_DOWN = {
    "check": "vpn-gateway",
    "message": {
        "en": "waiting for gateway: no gateway answered while this machine was equipped",
        "fr": "attend la passerelle : aucune n'a répondu pendant l'équipement de cette machine",
    },
    "remedy": {
        "en": "Bring a gateway back; the tunnel then comes up by itself, and check.yml says so.",
        "fr": "Remettre une passerelle en service ; le tunnel remonte seul, check.yml le dira.",
    },
}
NOT_THERE = {
    "message": {
        "en": "this machine has no check of it: it was never set up",
        "fr": "ce poste n'en a aucun contrôle : elle n'y a jamais été installée",
    },
    "remedy": {
        "en": "Run playbooks/equip.yml (or servers.yml) for this machine, without --tags.",
        "fr": "Lancer playbooks/equip.yml (ou servers.yml) pour ce poste, sans --tags.",
    },
}
NOT_OUTSIDE = {
    "check": "vpn-outside",
    "message": {
        "en": "the tunnel works, but no handshake from outside the office has been seen",
        "fr": "le tunnel marche, mais aucune connexion depuis l'extérieur n'a été vue",
    },
    "remedy": {
        "en": "Join the laptop to a telephone's Wi-Fi for a minute, then run playbooks/check.yml.",
        "fr": "Connecter le portable une minute au partage d'un téléphone, puis lancer check.yml.",
    },
}


def verdict(
    wanted: Sequence[str],
    *,
    check: Mapping[str, Any] | None = None,
    failures: Sequence[Mapping[str, Any]] = (),
    absent: bool = False,
    refused: bool = False,
    planned: bool = False,
    gateway_down: bool = False,
    outside: bool = True,
) -> dict[str, Any]:
    """Return ``{"capabilities": {name: state}, "failures": [{check, message, remedy}]}``.

    ``check`` is what nomade-check printed as JSON, ``failures`` what failed while a capability
    was set up (with its ``capability``), ``planned`` says that nothing could be checked (check
    mode), ``gateway_down`` that no gateway answered, ``outside`` that the tunnel has been seen
    from a network outside the office. See `nomade.report.STATES` for the states.
    """
    told: list[dict[str, Any]] = [dict(failure) for failure in failures]
    if absent or refused:
        return {
            "capabilities": dict.fromkeys(wanted, "absent" if absent else "skipped"),
            "failures": told,
        }
    spoiled = {str(failure.get("capability")) for failure in failures}
    checks = list((check or {}).get("checks", []))
    states: dict[str, str] = {}
    for capability in wanted:
        own = [c for c in checks if c.get("capability") == capability]
        red = [c for c in own if c.get("status") in RED]
        tunnel = capability == "vpn_client"
        if capability in spoiled:
            states[capability] = "failed"
        elif planned:
            states[capability] = "planned"
        elif check is None:
            states[capability] = "failed"
            told.append(
                {
                    "check": capability,
                    "message": {
                        "en": "nomade-check gave no answer",
                        "fr": "nomade-check n'a pas répondu",
                    },
                    "remedy": {
                        "en": "Equip the machine first (playbooks/equip.yml).",
                        "fr": "Équiper d'abord la machine (playbooks/equip.yml).",
                    },
                }
            )
        elif not own:
            states[capability] = "failed"
            told.append({"check": capability, **NOT_THERE})
        elif capability in BEHIND_THE_TUNNEL and gateway_down and red:
            states[capability] = "waiting"
            told += [GATEWAY_DOWN] * (GATEWAY_DOWN not in told)
        elif red:
            states[capability] = "failed"
            told += [
                {"check": c["name"], "message": c["message"], "remedy": c.get("remedy", "")}
                for c in red
            ]
        elif tunnel and not outside:
            states[capability] = "unproven"
            told.append(NOT_OUTSIDE)
        else:
            states[capability] = "ok"
    # What failed outside of any capability that is shown still has to be seen.
    for capability in spoiled - set(wanted):
        states[capability] = "failed"
    return {"capabilities": states, "failures": told}


def broken(
    result: Mapping[str, Any], task: str, *, capability: str, asset: str, playbook: str
) -> dict[str, Any]:
    """Return why a capability could not be set up, from the result of the task that failed."""
    failed = [one for one in result.get("results", []) if one.get("failed")]
    last = failed[-1] if failed else result
    said = str(last.get("msg") or "failed").strip()
    # A command's message says no more than that it failed.
    if stderr := str(last.get("stderr") or "").strip():
        said = f"{said.rstrip('.')}: {stderr.splitlines()[-1].strip()}"
    again = f"ansible-playbook playbooks/{playbook}.yml --limit {asset}"
    remedy = {
        "en": f"Mend the cause, then: {again}",
        "fr": f"Corriger la cause, puis : {again}",
    }
    if any(words in said for words in FULL):
        room = "apt-get clean, du -xh --max-depth=2 / | sort -h"
        remedy = {
            "en": f"Make room on the disk of {asset} (as root: {room}), then: {again}",
            "fr": f"Faire de la place sur le disque de {asset} (en root : {room}), puis : {again}",
        }
    return {
        "capability": capability,
        "check": capability,
        "message": f"{task}: {said}",
        "remedy": remedy,
    }


def unreachable(message: str, asset: str, address: str, seen: str = "") -> dict[str, Any]:
    """Return why ssh did not reach a machine: ``{"absent": bool, "failure": {check, ...}}``.

    ``message`` is Ansible's. ssh fails alike where nobody answers and where the machine that
    answers is another one, was never enrolled, or refuses the technician's key: none of these
    three is absent.
    """
    enrol = f"ansible-playbook playbooks/enrol.yml -e asset={asset} -e address={address}"
    if "host key is known for" in message:
        return _answers(
            "contact",
            (f"{asset} has not been enrolled", f"{asset} n'a pas été enrôlée"),
            (f"Enrol it: {enrol}", f"L'enrôler : {enrol}"),
        )
    if "Host key verification failed" in message:
        return _answers(
            "identity",
            (
                f"{asset}: the machine at {address} does not show the host key pinned for this "
                "asset tag; nothing was changed on it",
                f"{asset} : la machine à l'adresse {address} ne montre pas la clé d'hôte de ce "
                "numéro d'inventaire ; rien n'y a été changé",
            ),
            (
                "Correct management_address in the register; if the machine was reinstalled, "
                "enrol it again (playbooks/enrol.yml).",
                "Corriger management_address dans le registre ; si la machine a été "
                "réinstallée, la réenrôler (playbooks/enrol.yml).",
            ),
        )
    if "Permission denied" in message:
        return _answers(
            "contact",
            (
                f"{asset} answers at {address} and refuses your key",
                f"{asset} répond à l'adresse {address} et refuse votre clé",
            ),
            (
                "Load your key (ssh-add -l shows it); if you are new, a colleague runs this "
                f"playbook for {asset} once, with your key in keys/technicians/.",
                "Charger votre clé (ssh-add -l la montre) ; si vous venez d'arriver, un collègue "
                f"lance une fois ce playbook pour {asset}, avec votre clé dans keys/technicians/.",
            ),
        )
    last = next(iter(message.rpartition("over ssh: ")[2].strip().splitlines()), "no answer")
    return {
        "absent": True,
        "failure": {
            "check": "contact",
            "message": {
                "en": f"absent (last seen: {seen or 'never'}): {last}",
                "fr": f"absent (vu pour la dernière fois : {seen or 'jamais'}) : {last}",
            },
            "remedy": {
                "en": f"Switch it on and join it to a network, then run again with --limit {asset}",
                "fr": f"L'allumer et la connecter à un réseau, puis relancer avec --limit {asset}",
            },
        },
    }


def _answers(check: str, message: tuple[str, str], remedy: tuple[str, str]) -> dict[str, Any]:
    """Return the failure of a machine that answers without letting us in."""
    both = [dict(zip(("en", "fr"), text, strict=True)) for text in (message, remedy)]
    return {"absent": False, "failure": {"check": check, "message": both[0], "remedy": both[1]}}
