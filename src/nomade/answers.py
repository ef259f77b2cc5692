"""What a machine's command has answered, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def last_line(text: str) -> str:
    """Return the last line of what was said, which is where programs say why."""
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "?"


def why(done: Mapping[str, Any]) -> str:
    """Return why a command has failed, by an action's low-level result."""
    return last_line(done["stderr"] or done["stdout"])
