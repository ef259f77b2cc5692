"""Two laptops, a gateway and a town hall of real servers: what people work with, one click away.

Commands go through the container engine where they cut the tunnel or need a session of their own:
`su --login` from there is a login as PAM knows it, which starts the person's systemd.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
LAPTOPS = ["laptop12", "laptop13"]
PERSON = "edurand"
PASSWORD = "Azur-et-brume-42"
COMMON = "smb://fichiers.valbourg.example/commun"
PLANS = "smb://fichiers.valbourg.example/urbanisme/plans%20cadastraux"
BOOKMARKS = ".config/gtk-3.0/bookmarks"
LINK_CHECK = "link-{{ link.name }}"  # as the definition is written

Playbook = Callable[..., subprocess.CompletedProcess[str]]
WaitUntil = Callable[..., float]
each_laptop = pytest.mark.parametrize("laptop", LAPTOPS)


def podman(*arguments: str, check: bool = True, given: bytes | None = None) -> bytes:
    done = subprocess.run(
        [ROOT / "rig/podman", *arguments], capture_output=True, input=given, check=False
    )
    assert not check or done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def inside(machine: str, command: str, check: bool = True, given: bytes | None = None) -> str:
    """Run a command as root by way of the container engine, not of the network."""
    name = f"nomade-links-{machine}"
    return podman("exec", "-i", name, "sh", "-c", command, check=check, given=given).decode()


def as_person(laptop: str, command: str, check: bool = True, given: bytes | None = None) -> str:
    """Log the person in, and run a command in their session."""
    return inside(laptop, f"su --login {PERSON} -c {shlex.quote(command)} 2>&1", check, given)


def checks(laptop: str, language: str = "C.UTF-8") -> dict[str, dict[str, Any]]:
    report = inside(laptop, f"LANG={language} nomade-check --json --capability links", check=False)
    return {check["name"]: check for check in json.loads(report)["checks"]}


def check_of(link: str) -> str:
    return LINK_CHECK.replace("{{ link.name }}", link)


@contextmanager
def broken(machine: str, breaking: str, mending: str) -> Iterator[None]:
    try:
        inside(machine, breaking)
        yield
    finally:
        inside(machine, mending)


@contextmanager
def logged_in(laptop: str) -> Iterator[None]:
    """Keep a session open, as a person who works."""
    shell = ["su", "--login", PERSON, "-c", "read x"]
    session = subprocess.Popen(
        [ROOT / "rig/podman", "exec", "-i", f"nomade-links-{laptop}", *shell],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        session.communicate(b"\n", timeout=20)


def log_out(laptop: str, wait_until: WaitUntil) -> None:
    """End the person's session and wait until their systemd is gone."""
    inside(laptop, f"loginctl terminate-user {PERSON}", check=False)
    alive = f"systemctl is-active user@$(id -u {PERSON}).service"
    wait_until(lambda: inside(laptop, alive, check=False).strip() in ("inactive", "failed"))


# --- all is well, and each check red with its remedy, then green again ---------------------------


@each_laptop
def test_all_is_well(laptop: str) -> None:
    found = checks(laptop)
    assert {n: c["message"] for n, c in found.items() if c["status"] != "OK"} == {}
    own = {"laptop12": ["etat-civil", "webmail"], "laptop13": ["plans", "courriel"]}[laptop]
    links = {check_of(name) for name in ["intranet", "commun", *own]}
    assert set(found) == links | {"links-programs", "links-mail", "links-printers"}
    assert all("through the tunnel" in found[name]["message"] for name in links)


def expect(laptop: str, name: str, says: str, dit: str, remedy: str, status: str) -> None:
    """Compare a check in both languages, the links that are well included."""
    english, french = checks(laptop), checks(laptop, "fr_FR.UTF-8")
    assert (english[name]["status"], says in english[name]["message"]) == (status, True), english
    assert dit in french[name]["message"]
    assert remedy in english[name]["remedy"]["fr"]
    assert english[name]["remedy"]["en"] != english[name]["remedy"]["fr"]


