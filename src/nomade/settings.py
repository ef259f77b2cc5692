"""What settings exist: the argument specs of the roles, and that of the town.

One catalogue answers three questions: who owns a name, is the name known, and is the value one
that the owner can work with.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.validation import (
    check_type_bits,
    check_type_bytes,
    check_type_float,
    check_type_int,
)

from nomade.i18n import tr
from nomade.varfiles import Assignment, FastLoader, Vaulted, without_templates

TOWN = "town"
TOWN_SPEC = Path("playbooks/meta/argument_specs.yml")
REGISTER_PREFIX = "fleet_"
# Names whose values are nobody's business: hidden in messages, even when they are not vaulted.
SECRET_NAME = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase)?|pwd|secret|token|psk|private_?key|api_?key|credentials?)s?(?:_|$)"
)
Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """What is wrong with a value, in the words of the person who has to mend it."""

    name: str  # with the path inside it: vpn_gateways[0].endpoint
    value: object
    text: str


def smells_of_secret(name: str) -> bool:
    """Say whether the value behind a name must not be shown."""
    return bool(SECRET_NAME.search(name.lower()))


def shown(name: str, value: object) -> str:
    """Return a value as a message may show it: short, on one line, and never a secret."""
    if smells_of_secret(name) or not isinstance(
        value, str | int | float | bool | list | dict | None
    ):
        return tr("(hidden)", "(masqué)")
    if isinstance(value, dict) and any(smells_of_secret(str(key)) for key in value):
        return tr("(hidden)", "(masqué)")
    text = json.dumps(value, ensure_ascii=False, default=lambda _: tr("(hidden)", "(masqué)"))
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.7) -> str:
    """Return the known word nearest to a misspelled one, or an empty string."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=cutoff)), "")


@dataclass
class Catalogue:
    """All settings by name, and whose they are."""

    town: dict[str, Spec]  # what the roles share
    options: dict[str, Spec]  # all of them
    owners: dict[str, str]  # prefix, with its _, to role or "town"

    def prefix(self, name: str) -> str:
        """Return the prefix that claims a name (the longest one), or an empty string."""
        return max((p for p in self.owners if name.startswith(p)), key=len, default="")

    def owner(self, name: str) -> str | None:
        """Return the role whose prefix the name has, or "town"."""
        return self.owners.get(self.prefix(name))


def _options(path: Path) -> dict[str, Spec]:
    """Return the options of all entry points of an argument spec."""
    if not path.is_file():
        return {}
    content = yaml.load(path.read_text(encoding="utf-8"), FastLoader)  # noqa: S506 - it is a safe one
    entries = (content or {}).get("argument_specs") or {}
    return {k: v for entry in entries.values() for k, v in (entry.get("options") or {}).items()}


def load_catalogue(root: Path) -> Catalogue:
    """Read the specs of the project: those of roles/ and the town's own."""
    town = _options(root / TOWN_SPEC)
    catalogue = Catalogue(town, dict(town), {name.split("_", 1)[0] + "_": TOWN for name in town})
    for role in sorted(path for path in (root / "roles").glob("*") if path.is_dir()):
        catalogue.owners[f"{role.name}_"] = role.name
        catalogue.options.update(_options(role / "meta" / "argument_specs.yml"))
    return catalogue


def _number(check: Callable[[object], object]) -> Callable[[object], bool]:
    def holds(value: object) -> bool:
        if isinstance(value, bool):
            return False
        try:
            check(value)
        except TypeError:
            return False
        return True

    return holds


# Stricter than Ansible's own conversion, which the roles never see the result of: a text where a
# list is wanted would be looped over letter by letter, and "false" is true.
_CHECKS: dict[str, tuple[Callable[[object], bool], str, str]] = {
    "str": (lambda v: isinstance(v, str | int | float), "text", "un texte"),
    "path": (lambda v: isinstance(v, str), "a path", "un chemin"),
    "bool": (lambda v: isinstance(v, bool), "true or false", "true ou false"),
    "int": (_number(check_type_int), "a whole number", "un nombre entier"),
    "float": (_number(check_type_float), "a number", "un nombre"),
    "bytes": (_number(check_type_bytes), "a size, as in 512M", "une taille, comme 512M"),
    "bits": (_number(check_type_bits), "a size in bits, as in 1Mb", "une taille en bits (1Mb)"),
    "list": (lambda v: isinstance(v, list), "a list", "une liste"),
    "dict": (lambda v: isinstance(v, dict), "names and values", "des noms et des valeurs"),
}


