"""What a run saw on a machine, in words: one for each capability, and why it was not reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nomade.verdict import broken, unreachable, verdict

DOCUMENTATION = """
name: nomade_verdict
short_description: from what a run saw on a machine to one word for each capability
description: See C(src/nomade/verdict.py) for the arguments and the states.
positional: _input
options:
  _input:
    description: The capabilities that the machine should have.
    type: list
    elements: str
    required: true
"""


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return our filters by name."""
        return {
            "nomade_broken": broken,
            "nomade_unreachable": unreachable,
            "nomade_verdict": verdict,
        }
