#!/usr/bin/python3 -IS
# SPDX-License-Identifier: MIT
"""Say what this machine is, on its screen and to the server; nothing on its disks changes.

announce.py URL RAM DISK: the server, and what a fit machine has (MiB of memory, GB of disk).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

Json = dict[str, Any]

EVERY = 15
GB = 1000**3


def text(path: str | Path) -> str:
    """Return what a file of /sys says, nothing where there is none."""
    try:
        said = Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
    return "".join(filter(str.isprintable, said)).strip()[:200]


def found(pattern: str) -> list[Path]:
    """Return the files of /sys or /proc that a pattern names."""
    return sorted(Path("/").glob(pattern))


def run(*command: str) -> bytes:
    """Return what a command prints, whatever its exit code."""
    try:
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return b""


def listed() -> list[Json]:
    """Return the disks as lsblk has them: those that are the machine's own."""
    columns = "NAME,PATH,TYPE,SIZE,RM,TRAN,FSTYPE"
    output = run("lsblk", "--json", "--bytes", "--tree", "--output", columns)
    devices = json.loads(output or b'{"blockdevices": []}')["blockdevices"]
    no_disk = ("zram", "ram", "loop", "sr", "fd")
    return [d for d in devices if d["type"] == "disk" and not d["name"].startswith(no_disk)]


# How each file system is mounted so that not even its journal is replayed.
READ_ONLY = {
    "ext2": "ro", "ext3": "ro,noload", "ext4": "ro,noload", "xfs": "ro,norecovery",
    "btrfs": "ro,rescue=nologreplay", "vfat": "ro", "exfat": "ro", "ntfs": "ro", "ntfs3": "ro",
}  # fmt: skip


def used_bytes(path: str, kind: str) -> int | None:
    """Return how much of a file system is used; the kernel is told before that nobody may write."""
    if kind not in READ_ONLY:
        return None
    with tempfile.TemporaryDirectory() as place:
        for driver in ("ntfs3", "ntfs") if kind == "ntfs" else (kind,):
            mount = ["mount", "-t", driver, "-o", READ_ONLY[kind], path, place]
            if subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode == 0:
                try:
                    size = os.statvfs(place)
                    return (size.f_blocks - size.f_bfree) * size.f_frsize
                finally:
                    subprocess.run(["umount", place], check=True)
    return None


def disks() -> list[Json]:
    """Return what is on each disk."""
    every = []
    for disk in listed():
        parts = disk.get("children") or []
        for device in (disk, *parts):
            subprocess.run(["blockdev", "--setro", device["path"]], check=True)
        whole = [disk] if disk.get("fstype") and not parts else []
        every.append(
            {
                "name": disk["name"],
                "size_bytes": disk["size"],
                "partitions": [
                    {
                        "name": part["name"],
                        "size_bytes": part["size"],
                        "file_system": part.get("fstype") or "",
                        "used_bytes": used_bytes(part["path"], part.get("fstype") or ""),
                    }
                    for part in (*whole, *parts)
                ][:64],
            }
        )
    return every


def smart(names: list[str]) -> str:
    """Return the worst of what the disks say of themselves."""
    answers = []
    for name in names:
        said = json.loads(run("smartctl", "--json", "--health", f"/dev/{name}") or b"{}")
        answers.append(said.get("smart_status", {}).get("passed"))
    return "failed" if False in answers else "passed" if True in answers else "unknown"


def battery() -> int | None:
    """Return the percentage of its first capacity that a battery still has."""
    for supply in found("sys/class/power_supply/BAT*"):
        for unit in ("energy", "charge"):
            full, design = (text(f"{supply}/{unit}_{what}") for what in ("full", "full_design"))
            if full.isdigit() and design.isdigit() and int(design) > 0:
                return min(100, round(100 * int(full) / int(design)))
    return None


def has(pattern: str, wanted: str) -> bool:
    """Say whether a device has a class, whether or not it has a driver here."""
    return any(re.fullmatch(wanted, text(path)) for path in found(pattern))


