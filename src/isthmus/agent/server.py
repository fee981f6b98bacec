"""gRPC with mutual TLS: who is served, and what an error looks like to the caller. No traceback leaves the host."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from isthmus.wire import agent_pb2_grpc

from .checks import Malformed
from .config import Config
from .files import NoRoom, WrongChunk, WrongOffset, WrongSum
from .hypervisor import LibvirtAway, LibvirtRefused
from .orders import Refused
from .peers import NotAuthenticated, NotPermitted, Peers
from .service import OtherProtocol, Service
from .vms import STARTS_AT_ONCE, Busy

WATCHERS = 16
_WORKERS = STARTS_AT_ONCE + WATCHERS + 24
"""Starts and watchers hold a worker each for long; the others are for stops, which must never wait for one."""
_MESSAGE_LIMIT = 9 << 20

_CODES: dict[type[Exception], grpc.StatusCode] = {
    Malformed: grpc.StatusCode.INVALID_ARGUMENT,
    WrongChunk: grpc.StatusCode.INVALID_ARGUMENT,
    Refused: grpc.StatusCode.FAILED_PRECONDITION,
    OtherProtocol: grpc.StatusCode.FAILED_PRECONDITION,
    WrongOffset: grpc.StatusCode.FAILED_PRECONDITION,
    WrongSum: grpc.StatusCode.DATA_LOSS,
    NoRoom: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    LibvirtAway: grpc.StatusCode.UNAVAILABLE,
    LibvirtRefused: grpc.StatusCode.ABORTED,
    NotAuthenticated: grpc.StatusCode.UNAUTHENTICATED,
    NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
}

logger = logging.getLogger(__name__)


class ServeError(Exception):
    """The agent cannot serve: names the file or the address."""


def serve(config: Config, service: Service) -> tuple[grpc.Server, int]:
    """A server that was started, and its port. :raises ServeError:"""
    server = grpc.server(
        ThreadPoolExecutor(_WORKERS, thread_name_prefix="call"),
        interceptors=[_Gate(Peers(config.engine_name, config.denied))],
        options=[
            ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
            ("grpc.max_send_message_length", _MESSAGE_LIMIT),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", 20_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ],
    )
    agent_pb2_grpc.add_AgentServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    certificates = _Certificates(config.certificate, config.key, config.ca)
    try:
        first = certificates.read()
    except OSError as error:
        raise ServeError(f"{error.filename}: {error.strerror}") from error
    credentials = grpc.dynamic_ssl_server_credentials(first, certificates.fetch, require_client_authentication=True)
    address = f"[{config.listen}]" if ":" in config.listen else config.listen
    try:
        port = server.add_secure_port(f"{address}:{config.port}", credentials)
    except RuntimeError as error:
        raise ServeError(f"cannot listen on {address}:{config.port}: {error}") from error
    if port == 0:
        raise ServeError(f"cannot listen on {address}:{config.port}, or the certificate and its key do not fit")
    server.start()
    return server, port


class _Certificates:
    """Certificate, key and CA from their files; a renewed one serves the next connection."""

    def __init__(self, certificate: Path, key: Path, ca: Path) -> None:
        self._paths = (certificate, key, ca)
        self._seen: tuple[int, ...] = ()
        self._mutex = threading.Lock()

    def read(self) -> Any:
        """:raises OSError:"""
        self._seen = self._times()
        certificate, key, ca = (path.read_bytes() for path in self._paths)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)

    def fetch(self) -> Any:
        """Asked at each new connection; None keeps what is used."""
        with self._mutex:
            try:
                return self.read() if self._times() != self._seen else None
            except OSError as error:
                logger.error("the renewed certificate is not used: %s", error)
                return None

    def _times(self) -> tuple[int, ...]:
        return tuple(path.stat().st_mtime_ns for path in self._paths)


class _Gate(grpc.ServerInterceptor):
    """In front of every call: is it the engine? Around every call: errors become status codes."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._watchers = threading.BoundedSemaphore(WATCHERS)

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None:
            return None
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _unary(self, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def call(request: Any, context: Any) -> Any:
            try:
                self._peers.check(context.auth_context())
                return behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - told to the caller as a status, and logged
                code, text = _told(error)
            return context.abort(code, text)

        return call

    def _stream(self, behaviour: Callable[[Any, Any], Iterator[Any]]) -> Callable[[Any, Any], Iterator[Any]]:
        def call(request: Any, context: Any) -> Iterator[Any]:
            try:
                self._peers.check(context.auth_context())
                if not self._watchers.acquire(blocking=False):
                    raise Busy(f"busy: {WATCHERS} watch this host already")
                try:
                    for message in behaviour(request, context):
                        yield message
                        self._peers.check(context.auth_context())  # a stream outlives its welcome otherwise
                finally:
                    self._watchers.release()
                return
            except GeneratorExit:
                raise
            except Exception as error:  # noqa: BLE001 - told to the caller as a status, and logged
                code, text = _told(error)
            context.abort(code, text)

        return call


def _told(error: Exception) -> tuple[grpc.StatusCode, str]:
    code = _CODES.get(type(error))
    if code is not None:
        if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
            logger.warning("refused a caller: %s", error)
        return code, str(error)
    reference = uuid.uuid4().hex[:8]
    logger.error("a call failed, reference %s", reference, exc_info=error)
    return grpc.StatusCode.INTERNAL, f"the agent failed ({type(error).__name__}); its log has the reference {reference}"
