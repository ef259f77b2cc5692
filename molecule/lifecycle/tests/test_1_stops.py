"""A return that is stopped, by whatever: the machine and its data are as they were, and it goes on.

One return of laptop-12, from the wrong laptop to the certificate.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from life import CLAIRE, DORA, STICK, Journal, hashes, sentence
from town import PAGE

if TYPE_CHECKING:
    from life import Life
    from town import Machine

ASSET = "laptop-12"
HOME = f"/home/{CLAIRE.login}"
ARCHIVES = "/srv/nomade-archives"
STEPS = ["confirm", "revoke", "archive", "verify", "erase", "remove", "inspect", "register"]

pytestmark = pytest.mark.usefixtures("equipped")


@pytest.fixture(scope="module")
def journal() -> Journal:
    """Return the journal of laptop-12."""
    return Journal(ASSET)


@pytest.fixture(scope="module")
def files(laptop_12: Machine) -> dict[str, str]:
    """Let Claire work, and return the digest of each of her files."""
    laptop_12.sh(
        f"mkdir -p {HOME}/Documents {HOME}/.cache/x {HOME}/Personnel"
        f" && head -c 3000000 /dev/urandom > {HOME}/Documents/carte.bin"
        f" && echo compte > '{HOME}/Documents/dépenses [mai] *.txt'"
        f" && ln -sf Documents/carte.bin {HOME}/carte"
        f" && echo vignette > {HOME}/.cache/x/vignette"
        f" && echo lettre > {HOME}/Personnel/lettre"
        f" && mkdir -p /srv/atelier && echo plan > /srv/atelier/plan.txt"
        f" && chown -R {CLAIRE.login}: {HOME} /srv/atelier/plan.txt",
    )
    return hashes(laptop_12, HOME)


def unharmed(laptop_12: Machine, files: dict[str, str]) -> None:
    """Say that nothing of Claire's was touched."""
    assert hashes(laptop_12, HOME) == files
    assert laptop_12.holds(f"id {CLAIRE.login}")


def refused(life: Life, **variables: object) -> str:
    """Type the line, and return why it stopped."""
    return sentence(life.returning(ASSET, **variables).wait())


def test_it_asks_for_what_stands_on_the_case(life: Life, files: dict[str, str]) -> None:
    assert files
    assert "confirm by -e erase=, followed by the serial number" in refused(life, erase="")
    assert "is it the right machine? nothing was done" in refused(life, erase="VB-LIFE-0013")
    rebuild = refused(life, return_method="rebuild")
    assert rebuild.startswith("laptop-12: no server of the town rebuilds machines")
    assert life.state(ASSET) == "assigned"


def test_the_wrong_laptop_is_impossible(
    life: Life, laptop_12: Machine, files: dict[str, str], journal: Journal
) -> None:
    laptop_12.sh("echo VB-LIFE-0013 > /srv/dmi/product_serial")
    assert "wrong machine: serial number VB-LIFE-0013 is laptop-13's" in refused(life)
    laptop_12.sh("echo VB-LIFE-0012 > /srv/dmi/product_serial")
    unharmed(laptop_12, files)
    assert [(e["event"], e["step"]) for e in journal.events] == [
        ("opened", ""), ("begun", "confirm"), ("refused", "confirm")
    ]  # fmt: skip
    assert life.state(ASSET) == "assigned"


def test_a_kill_in_confirm(life: Life, laptop_12: Machine, files: dict[str, str]) -> None:
    life.kill_at(ASSET, "begun", "confirm")
    unharmed(laptop_12, files)
    assert life.state(ASSET) == "assigned"


def test_a_kill_in_revoke(
    life: Life, laptop_12: Machine, hall: Machine, files: dict[str, str]
) -> None:
    """The worst moment: the key is out of the town's book, and the gateway still knows it."""
    key = laptop_12.sh("wg show wg0 public-key").strip()
    book = life.town.directory / f"keys/vpn/{ASSET}.pub"
    life.kill_at(ASSET, "begun", "revoke", lambda: not book.exists())
    assert key in hall.sh("wg show wg0 peers")
    unharmed(laptop_12, files)
    assert life.state(ASSET) == "returned"


def test_a_full_archive_target(
    life: Life, laptop_12: Machine, hall: Machine, files: dict[str, str]
) -> None:
    hall.sh(f"mkdir -p {ARCHIVES} && mount -t tmpfs -o size=1M tmpfs {ARCHIVES}")
    assert "MB left, and the archive may need 3 MB" in refused(life)
    # room in bytes, but for a few files only: it runs full half-way
    hall.sh(f"umount {ARCHIVES} && mount -t tmpfs -o size=64M,nr_inodes=12 tmpfs {ARCHIVES}")
    said = refused(life)
    assert said.startswith("laptop-12: not archived, and nothing was removed: ")
    assert "no space left on device" in said
    hall.sh(f"umount {ARCHIVES}")
    unharmed(laptop_12, files)
    assert life.state(ASSET) == "returned"


