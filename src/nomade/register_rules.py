"""What may stand in the register's cells: a rule for each column, and the words it uses."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable

from nomade.i18n import tr

STATES = ("recovered", "stock", "assigned", "returned", "quarantined", "lost", "retired")
# Names that are groups in every town's inventory, or mean the controller.
RESERVED_TAGS = {"all", "ungrouped", "localhost", "workstations", "servers"}
# A number alone is an address to inet_aton(3), in any of its spellings.
NUMERIC_TAG = re.compile(r"[0-9]+|0x[0-9a-f]*")
# RFC 1123, 2.1; lower case because Ansible and known_hosts compare letter by letter
TAG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Debian's NAME_REGEX (adduser.conf(5)) without the final $ of Samba's machine accounts, and the
# 32 characters of useradd(8)
LOGIN = re.compile(r"[a-z][a-z0-9_-]{0,31}")
# Debian's own users and groups (base-passwd, and what a workstation's packages make), and ours:
# an account of such a name would fail, or inherit rights.
RESERVED_LOGINS = frozenset(
    """
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody
    nogroup adm tty disk kmem dialout fax voice cdrom floppy tape sudo audio dip operator src
    shadow utmp video sasl plugdev staff users input sgx clock kvm render crontab netdev lpadmin
    scanner bluetooth ssl-cert messagebus sshd ssh polkitd avahi colord geoclue rtkit pulse
    pipewire saned usbmux tss dnsmasq uuidd speech-dispatcher lightdm gdm sddm cups-pk-helper
    fwupd-refresh systemd-journal systemd-network systemd-resolve systemd-timesync
    systemd-coredump docker libvirt wireshark asterisk ntpsec chrony postfix postdrop nomade
    fleet ansible admin administrator guest halt shutdown reboot
    """.split()  # noqa: SIM905 (as quoted words it would fill a page)
)
# The address of HTML's <input type=email>, with at least one dot in the domain
EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
MAC = re.compile(r"[0-9a-f]{2}([:-]?)[0-9a-f]{2}(\1[0-9a-f]{2}){4}|([0-9a-f]{4}\.){2}[0-9a-f]{4}")
EXTENSION = re.compile(r"[0-9]{2,6}")
# France's national numbering plan; nobody's extension may stand in their way
EMERGENCY = {"15", "17", "18", "112", "114", "115", "119", "191", "196", "197", "116000", "116117"}
WAVE = re.compile(r"[1-9][0-9]?")
# What firmware says when nobody filled the serial number in, letters and digits only
PLACEHOLDER_SERIALS = {
    "",
    "123456789",
    "1234567890",
    "0123456789",
    "default",
    "defaultstring",
    "chassisserialnumber",
    "empty",
    "inconnu",
    "invalid",
    "na",
    "none",
    "notapplicable",
    "notavailable",
    "notspecified",
    "null",
    "oem",
    "serialnumber",
    "systemserialnumber",
    "sysserial",
    "tobefilledbyoem",
    "unknown",
}


class CellError(ValueError):
    """A cell is refused: what is wrong with it, and what to write instead."""


def slug(text: str) -> str:
    """Return the text as a part of a group's name: "État civil" becomes etat_civil."""
    folded = unicodedata.normalize("NFKD", text.replace("œ", "oe").replace("Œ", "OE"))
    return re.sub(r"[^a-z0-9]+", "_", folded.encode("ascii", "ignore").decode().lower()).strip("_")


def natural(tag: str) -> list[str | int]:
    """Return what sorts pc-9 before pc-10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", tag)]


def is_placeholder_serial(serial: str) -> bool:
    """Say whether firmware's serial number tells nothing ("To be filled by O.E.M.", "0000000")."""
    said = bare(serial)
    return said in PLACEHOLDER_SERIALS or len(set(said)) == 1


def bare(text: str) -> str:
    """Return letters and digits only: the same whatever the case or the separator."""
    return "".join(filter(str.isalnum, text.casefold()))


def _asset_tag(cell: str) -> str:
    suggestion = re.sub(r"[^a-z0-9]+", "-", slug(cell)).strip("-")[:63].rstrip("-")
    if not TAG.fullmatch(cell):
        raise CellError(
            tr("is no host name (RFC 1123)", "n'est pas un nom de machine (RFC 1123)"),
            tr(
                "write lower-case letters, digits and hyphens, 63 at most",
                "écrire des minuscules sans accent, des chiffres et des tirets, 63 au plus",
            )
            + (tr(f", like {suggestion}", f", comme {suggestion}") if suggestion else ""),
        )
    if cell in RESERVED_TAGS:
        raise CellError(
            tr("is reserved by Ansible or Nomade", "est réservé par Ansible ou Nomade"),
            tr("write another name, like vb-0042", "écrire un autre nom, comme vb-0042"),
        )
    if NUMERIC_TAG.fullmatch(cell):
        raise CellError(
            tr("would be taken for an address", "serait pris pour une adresse"),
            tr(
                f"put letters before it, like vb-{cell}",
                f"le faire précéder de lettres, comme vb-{cell}",
            ),
        )
    return cell


