#!/usr/bin/env python3
"""Write the pages that are made from argument specs: the roles' READMEs and docs/settings.md.

With --check nothing is written; pages that are out of date are named and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
TOWN_SPEC = Path("playbooks/meta/argument_specs.yml")
TOWN_PAGE = Path("docs/settings.md")

HEADER = "<!-- Made by `make docs` from {source}. Change that, not this page. -->"
# Ansible's documentation markup: C(code), O(option), V(value), M(module), L(text, address), ...
MARKUP = re.compile(r"\b([BCEILMOPUV])\(((?:\\.|[^)\\])*)\)")


class PageError(Exception):
    """A page that cannot be made, said in one sentence."""


def markdown(text: str) -> str:
    """Return a text with Ansible's documentation markup as Markdown."""

    def convert(match: re.Match[str]) -> str:
        kind, inner = match[1], re.sub(r"\\(.)", r"\1", match[2])
        if kind == "B":
            return f"**{inner}**"
        if kind == "I":
            return f"*{inner}*"
        if kind == "U":
            return f"<{inner}>"
        if kind == "L":
            words, _, address = inner.rpartition(",")
            return f"[{words.strip()}]({address.strip()})"
        return f"`{inner}`"

    return MARKUP.sub(convert, text)


def paragraphs(description: str | Sequence[str] | None) -> list[str]:
    """Return a description, which specs give as one text or as several."""
    texts = [description] if isinstance(description, str) else description or []
    return [markdown(" ".join(text.split())) for text in texts]


def cell(text: str) -> str:
    """Return a text as it may stand in a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table, or nothing where it would be empty."""
    lines = ["| " + " | ".join(cell(text) for text in row) + " |" for row in rows]
    rule = "|" + " --- |" * len(titles)
    return ["| " + " | ".join(titles) + " |", rule, *lines] if lines else []


