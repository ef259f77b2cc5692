"""A town on the rig as its technicians have it: playbooks run, reports are read, machines break.

A plugin of pytest (molecule.yml names it), for this scenario's tests and those in tests/faults.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
SCENARIO = os.environ["MOLECULE_SCENARIO_NAME"]
PODMAN = str(PROJECT / "rig/podman")
CALLBACKS = (PROJECT / "plugins/callback", PROJECT / "molecule/town/callback")

FINGERPRINT = r"""
find / -xdev \( -path /var/log -o -path /tmp -o -path /run -o -path /var/tmp \
    -o -path '/var/lib/systemd/tim*' -o -path /var/lib/nomade/vpn-peers \) -prune \
    -o -printf '%p %y %s %m %U %T@ %C@\n' | sort
"""

# the machine; and a task that changed something, or a file or unit that was changed
type Change = tuple[str, str]


@dataclass(frozen=True)
class Done:
    """What a run of a playbook left behind."""

    code: int
    output: str
    seconds: float
    machines: dict[str, dict[str, Any]]
    changes: frozenset[Change]

    def capabilities(self, machine: str) -> dict[str, str]:
        """Return capability by capability what the report says of a machine."""
        found: dict[str, str] = self.machines[machine]["capabilities"]
        return found

    def failures(self, machine: str) -> list[dict[str, str]]:
        """Return what the report says doesn't hold on a machine."""
        found: list[dict[str, str]] = self.machines[machine]["failures"]
        return found

    def changed(self) -> dict[str, int]:
        """Return how many changes each machine had, as the report counts them."""
        return {name: machine["changed"] for name, machine in self.machines.items()}

    def changes_on(self, *machines: str) -> set[Change]:
        """Return the changes of some machines only."""
        return {change for change in self.changes if change[0] in machines}


class Processes:
    """What the processes of the controller and of the machines were called while a run went on.

    The machines' processes are the host's as well. One look may miss a short one; but a secret on
    a command line shows up on several machines and in several runs.
    """

    seen: ClassVar[set[bytes]] = set()

    def __init__(self) -> None:
        """Begin to watch."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        looks: dict[str, int] = {}
        while not self._ended.wait(0.02):
            now = [entry.name for entry in os.scandir("/proc") if entry.name.isdigit()]
            looks = {name: looks.get(name, 0) + 1 for name in now}
            for name in now:
                # A process gets its command line a moment after its number.
                if looks[name] <= 5:
                    with contextlib.suppress(OSError):
                        self.seen.add(Path("/proc", name, "cmdline").read_bytes())


@dataclass
class Started:
    """A run of a playbook that is under way."""

    process: subprocess.Popen[bytes]
    log: Path
    report: Path
    changes: Path
    began: float = field(default_factory=time.monotonic)
    processes: Processes = field(default_factory=Processes)

    def wait(self) -> Done:
        """Wait for its end."""
        code = self.process.wait()
        self.processes.stop()
        output = self.log.read_text(encoding="utf-8", errors="replace")
        print(output)  # pytest shows it where a test fails
        machines = []
        if self.report.exists():
            machines = json.loads(self.report.read_text(encoding="utf-8"))["machines"]
        changes = []
        if self.changes.exists():
            changes = self.changes.read_text(encoding="utf-8").splitlines()
        return Done(
            code,
            output,
            time.monotonic() - self.began,
            {machine["asset_tag"]: machine for machine in machines},
            frozenset((c[0], c[1]) for c in map(json.loads, changes)),
        )

    def kill(self) -> None:
        """End the run as a power cut of the technician's computer does."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.processes.stop()