# machine, check, what breaks it, what mends it, what it says in English and in French, its remedy
BROKEN = [
    (
        "laptop12",
        check_of("intranet"),
        "systemctl stop nginx",
        "systemctl start nginx",
        "Intranet: intranet.valbourg.example does not answer on TCP 443 through the tunnel",
        'L\'"intranet" de la mairie : intranet.valbourg.example ne répond pas sur TCP 443',
        "le serveur web nommé est-il en marche",
    ),
    (
        "laptop13",
        check_of("plans"),
        "systemctl stop smbd",
        "systemctl start smbd",
        "fichiers.valbourg.example does not answer on TCP 445 through the tunnel",
        "Plans cadastraux : fichiers.valbourg.example ne répond pas sur TCP 445 par le tunnel",
        "le serveur de fichiers nommé est-il en marche",
    ),
    (
        "laptop13",
        check_of("commun"),
        "systemctl stop smbd && systemd-run --collect --unit=other-445"
        " socat TCP-LISTEN:445,fork EXEC:cat",
        "systemctl stop other-445; systemctl start smbd",
        "Everybody's files: fichiers.valbourg.example does not speak its protocol on TCP 445",
        "Dossiers communs : fichiers.valbourg.example ne parle pas son protocole",
        "le serveur parle-t-il SMB 2 ou 3",
    ),
    (
        "laptop12",
        check_of("etat-civil"),
        "systemctl stop xrdp",
        "systemctl start xrdp",
        "etat-civil.valbourg.example does not answer on TCP 3389",
        "Logiciel d'état civil : etat-civil.valbourg.example ne répond pas",
        "le bureau à distance y est-il autorisé",
    ),
    (
        "laptop13",
        check_of("courriel"),
        "systemctl stop dovecot",
        "systemctl start dovecot",
        "Mail: imap.valbourg.example does not answer on TCP 993",
        "Courriel : imap.valbourg.example ne répond pas sur TCP 993",
        "le serveur de messagerie nommé est-il en marche",
    ),
    (
        "laptop12",
        "links-mail",
        "systemctl stop postfix",
        "systemctl start postfix",
        "smtp.valbourg.example does not answer on TCP 465",
        "smtp.valbourg.example ne répond pas sur TCP 465",
        "le serveur de messagerie nommé est-il en marche",
    ),
    (
        "laptop13",
        "links-printers",
        "systemctl stop townhall-printer",
        "systemctl start townhall-printer",
        "Imprimante de l'accueil: imprimante.valbourg.example does not answer on TCP 631",
        "Imprimante de l'accueil : imprimante.valbourg.example ne répond pas",
        "L'imprimante est-elle allumée",
    ),
]


@pytest.mark.parametrize(
    ("laptop", "name", "breaks", "mends", "says", "dit", "remedy"),
    BROKEN,
    ids=[f"{case[1]}-{case[2].split()[2]}" for case in BROKEN],
)
def test_check_of_a_server(
    laptop: str,
    name: str,
    breaks: str,
    mends: str,
    says: str,
    dit: str,
    remedy: str,
    wait_until: WaitUntil,
) -> None:
    with broken("townhall", breaks, mends):
        expect(laptop, name, says, dit, remedy, "CRITICAL")
    wait_until(lambda: checks(laptop)[name]["status"] == "OK")


@pytest.mark.parametrize(
    ("certificate", "status", "says", "dit"),
    [
        ("ending", "WARNING", "runs out in 4 days", "expire dans 4 jours"),
        ("foreign", "CRITICAL", "is refused", "est refusé"),
    ],
)
def test_check_of_the_certificates(
    certificate: str, status: str, says: str, dit: str, wait_until: WaitUntil
) -> None:
    use = "cd /srv/tls && ln -sf {0}.pem server.pem && ln -sf {0}.key server.key"
    use += " && systemctl reload nginx dovecot && systemctl restart postfix"
    names = {"laptop12": ["intranet", "webmail"], "laptop13": ["intranet", "courriel"]}
    with broken("townhall", use.format(certificate), use.format("good")):
        for laptop, links in names.items():
            for name in [*map(check_of, links), "links-mail"]:
                wait_until(lambda x=laptop, n=name: checks(x)[n]["status"] == status, seconds=10)
                expect(laptop, name, says, dit, "links_ca", status)
    for laptop in LAPTOPS:
        wait_until(lambda x=laptop: {c["status"] for c in checks(x).values()} == {"OK"})


