"""Macros signed as LibreOffice signs them, and certificates of those who sign.

As a program it makes the certificates and keys of the scenario: signatures.py DIRECTORY.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import io
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

DSIG = "http://www.w3.org/2000/09/xmldsig#"
C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
SIGNATURES = "urn:oasis:names:tc:opendocument:xmlns:digitalsignature:1.0"

Name = list[tuple[x509.ObjectIdentifier, str]]
# An authority with everything in its name that people write there.
AUTHORITY: Name = [
    (NameOID.COUNTRY_NAME, "FR"),
    (NameOID.ORGANIZATION_NAME, "Mairie, de Valbourg-lès-Écoles"),
    (NameOID.ORGANIZATION_IDENTIFIER, "NTRFR-21350238"),
    (NameOID.SERIAL_NUMBER, "12"),
    (NameOID.EMAIL_ADDRESS, "dsi@valbourg.example.org"),
    (NameOID.COMMON_NAME, 'Autorité "A+B" & C\\D'),
]


@dataclass
class Author:
    """A certificate and its key."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @classmethod
    def made(cls, subject: Name, issuer: Author | None, number: int = 0) -> Author:
        """Make one, as an authority where nobody issues it."""
        key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(kind, text) for kind, text in subject])
        today = datetime.datetime.now(datetime.UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer.certificate.subject if issuer else name)
            .public_key(key.public_key())
            .serial_number(number or x509.random_serial_number())
            .not_valid_before(today - datetime.timedelta(days=1))
            .not_valid_after(today + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), True)
        )
        return cls(key, built.sign(issuer.key if issuer else key, hashes.SHA256()))

    @classmethod
    def read(cls, place: Path) -> Author:
        """Read one from the place where it was saved."""
        key = load_pem_private_key(place.with_suffix(".key").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        return cls(key, x509.load_pem_x509_certificate(place.with_suffix(".pem").read_bytes()))

    def save(self, place: Path) -> None:
        """Save it."""
        form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        place.with_suffix(".key").write_bytes(self.key.private_bytes(*form))
        place.with_suffix(".pem").write_bytes(self.certificate.public_bytes(Encoding.PEM))


def text(content: bytes) -> str:
    """Return bytes as XML has them."""
    return base64.b64encode(content).decode()


def reference(uri: str, content: bytes) -> str:
    """Return what a signature says of a part."""
    digest = text(hashlib.sha256(content).digest())
    method = f'<DigestMethod Algorithm="{SHA256}"></DigestMethod>'
    return f'<Reference URI="{uri}">{method}<DigestValue>{digest}</DigestValue></Reference>'


def signature(parts: dict[str, bytes], author: Author) -> str:
    """Return a signature of the parts. What is signed of it stands here in canonical form."""
    date = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    dated = (
        f'<SignatureProperty xmlns="{DSIG}" Id="date" Target="#signature">'
        f'<dc:date xmlns:dc="http://purl.org/dc/elements/1.1/">{date}</dc:date></SignatureProperty>'
    )
    references = [reference(name, content) for name, content in parts.items()]
    info = (
        f'<SignedInfo xmlns="{DSIG}">'
        f'<CanonicalizationMethod Algorithm="{C14N}"></CanonicalizationMethod>'
        f'<SignatureMethod Algorithm="{RSA_SHA256}"></SignatureMethod>'
        f"{''.join(references)}{reference('#date', dated.encode())}</SignedInfo>"
    )
    value = author.key.sign(info.encode(), padding.PKCS1v15(), hashes.SHA256())
    certificate = author.certificate.public_bytes(Encoding.DER)
    return (
        f'<document-signatures xmlns="{SIGNATURES}"><Signature xmlns="{DSIG}" Id="signature">{info}'
        f"<SignatureValue>{text(value)}</SignatureValue>"
        f"<KeyInfo><X509Data><X509Certificate>{text(certificate)}</X509Certificate></X509Data></KeyInfo>"
        f"<Object><SignatureProperties>{dated}</SignatureProperties></Object>"
        "</Signature></document-signatures>"
    )


def signed(document: bytes, author: Author) -> bytes:
    """Return a document with signed macros, signed as a whole too as it runs one when opened."""
    with zipfile.ZipFile(io.BytesIO(document)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    macros = {name: content for name, content in parts.items() if name.startswith("Basic/")}
    parts["META-INF/macrosignatures.xml"] = signature(macros, author).encode()
    parts["META-INF/documentsignatures.xml"] = signature(parts, author).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def main(directory: Path) -> None:
    """Make an author, a colleague, and a stranger who has given himself the author's names."""
    directory.mkdir(parents=True, exist_ok=True)
    authority = Author.made(AUTHORITY, None)
    author = Author.made([(NameOID.COMMON_NAME, "Secrétariat général")], authority)
    author.save(directory / "author")
    Author.made([(NameOID.COMMON_NAME, "Service technique")], authority).save(directory / "other")
    forger, number = Author.made(AUTHORITY, None), author.certificate.serial_number
    subject = [(NameOID.COMMON_NAME, "Secrétariat général")]
    Author.made(subject, forger, number).save(directory / "stranger")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
