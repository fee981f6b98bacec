"""HTTP that ends: an exchange is over within its limit, whatever the other side does.

The time limits of requests hold for each read, so a peer that sends a byte now and then holds its caller for as
long as it likes; name resolution has no limit, and a name with many addresses gets the limit once for each. Here an
``Exchange`` is one request and its whole answer: it hands out what is left of its time to every step, and cuts the
socket when the time is up or the client is closed. Bodies are bounded too.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

_Addresses = list[tuple[Any, ...]]


class Exchange:
    """One request and its answer, in the thread that entered it. ``expired``: it was cut because its time was up."""

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.expired = False
        self.cut_off = False
        self._connection: _Watched | None = None
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> Exchange:
        _current.exchange = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _current.exchange = None
        with self._lock:
            self._socket = self._connection = None

    def left(self) -> float:
        """Seconds left. :raises TimeoutError: there are none, or the exchange was cut."""
        left = self.ends - time.monotonic()
        if left <= 0 or self.cut_off:
            self.expired = self.expired or left <= 0
            raise TimeoutError("time is up")
        return left

    def watch(self, connection: _Watched) -> None:
        """From now on the end of this exchange cuts that connection's socket."""
        connection.exchange = self
        with self._lock:
            self._connection, self._socket = connection, connection.sock
        self.left()  # it may have been cut in between

    def cut(self) -> None:
        """Wake whoever waits on the socket; what it waits for fails. From any thread."""
        self.cut_off = True
        with self._lock:
            # A connection that went back to the pool and out again belongs to another exchange.
            if self._socket is not None and self._connection is not None and self._connection.exchange is self:
                with contextlib.suppress(OSError):  # already closed
                    # Not SSLSocket.shutdown, which takes the TLS state away under its reader.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _expire(self) -> None:
        self.expired = True
        self.cut()


class _Current(threading.local):
    exchange: Exchange | None = None


_current = _Current()


class _Watched(HTTPConnection):
    """A connection whose steps take their time from the exchange of this thread."""

    exchange: Exchange | None = None

    def _new_conn(self) -> socket.socket:
        exchange = _current.exchange
        if exchange is None:
            raise RuntimeError("a connection was opened outside of an exchange")
        try:
            addresses = _resolve(self._dns_host, self.port, exchange.left())
        except OSError as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror("no answer in time")
            raise NameResolutionError(self.host, self, reason) from error
        trouble: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in addresses:
            opened = socket.socket(family, kind, protocol)
            try:
                for option in self.socket_options or ():
                    opened.setsockopt(*option)
                opened.settimeout(exchange.left())
                opened.connect(address)
                # The TLS handshake that may follow counts this for all of itself.
                opened.settimeout(exchange.left())
                return opened
            except OSError as error:
                opened.close()
                trouble = error
        if isinstance(trouble, TimeoutError):
            raise ConnectTimeoutError(self, f"Connection to {self.host} timed out") from trouble
        raise NewConnectionError(self, f"Failed to establish a new connection: {trouble}") from trouble

    def connect(self) -> None:
        super().connect()
        if _current.exchange is not None:
            _current.exchange.watch(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None and _current.exchange is not None:
            _current.exchange.watch(self)
        super().request(*args, **kwargs)


class _WatchedTLS(_Watched, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTLS


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}


def session(connections: int) -> requests.Session:
    """A pooled session that never retries and takes nothing from the environment (proxies, .netrc)."""
    made = requests.Session()
    made.trust_env = False
    for scheme in ("http://", "https://"):
        made.mount(scheme, _Adapter(pool_connections=1, pool_maxsize=connections, max_retries=0))
    return made


class TooLarge(Exception):
    """The body is larger than any that Neutron would send."""


def body(response: requests.Response, most: int) -> bytes:
    """The whole body of a streamed response. :raises TooLarge: :raises requests.RequestException:"""
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most:
        response.close()
        raise TooLarge(f"a body of {announced} bytes")
    parts: list[bytes] = []
    size = 0
    for part in _parts(response):
        size += len(part)
        if size > most:
            response.close()
            raise TooLarge(f"a body of more than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def _parts(response: requests.Response) -> Iterator[bytes]:
    yield from response.iter_content(64 * 1024)


def _resolve(host: str, port: int | None, seconds: float) -> _Addresses:
    """Addresses of a host; the C library's resolver, which knows no limit, is left behind when the time is up.

    :raises OSError: ``socket.gaierror`` or ``TimeoutError``.
    """
    answer: queue.SimpleQueue[_Addresses | OSError | UnicodeError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"{host} was not resolved in time") from None
    if isinstance(found, UnicodeError):
        raise socket.gaierror(f"{host!r} is no host name") from found
    if isinstance(found, OSError):
        raise found
    return found