def literal(value: object) -> str:
    """Return a value as it is written in YAML."""
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def options_rows(
    options: Mapping[str, Mapping[str, Any]], prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    """Return one row for each option, and for each option inside it."""
    for name, option in options.items():
        kind = option.get("type", "str")
        shown = f"list of {option['elements']}" if "elements" in option else kind
        if option.get("required"):
            default = "**required**"
        else:
            default = literal(option["default"]) if option.get("default") is not None else "not set"
        texts = paragraphs(option.get("description"))
        if choices := option.get("choices"):
            texts.append("One of " + ", ".join(literal(choice) for choice in choices) + ".")
        yield f"`{prefix}{name}`", shown, default, " ".join(texts)
        inside = f"{prefix}{name}[]." if kind == "list" else f"{prefix}{name}."
        yield from options_rows(option.get("options") or {}, inside)


def options_table(options: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the table of options."""
    rows = options_rows(options)
    return table(["Variable", "Type", "Default", "What it is"], rows) or ["There are none."]


def read_specs(path: Path) -> dict[str, Any]:
    """Return the entry points of an argument spec."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        specs = content["argument_specs"]
    except FileNotFoundError:
        raise PageError(f"{path}: missing, every role has one") from None
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise PageError(f"{path}: no argument spec: {error}") from error
    if not isinstance(specs, dict) or not specs:
        raise PageError(f"{path}: argument_specs: must name at least one entry point")
    return specs


def checks_of(role: Path) -> list[dict[str, Any]]:
    """Return the definitions of a role's checks, Jinja statements left out."""
    found: list[dict[str, Any]] = []
    for path in sorted((role / "rootfs/etc/nomade/checks.d").glob("*.toml*")):
        text = re.sub(r"\{[%#].*?[%#]\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        try:
            found += tomllib.loads(text)["check"]
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise PageError(
                f"{path}: must be TOML with [[check]] tables once Jinja's {{% %}} are left out: "
                f"{error}"
            ) from error
    return found


def checks_section(role: Path) -> list[str]:
    """Return what nomade-check says about this capability."""
    rows = [
        (
            f"`{check.get('name')}`",
            check.get("title", {}).get("en", ""),
            "root, published every minute" if check.get("root") else "everybody",
            check.get("remedy", {}).get("en", ""),
        )
        for check in checks_of(role)
    ]
    lines = table(["Check", "What holds", "Run by", "Remedy"], rows)
    return ["## Checks", "", "`nomade-check` runs these on the machine:", "", *lines, ""] * bool(
        lines
    )


def files_section(role: Path) -> list[str]:
    """Return the files that the role leaves on a machine: its tree."""
    tree = role / "rootfs"
    paths = sorted(
        "/" + str(path.relative_to(tree)).removesuffix(".j2")
        for path in tree.rglob("*")
        if path.is_symlink() or path.is_file()
    )
    intro = (
        "From [rootfs/](rootfs/), owned by root but for what [rootfs.yml](rootfs.yml) says. "
        f"A town lays its own over them in `inventories/<town>/rootfs/{role.name}/`."
    )
    lines = [f"- `{path}`" for path in paths]
    return ["## Files", "", intro, "", *lines, ""] * bool(lines)


def example_section(role: Path, root: Path) -> list[str]:
    """Return a playbook for the role alone, or that of its scenario: both are tested."""
    molecule = root / "molecule"
    sources = [
        molecule / "alone/playbooks" / f"{role.name}.yml",
        *sorted((molecule / role.name).glob("*/alone.yml")),
        molecule / role.name / "converge.yml",
    ]
    source = next((path for path in sources if path.is_file()), None)
    if not source:
        return []
    where = source.relative_to(root)
    intro = f"This is `{where}`, which `make test ROLE={where.parts[1]}` runs."
    return ["## Example", "", intro, "", "```yaml", source.read_text("utf-8").strip(), "```", ""]


def dependencies_section(role: Path) -> list[str]:
    """Return the roles that this one brings along."""
    path = role / "meta/main.yml"
    meta = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    names = [
        item if isinstance(item, str) else item.get("role") or item["name"]
        for item in (meta or {}).get("dependencies") or []
    ]
    links = ", ".join(f"[{name}](../{name}/README.md)" for name in names)
    return [f"It brings along: {links}.", ""] * bool(names)


def role_page(role: Path, root: Path) -> str:
    """Return the README of a role."""
    specs = read_specs(role / "meta/argument_specs.yml")
    main = specs.get("main") or next(iter(specs.values()))
    lines = [
        HEADER.format(source="meta/argument_specs.yml, rootfs/ and the role's scenario"),
        "",
        f"# {role.name}",
        "",
        f"{markdown(main.get('short_description', '')).rstrip('.')}.",
        "",
    ]
    for paragraph in paragraphs(main.get("description")):
        lines += [paragraph, ""]
    lines += dependencies_section(role)
    lines += ["## Variables", "", *options_table(main.get("options") or {}), ""]
    for name, spec in specs.items():
        if spec is main:
            continue
        lines += [f"## Entry point `{name}`", ""]
        lines += [f"{markdown(spec.get('short_description', '')).rstrip('.')}.", ""]
        for paragraph in paragraphs(spec.get("description")):
            lines += [paragraph, ""]
        if spec.get("options") == main.get("options"):
            lines += ["Its variables are those above.", ""]
        else:
            lines += [*options_table(spec.get("options") or {}), ""]
    lines += checks_section(role)
    lines += files_section(role)
    lines += example_section(role, root)
    if (role / "tasks/absent.yml").is_file() and "absent" not in specs:
        lines += [
            "## Removal",
            "",
            "What the role brought is removed, and what was there before stays:",
            "",
            "```yaml",
            f"- name: Remove {role.name}",
            f"  ansible.builtin.include_role: {{name: {role.name}, tasks_from: absent}}",
            "```",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def town_page(root: Path) -> str:
    """Return the page of the settings that a town's roles share."""
    specs = read_specs(root / TOWN_SPEC)
    lines = [HEADER.format(source=TOWN_SPEC), "", "# Settings of a town", ""]
    lines += [
        "A town writes these in `inventories/<town>/group_vars/all.yml`; what it writes wins over "
        "the policy in [group_vars/](../group_vars/). A role's own variables are in its README, "
        "and a town may set those as well.",
        "",
    ]
    for spec in specs.values():
        for paragraph in paragraphs(spec.get("description")):
            lines += [paragraph, ""]
        lines += [*options_table(spec.get("options") or {}), ""]
    return "\n".join(lines).rstrip() + "\n"


def pages(root: Path, roles: Sequence[str] = ()) -> Iterator[tuple[Path, Callable[[], str]]]:
    """Return each page with what makes its text."""
    if not roles and (root / TOWN_SPEC).is_file():
        yield root / TOWN_PAGE, partial(town_page, root)
    for role in sorted(path for path in (root / "roles").iterdir() if path.is_dir()):
        if not roles or role.name in roles:
            yield role / "README.md", partial(role_page, role, root)


def main(argv: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write the pages, or say which are out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, name what is old")
    parser.add_argument("roles", nargs="*", metavar="ROLE", help="only these roles")
    options = parser.parse_args(argv)
    known = {path.name for path in (root / "roles").iterdir()}
    if unknown := sorted(set(options.roles) - known):
        parser.error(f"{', '.join(unknown)}: no such role in {root / 'roles'}")
    code = 0
    for path, make in pages(root, options.roles):
        shown = path.relative_to(root)
        try:
            text = make()
        except PageError as error:
            print(f"{shown}: cannot be made: {error}", file=sys.stderr)
            code = 1
            continue
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            print(f"{shown}: out of date, type: make docs", file=sys.stderr)
            code = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {shown}")
    return code


if __name__ == "__main__":
    sys.exit(main())
