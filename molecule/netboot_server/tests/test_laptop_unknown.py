"""A machine that nobody knows (before test_removal takes the images away)."""

from __future__ import annotations

testinfra_hosts = ["debian12"]


def test_an_unknown_machine_only_announces_itself(laptop):
    screen = laptop("5CGOTHER77", r"STARTED WITH .*\n")
    assert "FAI_ACTION=announce" in screen
    assert "FAI_ACTION=install" not in screen
    assert "Kernel is locked down from EFI Secure Boot" in screen
