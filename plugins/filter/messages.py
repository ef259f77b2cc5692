"""Messages in the language of the locale: `'English' | tr('français')`."""

from __future__ import annotations

from collections.abc import Callable

from nomade.i18n import tr


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., str]]:
        """Name the filters."""
        return {"tr": tr}