def _wrong_type(value: object, kind: str, *, command_line: bool) -> str:
    """Return what is wrong with the type of a value, or an empty string."""
    if kind not in _CHECKS:
        return ""
    holds, english, french = _CHECKS[kind]
    if holds(value) and not (kind == "str" and isinstance(value, bool)):
        return ""
    hint_en = hint_fr = ""
    if kind in ("str", "path") and isinstance(value, bool | int | float):
        hint_en, hint_fr = "; write it in quotes", " ; le mettre entre guillemets"
    elif command_line and kind in ("bool", "list", "dict"):
        hint_en = "; write it as JSON, as in -e '{\"name\": false}'"
        hint_fr = " ; l'écrire en JSON, comme -e '{\"nom\": false}'"
    return tr(f"must be {english}{hint_en}", f"doit être {french}{hint_fr}")


def problems(assignment: Assignment, spec: Spec) -> Iterator[Problem]:
    """Yield what is wrong with the value of a known setting, as far as it is no template."""
    name, value, text = assignment.name, assignment.value, assignment.text
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if spec.get("type", "str") == "str" and number and text not in (None, str(value)):
        yield Problem(name, text, _rewritten(value))
        return
    yield from _problems(name, value, spec, command_line=assignment.path is None)


def _rewritten(value: object) -> str:
    return tr(
        f"YAML reads this as the number {value}; write it in quotes",
        f"YAML y lit le nombre {value} ; le mettre entre guillemets",
    )


def _problems(name: str, value: object, spec: Spec, *, command_line: bool) -> Iterator[Problem]:
    if isinstance(value, Vaulted) or (isinstance(value, str) and not without_templates(value)):
        return
    if value is None:
        if spec.get("required") or spec.get("default") is not None:
            yield Problem(
                name,
                value,
                tr(
                    "has no value; write one, or remove the line",
                    "n'a pas de valeur ; en donner une, ou supprimer la ligne",
                ),
            )
        return
    if wrong := _wrong_type(value, spec.get("type", "str"), command_line=command_line):
        yield Problem(name, value, wrong)
        return
    if (choices := spec.get("choices")) and value not in choices and not isinstance(value, list):
        listed = ", ".join(str(choice) for choice in choices)
        text = tr(f"must be one of: {listed}", f"doit être l'un de : {listed}")
        yield Problem(name, value, text)
    is_port = name.endswith("_port") and spec.get("type") == "int"
    if is_port and not 1 <= check_type_int(value) <= 65535:
        text = tr("must be a port, 1 to 65535", "doit être un port, de 1 à 65535")
        yield Problem(name, value, text)
    if isinstance(value, list):
        element = {**spec, "type": spec.get("elements", "raw"), "required": False, "default": None}
        for index, item in enumerate(value):
            yield from _problems(f"{name}[{index}]", item, element, command_line=command_line)
    elif isinstance(value, dict) and (options := spec.get("options")):
        yield from _suboptions(name, value, options, command_line=command_line)


def _suboptions(
    name: str, value: Mapping[str, Any], options: Mapping[str, Spec], *, command_line: bool
) -> Iterator[Problem]:
    for key, item in value.items():
        if key in options:
            yield from _problems(f"{name}.{key}", item, options[key], command_line=command_line)
        else:
            yield Problem(f"{name}.{key}", item, unknown(str(key), options))
    for key, spec in options.items():
        if spec.get("required") and key not in value:
            text = tr(f"lacks {key}; add it", f"il manque {key} ; l'ajouter")
            yield Problem(name, value, text)


def unknown(word: str, known: Iterable[str], prefix: str = "", see: str = "") -> str:
    """Return the sentence about a name that no argument spec knows.

    What follows the prefix is compared: two names with a long prefix would always look alike.
    """
    rests = {name.removeprefix(prefix) for name in known if name.startswith(prefix)}
    if near := did_you_mean(word.removeprefix(prefix), rests, cutoff=0.6):
        return tr(
            f"no such setting; did you mean {prefix}{near}?",
            f"ce réglage n'existe pas ; vouliez-vous dire {prefix}{near} ?",
        )
    see = see or ", ".join(sorted(rests))
    return tr(f"no such setting; see {see}", f"ce réglage n'existe pas ; voir {see}")
