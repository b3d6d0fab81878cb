"""A certificate authority of our own, and a signer's certificate and key, as C2PA wants them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Papers:
    """PEM files."""

    ca: Path
    certificates: Path
    key: Path


def private_key(kind: str = "P-256") -> Any:
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    return (
        ed25519.Ed25519PrivateKey.generate() if kind == "Ed25519" else ec.generate_private_key(ec.SECP256R1())
    )


def pem_key(key: Any, password: bytes | None = None, form: str = "PKCS8") -> bytes:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    stored = getattr(serialization.PrivateFormat, form)
    return bytes(key.private_bytes(serialization.Encoding.PEM, stored, lock))


def make_papers(folder: Path, kind: str = "P-256", days: int = 30) -> Papers:
    """The authority's certificate, the chain of a signer named Zoë in force for ``days``, and the signer's key."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, key = private_key(), private_key(kind)
    ca = _certificate("Authority", ca_key.public_key(), ca_key, authority=True, days=30)
    leaf = _certificate("Zoë", key.public_key(), ca_key, authority=False, days=days)
    files = Papers(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    pem = serialization.Encoding.PEM
    files.ca.write_bytes(ca.public_bytes(pem))
    files.certificates.write_bytes(leaf.public_bytes(pem) + ca.public_bytes(pem))
    files.key.write_bytes(pem_key(key))
    return files


def _certificate(name: str, public: Any, ca_key: Any, *, authority: bool, days: int) -> x509.Certificate:
    now = datetime.now(UTC)
    uses = ("key_cert_sign", "crl_sign") if authority else ("digital_signature",)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name("Authority"))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=40))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.KeyUsage(**{use: use in uses for use in USES}), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    if not authority:
        use = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
        builder = builder.add_extension(use, critical=False)
    return builder.sign(ca_key, hashes.SHA256())


def _name(common: str) -> x509.Name:
    parts = ((NameOID.ORGANIZATION_NAME, "Moderation"), (NameOID.COMMON_NAME, common))
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
