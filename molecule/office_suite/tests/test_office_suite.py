"""LibreOffice at work, as the employee: documents of others, the town's settings, macros, checks.

The documents are made on this side by python-docx, openpyxl and python-pptx; what LibreOffice makes
of them comes back as PDF and is read by pypdf.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pypdf
import pytest

SCENARIO = Path(__file__).parents[1]
MACHINES = ["debian12", "debian13"]
PERSON = "mdurand"
HOME = f"/home/{PERSON}"
FRENCH = 0x040C  # the number that LibreOffice has from Windows
PAGES = 12  # of a letter in Calibri
MARKER = f"{HOME}/the-macro-ran"
FONTS = {
    "Arial": "LiberationSans",
    "Calibri": "Carlito",
    "Cambria": "Caladea",
    "Courier New": "LiberationMono",
    "Times New Roman": "LiberationSerif",
}
REGISTRY = "/usr/lib/libreoffice/share/registry"
COMMON = "/org.openoffice.Office.Common"
FACTORIES = "/org.openoffice.Setup/Office/Factories"
SECURITY = [f"{COMMON}/Security/Scripting", "MacroSecurityLevel"]
LOCATIONS = [f"{COMMON}/Security/Scripting", "SecureURL"]
RECOVERY = ["/org.openoffice.Office.Recovery/AutoSave", "TimeIntervall"]
TIPS = [f"{COMMON}/Misc", "ShowTipOfTheDay"]
BACKUP = [f"{COMMON}/Save/Document", "CreateBackup"]
HISTORY = [f"{COMMON}/History", "PickListSize"]
WRITER = [f"{FACTORIES}/com.sun.star.text.TextDocument", "ooSetupFactoryDefaultFilter"]
CALC = [f"{FACTORIES}/com.sun.star.sheet.SpreadsheetDocument", "ooSetupFactoryDefaultFilter"]
TRUSTED = ["file:///srv/valbourg/macros"]
OOXML = ["MS Word 2007 XML", "Calc MS Excel 2007 XML"]
SETTINGS = [WRITER, CALC, SECURITY, LOCATIONS, RECOVERY, TIPS, BACKUP, HISTORY]

Playbook = Callable[..., subprocess.CompletedProcess[str]]
Checks = Callable[[str], dict[str, dict[str, Any]]]
Command = Callable[[str, str], str]
on_each_machine = pytest.mark.parametrize("name", MACHINES)


def load(name: str) -> ModuleType:
    """Load a program of the scenario."""
    spec = importlib.util.spec_from_file_location(name, SCENARIO / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


documents, signatures = load("documents"), load("signatures")
TEMPLATE = documents.TEMPLATE


@pytest.fixture(scope="session")
def root(run_as: Callable[[str, str, str], Any]) -> Command:
    """Run a command as root on a machine and return what it says."""

    def run(name: str, command: str) -> str:
        done = run_as(name, "root", command)
        assert done.rc == 0, f"{command}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    return run


@pytest.fixture(scope="session")
def person(run_as: Callable[[str, str, str], Any]) -> Command:
    """Run a command as the employee and return what it says."""

    def run(name: str, command: str) -> str:
        done = run_as(name, PERSON, command)
        assert done.rc == 0, f"{command}: {done.stdout}{done.stderr}"
        return str(done.stdout)

    return run


def put(name: str, user: str, place: str, content: bytes) -> None:
    """Write somebody's file on a machine, by no command line, which the journal would keep."""
    podman = [SCENARIO.parents[1] / "rig/podman", "exec", "--interactive", f"--user={user}"]
    writes = ["sh", "-c", f"cat > {shlex.quote(place)}"]
    subprocess.run([*podman, f"nomade-office_suite-{name}", *writes], input=content, check=True)


