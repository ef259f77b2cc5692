#!/usr/bin/env python3
"""What a technician waits for, measured in containers: `make bench`.

Prints a table and writes var/bench.json. Every ratio comes from one run on one machine, both sides
of it one after the other; docs/bench.md says what each line means and what was tried to lower it.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
VAR = ROOT / "var/bench"
TOWN = VAR / "inventories/bench"
RIG = VAR / "rig"
PODMAN = str(ROOT / "rig/podman")
PYINFRA = VAR / "venv/bin/pyinfra"
# A town of each size, by its number of machines.
BIG = VAR / "inventories/big"
MACHINES = (150, 2000)
# Bytes of a home, by the laptop that comes back with it.
HOMES = {"bench-1": 100 * 1000**2, "bench-2": 1000**3}
LAPTOPS = [f"bench-{number}" for number in range(1, 9)]
READY = "localhost/nomade-bench:packages"
APT = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes"]
# One line of ansible.posix.profile_roles: a role and its seconds.
ROLE_SECONDS = re.compile(r"^(\w+) -+ ([\d.]+)s$", re.MULTILINE)
# Targets on two cores; a line over its target is shown as such and fails nothing.
TARGETS = {
    "equip_ratio": 1.5,
    "second_run_seconds": 12,
    "second_run_seconds_per_further_machine": 4,
    "noop_vs_pyinfra_ratio": 1.5,
}


type Figures = Iterator[tuple[str, float | dict[str, float]]]


class BenchError(Exception):
    """A step of the benchmark that failed: nothing after it would mean anything."""


def say(text: str) -> None:
    """Print what is going on."""
    print(f"== {text}", flush=True)


def run(log: str, *command: str | Path, env: dict[str, str] | None = None) -> tuple[float, str]:
    """Run a command with its output in a file; return the seconds it took and that output."""
    file = VAR / f"log/{log}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with file.open("wb") as stream:
        done = subprocess.run(
            [*command],
            check=False,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
    seconds = time.monotonic() - begun
    output = file.read_text(encoding="utf-8", errors="replace")
    if done.returncode:
        shown = "\n".join(output.splitlines()[-30:])
        raise BenchError(f"{log}: exit code {done.returncode}; {file}\n{shown}")
    return seconds, output


def playbook(log: str, name: str, *arguments: str) -> tuple[float, str]:
    """Run one of Nomade's playbooks on the benchmark's town."""
    env = {"ANSIBLE_CALLBACKS_ENABLED": "fleet_report,ansible.posix.profile_roles"}
    return run(log, "ansible-playbook", "-i", TOWN, f"playbooks/{name}.yml", *arguments, env=env)


def rig(log: str, file: str, *arguments: str) -> None:
    """Run one of the rig's playbooks."""
    known = f"rig_run=bench rig_directory={RIG} rig_owner=''"
    found = ["-i", str(RIG / "inventory")] if (RIG / "inventory").exists() else []
    run(log, "ansible-playbook", "-i", TOWN, *found, *arguments, file, "--extra-vars", known)


def podman(*words: str) -> str:
    """Run podman and return what it prints."""
    return subprocess.run([PODMAN, *words], check=True, capture_output=True, text=True).stdout


def inside(machine: str, *command: str) -> str:
    """Run a command on a machine as root, by way of the container engine."""
    return podman("exec", f"nomade-bench-{machine}", *command)


def median(times: int, measure: Callable[[int], float]) -> float:
    """Measure several times and return the value in the middle."""
    return statistics.median(measure(number) for number in range(times))


def again(times: int, *command: str | Path) -> float:
    """Run a command several times and return the seconds in the middle."""
    return median(times, lambda _: run(Path(command[0]).name, *command)[0])


# --- the town ------------------------------------------------------------------------------------


