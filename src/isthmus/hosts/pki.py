"""The engine's certificate authority, its own certificates, its SSH key, and the deny list of serials.

Engine and hosts trust this authority alone, and their certificates have different extended key usages, so
that a host's certificate cannot speak for the engine nor the engine's for a host:

==================  ==========  ===============================  =====================================
certificate         usage       subject alternative names        life
==================  ==========  ===============================  =====================================
engine to hosts     clientAuth  ``engine.isthmus``               weeks; renewed by ``engine()``
host                serverAuth  ``<host id>.host.isthmus``       weeks; renewed by deploying it again
HTTPS of the API    serverAuth  the names it is reached under    a year; renewed by ``https()``
==================  ==========  ===============================  =====================================

Every file is written whole or not at all, readable by its owner only. A key and its certificate share a
file, so that a crash can never leave one without the other.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import ipaddress
import os
import re
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ENGINE_NAME = "engine.isthmus"
HOST_DOMAIN = "host.isthmus"

_DAY = datetime.timedelta(days=1)
CA_LIFE = 20 * 365 * _DAY
ENGINE_LIFE = 42 * _DAY
HOST_LIFE = 42 * _DAY
HTTPS_LIFE = 365 * _DAY
_CURVES = ("secp256r1", "secp384r1")
_CLOCK_SKEW = datetime.timedelta(hours=1)

_HOST_ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class CertificateRefused(Exception):
    """A certificate request that this authority does not sign, and why."""


@dataclass(frozen=True)
class Certificate:
    pem: str
    serial: str
    """Hexadecimal, lower case: the form that the deny list and the database keep."""
    not_after: datetime.datetime


@dataclass(frozen=True)
class Credentials:
    """A certificate with its private key, both PEM."""

    certificate: bytes
    key: bytes


def host_name(host_id: str) -> str:
    """The name in a host's certificate. :raises ValueError: if the id cannot be part of a DNS name."""
    if not _HOST_ID.fullmatch(host_id):
        raise ValueError(f"host id {host_id!r} is not a DNS label (lower case letters, digits, hyphens)")
    return f"{host_id}.{HOST_DOMAIN}"


def serial_text(serial: int) -> str:
    return format(serial, "x")


