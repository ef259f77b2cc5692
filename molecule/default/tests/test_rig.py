from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

RIG = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "rig"


def rig(program, *arguments):
    done = subprocess.run(
        [str(RIG / program), *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_account_is_that_of_an_enrolled_machine(host):
    assert host.check_output("whoami") == "nomade"
    assert host.check_output("sudo -n whoami") == "root"


def test_system_is_up_with_nothing_failed(host):
    assert host.check_output("systemctl is-system-running") == "running"


def test_only_host_key_is_its_own(host, machine):
    keys = "ls /etc/ssh/ssh_host_*_key.pub"
    assert host.check_output(keys) == "/etc/ssh/ssh_host_ed25519_key.pub"
    both = {
        machine(name).check_output("cat /etc/ssh/*_key.pub /etc/machine-id")
        for name in ("debian12", "debian13")
    }
    assert len(both) == 2


def test_names_of_machines_resolve(host):
    for name in ("debian12", "debian13", "bare"):
        assert host.run(f"ping -c 1 -W 2 {name}").rc == 0


def test_both_families_have_addresses(addresses):
    for legs in addresses.values():
        assert legs["lan"]["ipv4"]
        assert legs["lan"]["ipv6"]


def test_interfaces_stand_in_the_order_of_the_networks(machine, addresses):
    for interface, network in (("eth0", "lan"), ("eth1", "other")):
        shown = machine("debian13").check_output("ip -br address show %s", interface)
        assert addresses["debian13"][network]["ipv4"] + "/" in shown


def test_networks_lead_nowhere(host):
    for address in ("198.51.100.1", "2001:db8::1"):
        refused = host.run(f"ping -c 1 -W 2 {address}")
        assert "unreachable" in (refused.stdout + refused.stderr)


def test_packages_come_from_the_package_cache(host):
    """Without an update before: the lists look old, so that roles refresh them."""
    assert int(host.check_output("stat -c %Y /var/lib/apt/lists")) == 0
    installed = host.run("sudo apt-get -qq update && sudo apt-get -qq install hello")
    assert installed.rc == 0, installed.stderr


def test_hardened_units_start(host):
    properties = "DynamicUser ProtectSystem=strict PrivateTmp PrivateDevices ProtectKernelTunables"
    options = " ".join(f"-p {p if '=' in p else p + '=yes'}" for p in properties.split())
    assert host.run(f"sudo systemd-run --quiet --wait {options} true").rc == 0


def test_firewall_really_drops(host):
    other = "debian13" if host.check_output("hostname") == "debian12" else "debian12"
    rules = (
        "table inet rig { chain out { type filter hook output priority 0; ip daddr %s drop; }; }"
    )
    address = host.check_output(f"getent ahostsv4 {other}").split()[0]
    host.check_output("echo %s | sudo nft -f -", rules % address)
    assert host.run(f"ping -c 1 -W 1 {address}").rc != 0
    host.check_output("sudo nft delete table inet rig")
    assert host.run(f"ping -c 1 -W 1 {address}").rc == 0


def test_kernel_settings_and_tunnels_are_possible(host):
    host.check_output("sudo sysctl -w net.ipv4.conf.all.src_valid_mark=1")
    host.check_output("sudo ip tuntap add rig0 mode tun && sudo ip link del rig0")


def test_settings_of_a_host_are_in_force(machine):
    assert machine("debian13").check_output("cat /proc/sys/net/ipv4/ip_forward") == "1"
    assert machine("debian12").check_output("cat /proc/sys/net/ipv4/ip_forward") == "0"


def test_bare_machine_knows_nobody_and_has_no_ssh_server():
    def inside(*command):
        return rig("podman", "exec", "nomade-default-bare", "sh", "-c", *command)

    assert inside("command -v sshd || echo none") == "none"
    assert inside("getent passwd nomade || echo none") == "none"
    assert inside("ls /etc/sudoers.d") == "README"
    assert "Unit ssh.service could not be found" in inside("systemctl status ssh 2>&1; true")


@pytest.fixture
def left_behind():
    """Containers and networks of a dead process and of a living one."""
    started = Path("/proc/self/stat").read_text().rsplit(") ", 1)[1].split()[19]
    owners = {"dead": "4194304:1", "alive": f"{os.getpid()}:{started}"}
    for name, owner in owners.items():
        labels = ["--label=nomade.rig=1", f"--label=nomade.owner={owner}"]
        labels.append(f"--label=nomade.run=reap-{name}")
        rig("podman", "network", "create", "--internal", *labels, f"reap-{name}")
        image = "localhost/nomade-debian13:bare"
        box = ["--name", f"reap-{name}", "--network", f"reap-{name}", image, "sleep", "60"]
        rig("podman", "run", "--detach", *labels, *box)
        rig("podman", "network", "connect", f"reap-{name}", "nomade-package-cache")
    yield
    rig("remove", "reap-dead")
    rig("remove", "reap-alive")


def test_what_a_dead_run_left_is_reaped_and_nothing_else(left_behind):
    rig("remove", "--orphans", "reap-none")
    names = rig("podman", "ps", "--format", "{{.Names}}").split()
    networks = rig("podman", "network", "ls", "--format", "{{.Name}}").split()
    assert "reap-dead" not in names + networks
    assert "reap-alive" in names
    assert "reap-alive" in networks
    assert "nomade-default-debian12" in names
    assert "nomade-package-cache" in names
