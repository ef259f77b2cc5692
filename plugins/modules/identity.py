#!/usr/bin/python3
"""Say which machine this is, what it is made of and who can enter it, in one read-only call."""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import json
import os
import pwd
import re
import shlex
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.rootfs_files import STATE_DIR
from ansible.module_utils.rootfs_survey import holding

DOCUMENTATION = r"""
module: identity
short_description: Say which machine this is, what it is made of and who can enter it
description:
  - Reads the serial number, the hardware, the operating system, the host keys and every way in that
    is not Nomade's own (accounts, sudoers, authorized keys, sshd directives, directory services).
  - Changes nothing, runs as root, and answers in one call, so that roles need no other facts.
  - The action plugin of the same name compares the answer with the register.
options:
  dmi_dir:
    description: Where the firmware's tables are read.
    type: path
    default: /sys/class/dmi/id
  accounts:
    description: Logins to look up; each comes back as C(local), C(directory) or C(absent).
    type: list
    elements: str
    default: []
  known_accounts:
    description: Logins that are ours and therefore not foreign.
    type: list
    elements: str
    default: []
  known_files:
    description: Files under /etc that are ours and therefore not foreign (shell patterns).
    type: list
    elements: str
    default: []
  smart:
    description: Ask each disk for its health with smartctl (slower; C(unknown) without smartctl).
    type: bool
    default: false
attributes:
  check_mode:
    support: full
author: Nomade
"""

EXAMPLES = r"""
- name: Read the machine's identity
  identity:
    accounts: [nomade]
  register: machine
"""

RETURN = r"""
identity:
  description: What the machine is; the keys are described in roles/identity/README.md.
  returned: success
  type: dict
"""

Json = Dict[str, Any]

# Groups whose members are as good as root.
PRIVILEGED_GROUPS = {"sudo", "admin", "wheel", "docker", "lxd", "incus-admin", "libvirt", "disk"}
# NSS sources of accounts that are no directory service.
LOCAL_NSS_SOURCES = {"files", "compat", "systemd", "db"}
NO_LOGIN_SHELLS = {"nologin", "false", "sync", "true", "shutdown", "halt"}
KEY_TYPE = re.compile(r"(?:sk-)?(?:ssh|ecdsa)-[a-z0-9@.-]+$")
# What Debian's own /etc/sudoers grants.
DEBIAN_GRANTS = {"root ALL=(ALL:ALL) ALL", "%sudo ALL=(ALL:ALL) ALL", "%admin ALL=(ALL) ALL"}
HALF_DONE = re.compile(
    r"^Status: \S+ \S+ (half-installed|unpacked|half-configured|triggers-(awaited|pending))$",
    re.MULTILINE,
)
INSTALLED = re.compile(r"^Package: (\S+)\n(?:\S+: .*\n)*?Status: \S+ ok installed$", re.MULTILINE)
# What ansible.builtin.apt holds services back with; removed by it, unless it is killed.
HELD_BACK = "#!/bin/sh\nexit 101"
NOT_A_GRANT = re.compile(r"(?:Defaults|(?:User|Runas|Host|Cmnd|Cmd)_Alias|[@#]include(?:dir)?)\b")


def read(path: Path) -> str:
    """Return a file's text, or nothing where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (OSError, ValueError):
        return ""


def number(text: str) -> Optional[int]:
    """Return the whole number that a text holds."""
    try:
        return int(text)
    except ValueError:
        return None


def sha256_fingerprint(blob: str) -> str:
    """Return OpenSSH's SHA256 fingerprint of a base64 key, or nothing if it is none."""
    try:
        digest = hashlib.sha256(base64.b64decode(blob, validate=True)).digest()
    except (binascii.Error, ValueError):
        return ""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


# -- the machine ------------------------------------------------------------------------------


def dmi(directory: Path) -> Json:
    """Return what the firmware says of the machine."""
    return {
        "serial_number": read(directory / "product_serial"),
        "vendor": read(directory / "sys_vendor"),
        "model": read(directory / "product_name"),
    }