class Authority:
    """The authority kept in ``directory``, made there on first use. Safe between threads and processes."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        self._mutex = threading.Lock()
        self._denied_seen: tuple[tuple[int, int] | None, frozenset[str]] = (None, frozenset())
        with self._exclusive():
            self._ca_key = self._load_or_make_ca_key()
            self._ca = self._load_or_make_ca()
            self._make_ssh_key()

    # -------------------------------------------------------------------------------- the authority

    @property
    def ca_path(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def ca_pem(self) -> bytes:
        return self._ca.public_bytes(serialization.Encoding.PEM)

    def sign_host(self, csr_pem: str | bytes, host_id: str) -> Certificate:
        """Certify the key in a request for this host. Names and usages that the request claims are ignored.

        :raises CertificateRefused: no readable request, no proof that its sender has the key, or a weak key.
        """
        try:
            csr = x509.load_pem_x509_csr(csr_pem.encode() if isinstance(csr_pem, str) else csr_pem)
        except ValueError as error:
            raise CertificateRefused(f"host {host_id} sent no certificate request: {error}") from error
        if not csr.is_signature_valid:
            raise CertificateRefused(f"the request of host {host_id} is not signed by the key in it")
        public = csr.public_key()
        if not (isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES) and not (
            isinstance(public, rsa.RSAPublicKey) and public.key_size >= 2048
        ):
            raise CertificateRefused(
                f"the key of host {host_id} is of no accepted kind: EC P-256 or P-384, or RSA from 2048 bits"
            )
        name = host_name(host_id)
        signed = self._sign(public, name, [x509.DNSName(name)], ExtendedKeyUsageOID.SERVER_AUTH, HOST_LIFE)
        return Certificate(
            signed.public_bytes(serialization.Encoding.PEM).decode(),
            serial_text(signed.serial_number),
            signed.not_valid_after_utc,
        )

    # -------------------------------------------------------------------- the engine's certificates

    def engine(self) -> Credentials:
        """The engine's client certificate. Made again once a third of its life or less is left."""
        return self._credentials(
            self.directory / "engine.pem",
            ENGINE_NAME,
            [x509.DNSName(ENGINE_NAME)],
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ENGINE_LIFE,
        )

    def engine_path(self) -> Path:
        """The file with what ``engine()`` gives."""
        self.engine()
        return self.directory / "engine.pem"

    def https(self, names: Iterable[str]) -> Path:
        """The file with key and certificate for the API, for these host names and addresses.

        Made again when the names change or a third of its life or less is left: call it at each start, and
        load the file into the running ``ssl.SSLContext`` when it has changed.
        """
        alternatives: list[x509.GeneralName] = []
        ordered = list(dict.fromkeys(names))
        for name in ordered:
            try:
                alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        if not alternatives:
            raise ValueError("an HTTPS certificate needs at least one name")
        path = self.directory / "https.pem"
        self._credentials(path, ordered[0], alternatives, ExtendedKeyUsageOID.SERVER_AUTH, HTTPS_LIFE)
        return path

    # -------------------------------------------------------------------------------- the deny list

    def deny(self, serial: str) -> None:
        """From now on no connection to a host that shows this serial is used. Idempotent."""
        with self._exclusive():
            serials = self.denied() | {serial.lower()}
            _write(self.directory / "denied", "".join(f"{s}\n" for s in sorted(serials)).encode())

    def denied(self) -> frozenset[str]:
        path = self.directory / "denied"
        try:
            status = path.stat()
        except FileNotFoundError:
            return frozenset()
        version = (status.st_mtime_ns, status.st_ino)
        seen, serials = self._denied_seen
        if seen != version:
            serials = frozenset(path.read_text().split())
            self._denied_seen = (version, serials)
        return serials

    # ---------------------------------------------------------------------------------- the SSH key

    @property
    def ssh_key_path(self) -> Path:
        """The private key (OpenSSH's format) with which hosts are deployed."""
        return self.directory / "ssh_ed25519"

    @property
    def ssh_public_key(self) -> str:
        """One line, as it stands in ``authorized_keys``."""
        return (self.directory / "ssh_ed25519.pub").read_text().strip()

    def _make_ssh_key(self) -> None:
        private, public = self.ssh_key_path, self.directory / "ssh_ed25519.pub"
        if not private.exists():
            key = ed25519.Ed25519PrivateKey.generate()
            _write(
                private,
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.OpenSSH,
                    serialization.NoEncryption(),
                ),
            )
        if not public.exists():
            loaded = serialization.load_ssh_private_key(private.read_bytes(), None)
            line = loaded.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
            _write(public, line + b" isthmus-engine\n")

    # ------------------------------------------------------------------------------------------------ signing

    def _load_or_make_ca_key(self) -> ec.EllipticCurvePrivateKey:
        path = self.directory / "ca.key"
        if not path.exists():
            _write(path, _key_pem(ec.generate_private_key(ec.SECP256R1())))
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path} holds no EC key")
        return key

    def _load_or_make_ca(self) -> x509.Certificate:
        if not self.ca_path.exists():
            public = self._ca_key.public_key()
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Isthmus engine authority")])
            now = datetime.datetime.now(datetime.UTC)
            certificate = (
                x509.CertificateBuilder()
                .subject_name(name)
                .issuer_name(name)
                .public_key(public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - _CLOCK_SKEW)
                .not_valid_after(now + CA_LIFE)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_key_usage(signs_certificates=True), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
                .sign(self._ca_key, hashes.SHA256())
            )
            _write(self.ca_path, certificate.public_bytes(serialization.Encoding.PEM))
        return x509.load_pem_x509_certificate(self.ca_path.read_bytes())

    def _credentials(
        self,
        path: Path,
        common_name: str,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        life: datetime.timedelta,
    ) -> Credentials:
        with self._exclusive():
            if path.exists():
                kept = _split(path.read_bytes())
                if self._still_good(kept.certificate, names, life):
                    return kept
            key = ec.generate_private_key(ec.SECP256R1())
            signed = self._sign(key.public_key(), common_name, names, usage, life)
            made = Credentials(signed.public_bytes(serialization.Encoding.PEM), _key_pem(key))
            _write(path, made.key + made.certificate)
            return made

    def _still_good(self, pem: bytes, names: list[x509.GeneralName], life: datetime.timedelta) -> bool:
        certificate = x509.load_pem_x509_certificate(pem)
        kept = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        left = certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
        return list(kept) == names and left > life / 3 and certificate.issuer == self._ca.subject

    def _sign(
        self,
        public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        common_name: str,
        names: list[x509.GeneralName],
        usage: x509.ObjectIdentifier,
        life: datetime.timedelta,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])]))
            .issuer_name(self._ca.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + life)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._ca_key.public_key()), critical=False
            )
            .sign(self._ca_key, hashes.SHA256())
        )

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        with self._mutex, open(self.directory / ".lock", "a", opener=_private_opener) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _split(pem: bytes) -> Credentials:
    marker = pem.index(b"-----BEGIN CERTIFICATE-----")
    return Credentials(certificate=pem[marker:], key=pem[:marker])


def _write(path: Path, data: bytes) -> None:
    """Replace the file by one with this content, owner-only, durable; a crash leaves the old one or the
    new.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
