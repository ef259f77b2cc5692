"""The town's register as an Ansible inventory: fleet.csv and, beside it, allocations.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.inventory import BaseInventoryPlugin, Constructable

from nomade import allocations, register
from nomade.i18n import tr
from nomade.table import TableError, plural

DOCUMENTATION = """
    name: fleet
    short_description: The register of a town's machines (fleet.csv)
    author: Nomade
    description:
      - Makes a host of each line of C(fleet.csv), named by its asset tag, with the addresses that
        C(allocations.csv) beside it gives.
      - Groups are C(workstations), C(state_*), C(department_*) and C(wave_*).
      - A register with a fault is refused as a whole, with every fault named.
      - Cells are text, never templates.
    notes:
      - C(fleet.csv) is enough. A file C(fleet.yml) or C(*.fleet.yml) beside it may add variables
        and groups with the options below.
    options:
      plugin:
        description: Says that a YAML file is meant for this plugin.
        type: str
        choices: [fleet]
      register:
        description: The register, relative to the YAML file.
        type: str
        default: fleet.csv
    extends_documentation_fragment:
      - constructed
"""

EXAMPLES = """
# fleet.yml: a group for each model, and one for the laptops of the crisis unit
plugin: fleet
keyed_groups:
  - key: fleet_model
    prefix: model
groups:
  crisis_unit: fleet_wave is defined and fleet_wave == 1
"""

# The register's columns that are variables of the host, as they stand.
TEXTS = tuple(column for column in register.COLUMNS if column != "wave")


class RegisterError(AnsibleParserError):
    """The register is refused. Said once: the faults name their places better than Ansible can.

    With an origin (`obj`) Ansible prints the message, and then once more with the origin.
    """

    obj = property(lambda self: None, lambda self, value: None)  # noqa: ARG005 - a property's signature


class InventoryModule(BaseInventoryPlugin, Constructable):
    """Reads the register."""

    NAME = "fleet"

    def verify_file(self, path: str) -> bool:
        """Say whether the file is a register, or a YAML file meant for this plugin."""
        name = Path(path).name
        is_ours = name == register.FILE or name.endswith(("fleet.yml", "fleet.yaml"))
        return is_ours and bool(super().verify_file(path))

    def parse(
        self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True
    ) -> None:
        """Add the register's machines to the inventory."""
        super().parse(inventory, loader, path, cache)
        source = Path(path)
        if source.suffix == ".csv":
            self.set_options()
        else:
            self._read_config_data(path)
            source = source.parent / self.get_option("register")
        try:
            machines, allocated = allocations.read_town(source)
        except TableError as error:
            told = plural(len(error.faults), tr("fault", "faute")) + tr(":", " :")
            raise RegisterError(f"{told}\n{error}") from None
        except OSError as error:
            raise RegisterError(f"{error.filename}: {error.strerror}") from None
        if missing := allocations.missing_allocations(machines, allocated):
            raise RegisterError(allocations.missing_message(missing, source.parent))
        self.inventory.add_group("workstations")
        for machine in machines:
            self._add(machine, allocated.get(machine.asset_tag))

    def _add(self, machine: register.Machine, allocation: allocations.Allocation | None) -> None:
        name = machine.asset_tag
        groups = [f"state_{machine.state}"]
        if machine.department:
            groups.append(f"department_{register.slug(machine.department)}")
        if machine.wave is not None:
            groups.append(f"wave_{machine.wave}")
        self.inventory.add_host(name, "workstations")
        for group in groups:
            # As children they win over group_vars/workstations.yml, last in the alphabet.
            self.inventory.add_group(group)
            self.inventory.add_child("workstations", group)
            self.inventory.add_host(name, group)

        variables: dict[str, Any] = {f"fleet_{text}": getattr(machine, text) for text in TEXTS}
        variables["fleet_vpn_ipv4"] = str(allocation.vpn_ipv4) if allocation else ""
        variables["fleet_vpn_ipv6"] = str(allocation.vpn_ipv6) if allocation else ""
        if machine.wave is not None:
            variables["fleet_wave"] = machine.wave
        address = machine.management_address
        if machine.is_assigned:
            address = address or variables["fleet_vpn_ipv4"]
        if address:
            variables["ansible_host"] = address
        for key, value in variables.items():
            self.inventory.set_variable(name, key, value)

        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, name, strict=strict)
        self._add_host_to_keyed_groups(
            self.get_option("keyed_groups"), variables, name, strict=strict
        )