@each_laptop
def test_checks_without_the_tunnel(laptop: str, wait_until: WaitUntil) -> None:
    """A way beside the tunnel doesn't count, and without the town's DNS no name is found."""
    past = "$(getent hosts intranet.valbourg.example | cut -d ' ' -f 1)"
    go = f"ip route replace {past} dev eth0"
    with broken(laptop, go, f"ip route replace {past} dev wg0"):
        for name in ("intranet", "commun"):
            expect(laptop, check_of(name), "is not reached through the tunnel",
                   "n'est pas joint par le tunnel", "Si le tunnel va bien", "CRITICAL")  # fmt: skip
    with broken(laptop, "systemctl stop wg-quick@wg0", "systemctl start wg-quick@wg0"):
        expect(laptop, check_of("intranet"), "intranet.valbourg.example cannot be looked up",
               "intranet.valbourg.example est introuvable", "links_ca", "CRITICAL")  # fmt: skip
    wait_until(lambda: {c["status"] for c in checks(laptop).values()} == {"OK"}, seconds=30)


@each_laptop
def test_check_of_the_launchers(laptop: str) -> None:
    program = {"laptop12": "/usr/bin/remmina", "laptop13": "/usr/bin/thunderbird"}[laptop]
    title = {"laptop12": "Logiciel d'état civil", "laptop13": "Courriel"}[laptop]
    with broken(laptop, f"mv {program} {program}.away", f"mv {program}.away {program}"):
        expect(laptop, "links-programs", program.rpartition("/")[2],
               f"ne peuvent s'ouvrir : {title}", "--tags links", "CRITICAL")  # fmt: skip
    assert checks(laptop)["links-programs"]["status"] == "OK"


# --- launchers -----------------------------------------------------------------------------------


@each_laptop
def test_each_department_has_its_own_launchers(laptop: str) -> None:
    folder = "/usr/local/share/applications"
    found = inside(laptop, f"cd {folder} && ls nomade-link-*").split()
    own = {"laptop12": ["etat-civil", "webmail"], "laptop13": ["courriel", "plans"]}[laptop]
    assert found == [f"nomade-link-{n}.desktop" for n in sorted(["intranet", "commun", *own])]
    inside(laptop, f"desktop-file-validate {folder}/nomade-link-*.desktop")


@each_laptop
def test_the_launcher_of_a_page_opens_it_in_the_browser(laptop: str) -> None:
    """xdg-open is the real one; the browser is one that writes down what it is to open."""
    inside(laptop, "printf '#!/bin/sh\\necho \"$1\" > ~/opened\\n' > /run/browser"
                   " && chmod 755 /run/browser")  # fmt: skip
    launcher = "/usr/local/share/applications/nomade-link-intranet.desktop"
    as_person(laptop, f"rm -f opened; BROWSER=/run/browser gio launch {launcher}")
    opened = as_person(laptop, "for i in 1 2 3 4 5; do cat opened && break; sleep 1; done")
    assert opened.splitlines()[-1] == "https://intranet.valbourg.example/?from=menu&lang=fr%20FR"


# A session's screen, for a while; what is run in it is the real thing.
SCREEN = """
Xvfb :7 -screen 0 1024x768x24 -nolisten tcp > /dev/null 2>&1 & screen=$!
export DISPLAY=:7; for i in $(seq 50); do xdotool key Shift && break; sleep 0.1; done
dbus-update-activation-environment --systemd DISPLAY
{run}
kill $screen
"""


def test_the_launcher_of_a_share_opens_it_in_the_file_manager() -> None:
    """Xfce's Thunar, started by the desktop's own interface; the window bears the folder's name."""
    launcher = "/usr/local/share/applications/nomade-link-commun.desktop"
    run = f"gio launch {launcher}; for i in $(seq 40); do sleep 0.5;"
    run += (
        " xdotool search --name commun && xdotool search --name . getwindowname %@ && break; done"
    )
    run += "; thunar --quit"
    said = mount("laptop12", COMMON, SCREEN.format(run=run))
    assert "commun on fichiers.valbourg.example - Thunar" in said, said