def interfaces(root: Path) -> Iterator[Path]:
    """Yield the network interfaces that are hardware."""
    for link in sorted((root / "sys/class/net").glob("*")):
        if (link / "device").exists():
            yield link


def pci_wifi(root: Path) -> Iterator[Tuple[str, str]]:
    """Yield (address, driver) of each PCI Wi-Fi card; the driver is empty where none took it."""
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        if read(device / "class").startswith("0x0280"):
            driver = device / "driver"
            yield device.name, driver.resolve().name if driver.exists() else ""


def wifi(root: Path) -> List[Json]:
    """Return the Wi-Fi cards, those without a driver (firmware missing) included."""
    found = [
        {"interface": link.name, "driver": (link / "device/driver").resolve().name}
        for link in interfaces(root)
        if (link / "wireless").exists() or (link / "phy80211").exists()
    ]
    found += [{"interface": "", "driver": ""} for _, driver in pci_wifi(root) if not driver]
    return found


def batteries(root: Path) -> List[Json]:
    """Return each battery's health: what it still holds of what it held when new."""
    found = []
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        if read(supply / "type") != "Battery" or read(supply / "scope") == "Device":
            continue  # "Device": the battery of a mouse or a headset
        now = design = None
        for unit in ("energy", "charge"):
            now = now or number(read(supply / (unit + "_full")))
            design = design or number(read(supply / (unit + "_full_design")))
        health = round(100 * now / design) if now and design else None
        cycles = number(read(supply / "cycle_count"))
        found.append({"name": supply.name, "health_percent": health, "cycles": cycles or None})
    return found


