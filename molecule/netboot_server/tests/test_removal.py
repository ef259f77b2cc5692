"""Removed, it leaves nothing but what was ordered and recorded."""

from __future__ import annotations

testinfra_hosts = ["debian12"]


def test_removed_it_answers_nobody_and_keeps_its_records(host, playbook):
    assert playbook("absent.yml").returncode == 0
    assert host.run("dpkg-query --show fai-server").rc != 0
    left = "find /etc /usr/lib /usr/share /usr/sbin /var/cache -name '*netboot*'"
    assert host.run(f"sudo {left}").stdout == ""
    listening = host.socket.get_listening_sockets()
    assert not [socket for socket in listening if socket.endswith((":67", ":69"))]
    assert host.run("sudo ls /var/lib/nomade-netboot/orders").stdout != ""
    again = playbook("absent.yml")
    assert again.returncode == 0
    assert "changed=0" in again.stdout


def test_used_alone_it_answers(playbook, checks):
    assert playbook("tests/alone.yml").returncode == 0
    assert checks("debian12")["netboot-answers"]["status"] == "OK"
    assert checks("debian12")["netboot-dhcp"]["status"] == "OK"