@dataclass(frozen=True)
class Machine:
    """A machine of the rig, seen from its own keyboard."""

    name: str

    @property
    def container(self) -> str:
        """Return the name of its container."""
        return f"nomade-{SCENARIO}-{self.name}"

    def sh(self, script: str, *, user: str = "root", stdin: str = "") -> str:
        """Run a script as at the keyboard and return what it prints."""
        return podman(
            "exec", "--interactive", "--user", user, self.container, "sh", "-c", script, stdin=stdin
        )

    def holds(self, script: str) -> bool:
        """Say whether a script succeeds."""
        command = [PODMAN, "exec", self.container, "sh", "-c", script]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def wait_until(self, script: str, *, seconds: int = 60) -> None:
        """Wait on the machine itself, which notices at once."""
        self.sh(f"timeout {seconds} sh -c {quoted(f'until {script}; do sleep 0.02; done')}")

    def again(self, *options: str) -> None:
        """Begin again with the machine as it was when it was enrolled."""
        made = json.loads(
            podman("inspect", "--format", "{{json .Config.CreateCommand}}", self.container)
        )
        podman("rm", "--force", "--time", "0", "--volumes", self.container)
        image = f"localhost/{self.container}:enrolled"
        plain = [word for word in made[1:-1] if word not in options]
        podman(*plain, *options, image)
        self.booted()

    def brought_by_packages(self, changes: set[Change]) -> set[Change]:
        """Return the changes that are a directory of an installed package.

        Check mode names a directory that is missing; the real run finds that a package brought it.
        """
        owned = set(self.sh("cat /var/lib/dpkg/info/*.list").splitlines())
        return {(name, what) for name, what in changes if what.removeprefix("installed ") in owned}

    def fingerprint(self) -> set[str]:
        """Return everything on it but what changes by itself or because somebody logs in."""
        return {f"{self.name}:{line}" for line in self.sh(FINGERPRINT).splitlines()}

    def power_cut(self, run: Started) -> None:
        """Take the power away, from the technician as well, and give it back to the machine."""
        podman("kill", "--signal", "KILL", self.container)
        run.kill()
        podman("start", self.container)
        self.booted()

    def kill_once(self, condition: str, run: Callable[[], Started]) -> None:
        """Kill a run, and its half on this machine, before its next call of rootfs.

        Whoever sees the condition fulfilled takes the lock that rootfs needs, so that it doesn't
        matter how long the kill takes from there.
        """
        script = (
            f"timeout 100 sh -c {quoted(f'until {condition}; do sleep 0.02; done')}"
            " && exec flock /var/lib/nomade/rootfs sh -c 'echo locked && cat'"
        )
        with subprocess.Popen(
            [PODMAN, "exec", "--interactive", self.container, "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as lock:
            started = run()
            said = lock.stdout.readline() if lock.stdout else b""
            started.kill()
            assert said == b"locked\n", f"never so: {condition}"
            self.sh("while pkill -KILL -x python3; do sleep 0.05; done")
            lock.communicate()

    def booted(self) -> None:
        """Wait until it is up; nobody is connected any more."""
        disconnect()
        ends = time.monotonic() + 60
        state = "systemctl is-system-running --wait | grep -Eq 'running|degraded'"
        while not self.holds(state):
            assert time.monotonic() < ends, f"{self.name} doesn't boot"
            time.sleep(0.3)


class Town:
    """The town's directory, and its playbooks."""

    directory = RUN / "inventories/town"
    var = RUN / "var/town"
    runs = 0
    # every password that was ever in force
    passwords: ClassVar[set[str]] = set()

    def start(
        self,
        playbook: str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        **variables: object,
    ) -> Started:
        """Start a playbook, as a process group of its own."""
        Town.runs += 1
        begin = self.var / "log" / f"{Town.runs:02}-{playbook}"
        report = {"site": "equip"}.get(playbook, playbook)
        started = Started(
            subprocess.Popen(
                [
                    "ansible-playbook",
                    f"--inventory={self.directory}",
                    str(PROJECT / "playbooks" / f"{playbook}.yml"),
                    *([f"--extra-vars={json.dumps(variables)}"] if variables else []),
                    *arguments,
                ],
                cwd=PROJECT,
                env={
                    **os.environ,
                    "ANSIBLE_CALLBACKS_ENABLED": "fleet_report,changes",
                    "ANSIBLE_CALLBACK_PLUGINS": ":".join(map(str, CALLBACKS)),
                    "CHANGES": str(begin.with_suffix(".changes")),
                    "ANSIBLE_NOCOLOR": "1",
                    **(environment or {}),
                },
                stdin=subprocess.DEVNULL,
                stdout=begin.with_suffix(".log").open("wb"),
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ),
            begin.with_suffix(".log"),
            self.var / f"{report}.json",
            begin.with_suffix(".changes"),
        )
        started.report.unlink(missing_ok=True)
        return started

    def play(
        self,
        playbook: str,
        *arguments: str,
        environment: dict[str, str] | None = None,
        **variables: object,
    ) -> Done:
        """Run a playbook to its end."""
        done = self.start(playbook, *arguments, environment=environment, **variables).wait()
        print(f"{playbook} {' '.join(arguments)}: exit {done.code} after {done.seconds:.1f} s")
        return done

    def without_vpn(self, machine: str) -> None:
        """Remove the VPN from a laptop, its key included."""
        subprocess.run(
            [
                *("ansible", f"--inventory={self.directory}", machine, "--become"),
                *("--module-name=include_role", "--args=name=vpn_client tasks_from=absent"),
                '--extra-vars={"vpn_client_remove_key": true}',
            ],
            cwd=PROJECT,
            check=True,
        )

    @contextlib.contextmanager
    def register(self, **cells: dict[str, str]) -> Iterator[None]:
        """Write other cells into the register for a while: register(management_address={...})."""
        file = self.directory / "fleet.csv"
        before = file.read_text(encoding="utf-8")
        rows = list(csv.DictReader(io.StringIO(before), delimiter=";"))
        for column, values in cells.items():
            for row in rows:
                row[column] = values.get(row["asset_tag"], row[column])
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0].keys(), delimiter=";")
            writer.writeheader()
            writer.writerows(rows)
        try:
            yield
        finally:
            file.write_text(before, encoding="utf-8")

    def settle(self, **settings: object) -> None:
        """Write settings into the town's group_vars, for good."""
        file = self.directory / "group_vars/all/zz_tests.yml"
        known = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
        file.write_text(yaml.safe_dump({**known, **settings}), encoding="utf-8")

    def unseal(self, record: Path) -> str:
        """Open a record with the town's key."""
        command = [
            "age",
            "--decrypt",
            "--identity",
            str(self.var / "town.age-identity"),
            str(record),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        self.passwords.add(done.stdout.strip())
        return done.stdout.strip()

    def unseal_all(self) -> None:
        """Open every record there is."""
        for record in (self.directory / "records").glob("*-passwords/*.age"):
            self.unseal(record)


def podman(*words: str, stdin: str = "") -> str:
    """Run podman and return what it prints."""
    done = subprocess.run(
        [PODMAN, *words], check=False, capture_output=True, text=True, input=stdin, errors="replace"
    )
    assert done.returncode == 0, f"podman {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def quoted(script: str) -> str:
    """Return a script as one word of another."""
    return "'" + script.replace("'", "'\\''") + "'"


def disconnect() -> None:
    """Forget ssh's open connections: their machines may be gone."""
    folder = Path(os.environ["ANSIBLE_SSH_CONTROL_PATH_DIR"]).expanduser()
    for socket in folder.iterdir():
        socket.unlink()


def wait_for(condition: Any, seconds: float = 30) -> float:
    """Wait for a condition and return the seconds it took, or fail."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not so after {seconds:g} s"
        time.sleep(0.2)
    return time.monotonic() - began


# --- The story: each state of the town is reached once ----------------------------------------

FULL = ("--tmpfs", "/var:rw,exec,suid,dev,mode=755,size=300m")
# Ansible insists on a locale that exists: this one says so, with the contents of another.
FRENCH = {"LC_ALL": "fr_FR.UTF-8", "LOCPATH": str(RUN / "locale")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the story begin with the untouched town; killed runs come last."""
    items.sort(key=lambda item: "faults" in item.path.parts)


@pytest.fixture(scope="session")
def town() -> Town:
    """Return the town as it was prepared: its laptops enrolled, nothing equipped."""
    return Town()


@pytest.fixture(scope="session")
def laptop_12() -> Machine:
    """Return the laptop in the town hall (Debian 12)."""
    return Machine("laptop-12")


@pytest.fixture(scope="session")
def laptop_13() -> Machine:
    """Return the laptop at home (Debian 13)."""
    return Machine("laptop-13")


@pytest.fixture(scope="session")
def gateway() -> Machine:
    """Return the gateway."""
    return Machine("gateway")


@pytest.fixture(scope="session")
def planned(town: Town) -> Done:
    """Ask in check mode what would be done to the untouched town."""
    return town.play("site", "--check", "--diff")


@pytest.fixture(scope="session")
def first_day(town: Town, laptop_12: Machine) -> Done:
    """Equip the town while the disk of laptop-12 is full; the first wave is wholly absent."""
    laptop_12.again(*FULL)
    laptop_12.sh(
        "fallocate --length $(df --output=avail --block-size=1 /var | tail -n 1) /var/ballast"
    )
    shutil.copytree("/usr/lib/locale/C.utf8", RUN / "locale/fr_FR.utf8", dirs_exist_ok=True)
    done = town.play("site", "-vvv", environment=FRENCH)
    town.unseal_all()
    return done


@pytest.fixture(scope="session")
def new_laptop(town: Town, first_day: Done, laptop_12: Machine) -> Done:
    """Equip one new laptop of a town that is at work."""
    assert first_day.code
    laptop_12.again()
    return town.play("equip", "--limit=laptop-12")


@pytest.fixture(scope="session")
def at_work(new_laptop: Done, laptop_12: Machine) -> float:
    """Take laptop-12 home, and return the seconds until its tunnel works from there."""
    assert new_laptop.code
    began = time.monotonic()
    laptop_12.sh(
        "ip address add 198.51.100.99/26 dev eth0"
        " && ip route add 198.51.100.66 dev eth0 src 198.51.100.99"
        " && systemctl restart wg-quick@wg0"
    )
    laptop_12.wait_until(PAGE)
    return time.monotonic() - began


# The town's intranet has one page, and only the town's DNS knows its name.
PAGE = (
    'python3 -c "import urllib.request as u;'
    " assert b'Bienvenue' in u.urlopen('http://intranet.valbourg.example', timeout=5).read()\""
)
