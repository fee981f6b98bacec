"""Who may give orders: the engine, by a certificate of its CA that says so.

The TLS layer has checked the chain and the dates. Here: the certificate is for a client (``clientAuth``), it carries
the engine's DNS name (another host's does not), and its serial is not on the deny list.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

logger = logging.getLogger(__name__)


class NotAuthenticated(Exception):
    """The caller showed no certificate, or one that cannot be read."""


class NotPermitted(Exception):
    """The caller is known and is not the engine, or no longer."""


class Peers:
    def __init__(self, engine_name: str, denied: Path) -> None:
        self._engine_name = engine_name
        self._denied = DenyList(denied)

    def check(self, auth_context: Mapping[str, Sequence[bytes]]) -> None:
        """``auth_context`` as gRPC gives it for a call. :raises NotAuthenticated: :raises NotPermitted:"""
        given = auth_context.get("x509_pem_cert")
        if not given:
            raise NotAuthenticated("the agent serves only callers with a certificate")
        try:
            certificate = x509.load_pem_x509_certificate(given[0])
            names, usages = _names(certificate), _usages(certificate)
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise NotAuthenticated(f"the caller's certificate cannot be read: {error}") from error
        serial = f"{certificate.serial_number:x}"
        who = f"certificate {serial} ({', '.join(names) or 'without a DNS name'})"
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usages:
            raise NotPermitted(f"{who} is not for a client: it lacks the extended key usage clientAuth")
        if self._engine_name not in names:
            raise NotPermitted(f"{who} is not the engine's: it lacks the DNS name {self._engine_name}")
        if _expired(certificate):
            raise NotPermitted(f"{who} has expired since the connection was made")
        if serial in self._denied:
            raise NotPermitted(f"{who} is on this host's deny list")


class DenyList:
    """Serials in hexadecimal, one a line; ``#`` begins a comment. Read anew when the file changes.

    A file that is there and cannot be read denies everybody: a lost deny list must not let a revoked key in.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._serials: frozenset[str] = frozenset()

    def __contains__(self, serial: str) -> bool:
        try:
            facts = self._path.stat()
            seen = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
            if seen != self._seen:
                self._serials, self._seen = _serials(self._path.read_text("utf-8")), seen
        except FileNotFoundError:
            self._serials, self._seen = frozenset(), None
        except (OSError, ValueError) as error:
            logger.error("the deny list %s cannot be read, so nobody is served: %s", self._path, error)
            return True
        return serial in self._serials


def _serials(text: str) -> frozenset[str]:
    """:raises ValueError: a line is no hexadecimal number."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return frozenset(f"{int(line.replace(':', ''), 16):x}" for line in lines if line)


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value.get_values_for_type(x509.DNSName))


def _usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    try:
        return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return []


def _expired(certificate: x509.Certificate) -> bool:
    # Debian 12's library has only the naive form of this; newer ones deprecate it.
    end = getattr(certificate, "not_valid_after_utc", None)
    if end is None:
        end = certificate.not_valid_after.replace(tzinfo=datetime.UTC)
    return bool(end < datetime.datetime.now(datetime.UTC))