def _serial_number(cell: str) -> str:
    return "" if is_placeholder_serial(cell) else cell


def _mac_address(cell: str) -> str:
    example = tr("write it like 3c:52:82:0a:1b:2c", "l'écrire comme 3c:52:82:0a:1b:2c")
    if not MAC.fullmatch(cell.lower()):
        raise CellError(tr("is no MAC address", "n'est pas une adresse MAC"), example)
    digits = bare(cell)
    if int(digits[:2], 16) & 1:
        raise CellError(
            tr(
                "is a multicast address, which no network card has",
                "est une adresse de multidiffusion, qu'aucune carte réseau ne porte",
            ),
            tr("write the card's own address", "écrire l'adresse de la carte elle-même"),
        )
    if not int(digits, 16):
        raise CellError(
            tr("is nobody's address", "n'est l'adresse de personne"),
            tr("write the card's own, or nothing", "écrire celle de la carte, ou rien"),
        )
    return ":".join(digits[n : n + 2] for n in range(0, 12, 2))


def states_to_write() -> str:
    """Return the remedy for what is no state."""
    return tr("write one of ", "écrire l'un des mots ") + ", ".join(STATES)


def _state(cell: str) -> str:
    if cell not in STATES:
        raise CellError(tr("is no state", "n'est pas un état"), states_to_write())
    return cell


def _login(cell: str) -> str:
    if not LOGIN.fullmatch(cell):
        suggestion = slug(cell).lstrip("_0123456789").replace("_", "")[:32]
        raise CellError(
            tr(
                "is a login that Debian refuses",
                "est un identifiant que Debian refuse",
            ),
            tr(
                "write a lower-case letter, then letters, digits, _ or -, 32 at most",
                "écrire une minuscule sans accent, puis minuscules, chiffres, _ ou -, 32 au plus",
            )
            + (tr(f", like {suggestion}", f", comme {suggestion}") if suggestion else ""),
        )
    if cell in RESERVED_LOGINS or cell.startswith("systemd-"):
        raise CellError(
            tr(
                "is the name of an account or group of the system",
                "est le nom d'un compte ou d'un groupe du système",
            ),
            tr("write the person's own login", "écrire l'identifiant de la personne"),
        )
    return cell


def _name(cell: str) -> str:
    if ":" in cell:
        raise CellError(
            tr(
                "holds a colon, which /etc/passwd can't",
                "contient « : », interdit dans /etc/passwd",
            ),
            tr("write the name without it", "écrire le nom sans ce signe"),
        )
    return cell


def _email(cell: str) -> str:
    if not EMAIL.fullmatch(cell):
        raise CellError(
            tr("is no e-mail address", "n'est pas une adresse électronique"),
            tr("write it like marie.durand@example.org", "l'écrire comme marie.durand@example.org"),
        )
    return cell


def _department(cell: str) -> str:
    if not slug(cell):
        raise CellError(
            tr("holds no letter or digit", "ne contient ni lettre ni chiffre"),
            tr("write the department's name", "écrire le nom du service"),
        )
    return cell


def _extension(cell: str) -> str:
    if not EXTENSION.fullmatch(cell):
        raise CellError(
            tr("is no extension", "n'est pas un numéro de poste"),
            tr("write 2 to 6 digits, like 2042", "écrire 2 à 6 chiffres, comme 2042"),
        )
    if cell in EMERGENCY:
        raise CellError(
            tr("is an emergency number", "est un numéro d'urgence"),
            tr("write another extension", "écrire un autre numéro de poste"),
        )
    return cell


def _wave(cell: str) -> str:
    if not WAVE.fullmatch(cell):
        raise CellError(
            tr("is no wave", "n'est pas une vague"),
            tr("write a whole number from 1 to 99", "écrire un nombre entier de 1 à 99"),
        )
    return cell


def _management_address(cell: str) -> str:
    try:
        address = ipaddress.ip_address(cell)
    except ValueError:
        address = None
    if address is None or "%" in cell:
        raise CellError(
            tr("is no IP address", "n'est pas une adresse IP"),
            tr(
                "write it like 192.168.1.42 or fd00::42",
                "l'écrire comme 192.168.1.42 ou fd00::42",
            ),
        )
    if address.is_multicast or address.is_unspecified or cell == "255.255.255.255":
        raise CellError(
            tr("is no machine's address", "n'est l'adresse d'aucune machine"),
            tr(
                "write the machine's own address, or nothing",
                "écrire l'adresse de la machine elle-même, ou rien",
            ),
        )
    return str(address)


RULES: dict[str, Callable[[str], str]] = {
    "asset_tag": _asset_tag,
    "serial_number": _serial_number,
    "mac_address": _mac_address,
    "owner_department": _department,
    "state": _state,
    "assignee_login": _login,
    "assignee_name": _name,
    "assignee_email": _email,
    "department": _department,
    "extension": _extension,
    "wave": _wave,
    "management_address": _management_address,
}