@pytest.fixture(scope="session")
def ask(person: Command) -> Callable[..., list[Any]]:
    """Have the employee's own LibreOffice answer questions (employee.py)."""

    def answers(name: str, *questions: tuple[str, Any]) -> list[Any]:
        put(name, PERSON, f"{HOME}/employee.py", (SCENARIO / "employee.py").read_bytes())
        asked = shlex.quote(json.dumps(questions))
        found: list[Any] = json.loads(person(name, f"LANG=C.UTF-8 python3 employee.py {asked}"))
        return found

    return answers


@pytest.fixture(scope="session")
def found(ask: Any) -> Callable[[str], dict[str, Any]]:
    """What the employee finds on each machine, asked in one session of LibreOffice."""

    @functools.cache
    def answers(name: str) -> dict[str, Any]:
        questions = {
            "words": ["fr", "FR", FRENCH],
            "paths": ["Work", "Template"],
            "templates": None,
            "settings": SETTINGS,
        }
        return dict(zip(questions, ask(name, *questions.items()), strict=True))

    return answers


@pytest.fixture(scope="session")
def convert(person: Command) -> Callable[[str, dict[str, bytes]], dict[str, pypdf.PdfReader]]:
    """Have the employee convert documents, and return what came out."""

    def converted(name: str, files: dict[str, bytes]) -> dict[str, pypdf.PdfReader]:
        person(name, "rm -rf in out && mkdir in out")
        for file, content in files.items():
            put(name, PERSON, f"{HOME}/in/{file}", content)
        person(name, "soffice --headless --convert-to pdf --outdir out in/*")
        made = {}
        for file in files:
            pdf = person(name, f"base64 out/{Path(file).stem}.pdf")
            made[file] = pypdf.PdfReader(io.BytesIO(base64.b64decode(pdf)))
        return made

    return converted


def text_of(page: pypdf.PageObject) -> str:
    """Return a page's text with ordinary spaces and apostrophes."""
    return re.sub(r"\s+", " ", page.extract_text()).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def fonts_of(pdf: pypdf.PdfReader) -> set[str]:
    """Return the names of the fonts that a PDF brings along."""
    names = set()
    for page in pdf.pages:
        for font in page["/Resources"]["/Font"].values():
            names.add(font.get_object()["/BaseFont"].split("+")[-1].removesuffix("-Regular"))
    return names


# --- documents of others -----------------------------------------------------------------------


@on_each_machine
def test_documents_of_word_excel_and_powerpoint_open(name: str, convert: Any) -> None:
    made = convert(
        name,
        {
            "lettre.docx": documents.letter("Calibri"),
            "budget.xlsx": documents.budget(),
            "vœux.pptx": documents.slides(),
            "polices.docx": documents.specimen(list(FONTS)),
        },
    )
    letter = [text_of(page) for page in made["lettre.docx"].pages]
    assert len(letter) == PAGES
    assert "Article 1. Monsieur le maire" in letter[0]
    assert documents.LETTER[-40:] in letter[-1]
    assert fonts_of(made["lettre.docx"]) == {"Carlito"}

    budget = [text_of(page) for page in made["budget.xlsx"].pages]
    assert len(budget) == 2
    assert "Total des recettes" in budget[0]
    assert "3 300,00" in budget[0]  # computed, and written as in France
    assert "Chauffage de l'école" in budget[1]

    slides = [text_of(page) for page in made["vœux.pptx"].pages]
    assert len(slides) == 3
    assert "Questions des élus : l'essentiel" in slides[2]

    assert fonts_of(made["polices.docx"]) == set(FONTS.values())


@contextlib.contextmanager
def without_fonts(root: Command, name: str) -> Iterator[None]:
    """Take the fonts away that Word's documents need."""
    folder = "/usr/share/fonts/truetype/crosextra"
    root(name, f"mv {folder} /usr/share/crosextra.away && fc-cache")
    try:
        yield
    finally:
        root(name, f"mv /usr/share/crosextra.away {folder} && fc-cache")


