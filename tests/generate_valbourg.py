"""Make Valbourg's register and allocations: a believable town, of which nothing is true.

The names are built from syllables, the addresses are those reserved for documentation, and the
same seed makes the same town, so that the files in inventories/valbourg can be made again:

    python tests/generate_valbourg.py inventories/valbourg

With a number of machines behind it, it makes a town of that size, for measurements.
"""

# ruff: noqa: SIM905 (lists of words as quoted words would fill pages)

from __future__ import annotations

import csv
import datetime
import itertools
import random
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from nomade.allocations import FILE as ALLOCATIONS
from nomade.allocations import allocate
from nomade.register import COLUMNS, FILE, OPTIONAL_COLUMNS

SEED = "Valbourg"
IPV4_NETWORK, IPV6_NETWORK = "10.66.0.0/16", "fd66:7661:6c62::/64"
BEFORE = datetime.date(2026, 3, 2)
PILOTS_EQUIPPED = datetime.date(2026, 10, 5)
CRISIS = datetime.date(2026, 11, 23)
PILOTS, NEW = 48, 102
NEW_WAVES = (2, 3, 4)
OTHER_STATES = {
    "recovered": 12,
    "stock": 8,
    "returned": 5,
    "quarantined": 2,
    "lost": 3,
    "retired": 6,
}

DEPARTMENTS = (
    "Accueil et état civil",
    "Action sociale",
    "Cimetières",
    "Culture et médiathèque",
    "Éducation",
    "Espaces verts",
    "Finances",
    "Maîtrise d'œuvre et bâtiments",
    "Petite enfance",
    "Police municipale",
    "Ressources humaines",
    "Urbanisme",
)
FIRST_NAMES = (
    "Adèle Aïcha Alban Amélie Anaïs Anne-Laure Aurélien Basile Béatrice Benoît Cédric Céleste "
    "Chloé Clémence Cyprien Damien Diane Élodie Émile Estelle Étienne Fanny Félix Firmin "
    "Françoise Gaëlle Gaspard Hélène Héloïse Hugo Inès Jean-Baptiste Joël Jules Karim Léa Léon "
    "Loïc Lucie Maëlle Mariam Marie-Noëlle Mathieu Maÿlis Moussa Nadège Noé Océane Ophélie "
    "Pascal Paul-Émile Quentin Raphaël Rémi Salomé Samia Simon Solène Tanguy Thaïs Théo Ursule "
    "Victoire Wassim Yaël Yannick Zélie Zoé"
).split()
SURNAME_STARTS = (
    "Aube Beau Belle Bois Brise Chante Clair Combe Croix Étang Fontaine Franc Grand Haute If "
    "Lande Mont Noir Orée Pierre Plain Roche Rosière Sainte Sauve Tour Vert Vieille"
).split()
SURNAME_ENDS = (
    "bourg brune cerf champ court doré épine feuille fleury gué haie joly lieu loup lune marais "
    "mare merle noix orme pré rive source vallée vigne"
).split()
# before a consonant, and before a vowel
PARTICLES = [("", "")] * 8 + [("De ", "D'"), ("Le ", "L'"), ("Du ", "De l'"), ("La ", "L'")]
# What a form, a file name or a table will trip over sooner or later
REMARKABLE = (
    ("Marie-Apolline", "de La Rochebrune-Montfleury d'Hauteépine du Val-des-Sourcières"),
    ("Ô", "Vy"),
    ("Maÿlis", "L'Hauÿ"),
    ("Nuño", "Ÿbergué"),
    ("Léa", "N'Guérande"),
    ("Zoë", "Œuvrard-Clairlune"),
)
MODELS = (  # model, serial number's prefix, letters and digits after it
    ("Dell Latitude 5420", "", 7),
    ("Dell Latitude 7490", "", 7),
    ("HP EliteBook 840 G6", "5CG", 7),
    ("HP ProBook 450 G8", "5CD", 7),
    ("Lenovo ThinkPad T490", "PF", 6),
    ("Lenovo ThinkPad L14", "PF", 6),
    ("Fujitsu Lifebook U7410", "DSEA", 6),
    ("Terra Mobile 1516", "R", 8),
)
UNTOLD_SERIALS = ("To be filled by O.E.M.", "Default string", "", "System Serial Number")


