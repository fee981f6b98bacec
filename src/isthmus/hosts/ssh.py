"""First contact with a host: is it the machine that was meant, may we in, is it one that we can install?

It ends with the engine's public key in ``authorized_keys``; from then on the password is not needed and is
not kept. Everything here is bounded: ``TIMEOUT`` seconds for each step, a handful of steps.
"""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import logging
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

TIMEOUT = 10.0

_KEY_TYPES = (
    ("ssh-ed25519",),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    ("rsa-sha2-512", "rsa-sha2-256"),
)

# What paramiko logs of a failure, with its traceback, is what is raised here in words.
_QUIET = f"{__name__}.paramiko"
logging.getLogger(_QUIET).setLevel(logging.CRITICAL)


class ContactError(Exception):
    """Why a host cannot be installed, and what to do.

    ``problem``: ``unresolved``, ``no_route``, ``refused``, ``timeout``, ``not_ssh``, ``fingerprint``,
    ``authentication``, ``privilege``, ``system``, ``python``, ``lost``, ``key``.
    """

    def __init__(self, problem: str, message: str, advice: str) -> None:
        super().__init__(f"{message}. {advice}")
        self.problem = problem
        self.message = message
        self.advice = advice


@dataclass(frozen=True)
class HostKey:
    type: str
    """As OpenSSH names it: ``ssh-ed25519``."""
    base64: str
    fingerprint: str
    """``SHA256:`` and base64 without padding."""

    def known_hosts_line(self, address: str, port: int) -> str:
        where = address if port == 22 else f"[{address}]:{port}"
        return f"{where} {self.type} {self.base64}"


@dataclass(frozen=True)
class Contact:
    """What was found; all of it is needed to install the host later without a password."""

    host_key: HostKey
    user: str
    hostname: str
    os_name: str
    python: str

    @property
    def fingerprint(self) -> str:
        return self.host_key.fingerprint


def see_host_key(address: str, port: int = 22) -> HostKey:
    """The key that the SSH server shows, without logging in. :raises ContactError:"""
    with _transport(address, port, None) as transport:
        return _host_key(transport)


def first_contact(
    address: str,
    port: int = 22,
    user: str = "root",
    *,
    password: str | None = None,
    engine_key: Path,
    engine_public_key: str,
    expected_fingerprint: str | None = None,
) -> Contact:
    """Log in once and see that the engine's key is let in from now on. Idempotent.

    Without a password the engine's key must have been installed there by an admin. ``expected_fingerprint``
    may be that of any of the server's keys, as ``SHA256:…`` or as MD5 in hexadecimal; None takes what is
    shown.

    :raises ContactError: nothing was changed on the host, unless its problem is ``key`` or ``lost``.
    """
    with _expected(address, port, expected_fingerprint) as transport:
        _authenticate(transport, address, user, password, engine_key)
        facts = _probe(transport, address, user)
        _install_key(transport, address, engine_public_key)
        return Contact(
            _host_key(transport), user, facts["hostname"], f"{facts['id']} {facts['version']}", facts["python"]
        )


# ----------------------------------------------------------------------------------------------- connecting


@contextmanager
def _expected(address: str, port: int, fingerprint: str | None) -> Iterator[paramiko.Transport]:
    """Connected to the server whose key has this fingerprint, tried for each type of key that it may have."""
    if not fingerprint:
        with _transport(address, port, None) as transport:
            yield transport
        return
    wanted, seen = _normal(fingerprint), list[str]()
    for types in _KEY_TYPES:
        try:
            with _transport(address, port, types) as transport:
                key = transport.get_remote_server_key()
                if wanted in (_sha256(key), _md5(key)):
                    yield transport
                    return
                seen.append(_sha256(key))
        except paramiko.ssh_exception.IncompatiblePeer:
            continue
    raise ContactError(
        "fingerprint",
        f"the SSH server at {address} shows the key {' and '.join(seen)}, not {fingerprint}",
        "If the host was installed anew, enter its new fingerprint; else another machine answers at this address",
    )


@contextmanager
def _transport(address: str, port: int, key_types: tuple[str, ...] | None) -> Iterator[paramiko.Transport]:
    connection = _connect(address, port)
    try:
        transport = paramiko.Transport(connection)
        transport.set_log_channel(_QUIET)
        transport.banner_timeout = TIMEOUT
        transport.auth_timeout = TIMEOUT
        if key_types is not None:
            transport.get_security_options().key_types = key_types
    except BaseException:
        connection.close()
        raise
    try:
        try:
            transport.start_client(timeout=TIMEOUT)
            if transport.host_key is None:  # paramiko does not say that its time was up
                raise TimeoutError(f"no handshake within {TIMEOUT:g} s")
        except (paramiko.SSHException, OSError, EOFError) as error:
            if key_types is not None and isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
                raise  # it has no key of these types; there are others to try
            raise ContactError(
                "not_ssh",
                f"{address}:{port} accepts connections but does not answer as an SSH server: {error}",
                "Check address and port, and the sshd of the host",
            ) from error
        yield transport
    finally:
        transport.close()


def _connect(address: str, port: int) -> socket.socket:
    where = f"{address}:{port}"
    try:
        return socket.create_connection((address, port), TIMEOUT)
    except TimeoutError as error:
        raise ContactError(
            "timeout", f"no answer from {where} within {TIMEOUT:g} s", "Is the host on? Does a firewall drop packets?"
        ) from error
    except ConnectionRefusedError as error:
        raise ContactError(
            "refused", f"{where} refuses the connection", "Start the SSH server of the host, or check the port"
        ) from error
    except socket.gaierror as error:
        raise ContactError(
            "unresolved", f"the name {address} is not known ({error.strerror})", "Check the address of the host"
        ) from error
    except OSError as error:
        unreachable = error.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH)
        raise ContactError(
            "no_route" if unreachable else "lost",
            f"there is no way to {where}: {error.strerror}",
            "Check the address of the host, and the network between it and the engine",
        ) from error


