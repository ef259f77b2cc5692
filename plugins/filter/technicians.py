"""The technicians' public keys, ready for sshd."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ansible.errors import AnsibleFilterError

from nomade import technicians


def technician_keys(names: Sequence[str], directory: str) -> list[str]:
    """Return one line for authorized_keys per technician."""
    try:
        return technicians.key_lines([str(name) for name in names], str(directory))
    except technicians.TechnicianError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Name the filters."""
        return {"technician_keys": technician_keys}
