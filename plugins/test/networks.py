"""Jinja tests: `x is ip_address`, `x is ip_network(4)`, `x is ip_inside(list)`, ..."""

from __future__ import annotations

from collections.abc import Callable

from nomade import networks


class TestModule:
    """What Ansible looks for in a file of tests."""

    def tests(self) -> dict[str, Callable[..., bool]]:
        """Name the tests as playbooks use them."""
        return {
            "ip_address": networks.is_address,
            "ip_network": networks.is_network,
            "ip_inside": networks.is_inside,
            "ip_overlapping": networks.is_overlapping,
        }
