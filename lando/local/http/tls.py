"""The embedded cluster's own certificate authority and server certificate.

kubectl sends no token over plain HTTP, so the embedded API server speaks TLS, like every other one. The authority is
made once and stays; the server's certificate is renewed at a start before it runs out.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME = timedelta(days=3650)
CERTIFICATE_LIFETIME = timedelta(days=365)
RENEW_BEFORE = timedelta(days=90)
"""A process may run for a long time without a restart."""
_CLOCK_SKEW = timedelta(hours=1)
_HOST_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
_ADDRESSES = ("127.0.0.1", "::1")


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """Where the PEM files lie."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


def ensure_certificates(folder: Path, *, now: datetime | None = None) -> Certificates:
    """The authority and a server certificate with time left, made where they are missing. Files have mode 0600."""
    now = now or datetime.now(UTC)
    files = Certificates(
        ca_file=folder / "ca.crt", certificate_file=folder / "server.crt", key_file=folder / "server.key"
    )
    ca_key_file = folder / "ca.key"
    if not (files.ca_file.exists() and ca_key_file.exists()) or _expires(files.ca_file) - now < RENEW_BEFORE:
        _make_authority(files.ca_file, ca_key_file, now)
        files.certificate_file.unlink(missing_ok=True)
    if (
        not (files.certificate_file.exists() and files.key_file.exists())
        or _expires(files.certificate_file) - now < RENEW_BEFORE
    ):
        _make_server_certificate(files, ca_key_file, now)
    return files


def write_private(path: Path, content: bytes) -> None:
    """Write ``path`` as a whole and readable by its owner only, also when the process ends meanwhile."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _expires(file: Path) -> datetime:
    return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc


def _make_authority(file: Path, key_file: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lando-local-ca")])
    usage = _key_usage(key_cert_sign=True)
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(key_file, _pem(key))
    write_private(file, certificate.public_bytes(serialization.Encoding.PEM))


def _make_server_certificate(files: Certificates, ca_key_file: Path, now: datetime) -> None:
    authority = x509.load_pem_x509_certificate(files.ca_file.read_bytes())
    ca_key = serialization.load_pem_private_key(ca_key_file.read_bytes(), None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{ca_key_file} holds no elliptic-curve key")
    key = ec.generate_private_key(ec.SECP256R1())
    names: Sequence[x509.GeneralName] = [
        *(x509.DNSName(name) for name in _HOST_NAMES),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES),
    ]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lando-local-apiserver")])
    certificate = (
        _builder(subject, authority.subject, key.public_key(), now, CERTIFICATE_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    write_private(files.key_file, _pem(key))
    write_private(files.certificate_file, certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