@on_each_machine
def test_without_the_fonts_pages_break_elsewhere(
    name: str, root: Command, convert: Any, checks: Checks
) -> None:
    with without_fonts(root, name):
        letter = convert(name, {"lettre.docx": documents.letter("Calibri")})["lettre.docx"]
        red = checks(name)["office-fonts"]
    assert "Carlito" not in fonts_of(letter)
    assert len(letter.pages) != PAGES
    assert red["status"] == "CRITICAL"
    assert "Calibri →" in red["message"]
    assert "fonts-crosextra-carlito" in red["remedy"]["fr"]
    assert checks(name)["office-fonts"]["status"] == "OK"


@on_each_machine
def test_the_towns_font_is_there(name: str, person: Command) -> None:
    assert person(name, f"fc-match --format=%{{file}} '{documents.FONT}'").endswith("valbourg.ttf")


# --- language ----------------------------------------------------------------------------------


@on_each_machine
def test_it_speaks_french_even_in_a_session_that_does_not(name: str, found: Any) -> None:
    words = found(name)["words"]
    assert words["style"] == "Titre 1"
    assert words["typed"] == ["fr", "FR"]
    assert (words["right"], words["wrong"]) == (True, False)
    assert words["hyphens"] == "ad=mi=nis=tra=tion"
    assert words["meanings"] > 0


# --- settings ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("debian12", ["writer8", "calc8", 2, TRUSTED, 5, False, False, 25]),
        ("debian13", [*OOXML, 2, TRUSTED, 3, False, True, 7]),
    ],
)
def test_settings_as_the_employee_reads_them(name: str, settings: list[Any], found: Any) -> None:
    assert found(name)["settings"] == settings


# what the employee tries, and whether it is theirs to choose
CHOICES = {
    "debian12": [(SECURITY, 0, False), (RECOVERY, 30, True), (TIPS, True, True)],
    "debian13": [(SECURITY, 0, False), (RECOVERY, 30, False), (BACKUP, False, False)],
}
CHOICES["debian13"] += [(HISTORY, 12, True), (WRITER, "writer8", False)]


@on_each_machine
def test_what_is_locked_stays_and_what_is_proposed_can_be_chosen(
    name: str, ask: Any, person: Command
) -> None:
    choices = CHOICES[name]
    wanted = [setting for setting, _, _ in choices]
    person(name, "rm -rf .config/libreoffice")
    try:
        before, changed, trusted = ask(
            name,
            ("settings", wanted),
            ("change", [[*setting, value] for setting, value, _ in choices]),
            ("trust", "CN=Somebody"),
        )
        (after,) = ask(name, ("settings", wanted))
    finally:
        person(name, "rm -rf .config/libreoffice")
    assert changed == [free for _, _, free in choices]
    assert trusted is False
    expected = [
        value if free else old for (_, value, free), old in zip(choices, before, strict=True)
    ]
    assert after == expected


@on_each_machine
def test_a_profile_that_says_otherwise_does_not_unlock(
    name: str, ask: Any, person: Command
) -> None:
    profile = f"""<?xml version="1.0" encoding="UTF-8"?>
<oor:items xmlns:oor="http://openoffice.org/2001/registry">
<item oor:path="{SECURITY[0]}"><prop oor:name="{SECURITY[1]}" oor:op="fuse">
<value>0</value></prop></item></oor:items>
"""
    person(name, "mkdir -p .config/libreoffice/4/user")
    place = f"{HOME}/.config/libreoffice/4/user/registrymodifications.xcu"
    put(name, PERSON, place, profile.encode())
    try:
        assert ask(name, ("settings", [SECURITY])) == [[2]]
    finally:
        person(name, "rm -rf .config/libreoffice")


@pytest.mark.parametrize(
    ("name", "starts"),
    [
        ("debian12", {"swriter": "content.xml", "scalc": "content.xml", "simpress": "content.xml"}),
        ("debian13", {"swriter": "word/", "scalc": "xl/", "simpress": "ppt/"}),
    ],
)
def test_new_documents_are_saved_in_the_towns_format(
    name: str, starts: dict[str, str], ask: Any, person: Command
) -> None:
    ask(name, ("save", [[kind, f"{HOME}/new-{kind}"] for kind in starts]))
    for kind, part in starts.items():
        listing = person(name, f"python3 -m zipfile --list new-{kind}")
        assert part in listing


