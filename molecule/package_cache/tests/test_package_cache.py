from __future__ import annotations

import re

import pytest

testinfra_hosts = ["debian12", "debian13"]

PACKAGE = "hello"
LOG = "/var/log/apt-cacher-ng/apt-cacher.log"


@pytest.fixture(scope="module")
def name(host):
    return host.check_output("hostname")


@pytest.fixture(scope="module")
def laptop(machine):
    return machine("laptop")


@pytest.fixture(scope="module")
def server(addresses, name):
    return addresses[name]["lan"]["ipv4"]


@pytest.fixture(scope="module")
def fetch(laptop, server):
    """Fetch a package on the laptop through the cache under test, and nothing else."""

    def run(package=PACKAGE):
        proxy = f"-o Acquire::http::Proxy=http://{server}:3142 -o Acquire::Retries=0"
        laptop.run("sudo apt-get clean")
        return laptop.run(f"sudo apt-get {proxy} install --yes --download-only {package}")

    laptop.check_output(f"sudo apt-get -q -o Acquire::http::Proxy=http://{server}:3142 update")
    return run


@pytest.fixture
def packages_fetched(host):
    """Lines of the log about packages that came from outside (I) or went to a machine (O)."""

    def read(direction):
        host.check_output("sudo pkill -USR1 -x apt-cacher-ng")  # it buffers its log
        log = host.check_output(f"sudo cat {LOG}")
        return re.findall(rf"^\d+\|{direction}\|\d+\|.*/{PACKAGE}_.*\.deb$", log, re.MULTILINE)

    return read


@pytest.fixture
def cut_off(host):
    """The way out is gone: the address of the proxy in front of this cache leads nowhere."""
    upstream = re.search(
        r"^Proxy: http://([\d.]+):",
        host.check_output("cat /etc/apt-cacher-ng/zz_nomade.conf"),
        re.MULTILINE,
    ).group(1)
    host.check_output(f"sudo ip route add unreachable {upstream}")
    yield
    host.check_output(f"sudo ip route del unreachable {upstream}")


def test_killed_service_is_back(host, wait_until):
    wait_until(lambda: host.service("apt-cacher-ng").is_running)
    assert host.service("apt-cacher-ng").is_enabled


def test_second_download_costs_nothing_outside(fetch, packages_fetched):
    assert fetch().rc == 0
    incoming, outgoing = packages_fetched("I"), packages_fetched("O")
    assert len(incoming) == 1
    assert fetch().rc == 0
    assert packages_fetched("I") == incoming
    assert len(packages_fetched("O")) == len(outgoing) + 1


def test_cached_package_is_served_while_the_archive_is_away(fetch, cut_off, checks, name):
    assert fetch().rc == 0
    assert fetch("sl").rc != 0
    told = checks(name)["package-cache-archive"]
    assert told["status"] == "WARNING"
    assert "package_cache_upstream_proxy" in told["remedy"]["en"]


def test_everything_is_well_otherwise(checks, name):
    ours = {n: c["status"] for n, c in checks(name).items() if c["capability"] == "package_cache"}
    assert ours == {
        "package-cache-answers": "OK",
        "package-cache-archive": "OK",
        "package-cache-space": "OK",
    }


def test_stopped_service_is_told_with_the_remedy(host, checks, name, wait_until):
    host.check_output("sudo systemctl stop apt-cacher-ng")
    told = checks(name)["package-cache-answers"]
    assert told["status"] == "CRITICAL"
    assert "systemctl restart apt-cacher-ng" in told["remedy"]["fr"]
    host.check_output("sudo systemctl start apt-cacher-ng")
    assert checks(name)["package-cache-answers"]["status"] == "OK"


@pytest.mark.parametrize(
    "request_line",
    [
        "GET http://www.example.org/debian/pool/x.deb HTTP/1.1",
        "CONNECT www.example.org:443 HTTP/1.1",
        "GET /acng-report.html HTTP/1.1",
    ],
)
def test_other_destinations_and_the_admin_page_are_refused(laptop, server, request_line):
    answer = ask(laptop, server, request_line)
    assert re.match(r"HTTP/1\.[01] 40[346] ", answer)


def test_other_networks_are_hung_up_on(laptop, addresses):
    """The laptop reaches the cache on the street's address, from the street's network."""
    inside = ask(laptop, addresses["debian13"]["lan"]["ipv4"], "GET / HTTP/1.1")
    assert inside.startswith("HTTP/1.1")
    assert ask(laptop, addresses["debian13"]["street"]["ipv4"], "GET / HTTP/1.1") == ""


def ask(laptop, server, request_line):
    """The first line of the answer to a request, empty if the cache hangs up."""
    script = (
        "import socket, sys\n"
        f"s = socket.create_connection(({server!r}, 3142), 5)\n"
        f"s.sendall({request_line!r}.encode() + b'\\r\\nHost: x\\r\\n\\r\\n')\n"
        "try: print(s.recv(4096).decode().splitlines()[0])\n"
        "except (OSError, IndexError): print()\n"
    )
    return laptop.check_output("python3 -c %s", script)


def test_trimming_removes_old_packages_with_their_notes(host, fetch):
    assert fetch().rc == 0
    find = f"sudo find /var/cache/apt-cacher-ng -name '{PACKAGE}_*'"
    assert len(host.check_output(find).splitlines()) == 2
    host.check_output("sudo systemctl start nomade-package-cache-trim.service")
    assert len(host.check_output(find).splitlines()) == 2
    host.check_output(f"{find} -exec touch -d '200 days ago' {{}} +")
    host.check_output("sudo systemctl start nomade-package-cache-trim.service")
    assert host.check_output(find) == ""
    assert host.service("nomade-package-cache-trim.timer").is_enabled
    assert fetch().rc == 0