def describe(ram_wanted: int, disk_wanted: int) -> Json:
    """Return the announcement."""
    drives = disks()
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text("ascii"))
    cards = (text(path) for path in found("sys/class/net/*/address"))
    usb, pci = "sys/bus/usb/devices/*/bInterfaceClass", "sys/bus/pci/devices/*/class"
    names = (text(f"/sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name"))
    said = {
        "serial_number": text("/sys/class/dmi/id/product_serial"),
        "mac_addresses": [mac for mac in cards if mac.strip("0:") and len(mac) == 17],
        "model": " ".join(filter(None, names))[:200],
        "ram_mb": int(memory[1]) // 1024 if memory else 0,
        "firmware": "uefi" if Path("/sys/firmware/efi").is_dir() else "bios",
        "battery": battery(),
        "smart": smart([drive["name"] for drive in drives]),
        "wifi": bool(found("sys/class/net/*/wireless")) or has(pci, "0x0280.."),
        "camera": bool(found("sys/class/video4linux/video*")) or has(usb, "0e"),
        "microphone": bool(found("proc/asound/card*/pcm*c")) or has(pci, "0x040[13].."),
        "disks": drives,
    }
    reasons = unfit(said, ram_wanted, disk_wanted)
    return {**said, "fit": not reasons, "unfit_reasons": reasons}


def unfit(said: Json, ram_wanted: int, disk_wanted: int) -> list[str]:
    """Return why the town cannot use this machine; nothing where it can."""
    reasons = []
    if said["ram_mb"] < ram_wanted:
        reasons.append(f"memory: {said['ram_mb']} MiB, {ram_wanted} wanted")
    if said["firmware"] != "uefi":
        reasons.append("firmware: legacy BIOS, UEFI wanted")
    if said["smart"] == "failed":
        reasons.append("disk: SMART says that it is failing")
    if not any(disk["size_bytes"] >= disk_wanted * GB for disk in said["disks"]):
        reasons.append(f"disk: none of {disk_wanted} GB or more")
    return reasons


def show(said: Json) -> None:
    """Print what the technician reads."""
    yes = {True: "oui/yes", False: "non/no"}
    lines = [
        f"Numéro de série / serial number : {said['serial_number'] or '-'}",
        f"{said['model']}, {said['ram_mb']} MiB, {said['firmware'].upper()}",
        f"MAC {' '.join(said['mac_addresses'])}",
        f"Batterie/battery {said['battery'] or '-'} %, SMART {said['smart']}, "
        f"Wi-Fi {yes[said['wifi']]}, caméra {yes[said['camera']]}, micro {yes[said['microphone']]}",
    ]
    for disk in said["disks"]:
        lines.append(f"{disk['name']}: {disk['size_bytes'] / GB:.0f} GB")
        for part in disk["partitions"]:
            used = "?" if part["used_bytes"] is None else f"{part['used_bytes'] / GB:.1f}"
            lines.append(f"    {part['name']}: {part['file_system'] or '-'}, {used} GB")
    verdict = "; ".join(said["unfit_reasons"])
    lines.append(f"INAPTE / UNFIT: {verdict}" if verdict else "APTE / FIT")
    print("\n\n" + "\n".join(f"  {line}" for line in lines), flush=True)


def get(url: str, body: Json | None = None) -> str:
    """Return what the server answers."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - of GRUB's command line
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        said: bytes = answer.read()
    return said.decode()


def main() -> None:
    """Announce until it is heard, then wait: once ordered, the machine starts again by itself."""
    server, ram_wanted, disk_wanted = sys.argv[1:]
    said = describe(int(ram_wanted), int(disk_wanted))
    show(said)
    heard = False
    while True:
        with contextlib.suppress(OSError):
            if not heard:
                get(f"{server}/nomade/announce", said)
                heard = True
                print("\n  Annoncée, en attente d'une commande. / Announced, waiting.", flush=True)
            serial = urllib.parse.quote(said["serial_number"] or "none", safe="")
            if json.loads(get(f"{server}/nomade/order/{serial}"))["waiting"]:
                print("\n  Commande reçue, redémarrage. / Ordered, starting again.", flush=True)
                return
        time.sleep(EVERY)


if __name__ == "__main__":
    main()
