"""An authority of the tests' own, and certificates of it."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USUAL = timedelta(days=1)


class Authority:
    """Signs certificates for names, and says who believes in it."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("tests")
        self._certificate = (
            _begun(self._name, self._name, self._key.public_key(), USUAL)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def believer(self) -> ssl.SSLContext:
        """A client's side: believes this authority, and nobody else."""
        pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def server(self, name: str, *, life: timedelta = USUAL) -> ssl.SSLContext:
        """A server's side: has a certificate for a name.

        Args:
            name: Of the host.
            life: From now; of one that ended, less than nothing.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _begun(self._name, _named(name), key.public_key(), life)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = serialization.Encoding.PEM
        private = key.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with TemporaryDirectory() as folder:  # the module reads files only
            path = Path(folder) / "both.pem"
            path.write_bytes(private + certificate.public_bytes(pem))
            context.load_cert_chain(path)
        return context


@cache
def authority(number: int = 0) -> Authority:  # noqa: ARG001 - tells authorities apart
    """The authority of this number; made once."""
    return Authority()


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _begun(
    issuer: x509.Name,
    subject: x509.Name,
    key: Any,  # noqa: ANN401 - any public key
    life: timedelta,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + life)
    )
