"""The settings that a town may need; on the cache of debian12, which is removed at the end."""

from __future__ import annotations

import pytest

testinfra_hosts = ["debian12"]

DIRECTORY = "/var/cache/apt-cacher-ng"
FETCH = (
    "import sys, urllib.request as u;"
    " o = u.build_opener(u.ProxyHandler({'http': sys.argv[1]}));"
    " print(o.open(sys.argv[2], timeout=10).read().decode())"
)


@pytest.fixture(scope="module")
def proxy(addresses):
    return f"http://{addresses['debian12']['lan']['ipv4']}:3142"


@pytest.fixture(scope="module")
def download(machine, proxy):
    """Fetch one package on the laptop through this cache, and nothing else."""
    options = f"-o Acquire::http::Proxy={proxy} -o Acquire::Retries=0"
    machine("laptop").check_output(f"sudo apt-get -q {options} update")

    def run(package):
        machine("laptop").check_output("sudo apt-get clean")
        command = f"sudo apt-get {options} install --yes --download-only {package}"
        return machine("laptop").run(command).rc == 0

    return run


@pytest.fixture(scope="module")
def offline(playbook, download):
    """A site that is cut off: what the cache has is all there is."""
    assert download("hello")
    done = playbook("converge.yml", "--limit=debian12", package_cache_offline=True)
    assert done.returncode == 0


@pytest.mark.usefixtures("offline")
def test_offline_it_serves_what_it_has_and_asks_nobody(download):
    assert download("hello")
    assert not download("sl")


@pytest.mark.usefixtures("offline")
def test_offline_nobody_is_told_that_the_archive_is_away(checks):
    assert "package-cache-archive" not in checks("debian12")


@pytest.fixture
def repository(host, machine, addresses):
    """A repository that only the town has, on the laptop."""
    laptop = machine("laptop")
    laptop.check_output("mkdir -p /tmp/repo/mairie")
    laptop.check_output("echo 'du bourg' > /tmp/repo/mairie/valbourg_1_all.deb")
    server = "python3 -m http.server 8000 --directory /tmp/repo"
    laptop.check_output(f"sudo systemd-run --quiet --unit=repository {server}")
    yield f"http://{addresses['laptop']['lan']['ipv4']}:8000/mairie"
    laptop.check_output("sudo systemctl stop repository")


def test_a_repository_of_the_towns_own_is_cached_and_others_are_not(
    machine, playbook, proxy, repository
):
    def get(path):
        return machine("laptop").run("python3 -c %s %s %s", FETCH, proxy, repository + path)

    assert get("/valbourg_1_all.deb").rc != 0
    done = playbook(
        "converge.yml",
        "--limit=debian12",
        package_cache_repositories=[{"name": "mairie", "url": f"{repository}/"}],
        package_cache_upstream_proxy="",
    )
    assert done.returncode == 0
    first = get("/valbourg_1_all.deb")
    assert first.stdout.strip() == "du bourg", first.stderr
    machine("laptop").check_output("rm /tmp/repo/mairie/valbourg_1_all.deb")
    assert get("/valbourg_1_all.deb").stdout.strip() == "du bourg"


def test_beyond_its_size_the_oldest_packages_go_first(host):
    folder = f"{DIRECTORY}/debrep/pool/main/v"
    host.check_output(f"sudo mkdir -p {folder}")
    for name, days in (("old", 30), ("young", 0)):
        package = f"{folder}/{name}_1_all.deb"
        host.check_output(f"sudo truncate -s 20M {package}")
        host.check_output(f"sudo touch -d '{days} days ago' {package}")
    trim = f"sudo /usr/lib/nomade/package-cache-trim {DIRECTORY} --days 365"
    host.check_output(f"{trim} --gib 1")
    assert "old_1_all.deb" in host.check_output(f"ls {folder}")
    host.check_output(f"{trim} --gib 0.03")  # 32 MB: room for one of them
    assert host.check_output(f"ls {folder}") == "young_1_all.deb"


def test_removed_it_leaves_nothing(host, machine, playbook, proxy):
    assert playbook("absent.yml").returncode == 0
    assert machine("laptop").run("python3 -c %s %s %s", FETCH, "", proxy).rc != 0
    left = "find /etc /usr/lib -name '*package-cache*' -o -name zz_nomade.conf"
    assert host.check_output(f"sudo {left}") == ""
    assert "Nomade" not in host.check_output("cat /etc/hosts.deny")
    assert host.run("dpkg-query --show apt-cacher-ng").rc != 0
    again = playbook("absent.yml")
    assert again.returncode == 0
    assert "changed=0" in again.stdout