def prepare() -> None:
    """Make the town's directory and its machines, all but the six laptops of the crowd."""
    if not PYINFRA.exists():
        run("venv", sys.executable, "-m", "venv", PYINFRA.parents[1])
        pip = [PYINFRA.with_name("pip"), "install", "--quiet", "--require-hashes"]
        run("pyinfra", *pip, "-r", ROOT / "requirements/bench.lock")
    run("remove", ROOT / "rig/remove", "bench")
    shutil.rmtree(VAR / "inventories", ignore_errors=True)
    shutil.rmtree(RIG, ignore_errors=True)
    shutil.copytree(HERE / "town", TOWN)
    (TOWN / "keys/technicians").mkdir(parents=True)
    run("cache", ROOT / "rig/cache")
    run("allocate", "fleet", "allocate", "-i", TOWN)
    rig("create", "molecule/shared/create.yml")
    for laptop in HOMES:
        # an account of the system, as enrolment makes it: no other may be left of a return
        technicians = "groupmod --gid 900 nomade && usermod --uid 900 nomade && chgrp 900 ~nomade"
        inside(laptop, "sh", "-c", technicians)
    for source, target in (
        (RIG / "id_ed25519.pub", TOWN / "keys/technicians/technicienne.pub"),
        (RIG / "known_hosts", TOWN / "known_hosts"),
    ):
        shutil.copy(source, target)
    identity = VAR / "town.age-identity"
    identity.unlink(missing_ok=True)
    run("age", "age-keygen", "-o", identity)
    recipient = subprocess.run(
        ["age-keygen", "-y", identity], check=True, capture_output=True, text=True
    )
    (TOWN / "keys/town.age.pub").write_text(recipient.stdout, encoding="utf-8")
    found = (RIG / "inventory/rig.yml").read_text(encoding="utf-8")
    cache = found.split("package_cache_url: ", 1)[1].splitlines()[0]
    (TOWN / "group_vars/all/rig.yml").write_text(
        "---\n"
        f"ansible_ssh_private_key_file: {RIG}/id_ed25519\n"
        f"rig_cache_url: {cache}\n"
        "package_cache_url: http://198.18.1.11:3142\n",
        encoding="utf-8",
    )
    rig("prepare", "molecule/shared/prepare.yml", "--limit=gateway,cache,intranet")
    rig("intranet", "molecule/vpn_gateway/intranet.yml")
    playbook("servers", "servers")


def from_outside() -> int:
    """Return the bytes that the town's package cache has fetched until now."""
    inside("cache", "pkill", "-USR1", "apt-cacher-ng")  # writes its log out
    lines = inside("cache", "cat", "/var/log/apt-cacher-ng/apt-cacher.log").splitlines()
    return sum(int(fields[2]) for line in lines if (fields := line.split("|"))[1] == "I")


def packages() -> list[str]:
    """Return the packages that equipping a laptop has brought."""
    lines = inside("bench-1", "sh", "-c", "cat /var/lib/nomade/packages/*").splitlines()
    return sorted({line for line in lines if line and not line.startswith("#")})


def bare_install(names: Sequence[str]) -> float:
    """Install the same packages from the same cache without Ansible; keep an image of that."""
    proxy = ["-o", "Acquire::http::Proxy=http://198.18.1.11:3142"]
    sources = inside("bench-1", "sh", "-c", "tar -C / -c etc/apt/sources.list.d | base64 -w0")
    inside("bare", "sh", "-c", f"echo {sources} | base64 -d | tar -C / -x")
    container = [PODMAN, "exec", "nomade-bench-bare"]
    update, _ = run("bare-update", *container, *APT, *proxy, "update")
    install, _ = run(
        "bare-install", *container, *APT, *proxy, "install", "--no-install-recommends", *names
    )
    inside("bare", "sh", "-c", "rm -f /etc/ssh/ssh_host_*; : > /etc/machine-id; apt-get clean")
    podman("commit", "--quiet", "nomade-bench-bare", READY)
    return update + install


def crowd() -> None:
    """Make six more laptops, with the packages already on them, and equip them."""
    create = podman("inspect", "--format={{json .Config.CreateCommand}}", "nomade-bench-bench-2")
    known = TOWN / "known_hosts"
    for number in range(3, 9):
        name = f"bench-{number}"
        words = [
            word.replace("bench-2", name).replace("198.18.1.52", f"198.18.1.5{number}")
            for word in json.loads(create)[1:-1]
        ]
        podman(*words, READY)
    for number in range(3, 9):
        name = f"bench-{number}"
        key = "/etc/ssh/ssh_host_ed25519_key.pub"
        inside(name, "sh", "-c", f"until [ -s {key} ]; do sleep 0.2; done")
        inside(name, "timeout", "60", "systemctl", "is-system-running", "--wait")
        with known.open("a", encoding="utf-8") as stream:
            stream.write(f"{name} {inside(name, 'cat', key)}")
    playbook("crowd", "equip")


# --- pyinfra: the same end state -----------------------------------------------------------------


