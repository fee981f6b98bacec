"""Who answers at a host's address: one TLS handshake, looked at closely, before a gRPC channel is made.

gRPC tells neither why a handshake failed nor what certificate the other side showed. So the engine shakes
hands once itself: the standard library checks authority, name, dates and usage, we check the deny list, and
the channel is then made to accept exactly the certificate that was seen. A host whose certificate changes
is dialled again.
"""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass

from cryptography import x509

from .errors import Unreachable
from .pki import Authority, host_name, serial_text


@dataclass(frozen=True)
class Seen:
    pem: str
    serial: str


def see_certificate(host_id: str, address: str, port: int, authority: Authority, timeout: float) -> Seen:
    """The certificate that this host's agent shows, once all is well with it and with ours.

    :raises Unreachable: no answer, or the wrong one; the message says which.
    """
    where = f"{address}:{port}"

    def unreachable(problem: str, message: str) -> Unreachable:
        return Unreachable(message, problem=problem, host=host_id, call="dial")

    try:
        raw = socket.create_connection((address, port), timeout)
    except TimeoutError as error:
        raise unreachable("timeout", f"no answer from {where} within {timeout:g} s") from error
    except ConnectionRefusedError as error:
        raise unreachable("refused", f"nothing listens at {where}: is isthmus-agent running?") from error
    except socket.gaierror as error:
        raise unreachable("unresolved", f"the name {address} is not known: {error.strerror}") from error
    except OSError as error:
        problem = "no_route" if error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH) else "lost"
        raise unreachable(problem, f"cannot connect to {where}: {error.strerror}") from error

    with raw:
        try:
            with _context(authority).wrap_socket(raw, server_hostname=host_name(host_id)) as tls:
                der = tls.getpeercert(binary_form=True)
                # With TLS 1.3 the handshake ends before the other side has looked at our certificate. Its
                # first HTTP/2 frame says that it took it, an alert that it did not.
                if not tls.recv(1):
                    raise unreachable("identity", f"{where} hung up on seeing the engine's certificate")
        except ssl.SSLCertVerificationError as error:
            raise unreachable(
                "tls", f"the certificate shown at {where} is not that of this host: {error.verify_message}"
            ) from error
        except TimeoutError as error:
            raise unreachable("timeout", f"{where} did not shake hands within {timeout:g} s") from error
        except ssl.SSLError as error:
            ours = "alert" in (error.reason or "").lower()
            said = (error.reason or str(error)).replace("_", " ").lower()
            raise unreachable(
                "identity" if ours else "tls",
                f"{where} does not accept the engine's certificate: {said}"
                if ours
                else f"{where} does not speak TLS as an agent does: {said}",
            ) from error
        except OSError as error:
            raise unreachable("lost", f"{where} ended the connection: {error.strerror}") from error

    if der is None:
        raise unreachable("tls", f"{where} shows no certificate")
    serial = serial_text(x509.load_der_x509_certificate(der).serial_number)
    if serial in authority.denied():
        raise unreachable("tls", f"the certificate shown at {where} (serial {serial}) is on the deny list")
    return Seen(ssl.DER_cert_to_PEM_cert(der), serial)


def _context(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=authority.ca_pem.decode())
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(authority.engine_path())
    return context
