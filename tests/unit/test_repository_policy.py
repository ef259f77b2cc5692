"""What holds for the repository as a whole: each failure names the file and what to do."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
# What the scenario of a role may not leave out of Molecule's sequence.
STEPS = [
    "destroy",
    "create",
    "prepare",
    "check",
    "converge",
    "idempotence",
    "verify ../shared/unchanged",
    "side_effect",
    "verify",
]

every_role = pytest.mark.parametrize("role", ROLES)
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


def load(path: str) -> Any:
    """Return what a YAML file holds, with the tags of Ansible as plain values."""
    return yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader)  # noqa: S506 - it is a safe one


class Loader(yaml.SafeLoader):
    """YAML that takes !vault and !unsafe for text."""


Loader.add_multi_constructor("!", lambda loader, _suffix, node: loader.construct_scalar(node))


@cache
def files() -> list[Path]:
    """Return every file of the repository: in git, or about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    paths = [ROOT / name for name in sorted(set(listed.split("\0"))) if name]
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def lines_with(pattern: str, *suffixes: str, under: str = "") -> list[str]:
    """Return FILE:LINE: TEXT of every line that the pattern is found in."""
    wanted = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files()
        if (not suffixes or path.suffix in suffixes)
        and str(path.relative_to(ROOT)).startswith(tuple(under.split()) or "")
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        if wanted.search(line)
    ]


def none_of(found: list[str], remedy: str) -> None:
    assert not found, f"{remedy}:\n" + "\n".join(found)


# --- roles -------------------------------------------------------------------------------------


def specs_of(role: str) -> dict[str, Any]:
    path = f"roles/{role}/meta/argument_specs.yml"
    assert (ROOT / path).is_file(), f"write {path}: every role specifies its variables"
    specs = load(path)["argument_specs"]
    assert isinstance(specs, dict)
    return specs


def options_of(role: str) -> dict[str, dict[str, Any]]:
    return {
        name: option
        for spec in specs_of(role).values()
        for name, option in (spec.get("options") or {}).items()
    }


def yaml_files(role: str, folder: str) -> list[str]:
    folder_path = ROOT / "roles" / role / folder
    return [str(path.relative_to(ROOT)) for path in sorted(folder_path.rglob("*.yml"))]


@every_role
def test_every_role_says_what_it_is_and_what_its_variables_are(role: str) -> None:
    specs = specs_of(role)
    assert "main" in specs, f"roles/{role}/meta/argument_specs.yml: specify the entry point main"
    for entry, spec in specs.items():
        assert spec.get("short_description"), f"{role}, {entry}: write its short_description"
        assert (ROOT / f"roles/{role}/tasks/{entry}.yml").is_file(), (
            f"{role}: the entry point {entry} has no tasks/{entry}.yml: write or remove it"
        )
    undescribed = [
        f"{role}: {name}"
        for name, option in options_of(role).items()
        if not option.get("description") or not option.get("type")
    ]
    none_of(undescribed, "give each variable a type and a description")


@every_role
def test_every_variable_has_the_prefix_of_its_role(role: str) -> None:
    named = set(options_of(role))
    for path in yaml_files(role, "defaults") + yaml_files(role, "vars"):
        named |= set(load(path) or {})
    foreign = sorted(name for name in named if not name.removeprefix("__").startswith(f"{role}_"))
    none_of(foreign, f"a variable of the role {role} begins with {role}_")


@every_role
def test_defaults_are_those_of_the_specification(role: str) -> None:
    path = f"roles/{role}/defaults/main.yml"
    defaults = (load(path) or {}) if (ROOT / path).is_file() else {}
    specified = {
        name: option["default"]
        for name, option in options_of(role).items()
        if option.get("default") is not None
    }
    faults = [
        f"{name}: {'not in ' + path if name not in defaults else 'not in the specification'}"
        for name in sorted(specified.keys() ^ defaults.keys())
    ] + [
        f"{name}: {defaults[name]!r} in {path}, {specified[name]!r} in the specification"
        for name in sorted(specified.keys() & defaults.keys())
        if (type(defaults[name]), defaults[name]) != (type(specified[name]), specified[name])
    ]
    none_of(faults, f"write the same defaults into {path} and roles/{role}/meta/argument_specs.yml")


@every_role
def test_required_variables_have_no_default(role: str) -> None:
    both = [n for n, o in options_of(role).items() if o.get("required") and "default" in o]
    none_of(both, f"{role}: a variable is required or has a default")