@on_each_machine
def test_the_towns_templates_and_folders_are_offered(name: str, found: Any) -> None:
    work, _ = found(name)["paths"]
    folder = {"debian12": HOME, "debian13": f"{HOME}/Dossiers%20%C3%A0%20traiter"}[name]
    assert work == f"file://{folder}"
    ours = [t for t in found(name)["templates"] if t.endswith(f"/Mairie/{quote(TEMPLATE)}.ott")]
    assert len(ours) == 1


# --- macros ------------------------------------------------------------------------------------


@on_each_machine
def test_only_the_towns_macros_run(name: str, ask: Any, person: Command) -> None:
    person(name, f"rm -f {MARKER}*")
    received, trusted = f"{HOME}/received.odt", "/srv/valbourg/macros/trusted.odt"
    put(name, PERSON, received, documents.open_document("text", "", f"{MARKER}-received"))
    put(name, "root", trusted, documents.open_document("text", "", f"{MARKER}-trusted"))
    assert ask(name, ("open", [received, trusted])) == [[False, True]]
    assert person(name, f"ls {MARKER}*") == f"{MARKER}-trusted\n"


def signed(author: str, macro: str) -> bytes:
    """Return a document with a macro that one of the authors has signed."""
    place = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "authors" / author
    document = documents.open_document("text", "", f"{MARKER}-{macro}")
    made: bytes = signatures.signed(document, signatures.Author.read(place))
    return made