def test_the_launcher_of_a_remote_desktop_connects() -> None:
    since = f"@{int(time.time())}"
    launcher = "/usr/local/share/applications/nomade-link-etat-civil.desktop"
    run = f"gio launch {launcher} & for i in $(seq 40); do sleep 0.5;"
    run += f" xdotool search --name etat-civil && break; done; sleep 3; pkill -u {PERSON} remmina"
    said = as_person("laptop12", SCREEN.format(run=run), check=False)
    logged = inside("townhall", f"journalctl -u xrdp --since {since} -o cat")
    assert "Connected client computer name: laptop12" in logged, said + logged


# --- shares, as the person -----------------------------------------------------------------------


def mount(laptop: str, share: str, after: str) -> str:
    """Mount a share with name and password, run what comes after in the same session."""
    answers = f"{PERSON}\\nMAIRIE\\n{PASSWORD}\\n"
    return as_person(laptop, f"printf '{answers}' | timeout 20 gio mount {share}; {after}", False)


@each_laptop
def test_a_share_is_read_through_the_tunnel(laptop: str, wait_until: WaitUntil) -> None:
    read = f"gio cat {COMMON}/bonjour.txt; gio mount --unmount {COMMON}"
    assert "Bonjour à tous" in mount(laptop, COMMON, read)
    with broken(laptop, "systemctl stop wg-quick@wg0", "systemctl start wg-quick@wg0"):
        said = mount(laptop, COMMON, read)
        assert "Bonjour" not in said
    wait_until(lambda: checks(laptop)[check_of("commun")]["status"] == "OK", seconds=30)
    wrong = as_person(
        laptop, f"printf 'x\\ny\\nz\\n' | timeout 20 gio mount {COMMON}; {read}", False
    )
    assert "Bonjour" not in wrong


def test_programs_that_know_no_shares_read_them_as_files() -> None:
    """gvfs-fuse: what LibreOffice and the like open a share's documents through."""
    place = "$XDG_RUNTIME_DIR/gvfs/*server=fichiers.valbourg.example,share=urbanisme*"
    share = PLANS.rpartition("/")[0]
    read = f"cd {place} && cat 'plans cadastraux'/parcelle.txt && echo vu > vu.txt; cd"
    said = mount("laptop13", share, f"{read}; gio mount --unmount {share}")
    assert "Parcelle AB 42" in said
    assert inside("townhall", "cat /srv/urbanisme/vu.txt") == "vu\n"


# --- bookmarks -----------------------------------------------------------------------------------


OWN = ["file:///srv/photos Mes photos", "smb://nas/chez-moi"]


def bookmarks(laptop: str) -> list[str]:
    return inside(laptop, f"cat ~{PERSON}/{BOOKMARKS}").splitlines()


def arrange(laptop: str, lines: list[str]) -> None:
    """Let the person put their bookmarks in order."""
    text = "".join(f"{line}\n" for line in lines)
    inside(laptop, f"cat > ~{PERSON}/{BOOKMARKS}", given=text.encode())


@pytest.fixture
def new_person(wait_until: WaitUntil) -> Iterator[None]:
    """Give the person a file manager with two bookmarks of their own, and no past."""
    for laptop in LAPTOPS:
        log_out(laptop, wait_until)
        inside(laptop, f"rm -rf ~{PERSON}/.config/gtk-3.0 ~{PERSON}/.local/state/nomade")
        mine = f"-o {PERSON} -g {PERSON}"
        inside(laptop, f"cd ~{PERSON} && install {mine} -d .config .config/gtk-3.0"
                       f" && install {mine} -m 640 /dev/null {BOOKMARKS}")  # fmt: skip
        arrange(laptop, OWN)
    yield
    for laptop in LAPTOPS:
        log_out(laptop, wait_until)


