"""The pages made from argument specs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/role_readme.py"
spec = importlib.util.spec_from_file_location("role_readme", SCRIPT)
assert spec is not None
assert spec.loader is not None
readme: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(readme)

SPEC = """---
argument_specs:
  main:
    short_description: Answers the telephone
    description:
      - Installs C(phone) and
        waits.
      - See U(https://www.example.org).
    options:
      phone_extension:
        type: str
        required: true
        description: Extension of the person, as in O(phone_lines).
      phone_codec:
        type: str
        default: opus
        choices: [opus, pcma]
        description: What the voice is packed in (a|b).
      phone_lines:
        type: list
        elements: dict
        default: []
        description: [Further lines., Each rings.]
        options:
          number: {type: int, required: true, description: Its number.}
      phone_proxy: {type: str, description: Whom to ask.}
"""

CHECKS = """{% if phone_lines %}
[[check]]
name = "phone-registered"
capability = "phone"
command = ["/usr/lib/nomade/checks/phone"]
root = true
title = {fr = "Enregistré", en = "Registered"}
remedy = {fr = "Rebranchez.", en = "Plug it in."}
{% endif %}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path, text in {
        "roles/phone/meta/argument_specs.yml": SPEC,
        "roles/phone/meta/main.yml": "dependencies: [nomade_check, {role: other}]\n",
        "roles/phone/tasks/absent.yml": "---\n",
        "roles/phone/rootfs/etc/phone.conf.j2": "",
        "roles/phone/rootfs/etc/nomade/checks.d/phone.toml.j2": CHECKS,
        "molecule/phone/converge.yml": "---\n- name: Converge\n  hosts: all\n",
        "playbooks/meta/argument_specs.yml": (
            "argument_specs: {town: {options: {town_name: {description: Its name.}}}}\n"
        ),
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


PAGE = """\
<!-- Made by `make docs` from meta/argument_specs.yml, rootfs/ and the role's scenario. \
Change that, not this page. -->

# phone

Answers the telephone.

Installs `phone` and waits.

See <https://www.example.org>.

It brings along: [nomade_check](../nomade_check/README.md), [other](../other/README.md).

## Variables

| Variable | Type | Default | What it is |
| --- | --- | --- | --- |
| `phone_extension` | str | **required** | Extension of the person, as in `phone_lines`. |
| `phone_codec` | str | `"opus"` | What the voice is packed in (a\\|b). One of `"opus"`, `"pcma"`. |
| `phone_lines` | list of dict | `[]` | Further lines. Each rings. |
| `phone_lines[].number` | int | **required** | Its number. |
| `phone_proxy` | str | not set | Whom to ask. |

## Checks

`nomade-check` runs these on the machine:

| Check | What holds | Run by | Remedy |
| --- | --- | --- | --- |
| `phone-registered` | Registered | root, published every minute | Plug it in. |

## Files

From [rootfs/](rootfs/), owned by root but for what [rootfs.yml](rootfs.yml) says. \
A town lays its own over them in `inventories/<town>/rootfs/phone/`.

- `/etc/nomade/checks.d/phone.toml`
- `/etc/phone.conf`

## Example

This is `molecule/phone/converge.yml`, which `make test ROLE=phone` runs.

```yaml
---
- name: Converge
  hosts: all
```

## Removal

What the role brought is removed, and what was there before stays:

```yaml
- name: Remove phone
  ansible.builtin.include_role: {name: phone, tasks_from: absent}
```
"""


def test_a_whole_page(project: Path) -> None:
    assert readme.role_page(project / "roles/phone", project) == PAGE


def test_a_role_with_nothing_but_a_spec(project: Path) -> None:
    role = project / "roles/bare"
    (role / "meta").mkdir(parents=True)
    (role / "meta/argument_specs.yml").write_text(
        "argument_specs: {main: {short_description: Does little}}\n"
    )
    page = readme.role_page(role, project)
    assert page.endswith("# bare\n\nDoes little.\n\n## Variables\n\nThere are none.\n")


def test_further_entry_points(project: Path) -> None:
    path = project / "roles/phone/meta/argument_specs.yml"
    path.write_text(
        "argument_specs:\n"
        "  main: {short_description: Main, options: &o {phone_x: {description: X.}}}\n"
        "  peers: {short_description: Add peers., options: *o}\n"
        "  absent: {short_description: Remove, options: {phone_y: {description: Y.}}}\n"
    )
    page = readme.role_page(project / "roles/phone", project)
    assert "## Entry point `peers`\n\nAdd peers.\n\nIts variables are those above.\n" in page
    assert "## Entry point `absent`\n\nRemove.\n\n| Variable " in page
    assert "| `phone_y` | str | not set | Y. |" in page
    assert "## Removal" not in page  # the entry point says it


@pytest.mark.parametrize(
    ("text", "converted"),
    [
        ("C(a b), V(1) and O(x=y)", "`a b`, `1` and `x=y`"),
        ("B(no) I(yes)", "**no** *yes*"),
        ("L(Debian, https://www.example.org/a)", "[Debian](https://www.example.org/a)"),
        (r"C(f\(1\))", "`f(1)`"),
        ("apt(8) and ABC(x)", "apt(8) and ABC(x)"),
    ],
)
def test_markup(text: str, converted: str) -> None:
    assert readme.markdown(text) == converted


def test_pages_are_written_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert readme.main([], project) == 0
    assert capsys.readouterr().out == "wrote docs/settings.md\nwrote roles/phone/README.md\n"
    assert (project / "roles/phone/README.md").read_text(encoding="utf-8") == PAGE
    assert (
        "| `town_name` | str | not set | Its name. |" in (project / "docs/settings.md").read_text()
    )
    assert readme.main([], project) == 0
    assert readme.main(["--check"], project) == 0
    assert capsys.readouterr() == ("", "")


def test_check_names_what_is_old_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme.main([], project)
    page = project / "roles/phone/README.md"
    page.write_text("old")
    capsys.readouterr()
    assert readme.main(["--check"], project) == 1
    assert capsys.readouterr().err == "roles/phone/README.md: out of date, type: make docs\n"
    assert page.read_text() == "old"


def test_one_role_alone(project: Path) -> None:
    assert readme.main(["phone"], project) == 0
    assert not (project / "docs/settings.md").exists()


def test_an_unknown_role_is_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        readme.main(["telephone"], project)
    assert "telephone: no such role" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("meta/argument_specs.yml", "a: [", "no argument spec"),
        ("meta/argument_specs.yml", "options: {}", "no argument spec"),
        ("meta/argument_specs.yml", "argument_specs: {}", "at least one entry point"),
        ("rootfs/etc/nomade/checks.d/bad.toml", "[[check]", "must be TOML with [[check]] tables"),
        ("rootfs/etc/nomade/checks.d/bad.toml", "", "must be TOML with [[check]] tables"),
    ],
)
def test_a_page_that_cannot_be_made_is_named_and_the_others_are_made(
    project: Path, path: str, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "roles/a/meta").mkdir(parents=True)
    (project / "roles/a/meta/argument_specs.yml").write_text(SPEC)
    (project / "roles/a" / path).parent.mkdir(parents=True, exist_ok=True)
    (project / "roles/a" / path).write_text(text)
    assert readme.main([], project) == 1
    said = capsys.readouterr()
    assert said.err.startswith("roles/a/README.md: cannot be made: ")
    assert message in said.err
    assert "wrote roles/phone/README.md" in said.out


def test_a_role_without_a_spec_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "roles/a").mkdir()
    assert readme.main(["a"], project) == 1
    assert "missing, every role has one" in capsys.readouterr().err


def test_the_example_is_that_of_the_role_alone_where_there_is_one(project: Path) -> None:
    for path, host in (("phone/tests/alone.yml", "desk"), ("alone/playbooks/phone.yml", "bare")):
        file = project / "molecule" / path
        file.parent.mkdir(parents=True)
        file.write_text(f"---\n- hosts: {host}\n", encoding="utf-8")
        page = readme.role_page(project / "roles/phone", project)
        assert f"- hosts: {host}" in page
        assert f"This is `molecule/{path}`" in page