def main(town: Path, machines: int = PILOTS + NEW + sum(OTHER_STATES.values())) -> None:
    """Write the register and the allocations into the directory."""
    new = machines - PILOTS - sum(OTHER_STATES.values())
    lines = list(_machines(random.Random(SEED), new))  # noqa: S311 (a town, not a secret)
    (town / ALLOCATIONS).unlink(missing_ok=True)
    gone = [line | {"state": "stock"} for line in lines if line["state"] in {"returned", "lost"}]
    steps = ((BEFORE, gone), (PILOTS_EQUIPPED, lines[:PILOTS]), (CRISIS, lines))
    for today, known in steps:
        _write(town / FILE, known)
        tags = [line["asset_tag"] for line in known] if known is gone else []
        allocate(town, tags, IPV4_NETWORK, IPV6_NETWORK, today)


def _write(path: Path, lines: list[dict[str, str]]) -> None:
    """Write what LibreOffice Calc would: semicolons, quotes where they are needed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, (*COLUMNS, *OPTIONAL_COLUMNS), "", delimiter=";", lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(lines)


def _machines(rng: random.Random, new: int) -> Iterator[dict[str, str]]:
    """Yield the pilots' machines, the new ones, then those of every other state."""
    people = _people(rng)
    states = ["assigned"] * (PILOTS + new)
    states += [state for state, count in OTHER_STATES.items() for _ in range(count)]
    # a person whose laptop was lost or came back has another one by now
    replaced: list[dict[str, str]] = []
    for number, state in enumerate(states, start=1):
        line = {"asset_tag": f"vb-{number:04}", "state": state, **_hardware(rng, number)}
        owner = rng.choice(DEPARTMENTS)
        if number <= PILOTS:
            person = next(people)
            line |= person | {"owner_department": person["department"], "wave": "1"}
        elif number <= PILOTS + new:
            wave = NEW_WAVES[(number - PILOTS - 1) * len(NEW_WAVES) // new]
            line |= next(people) | {"owner_department": owner, "wave": str(wave)}
            if wave == NEW_WAVES[0]:
                # on the bench today: no tunnel yet, an address of the town hall's network
                line["management_address"] = f"10.20.{40 + number // 256}.{number % 256}"
        else:
            line["owner_department"] = owner
            if state in {"returned", "lost"}:
                line |= replaced.pop()
        if state == "assigned" and number % 10 == 0:
            replaced.append({key: line[key] for key in ("assignee_login", "assignee_name")})
        yield line


def _hardware(rng: random.Random, number: int) -> dict[str, str]:
    model, prefix, length = rng.choice(MODELS)
    serial = prefix + "".join(rng.choice("0123456789BCDFGHJKLMNPQRSTVWXZ") for _ in range(length))
    if number % 23 == 0:
        serial = UNTOLD_SERIALS[number // 23 % len(UNTOLD_SERIALS)]
    # RFC 7042 keeps 00-00-5E-00-53 for documentation (a bigger town takes what follows); Windows'
    # tools write hyphens, Linux colons
    mac = f"00:00:5e:00:{0x53 + number // 256:02x}:{number % 256:02x}"
    if rng.random() < 0.4:
        mac = mac.upper().replace(":", "-")
    return {"serial_number": serial, "mac_address": mac, "model": model}


def _people(rng: random.Random) -> Iterator[dict[str, str]]:
    """Yield people without end, each with a login, an address and an extension of their own."""
    logins: set[str] = set()
    extension = 2000
    names = _names(rng)
    while True:
        first, last = next(names)
        wanted = (_ascii(first)[:1] + _ascii(last))[:20]
        namesakes = (f"{wanted}{number}" for number in itertools.count(2))
        login = next(n for n in itertools.chain([wanted], namesakes) if n not in logins)
        logins.add(login)
        extension += rng.randrange(1, 7)
        yield {
            "assignee_login": login,
            "assignee_name": f"{first} {last}",
            "assignee_email": f"{_ascii(first)}.{_ascii(last)[:40]}@example.org",
            "department": rng.choice(DEPARTMENTS),
            "extension": str(extension),
        }


def _names(rng: random.Random) -> Iterator[tuple[str, str]]:
    seen = set(REMARKABLE)
    yield from REMARKABLE
    while True:
        start = rng.choice(SURNAME_STARTS)
        particle = rng.choice(PARTICLES)[_ascii(start)[0] in "aehiou"]
        last = particle + start + rng.choice(SURNAME_ENDS)
        if rng.random() < 0.1:
            last += "-" + rng.choice(SURNAME_STARTS) + rng.choice(SURNAME_ENDS)
        name = (rng.choice(FIRST_NAMES), last)
        if name not in seen:
            seen.add(name)
            yield name


def _ascii(name: str) -> str:
    """Return the name's letters without accents, in lower case."""
    name = name.lower().replace("œ", "oe")
    folded = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(filter(str.isalpha, folded))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
