"""One life after another on two laptops: what each person has left, and what the town keeps."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from town import RUN, Done, Machine, Started, Town, podman, quoted


@dataclass(frozen=True)
class Person:
    """Somebody of the town."""

    login: str
    name: str

    @property
    def email(self) -> str:
        """Return their address."""
        return f"{self.login}@example.org"


ANNE = Person("anacarat", "Anne Nacarat")
BASILE = Person("bsinople", "Basile Sinople")
CLAIRE = Person("cgarance", "Claire Garance")
DORA = Person("dpervenche", "Dora Pervenche")
STICK = "/media/stick"


class Journal:
    """What is recorded of a machine's return."""

    def __init__(self, asset: str) -> None:
        """Name its folder."""
        self.folder = Town.directory / "records/returns" / asset

    @property
    def path(self) -> Path:
        """Return the newest journal."""
        return max(self.folder.glob("*.jsonl"))

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return its lines."""
        if not self.folder.is_dir():
            return []
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def has(self, event: str, step: str) -> bool:
        """Say whether something has happened."""
        return any(e["event"] == event and e["step"] == step for e in self.events)

    def facts(self, step: str) -> dict[str, Any]:
        """Return what is known of a step."""
        done = [e["facts"] for e in self.events if e["event"] == "done" and e["step"] == step]
        return dict(done[-1])

    @property
    def attempts(self) -> list[str]:
        """Return the archives that were begun."""
        return [e["name"] for e in self.events if e["event"] == "attempt"]

    @property
    def killed(self) -> dict[str, str]:
        """Return the runs that ended within a step, each with the step."""
        found: dict[str, str] = {}
        for event in self.events:
            if event["event"] == "begun" and event["step"] != "removing":
                found[event["run"]] = event["step"]
            elif event["event"] in ("done", "refused"):
                found.pop(event["run"], None)
        return found

    @property
    def text(self) -> str:
        """Return what the certificate on paper says."""
        pdf = str(self.path.with_suffix(".pdf"))
        command = ["pdftotext", pdf, "-"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return " ".join(done.stdout.split())

    @property
    def certificate(self) -> dict[str, Any]:
        """Return the certificate."""
        found: dict[str, Any] = json.loads(self.path.with_suffix(".json").read_text("utf-8"))
        return found


class Life:
    """What technicians type."""

    def __init__(self, town: Town) -> None:
        """Keep the town."""
        self.town = town

    def fleet(self, *words: str) -> str:
        """Run fleet."""
        command = ["fleet", words[0], "-i", str(self.town.directory), *words[1:]]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def assign(self, asset: str, person: Person) -> None:
        """Give a machine to a person."""
        who = ["--login", person.login, "--name", person.name, "--email", person.email]
        self.fleet("assign", asset, *who, "--department", "Voirie")

    def state(self, asset: str) -> str:
        """Return what the register says of a machine."""
        found = json.loads(self.fleet("show", asset, "--json"))
        return str(found["state"])

    def line(self, asset: str) -> str:
        """Return a machine's line of the register, without waiting for a program."""
        lines = (self.town.directory / "fleet.csv").read_text("utf-8").splitlines()
        return next(line for line in lines if line.startswith(f"{asset};"))

    def returning(self, asset: str, *arguments: str, **variables: object) -> Started:
        """Begin a return."""
        serial = f"VB-LIFE-00{asset[-2:]}"
        return self.town.start(
            "return", *arguments, **{"asset": asset, "erase": serial, **variables}
        )

    def kill_at(
        self,
        asset: str,
        event: str,
        step: str,
        then: Callable[[], bool] | None = None,
        **variables: object,
    ) -> None:
        """Kill a return as soon as something stands in its journal, and something else is so."""
        journal = Journal(asset)
        before = len(journal.events)
        run = self.returning(asset, **variables)

        def has(kind: str) -> bool:
            new = journal.events[before:]
            return any(e["event"] == kind and e["step"] == step for e in new)

        def reached() -> bool:
            return has(event) and (then is None or then())

        try:
            ends = time.monotonic() + 120
            while not (found := reached()) and run.process.poll() is None:
                assert time.monotonic() < ends
                time.sleep(0.02)
        finally:
            run.kill()
        assert found, run.log.read_text("utf-8")
        if event == "begun":
            assert not has("done"), f"{step} was done before it could be killed"


@pytest.fixture(scope="session")
def life(town: Town) -> Life:
    """Return what technicians type."""
    return Life(town)


@pytest.fixture(scope="session")
def hall() -> Machine:
    """Return the gateway and backup server."""
    return Machine("hall")


def sentence(done: Done) -> str:
    """Return the one sentence with which a run stopped."""
    assert done.code
    lines = done.output.splitlines()
    last = max(n for n, line in enumerate(lines) if line.startswith("fatal: "))
    if lines[last].endswith("=> "):
        return lines[last + 1].split("msg:", 1)[1].strip()
    return lines[last].split("]: ", 1)[1]


def install(machine: Machine, packages: str) -> None:
    """Install what was there before Nomade, or what a test needs, from the rig's package cache."""
    hosts = yaml.safe_load((RUN / "inventory/rig.yml").read_text("utf-8"))["all"]["hosts"]
    proxy = f"-o Acquire::http::Proxy={hosts['hall']['package_cache_url']}"
    machine.sh(
        f"export DEBIAN_FRONTEND=noninteractive && apt-get -q {proxy} update"
        f" && apt-get -q -y {proxy} --no-install-recommends install {packages}"
    )


def hashes(machine: Machine, folder: str) -> dict[str, str]:
    """Return the digest of every file below a folder."""
    lines = machine.sh(f"cd {quoted(folder)} && find . -type f -exec sha256sum {{}} +").splitlines()
    return {line[66:]: line[:64] for line in lines}


def files_with(machine: Machine, words: list[str]) -> list[str]:
    """Return every file of the container's disk that holds a word, and every name that does.

    Looked at from outside, by another program than the one that cleans.
    """
    root = podman("mount", machine.container).strip()
    try:
        patterns = "\n".join(words)
        inside = subprocess.run(
            ["grep", "-rlaiF", "--devices=skip", "-e", patterns, root],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        ).stdout.splitlines()
        names = subprocess.run(
            ["find", root, *" -o ".join(f"-iname *{w}*" for w in words if " " not in w).split()],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.splitlines()
        return sorted({path.removeprefix(root) for path in inside + names})
    finally:
        podman("umount", machine.container)


@pytest.fixture(scope="session")
def equipped(life: Life, laptop_12: Machine, laptop_13: Machine) -> None:
    """Give both laptops to people, and equip them."""
    for asset, person in (("laptop-12", CLAIRE), ("laptop-13", ANNE)):
        life.fleet("stock", asset)
        life.assign(asset, person)
    done = life.town.play("equip", "--limit=laptop-12,laptop-13")
    assert done.code == 0
    assert done.capabilities("laptop-12") == {"workstation": "ok", "vpn_client": "ok"}
    assert laptop_12.holds(f"id {CLAIRE.login}")
    assert laptop_13.holds(f"id {ANNE.login}")
