"""Variables that nobody reads, values that their role cannot work with, settings that are missing.

Ansible takes any name and any value: a misspelled setting is a setting that silently keeps its
default. So every name that has a role's prefix must be in the argument spec of that role.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from nomade import settings, varfiles
from nomade.i18n import tr
from nomade.preflight.town import Proof, Town, near
from nomade.register import slug
from nomade.varfiles import Assignment

# A literal here belongs into ansible-vault, and what the name ends in says so.
SECRET_VALUE = re.compile(r"(?:_|^)(?:password|passphrase|secret|token|psk|private_key|api_key)$")


def look(town: Town, proof: Proof) -> Iterator[str]:
    """Yield what is wrong with the variables, file by file."""
    for item in _assignments(town, proof):
        if isinstance(item, str):
            yield item
        else:
            proof.count("settings")
            for name, value, text in _problems(town, item):
                where = town.where(item.path, item.line) if item.path else "-e"
                yield f"{where}: {name}: {settings.shown(name, value)}: {text}"
    yield from _effective(town)


def _effective(town: Town) -> Iterator[str]:
    """Yield what is wrong with the settings that all files together come to."""
    where = town.where(town.directory / "group_vars")
    for name, problem in town.unrendered.items():
        yield f"{where}: {name}: " + tr(
            f"cannot be worked out ({problem}); correct it",
            f"ne peut pas être calculé ({problem}) ; le corriger",
        )
    capabilities = town.settings.get("nomade_capabilities")
    wanted = capabilities if isinstance(capabilities, dict) else {}
    for name, spec in town.catalogue.town.items():
        is_needed = spec.get("required") and name not in town.unrendered
        if name.startswith("vpn_") and wanted.get("vpn_client") is False:
            continue
        if is_needed and town.settings.get(name) in (None, "", [], {}):
            yield f"{where}: {name}: " + tr(
                "is missing; docs/settings.md says what it is",
                "manque ; docs/settings.md dit ce que c'est",
            )
    yield from _capabilities(town, where, wanted)
    yield from _departments(town, where)


def _capabilities(town: Town, where: str, wanted: Mapping[str, object]) -> Iterator[str]:
    """Yield what is switched off in vain: a misspelled capability stays on."""
    roles = {owner for owner in town.catalogue.owners.values() if owner != settings.TOWN}
    for name, value in wanted.items():
        place = f"{where}: nomade_capabilities.{name}: {settings.shown(name, value)}: "
        if name not in roles:
            remedy = tr("; it is a directory of roles/", " ; c'est un dossier de roles/")
            yield (
                place
                + tr("there is no such capability", "cette capacité n'existe pas")
                + near(name, roles, remedy)
            )
        elif not isinstance(value, bool):
            yield place + tr("must be true or false", "doit être true ou false")


def _departments(town: Town, where: str) -> Iterator[str]:
    """Yield links and printers for a department that nobody of the register works in."""
    known = {name for name in town.groups if name.startswith("department_")}
    for setting in ("workstation_links", "workstation_printers"):
        entries = town.settings.get(setting)
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict):
                continue  # its type has been told
            for department in entry.get("departments") or []:
                group = f"department_{slug(str(department))}"
                if group not in known:
                    yield (
                        f"{where}: {setting}: {entry.get('name')}: departments: {department}: "
                        + tr(
                            "nobody in the register works there",
                            "personne au registre n'y travaille",
                        )
                        + near(group, known)
                    )


def _assignments(town: Town, proof: Proof) -> Iterator[Assignment | str]:
    """Yield every variable that a file or the command line sets; a text is a fault."""
    inventories = sorted(p for p in town.directory.glob("*.y*ml") if p.suffix in varfiles.SUFFIXES)
    directories = [
        base / kind
        for base in (town.root, town.directory)
        for kind in ("group_vars", "host_vars")
        if base != town.root or kind == "group_vars"
    ]
    files = [p for d in directories for one in varfiles.candidates(d) for p in one.files()]
    for path in [*inventories, *files]:
        try:
            if varfiles.is_vaulted(path):
                yield from _vaulted(town, path, proof)
            elif path in inventories:
                yield from varfiles.read_inventory(path)
            else:
                yield from varfiles.read_vars(path)
        except varfiles.UnreadableError as error:
            yield f"{town.where(path, error.line)}: " + tr(
                f"cannot be read ({error.problem}); correct it",
                f"est illisible ({error.problem}) ; le corriger",
            )
    for name, value in town.extra_vars.items():
        yield Assignment(name, value)


def _vaulted(town: Town, path: Path, proof: Proof) -> Iterator[Assignment]:
    content = town.decrypt(path)
    for name, value in (content or {}).items():
        yield Assignment(str(name), value, path, secret=True)
    if content is None:
        proof.notes.append(
            tr(
                f"{town.where(path)} is encrypted and was not looked into",
                f"{town.where(path)} est chiffré et n'a pas été vérifié",
            )
        )


def _problems(town: Town, item: Assignment) -> Iterator[tuple[str, object, str]]:
    """Yield name, value and what is wrong."""
    name, catalogue = item.name, town.catalogue
    spec = catalogue.options.get(name, {})
    is_hidden = item.secret or spec.get("no_log", False)
    value = varfiles.VAULTED if is_hidden else item.value
    if item.lost:
        text = tr(
            f"line {item.lost} sets it too, in vain; keep one of the two",
            f"la ligne {item.lost} le définit aussi, en vain ; n'en garder qu'une",
        )
        yield name, value, text
    if spec:
        for problem in settings.problems(item, spec):
            yield problem.name, varfiles.VAULTED if is_hidden else problem.value, problem.text
    elif owner := catalogue.owner(name):
        page = "docs/settings.md" if owner == settings.TOWN else f"roles/{owner}/README.md"
        prefix = catalogue.prefix(name)
        yield name, value, settings.unknown(name, catalogue.options, prefix, see=page)
    elif name.startswith(settings.REGISTER_PREFIX):
        text = tr(
            "this comes from the register; write it in fleet.csv",
            "ceci vient du registre ; l'écrire dans fleet.csv",
        )
        yield name, value, text
    elif meant := settings.did_you_mean(name, catalogue.options, cutoff=0.9):
        text = tr(
            f"nothing reads this; did you mean {meant}?",
            f"rien ne lit ceci ; vouliez-vous dire {meant} ?",
        )
        yield name, value, text
    if not item.secret and _is_bare_secret(item):
        text = tr(
            "a secret in plain text; encrypt it with `ansible-vault encrypt_string`",
            "un secret en clair ; le chiffrer avec « ansible-vault encrypt_string »",
        )
        yield name, value, text


def _is_bare_secret(item: Assignment) -> bool:
    """Say whether a secret stands readable in a file (what the command line holds is gone)."""
    value = item.value
    return (
        item.path is not None
        and bool(SECRET_VALUE.search(item.name))
        and isinstance(value, str)
        and bool(value)
        and varfiles.without_templates(value)
    )