def test_bookmarks_follow_the_town_and_leave_the_person_in_peace(
    new_person: None, playbook: Playbook, wait_until: WaitUntil
) -> None:
    ours = {"laptop12": [f"{COMMON} Everybody's files"]}
    ours["laptop13"] = [*ours["laptop12"], f"{PLANS} Plans cadastraux"]
    for laptop in LAPTOPS:  # the first login
        as_person(laptop, "true")
        wait_until(lambda x=laptop: bookmarks(x) == OWN + ours[x], seconds=10)
        rights = inside(laptop, f"stat -c '%U %a' ~{PERSON}/{BOOKMARKS}").split()
        assert rights == [PERSON, "640"]

    # The person throws one out, renames another, and puts a third in order: so it stays.
    mine = [f"{PLANS} Mes plans", *reversed(OWN)]
    arrange("laptop13", mine)
    log_out("laptop13", wait_until)
    with logged_in("laptop13"):
        time.sleep(3)
        assert bookmarks("laptop13") == mine

    # The town renames one share, drops another and adds a third, while the person is at work.
    changed = [
        {"name": "commun", "kind": "smb", "address": COMMON, "title": "Town's files"},
        {"name": "neuf", "kind": "smb", "address": f"{COMMON}/neuf", "title": "New"},
    ]
    with logged_in("laptop12"), logged_in("laptop13"):
        for laptop in LAPTOPS:
            asked = f"systemctl --user -M {PERSON}@ is-active nomade-bookmarks.path"
            wait_until(lambda x=laptop, c=asked: inside(x, c, check=False) == "active\n")
        done = playbook("converge.yml", links_entries=changed, links_mail_client="none")
        assert done.returncode == 0
        now = [f"{COMMON} Town's files", f"{COMMON}/neuf New"]
        wait_until(lambda: bookmarks("laptop12") == OWN + now, seconds=10)
        wait_until(lambda: bookmarks("laptop13") == [*mine, now[1]], seconds=10)
    assert playbook("converge.yml").returncode == 0


# --- mail ----------------------------------------------------------------------------------------


THUNDERBIRD = """
cd {profile}; touch started
thunderbird --headless --profile "$PWD" & it=$!
for i in $(seq 80); do
    sleep 0.5; [ prefs.js -nt started ] && grep -q proposed prefs.js && break
done
sleep 4; kill $it; wait $it; cat prefs.js
"""


def prefs(profile: str) -> dict[str, Any]:
    """Start Thunderbird as the person, end it, and return what it has written into the profile."""
    text = as_person("laptop13", THUNDERBIRD.format(profile=profile), check=False)
    lines = [line for line in text.splitlines() if line.startswith("user_pref(")]
    return dict(json.loads(f"[{line[len('user_pref(') : -2]}]") for line in lines)


def test_thunderbird_has_the_persons_account() -> None:
    as_person("laptop13", "rm -rf new && mkdir new")
    found = prefs("new")
    account = found["mail.accountmanager.defaultaccount"]
    assert account in found["mail.accountmanager.accounts"].split(",")
    server = found[f"mail.account.{account}.server"]
    identity = found[f"mail.account.{account}.identities"]
    smtp = found[f"mail.identity.{identity}.smtpServer"]
    assert found[f"mail.identity.{identity}.fullName"] == "Éléonore d'Urand"
    assert found[f"mail.identity.{identity}.useremail"] == "e.durand@valbourg.example"
    assert found[f"mail.server.{server}.hostname"] == "imap.valbourg.example"
    assert found[f"mail.server.{server}.userName"] == "e.durand@valbourg.example"
    assert found[f"mail.smtpserver.{smtp}.hostname"] == "smtp.valbourg.example"
    assert found[f"mail.smtpserver.{smtp}.port"] == 465
    # the town's authority is among the certificates that this profile trusts
    assert "matches" in as_person("laptop13", "grep -qa Valbourg new/cert9.db && echo matches")