def smart_health(name: str) -> str:
    """Return what a disk says of its own health: passed, failed or unknown."""
    program = shutil.which("smartctl", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not program:
        return "unknown"
    try:
        # The exit status is a set of bits about the disk; the JSON says it in words.
        run = subprocess.run(
            [program, "--json", "--health", "/dev/" + name],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=20,
            check=False,
        )
        passed = json.loads(run.stdout).get("smart_status", {}).get("passed")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return "unknown"
    return {True: "passed", False: "failed"}.get(passed, "unknown")


def disks(root: Path, smart: bool) -> List[Json]:
    """Return the disks that stay in the machine."""
    found = []
    for block in sorted((root / "sys/block").glob("*")):
        sectors = number(read(block / "size"))
        if not (block / "device").exists() or read(block / "removable") == "1" or not sectors:
            continue
        if block.name.startswith(("sr", "fd", "nbd")):
            continue
        found.append(
            {
                "name": block.name,
                "model": read(block / "device/model"),
                "size_bytes": sectors * 512,
                "rotational": read(block / "queue/rotational") == "1",
                "smart": smart_health(block.name) if smart else "unknown",
            }
        )
    return found


def cameras(root: Path) -> List[str]:
    """Return the names of the cameras, each once (a camera has several video nodes)."""
    return sorted({read(n / "name") for n in (root / "sys/class/video4linux").glob("*")} - {""})


def microphones(root: Path) -> List[str]:
    """Return the names of the sound devices that record."""
    names = []
    for line in read(root / "proc/asound/pcm").splitlines():
        fields = [field.strip() for field in line.split(":")]
        if len(fields) > 2 and any(field.startswith("capture") for field in fields[3:]):
            names.append(fields[2] or fields[1])
    return names


def firmware(root: Path) -> Json:
    """Return whether the machine was started by UEFI, and whether Secure Boot is on."""
    efi = root / "sys/firmware/efi"
    secure = False
    for variable in (efi / "efivars").glob("SecureBoot-*"):
        try:
            secure = variable.read_bytes()[-1:] == b"\x01"
        except OSError:
            continue
    return {"firmware": "uefi" if efi.exists() else "bios", "secure_boot": secure}


def memory_mib(root: Path) -> int:
    """Return the memory that the system has, in MiB (a little less than what is fitted)."""
    match = re.search(r"^MemTotal:\s+(\d+) kB", read(root / "proc/meminfo"), re.MULTILINE)
    return int(match.group(1)) // 1024 if match else 0


def system(root: Path) -> Json:
    """Return which operating system runs."""
    values: Dict[str, str] = {}
    for line in read(root / "etc/os-release").splitlines():
        name, equals, value = line.partition("=")
        if equals:
            words = shlex.split(value)
            values[name] = words[0] if words else ""
    return {
        "os_id": values.get("ID", ""),
        "os_version_id": values.get("VERSION_ID", ""),
        "os_codename": values.get("VERSION_CODENAME", ""),
        "kernel_wireguard": has_kernel_module("wireguard"),
    }


def has_kernel_module(name: str) -> bool:
    """Say whether the running kernel has a module, loaded or not (modprobe(8))."""
    program = shutil.which("modprobe", path="/usr/sbin:/usr/bin:/sbin:/bin")
    command = [str(program), "--dry-run", "--quiet", name]
    return bool(program) and subprocess.run(command, check=False).returncode == 0


def host_keys(root: Path) -> Dict[str, str]:
    """Return the fingerprint of each SSH host key by its type."""
    found = {}
    for path in sorted((root / "etc/ssh").glob("ssh_host_*_key.pub")):
        fields = read(path).split()
        if len(fields) > 1 and (fingerprint := sha256_fingerprint(fields[1])):
            found[fields[0]] = fingerprint
    return found


# -- the ways in ------------------------------------------------------------------------------


def colon_file(path: Path) -> List[List[str]]:
    """Return the records of a file such as /etc/passwd."""
    return [line.split(":") for line in read(path).splitlines() if ":" in line]


def groups_of(root: Path) -> Dict[str, Set[str]]:
    """Return the privileged groups of each account."""
    found: Dict[str, Set[str]] = {}
    for record in colon_file(root / "etc/group"):
        if len(record) > 3 and record[0] in PRIVILEGED_GROUPS:
            for member in filter(None, record[3].split(",")):
                found.setdefault(member, set()).add(record[0])
    return found


def key_files(root: Path, home: str) -> List[Path]:
    """Return the files in which an account keeps the keys that may enter."""
    ssh = root / home.lstrip("/") / ".ssh"
    return [path for path in (ssh / "authorized_keys", ssh / "authorized_keys2") if read(path)]


def authorized_keys(path: Path) -> Iterator[Tuple[str, str]]:
    """Yield (fingerprint, rest of the line) of each key in an authorized_keys file."""
    for line in read(path).splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        for position, word in enumerate(words[:-1]):
            if KEY_TYPE.match(word) and (print_ := sha256_fingerprint(words[position + 1])):
                rest = [*words[:position], word, *words[position + 2 :]]
                yield print_, " ".join(rest)
                break


def foreign_accounts(root: Path, known: Set[str]) -> List[Json]:
    """Return the accounts that a person can use and that Nomade doesn't know."""
    hashes = {record[0]: record[1] for record in colon_file(root / "etc/shadow")}
    privileged = groups_of(root)
    found = []
    for record in colon_file(root / "etc/passwd"):
        if len(record) < 7 or record[0] in known | {"root", "nobody"}:
            continue
        login, uid, home, shell = record[0], number(record[2]), record[5], record[6]
        password = hashes.get(login, "*")
        # An empty field is no password at all: anybody may enter.
        can_enter = not password.startswith(("!", "*")) or bool(key_files(root, home))
        # A service's account that nobody can enter is no way in, whatever its shell.
        service = uid is not None and 0 < uid < 1000
        if service and (not can_enter or Path(shell or "/bin/sh").name in NO_LOGIN_SHELLS):
            continue
        detail = ["uid %s" % record[2], shell or "/bin/sh"]
        detail.append("password" if not password.startswith(("!", "*")) else "no password")
        detail += ["in " + ", ".join(sorted(privileged[login]))] if login in privileged else []
        found.append({"name": "user:" + login, "detail": ", ".join(detail)})
    return found


def grants(text: str) -> List[str]:
    """Return the rules of a sudoers file that grant something."""
    joined = re.sub(r"\\\n\s*", " ", text)
    found = []
    for raw in joined.splitlines():
        line = " ".join(re.sub(r"(^|\s)#(?!include|\d).*", "", raw).split())
        if line and not NOT_A_GRANT.match(line) and line not in DEBIAN_GRANTS:
            found.append(line)
    return found


def foreign_sudoers(root: Path, known: Iterable[str]) -> List[Json]:
    """Return the sudoers files that grant something and are not ours."""
    candidates = [root / "etc/sudoers", *sorted((root / "etc/sudoers.d").glob("*"))]
    found = []
    for path in candidates:
        name = "/" + str(path.relative_to(root))
        if path.parent.name == "sudoers.d" and ("." in path.name or path.name.endswith("~")):
            continue  # sudo reads neither
        rules = [] if matches(name, known) else grants(read(path))
        if rules:
            found.append({"name": "sudoers:" + name, "detail": "; ".join(rules)[:200]})
    return found


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Say whether a path is one of those given as shell patterns."""
    return any(Path(name).match(pattern) for pattern in patterns)


def foreign_keys(root: Path, known_accounts: Set[str]) -> List[Json]:
    """Return the SSH keys that may enter through an account's own file."""
    found = {}
    for record in colon_file(root / "etc/passwd"):
        if len(record) < 7 or record[0] in known_accounts:
            continue
        for path in key_files(root, record[5]):
            for fingerprint, rest in authorized_keys(path):
                name = "key:%s:%s" % (record[0], fingerprint)
                found[name] = {"name": name, "detail": rest[:120]}
    return list(found.values())


def foreign_sshd(root: Path, known: Iterable[str]) -> List[Json]:
    """Return the sshd directives that let keys in from elsewhere than the accounts' own files."""
    ours = {"none", ".ssh/authorized_keys", ".ssh/authorized_keys2"}
    ours |= {"%h/" + path for path in ours}
    watched = {"authorizedkeyscommand", "trustedusercakeys", "authorizedkeysfile"}
    found = []
    paths = [root / "etc/ssh/sshd_config", *sorted((root / "etc/ssh/sshd_config.d").glob("*.conf"))]
    for path in paths:
        name = "/" + str(path.relative_to(root))
        if matches(name, known):
            continue
        for line in read(path).splitlines():
            words = line.replace("=", " ", 1).split()
            if words and words[0].lower() in watched and not set(words[1:]) <= ours:
                detail = "%s in %s" % (" ".join(words[1:]), name)
                found.append({"name": "sshd:" + words[0], "detail": detail})
    return found


def directory_services(root: Path) -> List[str]:
    """Return the services that bring accounts from a directory (SSSD, Active Directory, LDAP)."""
    found = set()
    for line in read(root / "etc/nsswitch.conf").splitlines():
        name, _, sources = line.partition("#")[0].partition(":")
        if name.strip() == "passwd":
            words = re.sub(r"\[[^]]*\]", " ", sources).split()
            found |= {{"sss": "sssd"}.get(word, word) for word in words} - LOCAL_NSS_SOURCES
    if read(root / "etc/sssd/sssd.conf") or any((root / "etc/sssd/conf.d").glob("*.conf")):
        found.add("sssd")
    if re.search(r"^\s*security\s*=\s*ads\b", read(root / "etc/samba/smb.conf"), re.I | re.M):
        found.add("active-directory")
    return sorted(found)


def where_accounts_live(root: Path, logins: Iterable[str]) -> Dict[str, str]:
    """Say of each login whether it is local, a directory's, or absent."""
    local = {record[0] for record in colon_file(root / "etc/passwd")}
    found = {}
    for login in logins:
        if login in local:
            found[login] = "local"
            continue
        try:
            pwd.getpwnam(login)
            found[login] = "directory"
        except KeyError:
            found[login] = "absent"
    return found


def password_set(root: Path, logins: Iterable[str]) -> Dict[str, bool]:
    """Say of each login whether a password opens it."""
    hashes = {record[0]: record[1] for record in colon_file(root / "etc/shadow")}
    return {login: not hashes.get(login, "*").startswith(("!", "*")) for login in logins}


def is_locked(path: Path) -> bool:
    """Say whether another process holds a lock (fcntl(2), F_GETLK), without taking it."""
    if not path.exists():
        return False
    question = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with path.open("rb") as file:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, question)
    return bool(struct.unpack("hhqqi", answer)[0] != fcntl.F_UNLCK)