def deploy() -> None:
    """Write a pyinfra deploy that keeps what Nomade has made of bench-1, read off that machine."""
    state = VAR / "pyinfra"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    manifests = inside("bench-1", "sh", "-c", "cat /var/lib/nomade/rootfs/*/manifest.json")
    decoder, nodes, units = json.JSONDecoder(), dict[str, Any](), set[str]()
    while manifests := manifests.lstrip():
        manifest, end = decoder.raw_decode(manifests)
        manifests = manifests[end:]
        nodes |= manifest["nodes"]
        units |= set(manifest["units"])
    paths = "\n".join(sorted(nodes))
    script = (
        "cd / && while read -r path; do"
        ' stat -c \'%n|%F|%U|%G|%a\' "$path" && readlink "$path" || echo; done'
    )
    shown = subprocess.run(
        [PODMAN, "exec", "-i", "nomade-bench-bench-1", "sh", "-c", script],
        input=paths,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    entries = []
    lines = iter(shown.splitlines())
    for described, target in zip(lines, lines, strict=True):
        path, kind, owner, group, mode = described.split("|")
        if kind.startswith("regular"):
            copy = state / "files" / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            podman("cp", f"nomade-bench-bench-1:/{path}", str(copy))
        entry = {"path": path, "kind": kind, "user": owner, "group": group, "mode": mode}
        entries.append({**entry, "target": target})
    (state / "state.json").write_text(
        json.dumps({"entries": entries, "packages": packages(), "units": sorted(units)})
    )
    hosts = [
        (
            f"198.18.1.5{number}",
            {
                "ssh_user": "nomade",
                "ssh_key": str(RIG / "id_ed25519"),
                "ssh_known_hosts_file": str(VAR / "pyinfra/known_hosts"),
                "ssh_strict_host_key_checking": "yes",
                "_sudo": True,
                "login": (TOWN / "fleet.csv").read_text().splitlines()[number].split(";")[6],
            },
        )
        for number in range(1, 9)
    ]
    (state / "inventory.py").write_text(f"laptops = {hosts!r}\n")
    keys = dict(line.split(" ", 1) for line in (TOWN / "known_hosts").read_text().splitlines())
    (state / "known_hosts").write_text(
        "".join(f"198.18.1.5{n} {keys[f'bench-{n}']}\n" for n in range(1, 9))
    )
    shutil.copy(HERE / "deploy.py", state / "deploy.py")


def pyinfra(log: str, *limit: str) -> float:
    """Let pyinfra keep that state."""
    where = [word for name in limit for word in ("--limit", name)]
    state = VAR / "pyinfra"
    seconds, _ = run(log, PYINFRA, "-y", *where, state / "inventory.py", state / "deploy.py")
    return seconds


# --- the measurements ----------------------------------------------------------------------------


def inventory(times: int) -> Figures:
    """Yield how long it takes to read a register, by Ansible and by fleet."""
    for size in MACHINES:
        say(f"The register of {size} machines")
        shutil.rmtree(BIG, ignore_errors=True)
        shutil.copytree(ROOT / "inventories/valbourg", BIG)
        run("generate", sys.executable, ROOT / "tests/generate_valbourg.py", BIG, str(size))
        yield f"inventory_seconds_{size}", again(times, "ansible-inventory", "-i", BIG, "--list")
        yield f"fleet_list_seconds_{size}", again(times, "fleet", "list", "-i", BIG)


def rebuild() -> Figures:
    """Yield what the last `make test-rebuild` has left of a rebuild."""
    left = ROOT / "var/rebuild.json"
    if not left.exists():
        say("No figures of a rebuild: make test-rebuild leaves them")
        return
    told = json.loads(left.read_text("utf-8"))
    say("A rebuild in the emulator, of the last make test-rebuild")
    for name in ("seconds", "bytes", "seconds_of_stages"):
        yield f"rebuild_{name}", told[name]


def returns() -> Figures:
    """Yield how long it takes to take a laptop back, by what its person has left."""
    people = csv.DictReader((TOWN / "fleet.csv").read_text("utf-8").splitlines(), delimiter=";")
    logins = {line["asset_tag"]: line["assignee_login"] for line in people}
    for asset, size in HOMES.items():
        say(f"{asset} comes back with {size / 1e6:g} MB")
        files = f"split --bytes=4MB --suffix-length=4 - /home/{logins[asset]}/photo-"
        inside(asset, "sh", "-c", f"head --bytes={size} /dev/urandom | {files}")
        inside(asset, "chown", "--recursive", logins[asset], f"/home/{logins[asset]}")
        confirmed = ("-e", f"asset={asset}", "-e", f"erase={asset}", "-e", "return_method=clean")
        seconds, _ = playbook(f"return-{asset}", "return", *confirmed)
        yield f"return_seconds_{size // 1000**2}_mb", seconds


def measure(times: int) -> Figures:
    """Yield each figure of the town as soon as it is known."""
    empty = from_outside()
    say("A first laptop, from an empty package cache")
    playbook("first", "equip", "--limit=bench-1")
    first = from_outside()
    yield "outside_bytes_first_laptop", first - empty

    say("A second laptop")
    equip, output = playbook("second", "equip", "--limit=bench-2")
    yield "outside_bytes_second_laptop", from_outside() - first
    yield "equip_seconds", equip
    yield "role_seconds", {name: float(value) for name, value in ROLE_SECONDS.findall(output)}

    names = packages()
    say(f"The same {len(names)} packages, by one bare apt-get")
    bare = bare_install(names)
    yield "bare_install_seconds", bare
    yield "equip_ratio", equip / bare

    say("Six more laptops, and the second run of one and of eight")
    crowd()
    deploy()
    one = median(times, lambda n: playbook(f"again-1-{n}", "equip", "--limit=bench-1")[0])
    yield "second_run_seconds", one
    eight = median(times, lambda n: playbook(f"again-8-{n}", "equip")[0])
    yield "second_run_seconds_eight", eight
    yield "second_run_seconds_per_further_machine", (eight - one) / 7

    say("The same state kept by pyinfra")
    pyinfra("pyinfra-first")  # whatever it sees otherwise is put right here and not measured
    theirs = median(times, lambda n: pyinfra(f"pyinfra-1-{n}", "198.18.1.51"))
    yield "pyinfra_seconds", theirs
    yield "noop_vs_pyinfra_ratio", one / theirs
    theirs = median(times, lambda n: pyinfra(f"pyinfra-8-{n}"))
    yield "pyinfra_seconds_eight", theirs
    yield "noop_vs_pyinfra_ratio_eight", eight / theirs

    say("The sheets of Valbourg")
    shutil.rmtree(ROOT / "var/valbourg/handout", ignore_errors=True)
    seconds, _ = run(
        "handout", "ansible-playbook", "-i", "inventories/valbourg", "playbooks/handout.yml"
    )
    sheets = len(list((ROOT / "var/valbourg/handout").glob("vb-*.pdf")))
    yield "sheets", sheets
    yield "sheets_per_second", sheets / seconds
    yield from returns()


def returns_alone() -> Figures:
    """Equip what is to come back, and take it back."""
    say("Two laptops are equipped")
    playbook("equip-two", "equip", f"--limit={','.join(HOMES)}")
    yield from returns()


def everything(only: str, times: int, keep: bool) -> Figures:
    """Yield all figures, or those of one part."""
    if only in ("", "inventory"):
        yield from inventory(times)
    if only in ("", "rebuild"):
        yield from rebuild()
    if only in ("", "returns"):
        with machines(keep):
            yield from measure(times) if not only else returns_alone()


@contextmanager
def machines(keep: bool) -> Iterator[None]:
    """Make the machines, and remove them at the end."""
    try:
        say("A gateway, an intranet, a package cache, two laptops and a bare machine")
        prepare()
        yield
    finally:
        if not keep:
            run("remove", ROOT / "rig/remove", "bench")
            run("remove-image", PODMAN, "image", "rm", "--force", READY)


def line(name: str, value: float | dict[str, float]) -> str:
    """Return one line of the table."""
    if isinstance(value, dict):
        return "\n".join(line(f"  {role}", seconds) for role, seconds in value.items())
    target = TARGETS.get(name)
    told = "" if target is None else f"   target {target:g}" + (" MISSED" if value > target else "")
    shown = f"{value / 1e6:12.1f} MB" if "bytes" in name else f"{value:12.2f}"
    return f"   {name.replace('_bytes', ''):45} {shown}{told}"


def main() -> int:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=3, help="runs behind each median (default: 3)")
    parser.add_argument("--keep", action="store_true", help="leave the machines running")
    parser.add_argument(
        "--only",
        choices=("inventory", "rebuild", "returns"),
        default="",
        help="one part, and the other figures as they were",
    )
    options = parser.parse_args()
    kept = ROOT / "var/bench.json"
    found: dict[str, Any] = {"cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    if options.only and kept.exists():
        found = json.loads(kept.read_text("utf-8"))
    try:
        for name, value in everything(options.only, options.times, options.keep):
            found[name] = value
            print(line(name, value), flush=True)
            kept.write_text(json.dumps(found, indent=1) + "\n")
    except BenchError as error:
        print(f"The benchmark ended early: {error}", file=sys.stderr)
        return 1
    say("All figures: var/bench.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
