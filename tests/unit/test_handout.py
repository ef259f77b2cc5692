"""Sheets as they come out: read back from the PDF, by text, structure, place and picture."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pypdf
import pytest
import yaml
import zxingcpp
from PIL import Image

from nomade import handout, handout_pdf, handout_slip, sealed
from nomade.handout_page import Pages, Sheet, Town

ROOT = Path(__file__).parents[2]
TEMPLATES = ROOT / "roles/handout/templates"
DEFAULT = yaml.safe_load((ROOT / "roles/handout/defaults/main.yml").read_text(encoding="utf-8"))
TOWN = Town(
    name="Valbourg",
    hotline="+33 1 99 00 42 42",
    language="fr",
    colours=DEFAULT["handout_colours"],
    conference_url="https://visio.valbourg.example.org/mairie",
    conference_title="Visioconférence",
    light=True,
    desk="Mon poste",
)
LONG = Sheet(
    asset="vb-0001",
    name="Marie-Apolline Éléonore de La Rochebrune-Montfleury d'Hauteépine du Val-des-Sourcières",
    login="mdelarochebrunemontfleurydhautee",
    model="Hewlett-Packard EliteBook 840 G6 Healthcare Edition",
    department="Direction de la maîtrise d'œuvre, des bâtiments, de la voirie et des espaces verts",
    extension="200512",
    wave="1",
    first_password=True,
)
SHORT = Sheet("vb-0002", "Ô Vy", "ovy", "Lenovo ThinkPad L14", "Cimetières", "2007", "1")
LARGE = replace(SHORT, asset="vb-0003", name="Nuño Ÿbergué", login="nybergue", large_print=True)
PEOPLE = [LONG, SHORT, LARGE]


def squeezed(text: str) -> str:
    """Return a text without its spaces: a long word is broken where the line ends."""
    return "".join(text.split())


def text_of(pdf: Path, *options: str) -> str:
    command = ["pdftotext", "-raw", *options, str(pdf), "-"]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def made(directory: Path, town: Town = TOWN, people: list[Sheet] = PEOPLE) -> handout.Outcome:
    return workshop(directory, town, people).run()


def workshop(
    directory: Path,
    town: Town = TOWN,
    people: list[Sheet] = PEOPLE,
    assets: frozenset[str] | None = None,
) -> handout.Workshop:
    chosen = frozenset(sheet.asset for sheet in people) if assets is None else assets
    return handout.Workshop(TEMPLATES, directory, town, people, chosen, lambda _done, _total: None)


@pytest.fixture(scope="module")
def sheets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sheets of three people, made once."""
    directory = tmp_path_factory.mktemp("sheets")
    made(directory)
    return directory


# --- what is on them ------------------------------------------------------------------------------


@pytest.mark.parametrize("sheet", PEOPLE, ids=lambda sheet: sheet.asset)
def test_a_sheet_has_its_pages_and_says_everything(sheet: Sheet, sheets: Path) -> None:
    pdf = sheets / f"{sheet.asset}.pdf"
    assert len(pypdf.PdfReader(pdf).pages) == sheet.sides == (4 if sheet.large_print else 2)
    said = squeezed(text_of(pdf))
    for fact in ("asset", "name", "login", "model", "department", "extension"):
        assert squeezed(getattr(sheet, fact)) in said, fact
    for fact in (TOWN.name, TOWN.hotline, TOWN.conference_url, TOWN.conference_title, TOWN.desk):
        assert squeezed(fact) in said
    calls = said.count(squeezed(f"Appelez-nous. {TOWN.hotline} Dites le nom"))
    assert calls == (3 if sheet.large_print else 2)