def shape_of(option: dict[str, Any]) -> dict[str, Any]:
    """Return what values an option may have, and of what they are made."""
    shape = {key: option.get(key) for key in ("type", "elements", "choices")}
    parts = {
        name: {key: value for key, value in part.items() if key != "description"}
        for name, part in (option.get("options") or {}).items()
    }
    return {**shape, "options": parts}


@every_role
def test_what_the_policy_hands_on_has_the_shape_that_the_role_takes(role: str) -> None:
    """A list of links is specified for the town and for the role, which also works alone."""
    town = load("playbooks/meta/argument_specs.yml")["argument_specs"]["town"]["options"]
    taken = options_of(role)
    for path in sorted((ROOT / "group_vars").glob("*.yml")):
        for name, value in (load(str(path.relative_to(ROOT))) or {}).items():
            handed = re.fullmatch(r"\{\{ (\w+) \}\}", str(value))
            if handed and name in taken and handed[1] in town:
                assert shape_of(town[handed[1]]) == shape_of(taken[name]), (
                    f"playbooks/meta/argument_specs.yml, {handed[1]}: say the same as"
                    f" roles/{role}/meta/argument_specs.yml, {name}"
                )


@every_role
def test_every_readme_is_up_to_date(role: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/role_readme.py", "--check", role],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_page_of_settings_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("role_readme", ROOT / "scripts/role_readme.py")
    assert spec is not None
    assert spec.loader is not None
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    page = ROOT / "docs/settings.md"
    assert page.is_file(), "type: make docs"
    assert page.read_text(encoding="utf-8") == readme.town_page(ROOT), "type: make docs"


@every_role
def test_every_file_of_tasks_is_used(role: str) -> None:
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in files() if path.suffix in (".yml", ".yaml")
    )
    unused = []
    for path in yaml_files(role, "tasks"):
        name = Path(path).stem
        used = name == "main" or re.search(
            rf"(?:include|import)_tasks:[\s\S]{{0,40}}\b{re.escape(name)}\.yml\b"
            rf"|tasks_from:\s*['\"]?{re.escape(name)}\b",
            text,
        )
        # Removal is for towns to call; the scenario of the role should, too. return.yml looks for
        # each capability's revoke.yml.
        if not used and name not in ("absent", "revoke"):
            unused.append(path)
    none_of(unused, "include the file or remove it")


@every_role
def test_roles_know_nothing_of_tests(role: str) -> None:
    found = lines_with(r"molecule|\brig_\w+", ".yml", ".j2", under=f"roles/{role}/")
    none_of(found, "a role does the same in a test as in a town: remove what tells them apart")


@every_role
def test_roles_leave_each_others_files_alone(role: str) -> None:
    others = "|".join(other for other in ROLES if other != role)
    found = lines_with(
        rf"roles/({others})/|\.\./({others})/", ".yml", ".j2", under=f"roles/{role}/"
    )
    none_of(found, "what two roles must agree on is handed on in group_vars/")


# --- checks ------------------------------------------------------------------------------------


