"""Two languages, chosen by the locale: French where it is French, English elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping


def is_french(environ: Mapping[str, str] | None = None) -> bool:
    """Say whether messages are wanted in French (locale(7): LC_ALL, LC_MESSAGES, then LANG)."""
    env = os.environ if environ is None else environ
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := env.get(name):
            return value.lower().startswith("fr")
    return False


def tr(english: str, french: str) -> str:
    """Return the text in the language of the locale."""
    return french if is_french() else english