def test_what_the_person_makes_of_the_account_stays() -> None:
    """A second start adds nothing, an account that was removed stays away."""
    as_person("laptop13", "rm -rf kept && mkdir kept")
    first = prefs("kept")
    again = prefs("kept")
    proposed = [n for n in again if again[n] == "imap.valbourg.example" and n.endswith("hostname")]
    assert len(proposed) == 1
    gone = first["mail.accountmanager.defaultaccount"]
    left = [a for a in first["mail.accountmanager.accounts"].split(",") if a != gone]
    of_account = rf"mail\.account\.{gone}|mail\.identity\."
    of_account += rf"|mail\.server\.{first[f'mail.account.{gone}.server']}"
    accounts = f's/accounts", ".*"/accounts", "{",".join(left)}"/'
    as_person("laptop13", f"sed -Ei '/{of_account}/d; {accounts}' kept/prefs.js")
    again = prefs("kept")
    assert again["mail.accountmanager.accounts"].split(",") == left
    assert not [name for name in again if name.startswith("mail.identity.")]


# --- printers ------------------------------------------------------------------------------------

PDF = """%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [3 0 R] /Count 1>> endobj
3 0 obj <</Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R
 /Resources <</Font <</F <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>>>>>>> endobj
4 0 obj <</Length {}>> stream
{}
endstream endobj
trailer <</Root 1 0 R>>
"""


def document(text: str) -> bytes:
    page = f"BT /F 24 Tf 72 700 Td ({text}) Tj ET"
    return PDF.format(len(page), page).encode("latin-1")


@each_laptop
def test_a_document_is_printed(laptop: str, wait_until: WaitUntil) -> None:
    """As the person, to the default printer; then what the printer received is looked at."""
    assert "accueil" in as_person(laptop, "lpstat -d")
    inside("townhall", "rm -f /srv/printed/*")
    text = f"Permis de construire {laptop}"
    as_person(laptop, "cat > permis.pdf && lp permis.pdf", given=document(text))
    wait_until(lambda: inside("townhall", "ls /srv/printed").strip() != "", seconds=30)
    time.sleep(1)
    received = podman("exec", "nomade-links-townhall", "sh", "-c", "cat /srv/printed/*")
    assert received.startswith(b"%PDF")
    assert text in inside(laptop, "pdftotext - -", given=received)


def test_printers_of_others_stay_and_ours_come_back(wait_until: WaitUntil) -> None:
    """The person may set up printers (and take ours away: it is back after the next start)."""
    inside("laptop13", "lpadmin -p maison -E -v ipp://192.0.2.1/ipp/print -m raw || "
                       "lpadmin -p maison -E -v ipp://192.0.2.1/ipp/print")  # fmt: skip
    inside("laptop13", "lpadmin -d maison && lpadmin -x accueil")
    expect("laptop13", "links-printers", "Imprimante de l'accueil: not set up yet",
           "pas encore installée", "restart cups nomade-printers", "CRITICAL")  # fmt: skip
    inside("laptop13", "systemctl restart nomade-printers")
    wait_until(lambda: checks("laptop13")["links-printers"]["status"] == "OK")
    assert "maison" in inside("laptop13", "lpstat -v")


def test_a_printer_that_is_off_comes_later(playbook: Playbook, wait_until: WaitUntil) -> None:
    """A run doesn't fail for a printer that is off; its queue is made when it is on again."""
    with broken("townhall", "systemctl stop townhall-printer", "systemctl start townhall-printer"):
        inside("laptop12", "lpadmin -x accueil; systemctl restart nomade-printers")
        assert "accueil" not in inside("laptop12", "lpstat -v 2>&1", check=False)
        assert inside("laptop12", "systemctl is-active nomade-printers") == "active\n"
    seconds = wait_until(lambda: checks("laptop12")["links-printers"]["status"] == "OK", seconds=45)
    print(f"\nthe printer was set up {seconds:.1f} s after it had been switched on")


# --- settings that could not work ----------------------------------------------------------------