def with_another_macro(document: bytes, macro: str) -> bytes:
    """Return a signed document in which somebody has changed the macro afterwards."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(document)) as before,
        zipfile.ZipFile(buffer, "w") as after,
    ):
        for name in before.namelist():
            content = before.read(name)
            if name == "Basic/Standard/Opened.xml":
                content = re.sub(rb"the-macro-ran-\w+", f"the-macro-ran-{macro}".encode(), content)
            after.writestr(name, content)
    return buffer.getvalue()


@on_each_machine
def test_only_the_macros_that_a_trusted_author_has_signed_run_anywhere(
    name: str, ask: Any, person: Command
) -> None:
    person(name, f"rm -f {MARKER}*")
    # Another certificate of the same authority; one with the author's own names and number.
    received = {by: signed(by, by) for by in ("author", "other", "stranger")}
    received["changed"] = with_another_macro(signed("author", "author"), "changed")
    received["unsigned"] = documents.open_document("text", "", f"{MARKER}-unsigned")
    for file, content in received.items():
        put(name, PERSON, f"{HOME}/{file}.odt", content)
    allowed = ask(name, ("open", [f"{HOME}/{file}.odt" for file in received]))
    assert dict(zip(received, *allowed, strict=True)) == {
        file: file == "author" for file in received
    }
    assert person(name, f"ls {MARKER}*") == f"{MARKER}-author\n"


@pytest.mark.parametrize(("level", "runs"), [(1, ["received", "signed"]), (3, [])])
def test_the_same_macros_under_another_policy(
    level: int, runs: list[str], ask: Any, person: Command, root: Command
) -> None:
    person("debian12", f"rm -f {MARKER}*")
    received = documents.open_document("text", "", f"{MARKER}-received")
    put("debian12", PERSON, f"{HOME}/received.odt", received)
    put("debian12", PERSON, f"{HOME}/signed.odt", signed("author", "signed"))
    place = f"{REGISTRY}/nomade.xcd"
    root("debian12", f"cp -p {place} /root/ && sed -i 's/<value>2</<value>{level}</' {place}")
    try:
        ask("debian12", ("open", [f"{HOME}/received.odt", f"{HOME}/signed.odt"]))
    finally:
        root("debian12", f"mv /root/nomade.xcd {place}")
    listed = person("debian12", f"find {HOME} -path '{MARKER}*' | sort").split()
    assert listed == [f"{MARKER}-{macro}" for macro in runs]


# --- what opens what ---------------------------------------------------------------------------


@on_each_machine
def test_documents_open_with_libreoffice_and_telephone_numbers_do_not(
    name: str, person: Command, root: Command
) -> None:
    word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    wanted = {word: "writer", "text/csv": "calc", "application/vnd.ms-powerpoint": "impress"}
    for kind, program in wanted.items():
        assert person(name, f"xdg-mime query default {kind}") == f"libreoffice-{program}.desktop\n"
        assert f"libreoffice-{program}.desktop" in person(name, f"gio mime {kind}").split("\n")[0]
    for other in ("x-scheme-handler/tel", "x-scheme-handler/mailto", "application/pdf"):
        listed = root(name, f"grep -c ^{other}= /usr/local/share/applications/mimeapps.list; true")
        assert listed == "0\n"


# --- checks ------------------------------------------------------------------------------------


@on_each_machine
def test_the_checks_are_green_for_the_employee(name: str, person: Command) -> None:
    answer = person(name, "LANG=fr_FR.UTF-8 nomade-check --capability office_suite --json")
    found = {check["name"]: check for check in json.loads(answer)["checks"]}
    print(json.dumps(found, ensure_ascii=False, indent=1))
    assert {check["status"] for check in found.values()} == {"OK"}
    assert set(found) == {"office-suite", "office-fonts"}
    assert "un document est devenu un PDF" in found["office-suite"]["message"]
    assert "en vigueur" in found["office-suite"]["message"]
    assert person(name, "ls /tmp | grep nomade-office; true") == ""


# what breaks it, what mends it, what the check says, and the part of its remedy that fits
FAULTS = {
    "no program": (
        "mv /usr/lib/libreoffice/program/soffice.bin /usr/lib/libreoffice/soffice.away",
        "mv /usr/lib/libreoffice/soffice.away /usr/lib/libreoffice/program/soffice.bin",
        "LibreOffice",
        "Sinon, en root : apt-get install --reinstall libreoffice-core",
    ),
    "no PDF": (
        "mv /usr/lib/libreoffice/program/libpdffilterlo.so /root/",
        "mv /root/libpdffilterlo.so /usr/lib/libreoffice/program/",
        "LibreOffice does not make a PDF of a document",
        "Sinon, en root : apt-get install --reinstall libreoffice-core",
    ),
    "no policy": (
        f"mv {REGISTRY}/nomade.xcd /root/",
        f"mv /root/nomade.xcd {REGISTRY}/",
        "and not",
        "Si c'est un réglage, demandez au service informatique de relancer equip.yml",
    ),
}


@on_each_machine
@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_turns_red_and_green(
    name: str, fault: str, root: Command, checks: Checks
) -> None:
    breaks, mends, says, remedy = FAULTS[fault]
    root(name, breaks)
    try:
        red = checks(name)["office-suite"]
    finally:
        root(name, mends)
    assert red["status"] == "CRITICAL"
    assert says in red["message"]
    assert remedy in red["remedy"]["fr"]
    assert checks(name)["office-suite"]["status"] == "OK"


CONTRADICTION = f"""<?xml version="1.0" encoding="UTF-8"?>
<oor:data xmlns:oor="http://openoffice.org/2001/registry"><dependency file="nomade"/>
<oor:items><item oor:path="{RECOVERY[0]}"><prop oor:name="{RECOVERY[1]}" oor:op="fuse">
<value>30</value></prop></item></oor:items></oor:data>
"""


def test_a_file_that_contradicts_ours_is_told(root: Command, checks: Checks) -> None:
    place = f"{REGISTRY}/other.xcd"
    put("debian12", "root", place, CONTRADICTION.encode())
    try:
        red = checks("debian12")["office-suite"]
    finally:
        root("debian12", f"rm {place}")
    assert red["status"] == "CRITICAL"
    assert "TimeIntervall is 30 and not 5" in red["message"]


# --- the run itself ----------------------------------------------------------------------------

# what contradicts itself, all at once; and what no value may be
WRONG: list[tuple[dict[str, Any], list[str]]] = [
    (
        {
            "office_suite_locale": "oc-FR",
            "office_suite_language_packages": {"de": ["hunspell-de-de"]},
            "office_suite_trusted_locations": ["/srv/macros", f"{HOME}/Téléchargements"],
            "office_suite_macro_security": "very_high",
            "office_suite_trusted_authors": ["-----BEGIN CERTIFICATE-----", "MIIB"],
            "office_suite_autosave_minutes": 90,
            "office_suite_work_directory": "Documents",
            "office_suite_template_directories": ["modèles"],
            "office_suite_substitutes": {"Arial:bold": "Liberation Sans"},
            "office_suite_settings": [{"path": "Save/Document", "name": "x", "value": 1}],
        },
        [
            'office_suite_locale is "oc-FR"; write language and country as in fr_FR',
            "knows nothing for oc-FR; add it, or choose one of de",
            "name a folder of its own that only the town can write",
            "office_suite_trusted_authors has 2 of 2 that cannot be read as a certificate",
            "office_suite_trusted_authors counts for nothing where office_suite_macro_security is",
            "office_suite_autosave_minutes is 90; write 1 to 60",
            'office_suite_work_directory is "Documents"; write a path that begins with / or ~/',
            "write paths that begin with /.",
            "write names of families without quotes",
            "has the paths Save/Document; write them as",
        ],
    ),
    (
        {"office_suite_formats": "doc", "office_suite_locked": ["everything"]},
        ["value of office_suite_formats must be one of: odf, ooxml", "office_suite_locked"],
    ),
]


@pytest.mark.parametrize(("settings", "says"), WRONG)
def test_wrong_settings_are_refused(playbook: Playbook, settings: Any, says: list[str]) -> None:
    done = playbook("converge.yml", "--limit=debian12", **settings)
    assert done.returncode != 0
    told = " ".join(done.stdout.split())
    assert [sentence for sentence in says if sentence not in told] == []
    assert "changed=0" in done.stdout


BROUGHT = {"libreoffice-core", "libreoffice-common", "libreoffice-l10n-fr", "hunspell-fr"}
BROUGHT |= {"fonts-crosextra-carlito", "mythes-fr"}
PACKAGES = "dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n'"


def installed(root: Command, name: str) -> set[str]:
    """Return the names of the packages that are installed."""
    lines = root(name, PACKAGES).splitlines()
    return {line.split()[0] for line in lines if line.endswith(" installed")}


def alone() -> subprocess.CompletedProcess[str]:
    """Run the ten lines on a machine of which nothing is known but how to reach it."""
    run = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
    command = ["ansible-playbook", f"--inventory={run / 'inventory'}"]
    done = subprocess.run(
        [*command, str(SCENARIO / "tests/alone.yml")], capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    return done


def test_it_goes_and_comes_back_by_a_playbook_of_ten_lines(
    playbook: Playbook, root: Command, person: Command, checks: Checks
) -> None:
    for name in MACHINES:
        person(name, "mkdir -p .config/libreoffice/4/user && touch .config/libreoffice/4/user/mine")
    assert playbook("absent.yml").returncode == 0
    for name in MACHINES:
        packages = installed(root, name)
        assert not BROUGHT & packages
        assert "fonts-liberation" in packages  # was there before
        left = root(name, "find /etc /usr -ipath '*nomade*' -type f; ls /etc/libreoffice; true")
        assert "office" not in left
        assert root(name, "cat /usr/local/share/applications/mimeapps.list").startswith(
            "[Default Applications]\ntext/x-valbourg"
        )
        person(name, "ls .config/libreoffice/4/user/mine")

    assert alone().returncode == 0
    found = {k: v["status"] for k, v in checks("debian13").items() if k.startswith("office-")}
    assert found == dict.fromkeys(("office-suite", "office-fonts"), "OK")
