"""Certificates of those who sign macros, as LibreOffice's registry has them."""

from __future__ import annotations

import base64
import datetime
import importlib.util
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

FILTER = Path(__file__).parents[2] / "plugins/filter/macro_authors.py"


@pytest.fixture
def macro_author() -> Any:
    spec = importlib.util.spec_from_file_location("macro_authors", FILTER)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FilterModule().filters()["macro_author"]


def certificate(issuer: list[list[tuple[x509.ObjectIdentifier, str]]]) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    parts = [
        x509.RelativeDistinguishedName(x509.NameAttribute(kind, text) for kind, text in part)
        for part in issuer
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Auteur")]))
        .issuer_name(x509.Name(parts))
        .public_key(key.public_key())
        .serial_number(2**130)
        .not_valid_before(day)
        .not_valid_after(day + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )


@pytest.mark.parametrize(
    ("issuer", "name"),
    [
        (
            [[(NameOID.COUNTRY_NAME, "FR")], [(NameOID.COMMON_NAME, "Autorité")]],
            'CN="Autorité",C="FR"',
        ),
        ([[(NameOID.ORGANIZATION_NAME, 'Mairie, "A+B" \\')]], 'O="Mairie, \\"A+B\\" \\\\"'),
        (
            [[(NameOID.EMAIL_ADDRESS, "a@b")], [(NameOID.SERIAL_NUMBER, "1")]],
            'serialNumber="1",E="a@b"',
        ),
        ([[(NameOID.ORGANIZATION_IDENTIFIER, "NTRFR-1")]], 'OID.2.5.4.97="NTRFR-1"'),
        ([[(NameOID.COMMON_NAME, "a"), (NameOID.USER_ID, "b")]], 'CN="a"+UID="b"'),
    ],
)
def test_an_author(macro_author: Any, issuer: Any, name: str) -> None:
    made = certificate(issuer)
    pem = made.public_bytes(Encoding.PEM).decode()
    author = macro_author(f"Who it is, in words\n{pem}")
    der = base64.b64encode(made.public_bytes(Encoding.DER)).decode()
    assert author == {"SubjectName": name, "SerialNumber": str(2**130), "RawData": der}


@pytest.mark.parametrize("text", ["", "MIIB", "-----BEGIN CERTIFICATE-----", "x" * 100])
def test_what_is_no_certificate(macro_author: Any, text: str) -> None:
    assert macro_author(text) == {}
