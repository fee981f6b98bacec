from __future__ import annotations

import datetime
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from isthmus.hosts import pki
from isthmus.hosts.pki import Authority, CertificateRefused
from tests.unit.hosts.agents import host_credentials, request


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def names(certificate: x509.Certificate) -> list[str]:
    value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in value]


def test_the_authority_is_the_same_when_opened_again(authority: Authority) -> None:
    again = Authority(authority.directory)
    assert again.ca_pem == authority.ca_pem == authority.ca_path.read_bytes()
    assert again.ssh_public_key == authority.ssh_public_key
    assert again.engine() == authority.engine()


def test_every_file_is_its_owners_only(authority: Authority) -> None:
    authority.engine()
    authority.https(["localhost"])
    authority.deny("ab")
    assert stat.S_IMODE(authority.directory.stat().st_mode) == 0o700
    for path in authority.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert not path.name.startswith(".ca"), "a temporary file was left"


def test_a_crash_between_key_and_certificate_of_the_authority_is_repaired(authority: Authority) -> None:
    key = (authority.directory / "ca.key").read_bytes()
    authority.ca_path.unlink()
    Authority(authority.directory)
    assert (authority.directory / "ca.key").read_bytes() == key
    assert authority.ca_path.exists()


def test_a_host_gets_its_own_name_and_usage_whatever_it_claims(authority: Authority) -> None:
    csr, _key = request(claims="engine.isthmus")
    signed = authority.sign_host(csr, "7a")
    certificate = x509.load_pem_x509_certificate(signed.pem.encode())
    assert names(certificate) == ["7a.host.isthmus"]
    assert usages(certificate) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    assert "engine" not in certificate.subject.rfc4514_string()
    assert signed.serial == format(certificate.serial_number, "x")
    assert signed.not_after == certificate.not_valid_after_utc
    assert signed.not_after - datetime.datetime.now(datetime.UTC) < datetime.timedelta(weeks=7)


@pytest.mark.parametrize(
    "key",
    [
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),  # noqa: S505
    ],
    ids=["ed25519", "unusual curve", "short rsa"],
)
def test_a_key_that_tls_peers_would_not_take_is_refused(authority: Authority, key: object) -> None:
    from cryptography.hazmat.primitives import hashes, serialization

    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, algorithm)  # type: ignore[arg-type]
    with pytest.raises(CertificateRefused, match="of no accepted kind"):
        authority.sign_host(csr.public_bytes(serialization.Encoding.PEM), "7a")


@pytest.mark.parametrize("csr", ["", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"])
def test_what_is_no_request_is_refused(authority: Authority, csr: str) -> None:
    with pytest.raises(CertificateRefused, match="sent no certificate request"):
        authority.sign_host(csr, "7a")


@pytest.mark.parametrize("host_id", ["", "a.b", "A", "-a", "a" * 64, "a\n", "*"])
def test_a_host_id_that_is_no_dns_label_is_refused(authority: Authority, host_id: str) -> None:
    csr, _key = request()
    with pytest.raises(ValueError, match="not a DNS label"):
        authority.sign_host(csr, host_id)


def test_the_engines_certificate_is_for_calling_hosts_only(authority: Authority) -> None:
    certificate = x509.load_pem_x509_certificate(authority.engine().certificate)
    assert usages(certificate) == [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert names(certificate) == ["engine.isthmus"]


def test_the_engines_certificate_is_renewed_when_a_third_is_left(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = authority.engine()
    assert authority.engine() == first
    monkeypatch.setattr(pki, "ENGINE_LIFE", pki.ENGINE_LIFE * 3 + datetime.timedelta(days=1))
    second = authority.engine()
    assert second != first
    assert authority.engine() == second


def test_the_https_certificate_is_made_again_only_for_other_names(authority: Authority) -> None:
    path = authority.https(["localhost", "127.0.0.1", "localhost", "engine.example", "::1"])
    first = path.read_bytes()
    certificate = x509.load_pem_x509_certificate(first)
    assert names(certificate) == ["localhost", "127.0.0.1", "engine.example", "::1"]
    assert usages(certificate) == [x509.ExtendedKeyUsageOID.SERVER_AUTH]
    authority.https(["localhost", "127.0.0.1", "engine.example", "::1"])
    assert path.read_bytes() == first
    authority.https(["localhost"])
    assert path.read_bytes() != first
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(path)


def test_denied_serials_are_kept(authority: Authority) -> None:
    assert authority.denied() == frozenset()
    authority.deny("AB12")
    authority.deny("ab12")
    authority.deny("cd")
    assert authority.denied() == {"ab12", "cd"}
    assert Authority(authority.directory).denied() == {"ab12", "cd"}


def test_openssl_accepts_the_chain_with_its_strict_rules(authority: Authority) -> None:
    credentials = host_credentials(authority, "7a")
    context = ssl.create_default_context(cadata=authority.ca_pem.decode())
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    path = authority.directory / "host.pem"
    path.write_bytes(credentials.key + credentials.certificate)
    server.load_cert_chain(path)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_end = context.wrap_bio(to_client, to_server, server_hostname="7a.host.isthmus")
    server_end = server.wrap_bio(to_server, to_client, server_side=True)
    done: set[str] = set()
    for _ in range(6):
        for name, end in (("client", client_end), ("server", server_end)):
            try:
                end.do_handshake()
                done.add(name)
            except ssl.SSLWantReadError:
                continue
    assert done == {"client", "server"}
