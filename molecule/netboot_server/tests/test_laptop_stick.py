"""A USB stick that starts what the network starts, before test_removal takes the images away."""

from __future__ import annotations

import re

testinfra_hosts = ["debian12", "debian13"]

STICK = "/var/lib/nomade-netboot-images/stick.img"


def test_it_holds_debians_signed_loaders_as_they_are(host, stick, bench):
    assert bench.check_output(f"sha256sum < {stick}") == host.check_output(f"sha256sum < {STICK}")
    assert re.search(r"start=\s+2048, .*type=ef", host.check_output(f"sudo sfdisk --dump {STICK}"))
    script = f"""
        set -e
        mkdir -p /tmp/signed && cd /tmp/signed
        apt-get -qq -o APT::Sandbox::User=root download shim-signed grub-efi-amd64-signed
        for package in *.deb; do dpkg-deb --extract "$package" .; done
        cat usr/lib/shim/shimx64.efi.signed | sha256sum
        mtype -i {STICK}@@1M ::EFI/BOOT/BOOTX64.EFI | sha256sum
        cat usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed | sha256sum
        mtype -i {STICK}@@1M ::EFI/BOOT/grubx64.efi | sha256sum
    """
    shim, its_shim, grub, its_grub = host.check_output("sudo sh -c %s", script).splitlines()
    assert (its_shim, its_grub) == (shim, grub)


def test_nothing_on_it_is_secret_and_it_leads_to_the_server(host, server_address):
    text = host.check_output(f"sudo mtype -i {STICK}@@1M ::grub/grub.cfg")
    assert f'source "(tftp,{server_address})/grub/grub.cfg"' in text
    assert f"NOMADE_URL=http://{server_address} " in text
    kernel = re.search(r"linux \(\$root\)(\S+) ", text)[1]
    there = f"/var/lib/nomade-netboot-images{kernel}"
    assert host.run(f"sudo mtype -i {STICK}@@1M ::{kernel} | sudo cmp - {there}").rc == 0


def test_it_starts_what_the_network_starts(laptop, stick, name):
    if name == "debian13":  # beside the town's own DHCP server
        screen = laptop("5CGSTICK01", r"STARTED WITH .*\n", stick=stick)
        assert "Nomade: unknown machine" in screen
        assert "FAI_ACTION=announce" in screen
    else:  # with a network card that the firmware has no driver for
        screen = laptop("5CGSTICK02", r"STARTED WITH .*\n", stick=stick, card="e1000,romfile=")
        assert "Nomade: start from the stick" in screen
        assert "FAI_ACTION=install" in screen, "without an order it comes to the same"
    assert "Kernel is locked down from EFI Secure Boot" in screen