def test_the_network_goes_half_way(
    life: Life, laptop_12: Machine, hall: Machine, files: dict[str, str]
) -> None:
    hall.sh(
        "nft add table ip cut && nft 'add chain ip cut in { type filter hook input priority -9; }'"
        " && nft add rule ip cut in ip saddr 10.130.0.12 tcp dport 22 quota over 1 mbytes drop"
    )
    said = refused(life)
    hall.sh("nft delete table ip cut")
    assert said.startswith("laptop-12: not archived, and nothing was removed: ")
    unharmed(laptop_12, files)
    # what broken attempts have sealed and stored is no archive
    assert not hall.holds(f"grep -l '\"complete\": true' {ARCHIVES}/*/archive.json")


def test_the_key_is_refused_though_the_return_is_not_done(
    laptop_12: Machine, hall: Machine, journal: Journal
) -> None:
    key = journal.facts("revoke")["vpn_public_key"]
    assert laptop_12.sh("wg show wg0 public-key").strip() == key
    assert key not in hall.sh("wg show wg0 peers")
    assert not laptop_12.holds(f"timeout 2 {PAGE}")


def test_a_kill_in_archive(
    life: Life, laptop_12: Machine, hall: Machine, files: dict[str, str], journal: Journal
) -> None:
    before = len(journal.attempts)

    def half_way() -> bool:
        names = journal.attempts[before:]
        return bool(names) and hall.holds(f"test -e {ARCHIVES}/{names[0]}/archive.json")

    life.kill_at(ASSET, "begun", "archive", half_way)
    unharmed(laptop_12, files)


def test_a_flipped_byte(
    life: Life, laptop_12: Machine, hall: Machine, files: dict[str, str], journal: Journal
) -> None:
    life.kill_at(ASSET, "done", "archive")
    name = journal.facts("archive")["archive"]
    hall.sh(
        "python3 - <<'E'\n"
        "from pathlib import Path\n"
        f"packs = Path('{ARCHIVES}/{name}/repository/data').glob('*/*')\n"
        "pack = max(packs, key=lambda path: path.stat().st_size)\n"
        "data = bytearray(pack.read_bytes())\n"
        "data[len(data) // 2] ^= 1\n"
        "pack.chmod(0o600)\n"
        "pack.write_bytes(data)\n"
        "E\n"
    )
    said = refused(life)
    assert said.startswith("laptop-12: the archive is not proven, and nothing was removed: ")
    unharmed(laptop_12, files)
    assert life.state(ASSET) == "quarantined"


def test_somebody_edits_the_register_meanwhile(
    life: Life, laptop_12: Machine, files: dict[str, str]
) -> None:
    life.kill_at(ASSET, "begun", "verify")
    with life.town.register(assignee_name={ASSET: "Claire Garance-Nacarat"}):
        assert "assignee_name was changed in the register since this return began" in refused(life)
    unharmed(laptop_12, files)


def test_files_that_change_after_the_archive_are_archived_as_well(
    life: Life, laptop_12: Machine, files: dict[str, str]
) -> None:
    life.kill_at(ASSET, "done", "verify")
    laptop_12.sh(f"echo tard > {HOME}/Documents/tard.txt")
    assert "files have changed since they were archived" in refused(life)
    files.update(hashes(laptop_12, HOME))
    assert "./Documents/tard.txt" in files
    unharmed(laptop_12, files)


@pytest.mark.parametrize("step", ["erase", "remove", "inspect", "register"])
def test_a_kill_in_each_step_that_removes(
    life: Life, laptop_12: Machine, journal: Journal, step: str
) -> None:
    """Each of them half-way, and the one that writes into the register right after it has.

    What is over within a second is killed by its journal: asking the machine takes longer.
    """
    half_way = {
        "erase": lambda: journal.has("begun", "removing"),
        "remove": lambda: (
            not laptop_12.holds("test -e /var/lib/nomade/rootfs/vpn_client/manifest.json")
        ),
        "inspect": lambda: True,
        "register": lambda: ";stock;" in life.line(ASSET),
    }
    life.kill_at(ASSET, "begun", step, half_way[step])
    events = [(event["event"], event["step"]) for event in journal.events]
    assert events.index(("begun", "removing")) > events.index(("done", "verify"))


def test_run_again_it_finishes(life: Life, laptop_12: Machine, journal: Journal) -> None:
    done = life.returning(ASSET).wait()
    assert done.code == 0
    assert life.state(ASSET) == "stock"
    assert not laptop_12.holds(f"id {CLAIRE.login}")
    assert not laptop_12.holds(f"test -e {HOME}")
    assert journal.events[-1]["event"] == "closed"


def test_the_certificate_tells_the_truth_about_all_runs(journal: Journal) -> None:
    found = journal.certificate
    assert found["verdict"] == "stock"
    assert found["person"] == {"login": CLAIRE.login, "name": CLAIRE.name, "email": CLAIRE.email}
    assert [step["step"] for step in found["steps"]] == STEPS
    assert len({run["run"] for run in found["runs"]}) == len(found["runs"]) > 8
    stops = [stop["step"] for stop in found["stops"]]
    assert stops == ["confirm", "archive", "archive", "archive", "verify", "erase"]
    assert found["method"] == "clean"
    assert found["method_because"] == "chosen by itself, as its disk is not encrypted"
    # each step was begun, killed, and begun again
    killed = {run["run"]: run["steps"] for run in found["runs"] if run["run"] in journal.killed}
    assert {journal.killed[run] for run in killed} == set(STEPS)
    assert all(journal.killed[run] not in steps for run, steps in killed.items())
    assert CLAIRE.name in journal.text
    assert found["steps"][3]["facts"]["manifest_sha256"] in journal.text.replace(" ", "")


