"""A machine of the register that nothing is ordered for; its disk is empty."""

from __future__ import annotations

testinfra_hosts = ["debian12"]

ON_ITS_OWN = r"BdsDxe: loading Boot\d+ \"UiApp\""


def test_it_starts_from_its_disk(laptop):
    screen = laptop("5CGKNOWN01", ON_ITS_OWN)
    assert "serial number 5CGKNOWN01" in screen
    assert "vb-0001 starts from its disk" in screen
    assert "STARTED WITH" not in screen


def test_it_does_not_start_a_stick_again_and_again(laptop, stick):
    screen = laptop("5CGKNOWN01", ON_ITS_OWN, stick=stick)
    assert "vb-0001 starts from its disk" in screen
    assert screen.count("Nomade: asking for the network") == 1
    assert "STARTED WITH" not in screen
