"""From what a run saw on a machine to one word for each capability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# A check in one of these states does not hold (Monitoring Plugins: 2 and 3).
RED = ("CRITICAL", "UNKNOWN")

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
    broken = {str(failure.get("capability")) for failure in failures}
    checks = list((check or {}).get("checks", []))
    states: dict[str, str] = {}
    for capability in wanted:
        red = [c for c in checks if c.get("capability") == capability and c.get("status") in RED]
        tunnel = capability == "vpn_client"
        if capability in broken:
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
        elif tunnel and gateway_down and red:
            states[capability] = "waiting"
            told.append(GATEWAY_DOWN)
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
    for capability in broken - set(wanted):
        states[capability] = "failed"
    return {"capabilities": states, "failures": told}
