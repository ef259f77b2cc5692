# SPDX-License-Identifier: MIT
"""Which trees of rootfs stand on a machine as they were installed: one look at all of them.

Where the controller is about to ask for the very tree that stands there, it needn't ask at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.rootfs_files import STATE_DIR, read_node
from ansible.module_utils.rootfs_units import Systemd


def holding(root: Path) -> dict[str, str]:
    """Return the hash of what was asked for last, by the name of each tree that still holds.

    A tree holds when its last installation came to its end, no unit waits for a restart, nothing
    was changed by hand, and the units that it enables are enabled and run.
    """
    found = dict(_manifests(root))
    systemd = Systemd(root)
    if not systemd.running:
        return {}
    units = systemd.show({unit for manifest in found.values() for unit in manifest["units"]})
    return {
        name: manifest["asked"]
        for name, manifest in found.items()
        if all(_as_installed(root, path, node) for path, node in manifest["nodes"].items())
        and all(systemd.is_up(units[unit]) for unit in manifest["units"])
    }


def _manifests(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the manifests that leave nothing to be done; a damaged one is rootfs's to refuse."""
    for file in sorted((root / STATE_DIR).glob("*/manifest.json")):
        try:
            manifest = json.loads(file.read_text())
        except ValueError:
            continue
        due = manifest.get("pending") or manifest.get("daemon_reload")
        if manifest.get("asked") and manifest.get("complete") and not due:
            yield file.parent.name, manifest


def _as_installed(root: Path, path: str, node: dict[str, Any]) -> bool:
    """Say whether what stands at a path is what the manifest remembers."""
    found = read_node(root, path)
    same = ("kind", "hash") if node["kind"] == "link" else ("kind", "hash", "owner", "group")
    if any(getattr(found, key) != node[key] for key in same):
        return False
    return bool(node["kind"] == "link" or f"{found.mode:04o}" == node["mode"])
