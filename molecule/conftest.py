"""What the tests of all scenarios share: machines, by name and as any user, and their journals."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Generator, ItemsView, Iterator, Mapping, ValuesView
from pathlib import Path
from typing import Any

import pytest
import testinfra
import yaml

if "MOLECULE_EPHEMERAL_DIRECTORY" not in os.environ:
    message = "these tests need a scenario's machines: type  molecule verify -s SCENARIO"
    raise pytest.UsageError(message)

RUN = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])
PROJECT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])
SCENARIO = os.environ["MOLECULE_SCENARIO_NAME"]
# written by create.yml
MACHINES: dict[str, dict[str, Any]] = yaml.safe_load((RUN / "inventory" / "rig.yml").read_text())[
    "all"
]["hosts"]

type Machine = Any  # testinfra's Host carries no types
type Result = Any


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Reach the machines as Ansible does, and leave JUnit results in var/junit."""
    config.option.connection = "ssh"
    config.option.ssh_config = str(RUN / "ssh_config")
    step = "-unchanged" if any("unchanged" in argument for argument in config.args) else ""
    config.option.xmlpath = str(PROJECT / "var" / "junit" / f"{SCENARIO}{step}.xml")
    config.inicfg["junit_suite_name"] = SCENARIO + step


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `host` on every enrolled machine, unless its module names some."""
    if not hasattr(metafunc.module, "testinfra_hosts"):
        known = (RUN / "known_hosts").read_text()
        metafunc.module.testinfra_hosts = [name for name in MACHINES if f"\n{name} " in known]


@pytest.fixture(scope="session")
def addresses() -> dict[str, dict[str, dict[str, str]]]:
    """Of machine, network and family: addresses["gateway"]["lan"]["ipv4"]."""
    return {name: machine["rig_addresses"] for name, machine in MACHINES.items()}


@pytest.fixture(scope="session")
def machine() -> Callable[[str], Machine]:
    """A machine by name."""

    def connect(name: str) -> Machine:
        return testinfra.get_host(f"ssh://{name}", ssh_config=str(RUN / "ssh_config"))

    return connect


@pytest.fixture(scope="session")
def run_as(machine: Callable[[str], Machine]) -> Callable[[str, str, str], Result]:
    """run_as("laptop", "alice", "id") runs a command as that user, in a login-like environment."""

    def run(name: str, user: str, command: str) -> Result:
        return machine(name).run("sudo --login --user=%s -- sh -c %s", user, command)

    return run


class Checks(Mapping[str, dict[str, Any]]):
    """What nomade-check says of a machine when it is asked, by the name of the check."""

    def __init__(self, host: Machine) -> None:
        """Remember which machine it is about."""
        self.host = host

    def ask(self, *options: str) -> dict[str, dict[str, Any]]:
        """Run checks as root and return their answers."""
        answer = self.host.run(" ".join(["sudo nomade-check --refresh --json", *options]))
        return {check["name"]: check for check in json.loads(answer.stdout)["checks"]}

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Run one check, which takes a tenth of the time of all."""
        return self.ask("--check", name)[name]

    def __iter__(self) -> Iterator[str]:
        """Run all checks."""
        return iter(self.ask())

    def __len__(self) -> int:
        """Run all checks."""
        return len(self.ask())

    def items(self) -> ItemsView[str, dict[str, Any]]:
        """Run all checks, at once."""
        return self.ask().items()

    def values(self) -> ValuesView[dict[str, Any]]:
        """Run all checks, at once."""
        return self.ask().values()


@pytest.fixture(scope="session")
def checks(machine: Callable[[str], Machine]) -> Callable[[str], Mapping[str, dict[str, Any]]]:
    """checks("laptop")["vpn-handshake"]["status"]: what nomade-check says now, as root."""

    return lambda name: Checks(machine(name))


@pytest.fixture(scope="session")
def playbook() -> Callable[..., subprocess.CompletedProcess[str]]:
    """playbook("converge.yml", "--limit=debian12", name="value") runs one on the machines."""

    def run(path: str, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        command = ["ansible-playbook", str(PROJECT / "molecule" / SCENARIO / path)]
        command += [f"--inventory={RUN / 'inventory'}"]
        command += [f"--inventory={PROJECT / 'molecule' / SCENARIO / 'inventory'}"]
        command += [f"--extra-vars={json.dumps(variables)}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
        print(done.stdout, done.stderr)  # pytest shows it where a test fails
        return done

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show under a failed test what the machines logged since it began."""
    report = yield
    if report.failed and call.when == "call":
        for name in MACHINES:
            target = testinfra.get_host(f"ssh://{name}", ssh_config=str(RUN / "ssh_config"))
            try:
                journal = target.run(
                    "sudo journalctl --no-pager --boot --lines=60 --since=@%s",
                    str(int(call.start) - 2),
                ).stdout
            except RuntimeError as error:  # ssh's own failure: the test may have cut the network
                journal = str(error)
            report.sections.append((f"journal of {name}", journal))
    return report


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> float:
    """Wait for a condition and return the seconds it took, or fail."""
    start = time.monotonic()
    while not condition():
        waited = time.monotonic() - start
        assert waited < seconds, f"not so after {seconds:g} s"
        time.sleep(0.3)
    return time.monotonic() - start


@pytest.fixture(scope="session", name="wait_until")
def wait_until_fixture() -> Callable[..., float]:
    """wait_until(lambda: ..., seconds=20) returns the seconds it took."""
    return wait_until
