"""Other sides that are no Neutron: servers of a few lines, certificates of their own."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@contextlib.contextmanager
def listening(serve: Callable[[socket.socket], None] | None = None, *, backlog: int = 16) -> Iterator[int]:
    """A port on loopback where ``serve`` gets each connection, in a thread; without it nobody ever accepts."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(backlog)
    stopping = threading.Event()

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            assert serve is not None
            serve(connection)

    def accept() -> None:
        while not stopping.is_set():
            try:
                connection, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    if serve is not None:
        threading.Thread(target=accept, daemon=True).start()
    try:
        yield door.getsockname()[1]
    finally:
        stopping.set()
        with contextlib.suppress(OSError):
            door.shutdown(socket.SHUT_RDWR)
        door.close()


def saying(words: bytes) -> Callable[[socket.socket], None]:
    """Reads a request, says this, and closes."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(words)

    return serve


@contextlib.contextmanager
def dropping() -> Iterator[int]:
    """A port where connecting never ends, as behind a firewall that drops: nobody accepts, and the queue is full."""
    with listening(backlog=0) as port, contextlib.ExitStack() as queue:
        while True:
            waiting = queue.enter_context(contextlib.closing(socket.socket()))
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
            waiting.settimeout(0.05)
            with contextlib.suppress(OSError):
                waiting.getpeername()
                continue
            # This one's connection is not answered any more, so the next one's will not be either.
            yield port
            return


def free_port() -> int:
    """Where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS context with a certificate that it signed itself for ``name`` (an address or a host name)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, secret = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, secret)
    return context, public