WRONG_LINKS = [{"name": "A b", "kind": "https", "address": "https://x/", "title": "two\nlines"}]
WRONG: list[tuple[dict[str, object], list[str]]] = [
    # what a run refuses, it refuses all at once
    (
        {
            "links_entries": WRONG_LINKS,
            "links_mail_address": "",
            "links_mail_incoming": "pop3://x",
            "links_mail_outgoing": "",
            "links_printers": [{"name": n, "uri": "socket://x", "default": True} for n in "ab"],
            "links_ca": "/nowhere",
        },
        [
            "has the names A b; give each link its own",
            "has a line break",
            "Thunderbird needs the person's address",
            "write imaps://SERVER[:PORT]",
            "write smtps://SERVER[:PORT]",
            "socket://x; write each as in ipp://printer",
            "makes a and b the default for 'Urbanisme'; choose one",
            "no file with a certificate",
        ],
    ),
    (
        {"links_entries": [{"name": "x", "kind": "smb", "address": "smb://server"}]},
        ["the address of x (smb) is 'smb://server'; write it as in smb://"],
    ),
    ({"links_mail_client": "none"}, ["set links_mail_client to thunderbird"]),
    ({"links_entries": [{"name": "x", "kind": "ftp", "address": "x"}]}, ["must be one of"]),
]


@pytest.mark.parametrize(("settings", "says"), WRONG, ids=["many", "address", "client", "kind"])
def test_wrong_settings_are_refused(
    settings: dict[str, object], says: list[str], playbook: Playbook
) -> None:
    done = playbook("converge.yml", "--limit=laptop13", "--check", **settings)
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert [text for text in says if text not in said] == []


# --- one role alone, and taken back --------------------------------------------------------------


def test_the_role_alone_on_a_bare_debian() -> None:
    """Ten lines, without our policy and inventory; what the links lead to isn't there."""
    folder = Path(__file__).parents[1] / "alone"
    command = ["ansible-playbook", f"--inventory={RUN / 'inventory'}", folder / "alone.yml"]
    for changed in (True, False):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        assert ("changed=0" in done.stdout) is not changed, done.stdout
    found = checks("alone")
    assert {name: check["status"] for name, check in found.items()} == {
        "links-programs": "OK",
        check_of("intranet"): "CRITICAL",
        check_of("webmail"): "CRITICAL",
    }
    assert "townhall cannot be looked up" in found[check_of("webmail")]["message"]
    packages = inside("alone", "dpkg-query --show --showformat '${Package} '").split()
    assert not {"cups", "cups-daemon", "gvfs-backends", "remmina", "thunderbird"} & set(packages)


def test_taking_it_back_leaves_what_was_there(
    new_person: None, playbook: Playbook, wait_until: WaitUntil
) -> None:
    for laptop in LAPTOPS:
        as_person(laptop, "true")
        wait_until(lambda x=laptop: len(bookmarks(x)) > len(OWN))
    # a home one floor below, as a directory's accounts have
    below = "/home/MAIRIE/pdurand"
    inside("laptop12", f"mkdir /home/MAIRIE && useradd -m -d {below} pdurand"
                       f" && su --login pdurand -c /usr/lib/nomade/bookmarks"
                       f" && grep -q commun {below}/{BOOKMARKS}")  # fmt: skip
    done = playbook("absent.yml")
    assert done.returncode == 0
    assert inside("laptop12", f"cat {below}/{BOOKMARKS}") == ""
    for laptop in LAPTOPS:
        assert bookmarks(laptop) == OWN
        home = inside(laptop, f"ls -d ~{PERSON}/.local/state/nomade", check=False)
        assert home == ""
        left = inside(laptop, "find /etc /usr /var/lib -path '*nomade*' \\( -type f -o -type l \\)"
                              " -o -path '/etc/thunderbird/*' -name 'policies.json'")  # fmt: skip
        kept = ("vpn", "nomade_check", "nomade-check", "checks/baseline", "nomade-publish")
        kept += ("unit-active", "sudoers")
        assert [line for line in left.split() if not any(word in line for word in kept)] == []
        gone = {"remmina", "thunderbird", "cups", "gvfs-backends"}
        status = "dpkg-query --show --showformat '${db:Status-Abbrev}${Package}\\n'"
        installed = {x[3:] for x in inside(laptop, status).splitlines() if x.startswith("ii")}
        assert not gone & installed
        assert {"openssh-server", "wireguard-tools"} <= installed
