"""The words of a sheet: one text in two languages, set as printers set it."""

from __future__ import annotations

import re
from collections.abc import Callable

from markupsafe import Markup

NO_BREAK = "\u00a0"
NARROW_NO_BREAK = "\u202f"


def typeset(text: str, language: str) -> str:
    """Return a text with its typographic apostrophes and, in French, the spaces of its signs.

    Imprimerie nationale: a no-break space before a colon and inside guillemets, a narrow one
    before ; ! and ?. Addresses such as https://... have no space there and keep none.
    """
    text = text.replace("'", "\u2019")
    if language == "fr":
        text = re.sub(r" +(?=[;!?])", NARROW_NO_BREAK, text)
        text = re.sub(r" +(?=[:»])|(?<=«) +", NO_BREAK, text)
    return text


def unbroken(value: str) -> str:
    """Return a value, such as a telephone number, that stays on one line."""
    return re.sub(r"\s+", NO_BREAK, value.strip())


def dialled(number: str) -> str:
    """Return a telephone number as a telephone takes it (RFC 3966)."""
    return re.sub(r"[^0-9+*#]", "", number)


def translator(language: str) -> Callable[..., Markup]:
    """Return t(fr=..., en=..., name=value): a text of ours, with values of others in it.

    Our texts may hold tags; values are escaped and stand as they are, to the letter.
    """

    def t(*, fr: str, en: str, **values: object) -> Markup:
        # not .format() on a text that typeset() changed: values come last and are never typeset
        return Markup(typeset(fr if language == "fr" else en, language)).format(**values)  # noqa: S704 - our own text

    return t
