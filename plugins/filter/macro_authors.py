"""Whose macros LibreOffice trusts, as its registry (TrustedAuthors) wants to have it."""

from __future__ import annotations

import base64
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

# Words of NSS, by which LibreOffice reads and compares names, where RFC 4514 has but numbers.
WORDS = {"2.5.4.5": "serialNumber", "1.2.840.113549.1.9.1": "E"}


def written(attribute: x509.NameAttribute[str | bytes]) -> str:
    """Return a part of a name as NSS reads it, in quotes where RFC 4514 has backslashes."""
    kind = attribute.rfc4514_attribute_name
    word = WORDS.get(kind) or (f"OID.{kind}" if kind[0].isdigit() else kind)
    value = str(attribute.value).replace("\\", "\\\\").replace('"', '\\"')
    return f'{word}="{value}"'


def macro_author(certificate: str) -> dict[str, str]:
    """Return an author's node in the registry, or nothing where there is no certificate in PEM."""
    try:
        read = x509.load_pem_x509_certificate(str(certificate).encode())
    except ValueError:
        return {}
    names = ["+".join(map(written, part)) for part in reversed(read.issuer.rdns)]
    return {
        "SubjectName": ",".join(names),  # of the issuer, whatever LibreOffice calls it
        "SerialNumber": str(read.serial_number),
        "RawData": base64.b64encode(read.public_bytes(Encoding.DER)).decode(),
    }


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[[str], dict[str, str]]]:
        """Name the filter."""
        return {"macro_author": macro_author}