def _authenticate(
    transport: paramiko.Transport, address: str, user: str, password: str | None, engine_key: Path
) -> None:
    try:
        if password is not None:
            transport.auth_password(user, password)
        else:
            transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key_file(str(engine_key)))
    except paramiko.BadAuthenticationType as error:
        way = "a password" if password is not None else "a key"
        raise ContactError(
            "authentication",
            f"the SSH server at {address} does not let {user} in with {way}, only by {', '.join(error.allowed_types)}",
            "Install the engine's public key for that user and choose key authentication"
            if password is not None
            else "Install the engine's public key, or enter a password",
        ) from error
    except paramiko.AuthenticationException as error:
        raise ContactError(
            "authentication",
            f"the host {address} does not accept the password of {user}"
            if password is not None
            else f"the host {address} does not accept the engine's SSH key for {user}",
            "Enter the right password; for root check PermitRootLogin of its sshd too"
            if password is not None
            else f"Add the engine's public key to ~{user}/.ssh/authorized_keys, or enter a password",
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _lost(address, error) from error


# ----------------------------------------------------------------------------------- looking at it, the key

_PROBE = """
. /etc/os-release 2>/dev/null
echo "id=${ID:-unknown}"; echo "version=${VERSION_ID:-}"; echo "name=${PRETTY_NAME:-an unknown system}"
echo "hostname=$(uname -n)"; echo "uid=$(id -u)"
echo "python=$(python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)"
if [ "$(id -u)" != 0 ]; then sudo -n true 2>/dev/null && echo sudo=yes; fi
"""

_INSTALL_KEY = """
set -e
umask 077
mkdir -p ~/.ssh
touch ~/.ssh/authorized_keys
grep -qxF -e {line} ~/.ssh/authorized_keys && exit 0
[ -z "$(tail -c1 ~/.ssh/authorized_keys)" ] || echo >> ~/.ssh/authorized_keys
echo {line} >> ~/.ssh/authorized_keys
"""


def _probe(transport: paramiko.Transport, address: str, user: str) -> dict[str, str]:
    _status, said, _errors = _run(transport, address, _PROBE)
    facts = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    missing = {"id", "version", "name", "hostname", "uid", "python"} - facts.keys()
    if missing:
        raise ContactError(
            "system",
            f"the host {address} runs no usual shell for {user}: it answered {said[:200]!r}",
            "Give that user /bin/sh or /bin/bash",
        )
    if (facts["id"], facts["version"]) != ("debian", "12"):
        raise ContactError(
            "system",
            f"the host {address} runs {facts['name']}, and hosts must run Debian 12",
            "Install Debian 12 on it",
        )
    if facts["uid"] != "0" and facts.get("sudo") != "yes":
        raise ContactError(
            "privilege",
            f"the user {user} of host {address} is not root and may not use sudo without a password",
            "Enter root, or allow that user NOPASSWD sudo",
        )
    if not facts["python"]:
        raise ContactError(
            "python", f"the host {address} has no python3", "Install the package python3 on it, and try again"
        )
    return facts


def _install_key(transport: paramiko.Transport, address: str, public_key: str) -> None:
    status, _said, errors = _run(transport, address, _INSTALL_KEY.format(line=shlex.quote(public_key)))
    if status != 0:
        raise ContactError(
            "key",
            f"the engine's key cannot be added to authorized_keys on host {address}: {errors.strip()[:300]}",
            "See that the user's home directory can be written to",
        )


def _run(transport: paramiko.Transport, address: str, script: str) -> tuple[int, str, str]:
    try:
        channel = transport.open_session(timeout=TIMEOUT)
        with channel:
            channel.settimeout(TIMEOUT)
            channel.exec_command("/bin/sh -s")
            channel.sendall(script.encode())
            channel.shutdown_write()
            said = channel.makefile("rb").read(1 << 16)
            errors = channel.makefile_stderr("rb").read(1 << 16)
            if not channel.status_event.wait(TIMEOUT):
                raise TimeoutError(f"no exit status within {TIMEOUT:g} s")
            status = channel.recv_exit_status()
            return status, said.decode(errors="replace"), errors.decode(errors="replace")
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _lost(address, error) from error


def _lost(address: str, error: Exception) -> ContactError:
    said = str(error) or type(error).__name__
    return ContactError("lost", f"the SSH connection to {address} was lost: {said}", "Try again")


# --------------------------------------------------------------------------------------------- fingerprints


def _host_key(transport: paramiko.Transport) -> HostKey:
    key = transport.get_remote_server_key()
    return HostKey(key.get_name(), key.get_base64(), _sha256(key))


def _sha256(key: paramiko.PKey) -> str:
    return "SHA256:" + base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")


def _md5(key: paramiko.PKey) -> str:
    return hashlib.md5(key.asbytes(), usedforsecurity=False).hexdigest()


def _normal(fingerprint: str) -> str:
    """In the form of ``_sha256`` or ``_md5``. :raises ContactError: it is of neither form."""
    text = fingerprint.strip()
    if text.upper().startswith("SHA256:"):
        return "SHA256:" + text[7:].rstrip("=")
    digits = text.upper().removeprefix("MD5:").replace(":", "")
    try:
        if len(binascii.unhexlify(digits)) == 16:
            return digits.lower()
    except (binascii.Error, ValueError):
        pass
    raise ContactError(
        "fingerprint",
        f"{fingerprint!r} is no fingerprint of an SSH key",
        "Enter it as ssh-keygen -l shows it: SHA256: and 43 characters",
    )
