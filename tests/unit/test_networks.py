from __future__ import annotations

import pytest

from nomade.networks import is_address, is_inside, is_network, is_overlapping


@pytest.mark.parametrize(
    ("value", "version", "expected"),
    [
        ("10.66.0.1", 0, True),
        ("10.66.0.1", 4, True),
        ("10.66.0.1", 6, False),
        ("fd66::1", 6, True),
        ("vpn.example.org", 0, False),
        ("10.66.0.1/32", 0, False),
        ("10.66.0.256", 4, False),
        ("", 0, False),
    ],
)
def test_address(value: str, version: int, expected: bool) -> None:
    assert is_address(value, version) is expected


@pytest.mark.parametrize(
    ("value", "version", "expected"),
    [
        ("10.66.0.0/16", 4, True),
        ("fd66::/64", 6, True),
        ("fd66::/64", 4, False),
        ("10.66.0.1/16", 0, False),  # host bits: most likely a typing error
        ("10.66.0.1", 0, False),
        ("intranet", 0, False),
    ],
)
def test_network(value: str, version: int, expected: bool) -> None:
    assert is_network(value, version) is expected


@pytest.mark.parametrize(
    ("value", "networks", "expected"),
    [
        ("10.66.1.2", "10.66.0.0/16", True),
        ("10.66.1.0/24", ["10.66.0.0/16"], True),
        ("10.0.0.0/8", ["10.66.0.0/16"], False),
        ("10.67.0.1", ["10.66.0.0/16", "10.67.0.0/16"], True),
        ("fd66::5", ["10.66.0.0/16"], False),
        ("fd66::5", ["10.66.0.0/16", "fd66::/64"], True),
        ("10.66.1.2", [], False),
        ("nonsense", ["10.66.0.0/16"], False),
    ],
)
def test_inside(value: str, networks: str | list[str], expected: bool) -> None:
    assert is_inside(value, networks) is expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("10.66.0.0/16", ["10.66.5.0/24"], True),
        (["10.66.5.0/24"], "10.66.0.0/16", True),
        (["10.66.0.0/16"], ["10.67.0.0/16", "fd66::/64"], False),
        (["fd66::/64"], ["fd66::/48"], True),
        ([""], ["10.66.0.0/16"], False),
    ],
)
def test_overlapping(left: str | list[str], right: str | list[str], expected: bool) -> None:
    assert is_overlapping(left, right) is expected
