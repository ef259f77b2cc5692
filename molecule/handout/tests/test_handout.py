"""A sheet can't lie: what is printed is compared with the machine that was equipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
SHEETS = RUN / "var" / "handout"
SLIPS = RUN / "var" / "slips"
IDENTITY = RUN / "keys" / "town.age"
HERE = Path(__file__).parent
APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"  # ours; names keep that of the register
INVENTORY = yaml.safe_load((HERE.parent / "inventory/hosts.yml").read_text(encoding="utf-8"))
MACHINES: dict[str, dict[str, Any]] = INVENTORY["workstations"]["hosts"]
TOWN: dict[str, Any] = INVENTORY["workstations"]["vars"]

Playbook = Callable[..., subprocess.CompletedProcess[str]]
each_machine = pytest.mark.parametrize("name", list(MACHINES))


def text_of(pdf: Path) -> str:
    """Return what a PDF says, in the order in which it is written, with single spaces."""
    done = subprocess.run(
        ["pdftotext", "-raw", str(pdf), "-"], stdout=subprocess.PIPE, text=True, check=True
    )
    return " ".join(done.stdout.split())


def squeezed(text: str) -> str:
    """Return a text without spaces: a line may end at the hyphen of a word."""
    return "".join(text.split())


def printed(name: str, label: str) -> str:
    """Return the value that the sheet prints beneath a label."""
    labels = "Votre identifiant|Votre ordinateur|Votre poste téléphonique|Les premiers gestes"
    found = re.search(rf"{label} (?!à la maison)(.*?) (?:{labels}|Un doute)", text_of(pdf(name)))
    assert found, f"{label} is not printed for {name}"
    return found[1]


def pdf(name: str) -> Path:
    return SHEETS / f"{name}.pdf"


def secret(name: str) -> str:
    """Return a first password as whoever holds the town's private key reads it."""
    record = RUN / "records/first-passwords" / f"{name}.age"
    return subprocess.run(
        ["age", "--decrypt", "--identity", str(IDENTITY), str(record)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


# --- what is printed, on the machine --------------------------------------------------------------


@each_machine
def test_the_login_is_an_account_of_that_name(name: str, machine: Callable[[str], Any]) -> None:
    login = printed(name, "Votre identifiant")
    entry = machine(name).run("getent passwd %s", login)
    assert entry.rc == 0, f"{login} is no account of {name}"
    full_name = entry.stdout.split(":")[4].split(",")[0]
    assert squeezed(full_name) in squeezed(text_of(pdf(name)))
    assert full_name == MACHINES[name]["fleet_assignee_name"]


@each_machine
def test_the_machine_has_the_printed_name(name: str, machine: Callable[[str], Any]) -> None:
    assert printed(name, "Votre ordinateur").startswith(machine(name).check_output("hostname"))
    assert MACHINES[name]["fleet_model"] in printed(name, "Votre ordinateur")


@each_machine
def test_the_hotline_is_the_one_that_the_machine_shows(
    name: str, machine: Callable[[str], Any]
) -> None:
    hotline = machine(name).check_output("cat /etc/nomade/hotline")
    assert f"Appelez-nous. {hotline} Dites le nom de l{APOSTROPHE}ordinateur : {name}" in text_of(
        pdf(name)
    )


@each_machine
def test_the_first_password_has_a_slip_and_must_be_changed(
    name: str, machine: Callable[[str], Any]
) -> None:
    assert "vous en fera aussitôt choisir un autre" in text_of(pdf(name))
    login = printed(name, "Votre identifiant")
    ageing = machine(name).check_output("sudo LC_ALL=C chage --list %s", login)
    assert "Last password change\t\t\t\t\t: password must be changed" in ageing


@each_machine
def test_what_people_may_do_they_can(name: str, machine: Callable[[str], Any]) -> None:
    said = text_of(pdf(name))
    login = printed(name, "Votre identifiant")
    groups = set(machine(name).check_output("id --name --groups %s", login).split())
    assert f"choisir n{APOSTROPHE}importe quel Wi-Fi" in said
    assert "netdev" in groups
    assert "brancher votre imprimante" in said
    assert "lpadmin" in groups
    assert "il se met à jour tout seul" in said
    assert machine(name).service("apt-daily-upgrade.timer").is_enabled
    assert "installer de logiciels : demandez-nous" in said
    refused = machine(name).run("sudo --login --user=%s -- sudo --non-interactive true", login)
    assert refused.rc != 0
    assert not groups & {"sudo", "adm", "root"}


def test_what_a_person_or_a_machine_has_not_is_not_printed() -> None:
    assert (
        printed("debian12", "Votre poste téléphonique") == MACHINES["debian12"]["fleet_extension"]
    )
    assert "poste téléphonique" not in text_of(pdf("debian13"))
    for name in MACHINES:  # its capabilities vpn_client, conference_client, self_service are off
        for word in ("tunnel", "voyant", "Mon poste", "dans le menu"):
            assert word not in text_of(pdf(name)), word
        assert f"Tapez cette adresse dans le navigateur : {TOWN['conference_url']}" in text_of(
            pdf(name)
        )


def test_the_wave_is_whole_and_sorted_by_department() -> None:
    said = text_of(SHEETS / "wave-1.pdf")
    names = [squeezed(facts["fleet_assignee_name"]) for facts in MACHINES.values()]
    places = [squeezed(said).index(name) for name in names]
    assert places == sorted(places)  # Action sociale, Maîtrise d'œuvre
    assert said.startswith("Vague 1 : remise des ordinateurs 2 personnes.")
    assert "Nom Ordinateur Date Signature Action sociale" in said


# --- secrets --------------------------------------------------------------------------------------


@pytest.fixture
def slips() -> Iterator[Path]:
    """The directory of slips: empty, and shredded afterwards."""
    shutil.rmtree(SLIPS, ignore_errors=True)
    yield SLIPS
    shutil.rmtree(SLIPS)


def searched(path: Path) -> str:
    """Return all that a file could tell: its bytes, and what a PDF says once it is unpacked."""
    text = path.read_bytes().decode("latin-1")
    if path.suffix == ".pdf":
        text += text_of(path)
    return squeezed(text)


def test_no_sheet_holds_a_password() -> None:
    files = [path for path in SHEETS.iterdir() if path.is_file()]
    assert len(files) == 2 * len(MACHINES) + 2  # PDF and HTML, the wave, the record of what is made
    for password in map(secret, MACHINES):
        for file in files:
            assert password not in searched(file), file
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    assert SHEETS.stat().st_mode & 0o777 == 0o700


def test_a_slip_holds_one_password_and_nothing_else_tells_it(
    playbook: Playbook, slips: Path
) -> None:
    password = secret("debian13")
    seen: set[str] = set()
    running = threading.Event()
    running.set()

    def watch() -> None:
        while running.is_set():
            for arguments in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(arguments.read_text(errors="replace"))
                except OSError:  # it has ended meanwhile
                    continue
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        done = playbook("slip.yml", "-vvv", slip="debian13", identity=str(IDENTITY))
    finally:
        running.clear()
        watcher.join()
    assert done.returncode == 0
    slip = slips / "debian13.pdf"
    assert password in squeezed(text_of(slip))
    assert MACHINES["debian13"]["fleet_assignee_login"] in text_of(slip)
    assert secret("debian12") not in searched(slip)
    assert [path.name for path in slips.iterdir()] == ["debian13.pdf"]
    assert (slip.stat().st_mode & 0o777, slips.stat().st_mode & 0o777) == (0o600, 0o700)
    assert f"shred --remove {slip}" in done.stdout
    assert password not in done.stdout + done.stderr
    assert any("slip.yml" in arguments for arguments in seen)  # the watcher did see processes
    assert not any(password in arguments for arguments in seen)


def test_a_slip_opens_the_machine(
    machine: Callable[[str], Any], playbook: Playbook, slips: Path
) -> None:
    assert playbook("slip.yml", slip="debian12", identity=str(IDENTITY)).returncode == 0
    said = text_of(slips / "debian12.pdf")
    login = re.search(r"Identifiant (\S+) ", said)
    words = re.search(r" ((?:[a-z]{5} ){4})À taper", said)
    assert login, said
    assert words, said
    hashed = machine("debian12").check_output("sudo getent shadow %s", login[1]).split(":")[1]
    again = machine("debian12").run(
        "perl -e 'chomp(my $p = <STDIN>); print crypt($p, $ARGV[0])' -- %s <<< %s",
        hashed,
        squeezed(words[1]),
    )
    assert again.stdout == hashed


@pytest.mark.parametrize(
    ("slip", "identity", "said"),
    [
        ("debian11", IDENTITY, 'handout_slip is "debian11", no machine of this run'),
        ("debian13", RUN / "nowhere", "the town's private key is not there"),
        ("debian13", RUN / "id_ed25519", "doesn't open it"),
    ],
)
def test_a_slip_is_refused_in_one_sentence(
    slip: str, identity: Path, said: str, playbook: Playbook
) -> None:
    done = playbook("slip.yml", slip=slip, identity=str(identity))
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


# --- everybody can read it ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def validator() -> list[str]:
    """The command of veraPDF, from Maven's cache or through it."""
    jars = HERE.parents[2] / "var" / "pdfua"
    pom = HERE.parent / "pdfua" / "pom.xml"
    subprocess.run(
        ["mvn", "-q", "-f", pom, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"],
        check=True,
    )
    return ["java", "-cp", f"{jars}/*", str(HERE.parent / "pdfua" / "Validate.java")]


def test_every_pdf_is_tagged_as_pdf_ua_says(
    validator: list[str], playbook: Playbook, slips: Path
) -> None:
    assert playbook("slip.yml", slip="debian13", identity=str(IDENTITY)).returncode == 0
    english = RUN / "english"
    shown = playbook(
        "sheets.yml",
        handout_language="en",
        handout_dir=str(english),
        handout_tunnel=True,
        handout_light=True,
        handout_desk="My computer",
    )
    assert shown.returncode == 0
    files = [*SHEETS.glob("*.pdf"), slips / "debian13.pdf", *english.glob("*.pdf")]
    done = subprocess.run(
        [*validator, *map(str, files)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": PDF/UA-1, ") == len(files) == 7


# --- alone, and away ------------------------------------------------------------------------------


def test_the_role_works_without_the_rest(tmp_path: Path, run_alone: Callable[[], str]) -> None:
    said = run_alone()
    assert "handout/without-wave.pdf" not in said  # names only, the directory once
    assert "without-wave.pdf" in said
    assert "Ô Vy" in text_of(tmp_path / "handout" / "laptop-1.pdf")
    assert "Maÿlis L'Hauÿ" in text_of(tmp_path / "handout" / "laptop-2.pdf")
    assert "changed=0" in run_alone()


@pytest.fixture
def run_alone(tmp_path: Path) -> Callable[[], str]:
    """Run the playbook of ten lines on an inventory of its user's, with none of our group_vars."""
    people = {"laptop-1": ("Ô Vy", "ovy"), "laptop-2": ("Maÿlis L'Hauÿ", "mlhauy")}
    hosts = {
        host: {"handout_name": name, "handout_login": login}
        for host, (name, login) in people.items()
    }
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")

    def run() -> str:
        done = subprocess.run(
            ["ansible-playbook", f"--inventory={inventory}", str(HERE / "alone.yml")],
            cwd=HERE.parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_sheets_and_slips_can_be_taken_back(playbook: Playbook, tmp_path: Path) -> None:
    places = {"handout_dir": f"{tmp_path}/handout", "handout_slips_dir": f"{tmp_path}/slips"}
    made = playbook("slip.yml", slip="debian13", identity=str(IDENTITY), **places)
    assert made.returncode == 0
    assert list(tmp_path.iterdir()) == [tmp_path / "slips"]
    assert playbook("absent.yml", **places).returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert SHEETS.is_dir()
