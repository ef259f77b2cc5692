"""Whether the machine at the other end is the one that the register means."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from nomade.i18n import tr
from nomade.register import is_placeholder_serial


def _plain(serial: str) -> str:
    """Return a serial number as it is compared: whatever the case or the separators."""
    return "".join(filter(str.isalnum, serial.casefold()))


@dataclass(frozen=True)
class Verdict:
    """What proves that the machine is the right one, or why it is refused."""

    proven_by: str = ""  # "serial_number", "host_key", "first_contact"
    refusal: str = ""


def judge(
    asset: str,
    registered: str,
    found: str,
    *,
    pinned: Collection[str] = (),
    host_keys: Collection[str] = (),
    first_contact: bool = False,
    pins_are_kept: bool = True,
    owner_of: Callable[[str], str] = lambda _serial: "",
) -> Verdict:
    """Compare a machine with its line of the register.

    `pinned` holds the fingerprints that known_hosts has under the asset tag, `host_keys` those that
    the machine has, `owner_of` names the line of the register that has a given serial number.
    Without `pins_are_kept` (a role used alone) the host key is ssh's business only.
    """
    if not is_placeholder_serial(registered):
        if _plain(registered) == _plain(found):
            return Verdict(proven_by="serial_number")
        return Verdict(refusal=_wrong_serial(asset, registered, found, owner_of))
    if not is_placeholder_serial(found) and (owner := owner_of(found)) and owner != asset:
        return Verdict(refusal=_belongs_to(asset, owner, found))
    if pinned:
        if set(pinned) & set(host_keys):
            return Verdict(proven_by="host_key")
        return Verdict(refusal=_wrong_key(asset))
    if first_contact:
        return Verdict(proven_by="first_contact")
    if not pins_are_kept:
        return Verdict(proven_by="host_key")
    return Verdict(
        refusal=tr(
            f"{asset}: the register has no serial number for it and no host key is pinned, so that "
            "nothing says which machine this is: enrol it first (playbooks/enrol.yml).",
            f"{asset} : le registre n'a pas son numéro de série et aucune clé d'hôte n'est "
            "enregistrée, rien ne dit donc quelle machine c'est : enrôlez-la d'abord "
            "(playbooks/enrol.yml).",
        )
    )


def _wrong_serial(asset: str, registered: str, found: str, owner_of: Callable[[str], str]) -> str:
    if is_placeholder_serial(found):
        return tr(
            f"{asset}: the register says serial number {registered}, but this machine's firmware "
            f"has none ({found!r}): nothing was changed on it; check the address, or empty the "
            f"cell serial_number of {asset} if the label on its case is right.",
            f"{asset} : le registre dit numéro de série {registered}, mais le microprogramme de "
            f"cette machine n'en a pas ({found!r}) : rien n'y a été changé ; vérifiez l'adresse, "
            f"ou videz la cellule serial_number de {asset} si son étiquette est la bonne.",
        )
    if (owner := owner_of(found)) and owner != asset:
        return _belongs_to(asset, owner, found)
    return tr(
        f"{asset}: wrong machine: the register says serial number {registered}, this one has "
        f"{found}: nothing was changed on it; check the address, or correct serial_number in the "
        "register.",
        f"{asset} : mauvaise machine : le registre dit numéro de série {registered}, celle-ci a "
        f"{found} : rien n'y a été changé ; vérifiez l'adresse, ou corrigez serial_number dans le "
        "registre.",
    )


def _belongs_to(asset: str, owner: str, found: str) -> str:
    return tr(
        f"{asset}: wrong machine: serial number {found} is {owner}'s in the register: nothing was "
        f"changed on it; give {asset}'s own address, or take up {owner} instead.",
        f"{asset} : mauvaise machine : le numéro de série {found} est celui de {owner} dans le "
        f"registre : rien n'y a été changé ; donnez l'adresse de {asset}, ou traitez plutôt "
        f"{owner}.",
    )


def _wrong_key(asset: str) -> str:
    return tr(
        f"{asset}: wrong machine: its host key is not the one pinned under {asset} in known_hosts: "
        "nothing was changed on it; check the address, or, if the machine was reinstalled, forget "
        f"the old key (ssh-keygen -R {asset} -f KNOWN_HOSTS) and enrol it again.",
        f"{asset} : mauvaise machine : sa clé d'hôte n'est pas celle enregistrée sous {asset} dans "
        "known_hosts : rien n'y a été changé ; vérifiez l'adresse, ou, si la machine a été "
        f"réinstallée, oubliez l'ancienne clé (ssh-keygen -R {asset} -f KNOWN_HOSTS) et enrôlez-la "
        "de nouveau.",
    )