@pytest.mark.parametrize("sheet", PEOPLE, ids=lambda sheet: sheet.asset)
def test_nothing_is_outside_of_the_page_or_on_something_else(sheet: Sheet, sheets: Path) -> None:
    done = subprocess.run(
        ["pdftotext", "-bbox", sheets / f"{sheet.asset}.pdf", "-"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    for page in done.split("<page ")[1:]:
        words = [
            (*map(float, place), word)
            for *place, word in re.findall(
                r'<word xMin="(.*?)" yMin="(.*?)" xMax="(.*?)" yMax="(.*?)">(.*?)</word>', page
            )
        ]
        assert words
        for left, top, right, bottom, word in words:
            # 16 and 13 mm of margin, in points
            assert left > 45, word
            assert right < 595.3 - 45, word
            assert top > 36, word
            assert bottom < 841.9 - 15, word
        for i, one in enumerate(words):
            for other in words[i + 1 :]:
                across = min(one[2], other[2]) - max(one[0], other[0])
                down = min(one[3], other[3]) - max(one[1], other[1])
                # lines of one paragraph touch: a font's box is higher than its letters
                assert across < 0.5 or down < 0.5 * (one[3] - one[1]), (one, other)


def test_the_html_says_the_same_and_needs_no_other_file(sheets: Path) -> None:
    html = (sheets / "vb-0002.html").read_text(encoding="utf-8")
    assert '<html lang="fr">' in html
    assert ">Ô Vy<" in html
    assert set(re.findall(r'href="(.*?)"', html)) == {TOWN.conference_url, "tel:+33199004242"}
    addresses = set(re.findall(r'(?:src|url)\s*[=(]\s*"?([a-z]+:[^")]*)', html))
    assert addresses
    assert {address.split(":")[0] for address in addresses} == {"data"}


@pytest.mark.parametrize("asset", ["vb-0001", "vb-0003"])
def test_the_code_leads_to_the_conference(asset: str, sheets: Path, tmp_path: Path) -> None:
    target = tmp_path / "page"
    subprocess.run(["pdftoppm", "-r", "150", "-png", sheets / f"{asset}.pdf", target], check=True)
    read = [
        code.text
        for page in sorted(tmp_path.glob("*.png"))
        for code in zxingcpp.read_barcodes(Image.open(page))
    ]
    assert read == [TOWN.conference_url]
    images = [
        image for page in pypdf.PdfReader(sheets / f"{asset}.pdf").pages for image in page.images
    ]
    assert images == []  # it is drawn, and not made of pixels


def test_what_a_town_has_not_is_left_out(tmp_path: Path) -> None:
    bare = Town(name="Valbourg", hotline="4000", language="fr", colours=TOWN.colours, tunnel=False)
    nobody = Sheet("vb-0009", "Ô Vy", "ovy")
    made(tmp_path, bare, [nobody])
    said = text_of(tmp_path / "vb-0009.pdf")
    for word in ("tunnel", "réunion", "http", "Mon poste", "téléphonique", "Internet", "voit"):
        assert word not in said, word
    assert "sans papier" in said
    assert re.findall(r"^(\d)$", said, re.MULTILINE) == ["1", "2"]


def test_the_slip_is_spoken_of_where_there_is_one(sheets: Path) -> None:
    assert "Le premier est sur le papier" in " ".join(text_of(sheets / "vb-0001.pdf").split())
    assert "sans papier" in " ".join(text_of(sheets / "vb-0002.pdf").split())


def test_english_and_the_words_of_the_town(tmp_path: Path) -> None:
    town = replace(
        TOWN, language="en", may=["take it to the garden;"], may_not=["feed it <after> midnight."]
    )
    made(tmp_path, town, [SHORT])
    said = " ".join(text_of(tmp_path / "vb-0002.pdf").split())
    assert "Your computer at home Ô Vy" in said
    assert "take it to the garden;" in said
    assert "feed it <after> midnight." in said
    assert "même à un proche" not in said
    french = re.compile(r"[çàùœ«»]|\b(votre|vous|le|la|les|une|et)\b")
    assert not french.findall(said.replace(TOWN.conference_title, ""))
    assert pypdf.PdfReader(tmp_path / "vb-0002.pdf").root_object["/Lang"] == "en"


def test_french_signs_stay_with_their_words(sheets: Path) -> None:
    html = re.sub(r"(?s)<style>.*?</style>", "", (sheets / "vb-0001.html").read_text("utf-8"))
    words = re.sub(r"<[^>]*>", "", html)
    assert "«\u00a0Mon poste\u00a0»" in words
    assert set(re.findall(r"(.)[;!?]", re.sub(r"&#?\w+;", "", words))) == {"\u202f"}
    assert set(re.findall(r"(.):(?!//)", words)) == {"\u00a0"}
    for line in text_of(sheets / "vb-0001.pdf").splitlines():
        assert not re.match(r"[:;!?»]", line), line
        assert not line.endswith("«"), line


def test_the_logo_of_the_town_is_shown(tmp_path: Path) -> None:
    logo = tmp_path / "logo.svg"
    logo.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9">'
        '<rect width="9" height="9" fill="#c00010"/></svg>'
    )
    made(tmp_path / "out", replace(TOWN, logo=str(logo)), [SHORT])
    pdf = tmp_path / "out/vb-0002.pdf"
    subprocess.run(["pdftoppm", "-r", "40", "-png", pdf, tmp_path / "page"], check=True)
    page = Image.open(tmp_path / "page-1.png").convert("RGB")
    assert (0xC0, 0, 0x10) in {page.getpixel((x, y)) for x in range(25, 60) for y in range(20, 45)}
    assert "Logo\u00a0: Valbourg" in [text for _, text in figures(pdf)]


# --- for a screen reader --------------------------------------------------------------------------


def elements(pdf: Path) -> Iterator[tuple[str, Any]]:
    """Yield each element of a PDF's structure in reading order: its kind and itself."""
    root = pypdf.PdfReader(pdf).root_object["/StructTreeRoot"]

    def below(node: Any) -> Iterator[tuple[str, Any]]:
        node = node.get_object()
        if isinstance(node, pypdf.generic.ArrayObject):
            for child in node:
                yield from below(child)
        elif isinstance(node, pypdf.generic.DictionaryObject):
            if "/S" in node:
                yield str(node["/S"]), node
            if "/K" in node:
                yield from below(node["/K"])

    yield from below(root["/K"])


def figures(pdf: Path) -> list[tuple[str, str]]:
    return [(kind, str(node.get("/Alt", ""))) for kind, node in elements(pdf) if kind == "/Figure"]


@pytest.mark.parametrize("name", ["vb-0001", "vb-0002", "vb-0003", "wave-1"])
def test_the_pdf_is_tagged(name: str, sheets: Path) -> None:
    pdf = sheets / f"{name}.pdf"
    root = pypdf.PdfReader(pdf).root_object
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "fr"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert b"<pdfuaid:part>1" in root["/Metadata"].get_data() or (
        b'pdfuaid:part="1"' in root["/Metadata"].get_data()
    )
    headings = [int(kind[2]) for kind, _ in elements(pdf) if re.fullmatch(r"/H\d", kind)]
    assert headings[0] == 1
    assert all(deeper - higher <= 1 for higher, deeper in itertools.pairwise(headings))
    alternatives = figures(pdf)
    assert alternatives
    assert all(
        text == f"Code QR de l\u2019adresse {TOWN.conference_url}" for _, text in alternatives
    )


def test_titles_name_the_person(sheets: Path) -> None:
    meta = pypdf.PdfReader(sheets / "vb-0002.pdf").metadata
    assert meta is not None
    assert meta.title == "Valbourg · vb-0002 · Ô Vy"


# --- a wave ---------------------------------------------------------------------------------------


def test_a_wave_is_printed_on_both_sides_after_a_list_to_sign(sheets: Path) -> None:
    pdf = sheets / "wave-1.pdf"
    pages = [" ".join(page.split()) for page in text_of(pdf).split("\f")[:-1]]
    assert len(pages) == 2 + 2 + 2 + 4  # the list and an empty side; recto and verso; large print
    assert pages[0].startswith("Vague 1\u00a0: remise") or pages[0].startswith("Vague 1 : remise")
    rows = "Cimetières Nuño Ÿbergué vb-0003 Ô Vy vb-0002 Direction de la maîtrise"
    assert rows in pages[0]
    assert pages[1] == ""
    order = [re.search(r"vb-\d+", page)[0] for page in pages[2:] if "à la maison" in page]  # type: ignore[index]
    assert order == ["vb-0003", "vb-0002", "vb-0001"]


def test_people_without_a_wave_have_their_own_file(tmp_path: Path) -> None:
    outcome = made(tmp_path, people=[replace(SHORT, wave=""), replace(LARGE, wave="12")])
    assert list(outcome.waves) == ["wave-12.pdf", "without-wave.pdf"]
    assert "Remise des ordinateurs" in text_of(tmp_path / "without-wave.pdf")


def test_a_long_list_keeps_recto_on_recto(tmp_path: Path) -> None:
    people = [replace(SHORT, asset=f"vb-{n:04}", name=f"{SHORT.name} {n:02}") for n in range(1, 25)]
    made(tmp_path, people=people)
    pages = text_of(tmp_path / "wave-1.pdf").split("\f")[:-1]
    first = next(n for n, page in enumerate(pages) if "à la maison" in page)
    assert first % 2 == 0
    assert len(pages) == first + 2 * len(people)
    assert all(person.name in "".join(pages[:first]) for person in people)


# --- made again, or not ---------------------------------------------------------------------------


def state(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {p.name: (p.stat().st_mtime_ns, p.read_bytes()) for p in directory.iterdir()}


def test_a_second_run_writes_nothing(sheets: Path) -> None:
    before = state(sheets)
    assert not made(sheets).changed
    assert state(sheets) == before


def test_the_same_sheet_is_the_same_bytes(sheets: Path, tmp_path: Path) -> None:
    made(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (sheets / path.name).read_bytes(), path.name


def test_check_mode_tells_and_writes_nothing(tmp_path: Path) -> None:
    outcome = workshop(tmp_path / "out").run(dry=True)
    assert sorted(outcome.written) == sorted(
        [f"{sheet.asset}.{kind}" for sheet in PEOPLE for kind in ("pdf", "html")] + ["wave-1.pdf"]
    )
    assert not (tmp_path / "out").exists()


def test_a_change_makes_again_what_it_concerns(tmp_path: Path) -> None:
    made(tmp_path)
    renamed = [LONG, replace(SHORT, name="Ô Vy-Durand"), LARGE]
    assert sorted(made(tmp_path, people=renamed).written) == [
        "vb-0002.html",
        "vb-0002.pdf",
        "wave-1.pdf",
    ]
    assert "Ô Vy-Durand" in text_of(tmp_path / "vb-0002.pdf")
    (tmp_path / "vb-0001.pdf").write_bytes(b"broken")
    (tmp_path / "vb-0003.html").unlink()
    assert sorted(made(tmp_path, people=renamed).written) == ["vb-0001.pdf", "vb-0003.html"]
    assert len(pypdf.PdfReader(tmp_path / "vb-0001.pdf").pages) == 2


def test_whoever_leaves_takes_their_sheet_along(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "notes.txt").write_text("somebody's own")
    outcome = made(tmp_path, people=[LONG, SHORT])
    assert outcome.removed == ["vb-0003.html", "vb-0003.pdf"]
    assert outcome.written == ["wave-1.pdf"]
    assert "Ÿbergué" not in text_of(tmp_path / "wave-1.pdf")
    assert (tmp_path / "notes.txt").exists()


def test_a_run_about_one_machine_leaves_waves_whole(tmp_path: Path) -> None:
    others = [replace(LARGE, asset="vb-0004", wave="2")]
    outcome = workshop(tmp_path, people=PEOPLE + others, assets=frozenset({"vb-0002"})).run()
    assert sorted(outcome.written) == ["vb-0002.html", "vb-0002.pdf", "wave-1.pdf"]
    assert len(pypdf.PdfReader(tmp_path / "wave-1.pdf").pages) == 10
    assert outcome.removed == []


def test_others_cannot_read_them(sheets: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in sheets.iterdir()} == {0o600}


# --- refused --------------------------------------------------------------------------------------


def test_a_sheet_that_does_not_fit_is_refused_by_name(tmp_path: Path) -> None:
    endless = replace(TOWN, may=["une ligne de plus, et encore une autre"] * 30)
    with pytest.raises(handout.HandoutError) as refused:
        made(tmp_path, endless, [SHORT])
    assert refused.value.faults == [
        "vb-0002: the sheet doesn't fit on 2 pages; shorten handout_may, handout_may_not or another"
        " text of the town"
    ]
    assert not list(tmp_path.glob("*.pdf"))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    town = replace(
        TOWN,
        hotline=" ",
        colours={**TOWN.colours, "accent": "#7fb2cc"},
        conference_url="visio.example.org",
        logo="/nowhere/logo.svg",
    )
    with pytest.raises(handout.HandoutError) as refused:
        made(tmp_path, town, [replace(SHORT, name="")])
    said = str(refused.value)
    for variable in (
        "handout_hotline is empty",
        "handout_colours.accent: #7fb2cc on paper",
        "handout_conference_url is 'visio.example.org'",
        "handout_logo: /nowhere/logo.svg is no file",
        "vb-0002: handout_name is missing",
    ):
        assert variable in said
    assert list(tmp_path.iterdir()) == []


def test_a_missing_part_is_told_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handout, "PROGRAM", "nomade.nothing")
    with pytest.raises(handout.HandoutError, match=r"^layout stopped \(.*\); type make setup"):
        made(tmp_path, people=[SHORT])
    # what a run leaves behind that was stopped is neither believed nor forgotten
    (tmp_path / "vb-0002.pdf").write_bytes(b"half")
    monkeypatch.undo()
    assert "vb-0002.pdf" in made(tmp_path, people=[SHORT]).written
    assert "vb-0002.pdf" in made(tmp_path, people=[LARGE]).removed


def test_nothing_is_fetched_for_a_sheet() -> None:
    page = '<html lang="en"><title>x</title><img src="file:///etc/hostname" alt="SECRET"></html>'
    document = handout_pdf.lay_out(page)
    assert len(document.pages) == 1  # and the picture was refused: its alternative is shown
    assert b"/XObject" not in handout_pdf.written(document, document.pages, "x").split(b"stream")[0]


# --- the slip -------------------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A town's keys, made by the real age, and a sealed first password."""
    folder = tmp_path / "keys"
    folder.mkdir()
    subprocess.run(["age-keygen", "-o", folder / "town.age"], capture_output=True, check=True)
    public = subprocess.run(
        ["age-keygen", "-y", folder / "town.age"], stdout=subprocess.PIPE, check=True
    ).stdout
    (folder / "town.age.pub").write_bytes(public)
    return folder


def test_a_slip_is_one_page_for_one_pair_of_eyes(keys: Path, tmp_path: Path) -> None:
    password = sealed.generate()
    record = tmp_path / "vb-0001.age"
    sealed.seal(password, keys / "town.age.pub", record)
    opened = handout_slip.unseal(record, keys / "town.age")
    assert opened == password
    pages = Pages(TEMPLATES, TOWN)
    slips = tmp_path / "slips"
    assert handout_slip.make(pages, LONG, opened, slips, dry=True)
    assert not slips.exists()
    assert handout_slip.make(pages, LONG, opened, slips)
    assert not handout_slip.make(pages, LONG, opened, slips)
    (slip,) = slips.iterdir()
    assert (slips.stat().st_mode & 0o777, slip.stat().st_mode & 0o777) == (0o700, 0o600)
    assert len(pypdf.PdfReader(slip).pages) == 1
    said = squeezed(text_of(slip))
    assert password in said
    assert squeezed(LONG.name) in said
    assert "20lettres,aucunchiffre" in said


def test_a_slip_has_what_opens_the_disk_of_a_rebuilt_machine(keys: Path, tmp_path: Path) -> None:
    first, disk = sealed.generate(), sealed.generate()
    records, asset, identity = tmp_path / "records", LONG.asset, keys / "town.age"
    sealed.seal(disk, keys / "town.age.pub", records / f"disk-passphrases/{asset}.age")
    # a first password that was replaced leaves the passphrase alone
    assert handout_slip.unseal_both(records, asset, identity) == ("", disk)
    sealed.seal(first, keys / "town.age.pub", records / f"first-passwords/{asset}.age")
    assert handout_slip.unseal_both(records, asset, identity) == (first, disk)
    pages = Pages(TEMPLATES, TOWN)
    for number, (password, shown) in enumerate([(first, [disk, first]), ("", [disk])]):
        slips = tmp_path / str(number)
        assert handout_slip.make(pages, LONG, password, slips, disk=disk)
        (slip,) = slips.iterdir()
        said = squeezed(text_of(slip))
        assert [secret for secret in (disk, first) if secret in said] == shown


def test_a_slip_says_why_it_is_refused(keys: Path, tmp_path: Path) -> None:
    record = tmp_path / "vb-0001.age"
    for expected in ("equip.yml for this machine first", "has replaced the first password"):
        with pytest.raises(handout_slip.SlipError, match=expected):
            handout_slip.unseal(record, keys / "town.age")
        record.with_suffix(".changed").touch()
    sealed.seal("secretsecret", keys / "town.age.pub", record)
    with pytest.raises(handout_slip.SlipError, match="private key is not there"):
        handout_slip.unseal(record, tmp_path / "nowhere")
    other = tmp_path / "other.age"
    subprocess.run(["age-keygen", "-o", other], capture_output=True, check=True)
    with pytest.raises(handout_slip.SlipError, match="doesn't open it") as refused:
        handout_slip.unseal(record, other)
    assert "secretsecret" not in str(refused.value)
