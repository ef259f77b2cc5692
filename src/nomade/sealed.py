"""Passwords that are born on the controller and leave it only encrypted or hashed.

A password made here exists in this process's memory and nowhere else: it goes through a pipe to
`age`, which encrypts it to the town's key, and through libcrypt, which hashes it for the machine.
"""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

from ansible.utils.encrypt import do_encrypt

from nomade import files
from nomade.i18n import tr

# Letters that sit on the same key of an AZERTY and a QWERTY keyboard (no a, m, q, w, z, and no
# digits, which are shifted in France), without those that a reader mixes up (i, l, o): the login
# screen of a recovered laptop may still have the layout of its previous life.
ALPHABET = "bcdefghjknprstuvxy"
# 20 letters out of 18 are 83 bits; the CNIL (délibération 2022-100) asks for 80 of a password
# that nothing else protects.
LENGTH = 20


class SealError(Exception):
    """A password could not be sealed; the message is one sentence with the remedy."""


def generate() -> str:
    """Return a new random password."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def hashed(password: str) -> str:
    """Return the password's hash for /etc/shadow, by Debian's own method (crypt(5): yescrypt)."""
    result: str = do_encrypt(password, "yescrypt")
    return result


def seal(password: str, recipient: Path, record: Path) -> None:
    """Encrypt the password to the town's key and put it in place, on disk for good."""
    if not recipient.is_file():
        raise SealError(
            f"{recipient}: the town's public key is missing;"
            " make the pair with age-keygen(1), put the public key there"
            " and the private one where only those who hand machines over can read it"
        )
    try:
        age = subprocess.run(
            ["age", "--encrypt", "--armor", "--recipients-file", str(recipient)],
            input=password.encode(),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise SealError(
            "age is not installed on this controller; install Debian's package age"
        ) from None
    if age.returncode != 0:
        words = age.stderr.decode(errors="replace").strip().splitlines()
        raise SealError(f"{recipient}: age can't encrypt to this key: {words[0] if words else '?'}")
    try:
        record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.replace(record, age.stdout, 0o600)
    except OSError as error:
        raise SealError(f"{record}: the record can't be written: {error.strerror}") from error


def new_sealed(recipient: Path, record: Path) -> str:
    """Make a password, write its encrypted record, and return only its hash."""
    password = generate()
    seal(password, recipient, record)
    return hashed(password)


def unseal(record: Path, identity: Path) -> str:
    """Return what a record holds, by the town's private key. It is kept nowhere."""
    if not identity.is_file():
        raise SealError(
            tr(
                f"{identity}: the town's private key is not there; write where it is, as in"
                " -e identity=~/.config/nomade/TOWN.age-identity",
                f"{identity} : la clé privée de la ville n'y est pas ; écrire où elle se trouve,"
                " comme -e identity=~/.config/nomade/VILLE.age-identity",
            )
        )
    try:
        age = subprocess.run(
            ["age", "--decrypt", "--identity", str(identity), str(record)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise SealError(
            tr(
                "age is not installed on this controller; install Debian's package age",
                "age n'est pas installé sur ce poste ; installer le paquet Debian age",
            )
        ) from None
    if age.returncode != 0:
        words = (age.stderr.decode(errors="replace").strip().splitlines() or ["?"])[0]
        raise SealError(
            tr(
                f"{record}: {identity} doesn't open it ({words}); give the private key that belongs"
                " to the town's keys/town.age.pub",
                f"{record} : {identity} ne l'ouvre pas ({words}) ; donner la clé privée qui"
                " correspond au keys/town.age.pub de la ville",
            )
        )
    return age.stdout.decode()
