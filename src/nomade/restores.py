"""A person's archived files go to another machine: which archive, whether it may, what is recorded.

`records/restores/<asset>/<when it began>.jsonl` holds a line for each restore begun, done or
refused. Like the journal of a return it is only ever added to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nomade import returns, sealed
from nomade.i18n import tr
from nomade.returns import Journal


class RestoreError(Exception):
    """Why an archive can't be restored; the message is one sentence with the remedy."""


@dataclass(frozen=True)
class Archive:
    """An archive that was compared with the disk before anything was removed there."""

    name: str
    asset: str
    login: str
    person: str
    proven: str  # when
    record: Path  # its password, sealed
    facts: dict[str, Any]
    manifest_sha256: str

    @property
    def home(self) -> str:
        """Return the home as the archive names it."""
        return str(self.facts.get("home") or f"/home/{self.login}")


@dataclass(frozen=True)
class Order:
    """What the technician asked for."""

    asset: str
    identity: str = ""
    archive: str = ""
    overwrite: str = ""


def archives(town: Path) -> Iterator[Archive]:
    """Yield the archives of all returns that were proven, the oldest first."""
    found = []
    for path in (town / "records" / "returns").glob("*/*.jsonl"):
        journal = returns.read(path)
        facts = journal.done.get("archive", {})
        if "verify" not in journal.done or not facts.get("archive"):
            continue
        machine = journal.opened["machine"]
        found.append(
            Archive(
                name=facts["archive"],
                asset=machine["asset_tag"],
                login=machine["assignee_login"],
                person=machine["assignee_name"],
                proven=next(e["at"] for e in journal.events[::-1] if e.get("step") == "verify"),
                record=path.with_name(f"{facts['archive']}.age"),
                facts=facts,
                manifest_sha256=journal.done["verify"]["manifest_sha256"],
            )
        )
    yield from sorted(found, key=lambda archive: archive.proven)


def chosen(town: Path, order: Order) -> Archive:
    """Return the archive to restore, or refuse before any machine is contacted."""
    machine = returns.machine_of(town, order.asset)
    asset, login = machine.asset_tag, machine.assignee_login
    if not machine.is_assigned:
        raise RestoreError(
            tr(
                f"{asset}: its state is {machine.state}, so that it is nobody's; give it to the "
                f"person first: fleet swap OLD {asset}, then equip.yml",
                f"{asset} : son état est {machine.state}, elle n'est donc à personne ; la donner "
                f"d'abord : fleet swap ANCIENNE {asset}, puis equip.yml",
            )
        )
    if order.overwrite and order.overwrite != asset:
        raise RestoreError(
            tr(
                f"{asset}: overwrite={order.overwrite} is not {asset}: is it the right machine? "
                "nothing was done",
                f"{asset} : overwrite={order.overwrite} n'est pas {asset} : est-ce la bonne "
                "machine ? rien n'a été fait",
            )
        )
    archive = _named(town, order, login) if order.archive else _newest(town, asset, login)
    _prove_opening(order, archive)
    return archive


def _named(town: Path, order: Order, login: str) -> Archive:
    found = [archive for archive in archives(town) if archive.name == order.archive]
    if not found:
        names = ", ".join(archive.name for archive in archives(town) if archive.login == login)
        raise RestoreError(
            tr(
                f"{order.asset}: no return has proven an archive named {order.archive}; those of "
                f"{login}: {names or 'none'}",
                f"{order.asset} : aucun retour n'a prouvé d'archive nommée {order.archive} ; "
                f"celles de {login} : {names or 'aucune'}",
            )
        )
    if found[-1].login != login:
        raise RestoreError(
            tr(
                f"{order.asset}: {order.archive} is {found[-1].login}'s, and the machine is "
                f"{login}'s: nobody gets another person's files this way",
                f"{order.asset} : {order.archive} est à {found[-1].login}, et la machine à "
                f"{login} : personne ne reçoit ainsi les fichiers d'une autre personne",
            )
        )
    return found[-1]


def _newest(town: Path, asset: str, login: str) -> Archive:
    found = [archive for archive in archives(town) if archive.login == login]
    if not found:
        raise RestoreError(
            tr(
                f"{asset}: no return has archived files of {login}; finish the return of the old "
                "machine first (playbooks/return.yml)",
                f"{asset} : aucun retour n'a archivé de fichiers de {login} ; finir d'abord le "
                "retour de l'ancienne machine (playbooks/return.yml)",
            )
        )
    return found[-1]


def _prove_opening(order: Order, archive: Archive) -> None:
    """Refuse a key that opens nothing, or that everybody can read."""
    if not order.identity:
        raise RestoreError(
            tr(
                f"{order.asset}: only the town's private key opens {archive.name}; write where it "
                "is: -e identity=~/.config/nomade/TOWN.age-identity",
                f"{order.asset} : seule la clé privée de la ville ouvre {archive.name} ; écrire où "
                "elle se trouve : -e identity=~/.config/nomade/VILLE.age-identity",
            )
        )
    if not archive.record.is_file():
        raise RestoreError(
            tr(
                f"{order.asset}: {archive.record}, the sealed password of the archive, is missing; "
                "the backup server has it as key.age in the archive's directory",
                f"{order.asset} : {archive.record}, le mot de passe scellé de l'archive, manque ; "
                "le serveur de sauvegarde l'a sous key.age dans le dossier de l'archive",
            )
        )
    identity = Path(order.identity).expanduser()
    try:
        sealed.unseal(archive.record, identity)
    except sealed.SealError as error:
        raise RestoreError(f"{order.asset}: {error}") from None
    if identity.stat().st_mode & 0o077:
        raise RestoreError(
            tr(
                f"{order.asset}: others than its owner can read the town's private key: "
                f"chmod 600 {identity}",
                f"{order.asset} : d'autres que son propriétaire peuvent lire la clé privée de la "
                f"ville : chmod 600 {identity}",
            )
        )


def folder(town: Path, asset: str) -> Path:
    """Return where the restores onto a machine are recorded."""
    return town / "records" / "restores" / asset


def journals(town: Path, asset: str, name: str) -> list[Journal]:
    """Return what is recorded of the restores of an archive onto a machine."""
    found = [returns.read(path) for path in sorted(folder(town, asset).glob("*.jsonl"))]
    return [j for j in found if j.events and j.opened["archive"] == name]


def is_restored(journal: Journal) -> bool:
    """Say whether a restore came to its end."""
    return any(event["event"] == "restored" for event in journal.events)


def begin(town: Path, order: Order, archive: Archive, run: str, **found: Any) -> Path:
    """Write down what is about to be written onto the machine."""
    machine = returns.machine_of(town, order.asset)
    known = {
        "asset": machine.asset_tag,
        "serial_number": machine.serial_number,
        "login": archive.login,
        "archive": archive.name,
        "from": archive.asset,
        "overwrite": bool(order.overwrite),
        **found,
    }
    if unended := [j for j in journals(town, order.asset, archive.name) if not is_restored(j)]:
        unended[-1].add("resumed", run, **known)
        return unended[-1].path
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    journal = Journal(folder(town, order.asset) / f"{at}.jsonl")
    journal.add("opened", run, **known)
    return journal.path


def end(town: Path, order: Order, archive: Archive, run: str, event: str, **facts: Any) -> Path:
    """Write down how it ended; what stands there as restored already isn't written again."""
    known = journals(town, order.asset, archive.name)
    journal = known[-1] if known else returns.read(begin(town, order, archive, run))
    if not is_restored(journal) or event != "restored":
        journal.add(event, run, **facts)
    return journal.path