def checks_of(role: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the role's checks, Jinja statements left out, each with its file."""
    found = []
    folder = ROOT / "roles" / role / "rootfs/etc/nomade/checks.d"
    for path in sorted(folder.glob("*")):
        shown = str(path.relative_to(ROOT))
        assert re.fullmatch(rf"{role}\.toml(\.j2)?", path.name), f"name {shown} {role}.toml"
        text = re.sub(r"\{[%#].*?[%#]\}", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        found += [(shown, check) for check in tomllib.loads(text)["check"]]
    return found


ROLES_WITH_CHECKS = [role for role in ROLES if checks_of(role)]
every_role_with_checks = pytest.mark.parametrize("role", ROLES_WITH_CHECKS)


@every_role_with_checks
def test_a_role_with_checks_brings_nomade_check_along(role: str) -> None:
    meta = load(f"roles/{role}/meta/main.yml") or {}
    names = [
        item if isinstance(item, str) else item.get("role") for item in meta.get("dependencies", [])
    ]
    assert role == "nomade_check" or "nomade_check" in names, (
        f"roles/{role}/meta/main.yml: depend on nomade_check"
    )


@every_role_with_checks
def test_checks_belong_to_their_role_and_bring_their_command(role: str) -> None:
    faults = []
    for path, check in checks_of(role):
        name = f"{path}: {check.get('name')}"
        if check.get("capability") != role:
            faults.append(f"{name}: capability: must be {role}")
        program = check["command"][0]
        if program.startswith("/usr/lib/nomade/"):
            places = [ROOT / "roles" / owner / "rootfs" for owner in (role, "nomade_check")]
            brought = [
                place
                for tree in places
                for place in (tree / program[1:], tree / f"{program[1:]}.j2")
                if place.is_file()
            ]
            if not brought:
                faults.append(f"{name}: command: {program} is not in the role's rootfs")
            elif not os.access(brought[0], os.X_OK):
                faults.append(f"{name}: command: chmod +x {brought[0].relative_to(ROOT)}")
    none_of(faults, "mend these checks")


@every_role_with_checks
def test_every_check_has_a_test_that_turns_it_red(role: str) -> None:
    tests = "\n".join(
        path.read_text(encoding="utf-8")
        for path in files()
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ("molecule", "tests")
        if "unit" not in path.relative_to(ROOT).parts
    )
    untested = [
        f"{path}: {check['name']}"
        for path, check in checks_of(role)
        if not re.search(rf"[\"']{re.escape(check['name'])}[\"']", tests)
    ]
    none_of(untested, f"write a test in molecule/{role}/tests/ that breaks it, and mends it")


def test_the_names_of_checks_are_unique() -> None:
    names = [check["name"] for role in ROLES_WITH_CHECKS for _, check in checks_of(role)]
    none_of(sorted({name for name in names if names.count(name) > 1}), "rename these checks")


# --- scenarios ---------------------------------------------------------------------------------


@every_role
def test_every_role_has_a_scenario_on_both_versions_of_debian(role: str) -> None:
    folder = ROOT / "molecule" / role
    for name in ("molecule.yml", "converge.yml", "inventory/hosts.yml"):
        assert (folder / name).is_file(), f"write molecule/{role}/{name}"
    tests = list((folder / "tests").glob("test_*.py"))
    assert tests, f"write molecule/{role}/tests/test_{role}.py"
    text = (folder / "inventory/hosts.yml").read_text(encoding="utf-8")
    images = set(re.findall(r"rig_image:\s*['\"]?(debian\d+)", text))
    assert images >= {"debian12", "debian13"}, (
        f"molecule/{role}/inventory/hosts.yml: test on debian12 and debian13, not only {images}"
    )


@every_scenario
def test_every_scenario_runs_every_step(scenario: str) -> None:
    own = load(f"molecule/{scenario}/molecule.yml") or {}
    config = own.get("scenario") or {}
    assert config.get("name") == scenario, f"molecule/{scenario}/molecule.yml: name it {scenario}"
    sequence = config.get("test_sequence")
    shared = load(".config/molecule/config.yml")["scenario"]["test_sequence"]
    # A scenario of several roles proves by its own tests what Molecule's steps prove of one.
    steps = STEPS if scenario in ROLES else ["destroy", "create", "verify"]
    missing = [step for step in steps if step not in (sequence or shared)]
    none_of(missing, f"molecule/{scenario}/molecule.yml: take these steps up again")


@every_scenario
def test_every_scenario_has_the_policy_beside_its_playbooks(scenario: str) -> None:
    link = ROOT / "molecule" / scenario / "group_vars"
    assert link.is_symlink(), f"type: ln -s ../../group_vars molecule/{scenario}/group_vars"
    assert link.resolve() == ROOT / "group_vars"


@pytest.fixture
def tests_stubbed(tmp_path: Path) -> Path:
    """Our scripts/test and scenarios, where each step only notes that it was called."""
    programs = ("scripts/lint", "scripts/scenario", "rig/cache", "rig/images", ".venv/bin/pytest")
    for name in programs:
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "{name} $1" >> called\n[ "$1" != "$BROKEN" ]\n')
        program.chmod(0o755)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    shutil.copy(ROOT / "scripts/test", tmp_path / "scripts")
    for scenario in SCENARIOS:
        (tmp_path / "molecule" / scenario).mkdir(parents=True)
        (tmp_path / "molecule" / scenario / "molecule.yml").touch()
    return tmp_path


@pytest.mark.parametrize("broken", ["no scenario", *SCENARIOS])
def test_make_test_runs_every_scenario_and_hides_no_failure(
    tests_stubbed: Path, broken: str
) -> None:
    done = subprocess.run(
        ["scripts/test", "2"],
        cwd=tests_stubbed,
        env={**os.environ, "BROKEN": broken},
        capture_output=True,
        text=True,
        check=False,
    )
    called = (tests_stubbed / "called").read_text(encoding="utf-8").splitlines()
    ran = sorted(line.split()[1] for line in called if line.startswith("scripts/scenario "))
    assert ran == SCENARIOS, done.stdout + done.stderr
    assert (done.returncode == 0) is (broken == "no scenario"), done.stdout + done.stderr
    assert any(line.startswith(".venv/bin/pytest") for line in called)
    assert "scripts/lint " in called


def test_make_test_is_scripts_test() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "test"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "scripts/test" in done.stdout


# --- the layout --------------------------------------------------------------------------------


def test_the_playbooks_have_the_policy_beside_them() -> None:
    link = ROOT / "playbooks/group_vars"
    assert link.is_symlink(), "type: ln -s ../group_vars playbooks/group_vars"
    assert link.resolve() == ROOT / "group_vars"


def test_no_inventory_links_the_policy() -> None:
    found = [str(p.relative_to(ROOT)) for p in (ROOT / "inventories").rglob("*") if p.is_symlink()]
    none_of(found, "in an inventory the policy would beat the town: remove these links")


def test_every_link_leads_somewhere() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    broken = [
        name
        for name in listed.split("\0")
        if (ROOT / name).is_symlink() and "rootfs/" not in name and not (ROOT / name).exists()
    ]
    none_of(broken, "mend or remove these links")


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w%-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = [
        f"{path.relative_to(ROOT)}: make {target}"
        for path in files()
        if path.suffix == ".md"
        for target in re.findall(r"`make (?:-\S+ )*([a-z][\w-]*)", path.read_text("utf-8"))
        if target not in targets and not target.startswith("scenario-")
    ]
    none_of(named, "the Makefile has no such target")


# --- what must not be there --------------------------------------------------------------------


SHELL = (".yml", ".sh", ".j2", ".list", ".sources", "")
FAULTS: dict[str, tuple[str, tuple[str, ...], str]] = {
    # what: the pattern, the endings of files that it matters in (none: all), the remedy
    "ignored error": (
        r"^\s*(- )?ignore_errors\s*:",
        (".yml",),
        "let it fail, or say when it has not",
    ),
    "never failed": (r"failed_when:\s*(false|no)\b", (".yml",), "say when the task has failed"),
    "or true": (r"\|\s*true\b|\|\|\s*:(?=[\s;)\"']|$)", SHELL, "handle the exit code"),
    "skip": (
        r"\b(skip|skipif|xfail|importorskip|skipTest|skipUnless)\(",
        (".py",),
        "no test is skipped",
    ),
    "empty assertion": (r"^\s*assert True\b", (".py",), "test something"),
    "bare noqa": (
        r"#\s*noqa(:?\s*[\w\[\]-]+(,\s*[\w\[\]-]+)*)?\s*$",
        (),
        "give the reason behind noqa",
    ),
    "unknown host": (r"StrictHostKeyChecking[ =]+(no|off|accept-new)\b", (), "pin the host key"),
    "unknown hosts": (r"host_key_checking\s*[=:]\s*[Ff]alse", (), "pin the host key"),
    "unknown server": (
        r"(validate_certs|gpgcheck):\s*(false|no)\b",
        (".yml",),
        "check who answers",
    ),
    "unsigned packages": (r"allow_unauthenticated|\[trusted\b", SHELL, "check the signature"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_is_hidden(fault: str) -> None:
    pattern, suffixes, remedy = FAULTS[fault]
    own = str(Path(__file__).relative_to(ROOT))
    found = [line for line in lines_with(pattern, *suffixes) if not line.startswith(f"{own}:")]
    if fault == "bare noqa":  # ansible-lint wants no text behind it: the reason stands above
        found = [line for line in found if not reason_above(line)]
    none_of(found, remedy)


def reason_above(found: str) -> bool:
    """Say whether the line of a YAML file stands under a comment."""
    path, number, _ = found.split(":", 2)
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return path.endswith(".yml") and lines[int(number) - 2].lstrip().startswith("#")


def test_no_registry_is_named() -> None:
    names = [
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("ftp", r"\w+", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("galaxy", "ansible", "com"),
        ("docker", "io"),
        ("quay", "io"),
        ("ghcr", "io"),
        ("proxy", "golang", "org"),
    ]
    pattern = "|".join(rf"\b{r'\.'.join(parts)}\b" for parts in names)
    none_of(lines_with(pattern), "packages come from where the machine is set up to get them")


def test_no_private_key_is_here() -> None:
    key = re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(\\n|\s)+[A-Za-z0-9+/=]{40}"
        r"|AGE-SECRET-KEY-1[A-Z0-9]{50,}"
        r"|(?i:private_?key|preshared_?key)\s*[=:]\s*[\"']?[A-Za-z0-9+/]{43}="
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0][:40]}..."
        for path in files()
        for match in key.finditer(path.read_text("utf-8", "replace"))
    ]
    none_of(found, "remove the key, and never use it again")


# --- which value wins --------------------------------------------------------------------------

PRECEDENCE = {
    # variable: where it is written, lowest first; the last one must win
    "t_policy_all": ["policy all"],
    "t_policy_group": ["policy all", "policy servers"],
    "t_policy_child": ["policy all", "policy servers", "policy vpn_gateways"],
    "t_town_all": ["policy all", "town all"],
    "t_town_all_beats_policy_group": ["policy servers", "town all"],
    "t_town_all_beats_policy_child": ["policy vpn_gateways", "town all"],
    "t_town_group": ["policy all", "policy servers", "town all", "town servers"],
    "t_town_group_beats_policy_child": ["policy vpn_gateways", "town servers"],
    "t_town_host": ["policy vpn_gateways", "town vpn_gateways", "town host"],
    "t_inventory_group": ["policy all", "policy servers", "inventory servers"],
    "t_inventory_host": ["policy servers", "town vpn_gateways", "inventory host"],
}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with our configuration, a policy, and a town that changes some of it."""
    project = tmp_path_factory.mktemp("project")
    shutil.copy(ROOT / "ansible.cfg", project)
    for name in ("plugins", "src", "roles"):
        (project / name).symlink_to(ROOT / name)
    written: dict[str, dict[str, str]] = {}
    for variable, places in PRECEDENCE.items():
        for place in places:
            written.setdefault(place, {})[variable] = place
    gateway = {"hosts": {"gw1": written["inventory host"]}}
    servers = {"children": {"vpn_gateways": gateway}, "vars": written["inventory servers"]}
    contents: dict[str, object] = {
        "inventories/demo/servers.yml": {"all": {"children": {"servers": servers}}},
        "inventories/demo/host_vars/gw1.yml": written["town host"],
        "playbooks/show.yml": [
            {
                "hosts": "gw1",
                "gather_facts": False,
                "tasks": [{"ansible.builtin.debug": {"msg": message()}}],
            }
        ],
    }
    for group in ("all", "servers", "vpn_gateways"):
        contents[f"group_vars/{group}.yml"] = written[f"policy {group}"]
        contents[f"inventories/demo/group_vars/{group}.yml"] = written[f"town {group}"]
    for name, content in contents.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(yaml.safe_dump(content), encoding="utf-8")
    (project / "playbooks/group_vars").symlink_to("../group_vars")
    return project


def message() -> str:
    return " ".join(f"<{name}={{{{ {name} }}}}>" for name in PRECEDENCE)


def ansible(town: Path, *command: str) -> str:
    """Run one of Ansible's commands with the real configuration and nothing of ours around it."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
    done = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]],
        cwd=town,
        env={**environ, "ANSIBLE_CONFIG": str(town / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("ansible-playbook", "playbooks/show.yml"),
        ("ansible", "gw1", "-m", "ansible.builtin.debug", "-a", f"msg='{message()}'"),
        ("ansible-inventory", "--playbook-dir", "playbooks", "--yaml", "--host", "gw1"),
        ("ansible-inventory", "--yaml", "--host", "gw1"),
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_what_a_town_writes_wins(town: Path, command: tuple[str, ...]) -> None:
    output = ansible(town, *command)
    if command[0] == "ansible-inventory":
        values = yaml.safe_load(output)
    else:
        values = dict(re.findall(r"<(t_\w+)=([^>]*)>", " ".join(output.split())))
    assert {name: values.get(name) for name in PRECEDENCE} == {
        name: places[-1] for name, places in PRECEDENCE.items()
    }


def test_only_the_register_and_yaml_are_inventories(town: Path) -> None:
    config = ansible(town, "ansible-config", "dump", "--only-changed", "--format", "yaml")
    settings = {item["name"]: item["value"] for item in yaml.safe_load(config) if "name" in item}
    assert settings["INVENTORY_ENABLED"] == ["fleet", "yaml"]
    assert settings["INVENTORY_ANY_UNPARSED_IS_FAILED"] is True