def interrupted(root: Path) -> List[str]:
    """Return what an installation of packages that was cut short has left behind."""
    if is_locked(root / "var/lib/dpkg/lock-frontend"):
        return []  # it is under way
    updates = root / "var/lib/dpkg/updates"
    left = []
    if HALF_DONE.search(read(root / "var/lib/dpkg/status")) or (
        updates.is_dir() and any(updates.iterdir())
    ):
        left.append("dpkg")
    if read(root / "usr/sbin/policy-rc.d") == HELD_BACK:
        left.append("policy-rc.d")
    return left


def disk_passphrase(root: Path) -> str:
    """Say of a machine rebuilt from the network whether its disk has its person's passphrase."""
    if not (root / "usr/lib/nomade/disk-passphrase").exists():
        return ""
    return "wanted" if (root / "boot/nomade-preparation.key").exists() else "set"


def packages(root: Path) -> List[str]:
    """Return the names of the packages that are installed and configured."""
    return sorted(set(INSTALLED.findall(read(root / "var/lib/dpkg/status"))))


def brought(root: Path) -> List[str]:
    """Return under which names the role packages has recorded what it brought."""
    return sorted(path.name for path in (root / "var/lib/nomade/packages").glob("*"))


def installed(root: Path) -> List[str]:
    """Return the roles whose files are on the machine: the manifests that `rootfs` keeps."""
    manifests = (root / STATE_DIR).glob("*/manifest.json")
    return sorted(path.parent.name for path in manifests)