def test_only_the_town_opens_the_archive_and_it_holds_everything(
    life: Life, hall: Machine, journal: Journal, files: dict[str, str]
) -> None:
    facts = journal.facts("archive")
    name = facts["archive"]
    record = journal.folder / f"{name}.age"
    sealed = hall.sh(f"cat {ARCHIVES}/{name}/key.age")
    assert sealed == record.read_text("ascii")
    other = [
        "age",
        "--decrypt",
        "--identity",
        str(life.town.var / "other.age-identity"),
        str(record),
    ]
    assert subprocess.run(other, check=False, capture_output=True).returncode
    restic = f"restic --repo {ARCHIVES}/{name}/repository --no-cache"
    assert not hall.holds(f"echo guess | {restic} --password-file /dev/stdin snapshots")
    password = life.town.unseal(record)
    hall.sh(f"cat > /run/password && {restic} --password-file /run/password restore latest"
            f" --target /run/restored && rm /run/password", stdin=password)  # fmt: skip
    kept = {
        path: digest
        for path, digest in files.items()
        if not path.startswith(("./.cache/", "./Personnel/"))
    }
    assert hashes(hall, f"/run/restored{HOME}") == kept
    assert hall.sh("cat /run/restored/srv/atelier/plan.txt") == "plan\n"
    assert facts["left_out"] == [f"{HOME}/.cache", f"{HOME}/Personnel"]
    # What broken attempts had left is gone, passwords as well; what was proven before stays.
    listed = json.loads(hall.sh("nomade-archive list"))["archives"]
    names = [one["name"] for one in listed if one["asset"] == ASSET]
    assert len(names) == 2
    assert names[-1] == name
    assert sorted(path.stem for path in journal.folder.glob("*.age")) == names


def test_nobody_can_add_to_it_any_more(hall: Machine) -> None:
    assert hall.sh("cat /etc/ssh/authorized_keys.d/nomade-archive") == ""


def test_no_password_was_ever_on_a_command_line_or_in_a_log(life: Life) -> None:
    from town import Processes  # what all runs of this session have seen

    passwords = {p.encode() for p in life.town.passwords}
    assert passwords
    for command in Processes.seen:
        assert not any(password in command for password in passwords)
    for log in (life.town.var / "log").iterdir():
        assert not any(password in log.read_bytes() for password in passwords)
    records = life.town.directory / "records"
    for path in (p for p in records.rglob("*") if p.is_file()):
        assert not any(password in path.read_bytes() for password in passwords)
        assert path.stat().st_mode & 0o077 == 0 or "returns" not in path.parts


def test_a_person_who_kept_no_files_but_their_own(life: Life, laptop_12: Machine) -> None:
    life.assign(ASSET, DORA)
    laptop_12.sh(
        f"mkdir /run/none && useradd --create-home --skel /run/none {DORA.login}"
        f" && mkdir /home/{DORA.login}/Perso {STICK}"
        f" && echo lettre > /home/{DORA.login}/Perso/lettre"
    )
    to_stick = {"return_personal": "hand_back", "return_personal_to": STICK}
    assert "mount the person's stick there first" in refused(life, **to_stick)
    assert laptop_12.holds(f"test -e /home/{DORA.login}/Perso/lettre")
    laptop_12.sh(f"mount -t tmpfs tmpfs {STICK}")
    life.kill_at(ASSET, "begun", "remove", **to_stick)
    assert laptop_12.sh(f"cat {STICK}/Perso/lettre && umount {STICK}") == "lettre\n"
    facts = Journal(ASSET).facts("archive")
    assert (facts["files"], facts["account"], facts["handed_back_files"]) == (0, True, 1)
    assert not laptop_12.holds(f"id {DORA.login} || test -e /home/{DORA.login}")


def test_one_that_is_lost_on_its_way_back(life: Life) -> None:
    done = life.town.play("return", asset=ASSET, without_machine="lost")
    assert done.code == 0
    assert life.state(ASSET) == "lost"
    journal = Journal(ASSET)
    assert (journal.certificate["verdict"], journal.certificate["without_machine"]) == (
        "lost", "lost"
    )  # fmt: skip
    assert "what was removed before is listed, and nothing is proven" in journal.text
    assert "its state is lost" in refused(life)


def test_found_again_it_is_empty_already(life: Life) -> None:
    life.fleet("return", ASSET)
    assert life.returning(ASSET).wait().code == 0
    assert life.state(ASSET) == "stock"
    journal = Journal(ASSET)
    facts = journal.facts("archive")
    assert (facts["files"], facts["account"]) == (0, False)
    assert journal.certificate["verdict"] == "stock"
    assert "The person has left no file: nothing was archived." in journal.text
