"""The three kinds of public keys that a town keeps, judged without their programs.

Each function returns the bare key and an empty string, or an empty string and what is wrong.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from nomade.i18n import tr

PRIVATE = re.compile(r"PRIVATE KEY-----|AGE-SECRET-KEY-1|^\s*PrivateKey\s*=", re.MULTILINE)
SSH_TYPES = (
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)
_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def is_private(path: Path) -> bool:
    """Say whether a file holds a private key (SSH, TLS, age, or a WireGuard configuration)."""
    with path.open("rb") as file:
        return bool(PRIVATE.search(file.read(4096).decode("utf-8", "replace")))


def wireguard_key(text: str) -> tuple[str, str]:
    """Judge a WireGuard public key: 32 bytes in base64, as `wg pubkey` prints it."""
    key = text.strip()
    raw = _decoded(key)
    # The last character carries four bits of the key: what decodes alike must also read alike.
    if len(raw) == 32 and any(raw) and base64.b64encode(raw).decode() == key:
        return key, ""
    return "", tr(
        "is no WireGuard public key; write the 44 characters that `wg pubkey` prints",
        "n'est pas une clé publique WireGuard ; écrire les 44 caractères que donne « wg pubkey »",
    )


def ssh_blob(text: str) -> tuple[str, str]:
    """Judge an SSH public key: one line `type base64 comment`."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    kind, _, rest = lines[0].strip().partition(" ") if len(lines) == 1 else ("", "", "")
    key = rest.split(" ", 1)[0]
    # The key begins with the length of its type's name, and the name.
    if kind in SSH_TYPES and _decoded(key).startswith(len(kind).to_bytes(4) + kind.encode()):
        return key, ""
    return "", tr(
        "is not one SSH public key; write the line of the .pub file that `ssh-keygen` makes",
        "n'est pas une clé publique SSH ; écrire la ligne du fichier .pub que fait « ssh-keygen »",
    )


def age_recipient(text: str) -> tuple[str, str]:
    """Judge an age recipient: `age1...`, 32 bytes in Bech32 (BIP 173) with its checksum."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    if len(lines) == 1 and _is_bech32(lines[0], "age", 58):
        return lines[0], ""
    return "", tr(
        "is no age recipient; write the line age1... that `age-keygen -y` prints",
        "n'est pas un destinataire age ; écrire la ligne age1... que donne « age-keygen -y »",
    )


def _decoded(key: str) -> bytes:
    try:
        return base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_bech32(text: str, prefix: str, length: int) -> bool:
    data = [_BECH32.find(character) for character in text.removeprefix(f"{prefix}1")]
    if not text.startswith(f"{prefix}1") or len(data) != length or min(data) < 0:
        return False
    check = 1
    for value in (*(ord(c) >> 5 for c in prefix), 0, *(ord(c) & 31 for c in prefix), *data):
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            check ^= generator if top >> bit & 1 else 0
    return check == 1