def survey(root: Path, params: Json) -> Json:
    """Return everything at once."""
    known = set(params["known_accounts"])
    files = params["known_files"]
    keys = host_keys(root)
    found: Json = dmi(root / params["dmi_dir"].lstrip("/"))
    found.update(system(root))
    found.update(firmware(root))
    macs = {read(link / "address") for link in interfaces(root)} - {"", "00:00:00:00:00:00"}
    found.update(
        macs=sorted(macs),
        ram_mib=memory_mib(root),
        batteries=batteries(root),
        disks=disks(root, params["smart"]),
        wifi=wifi(root),
        cameras=cameras(root),
        microphones=microphones(root),
        host_keys=keys,
        host_key_sha256=keys.get("ssh-ed25519", ""),
        foreign_accounts=foreign_accounts(root, known),
        foreign_sudoers=foreign_sudoers(root, files),
        foreign_keys=foreign_keys(root, known),
        foreign_sshd=foreign_sshd(root, files),
        directory_services=directory_services(root),
        brought=brought(root),
        installed=installed(root),
        interrupted=interrupted(root),
        disk_passphrase=disk_passphrase(root),
        packages=packages(root),
        rootfs=holding(root),
        accounts=where_accounts_live(root, params["accounts"]),
        password_set=password_set(root, params["accounts"]),
    )
    return found


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "dmi_dir": {"type": "path", "default": "/sys/class/dmi/id"},
            "accounts": {"type": "list", "elements": "str", "default": []},
            "known_accounts": {"type": "list", "elements": "str", "default": []},
            "known_files": {"type": "list", "elements": "str", "default": []},
            "smart": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(
            msg="identity must run as root, for only root can read the serial number: "
            "give the play `become: true`."
        )
    module.exit_json(changed=False, identity=survey(Path("/"), module.params))


if __name__ == "__main__":
    main()
