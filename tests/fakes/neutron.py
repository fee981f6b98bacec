"""A Neutron in this process, over real HTTP on loopback, that can be told to misbehave.

    with FakeNeutron(hosts=["h1"]) as neutron:
        network = neutron.world.add_network("red")
        fault = neutron.fault("POST /v2.0/ports", Kind.LATE)
        ...                     # the caller sees its connection broken off
        fault.land()            # and now the request is carried out
        assert neutron.count("POST /v2.0/ports") == 1

Nothing here sleeps: a request that is held or late waits for the test to say so (``Hold.let_go``, ``Fault.land``),
a test waits for a request to have come (``Hold.wait``, ``Fault.wait``).
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.faults import PATIENCE, Fault, Hold, Kind, Match, Request, matches
from tests.fakes.neutron_world import Refused, Reply, Row, World

__all__ = ["FakeNeutron", "Fault", "Hold", "Kind", "Refused", "Reply", "Request", "Row", "World"]


class FakeNeutron:
    """A context manager. ``hosts`` get a live Linux bridge agent each; ``tls`` serves https with that context."""

    def __init__(
        self, hosts: Iterable[str] = (), *, world: World | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.world = world or World()
        for host in hosts:
            self.world.add_agent(host)
        self._tls = tls
        self._lock = threading.Lock()
        self._log: list[Request] = []
        self._faults: list[Fault] = []
        self._holds: list[Hold] = []
        self._server: _Server | None = None
        self._port = 0

    # ----------------------------------------------------------------------------------------------- running

    def __enter__(self) -> FakeNeutron:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    @property
    def ports(self) -> dict[str, Row]:
        """A copy of every port, strangers' too."""
        with self.world.lock:
            return {port_id: dict(port) for port_id, port in self.world.ports.items()}

    @property
    def networks(self) -> dict[str, Row]:
        with self.world.lock:
            return {network_id: dict(network) for network_id, network in self.world.networks.items()}

    def up(self) -> None:
        """Listen (again, on the same port)."""
        assert self._server is None
        self._server = _Server(self, self._port, self._tls)
        self._port = self._server.server_address[1]
        self.world.address = self.url
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def down(self) -> None:
        """As a service that was stopped: connections are broken, new ones refused. What it knows is kept."""
        server, self._server = self._server, None
        if server:
            for hold in self._holds:
                hold.let_go()
            for fault in self._faults:
                fault.let_go()
            server.stop()

    # ------------------------------------------------------------------------------------------- misbehaviour

    def fault(self, match: Match, kind: Kind | str, times: int = 1, **options: Any) -> Fault:
        """The next ``times`` requests that match ("METHOD /path", * allowed, or a function) go wrong that way."""
        made = Fault(match, Kind(kind), times, carry_out=self.carry_out, **options)
        with self._lock:
            self._faults.append(made)
        return made

    def hold(self, match: Match, *, reply: bool = False) -> Hold:
        made = Hold(match, reply=reply)
        with self._lock:
            self._holds.append(made)
        return made

    def clear(self) -> None:
        """No more faults and holds, and an empty log."""
        with self._lock:
            faults, self._faults = self._faults, []
            holds, self._holds = self._holds, []
            self._log.clear()
        for hold in holds:
            hold.let_go()
        for fault in faults:
            fault.let_go()

    # --------------------------------------------------------------------------------------------------- log

    @property
    def requests(self) -> list[Request]:
        with self._lock:
            return list(self._log)

    def count(self, match: Match = "*") -> int:
        return sum(matches(match, request) for request in self.requests)

    def forget(self) -> None:
        """Empty the log."""
        with self._lock:
            self._log.clear()

    # -------------------------------------------------------------------------------------- for the handlers

    def carry_out(self, request: Request) -> Reply:
        return self.world.handle(
            request.method, request.path, request.query, request.body, request.headers.get("if-match", "")
        )

    def arrive(self, request: Request) -> Fault | None:
        with self._lock:
            self._log.append(request)
            holds = [hold for hold in self._holds if not hold.reply and matches(hold.match, request)]
        for hold in holds:
            hold.enter()
        with self._lock:
            for fault in self._faults:
                if fault.hits < fault.times and matches(fault.match, request):
                    fault.happen(request)
                    return fault
        return None

    def leave(self, request: Request) -> None:
        with self._lock:
            holds = [hold for hold in self._holds if hold.reply and matches(hold.match, request)]
        for hold in holds:
            hold.enter()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, neutron: FakeNeutron, port: int, tls: ssl.SSLContext | None) -> None:
        self.neutron = neutron
        self.tls = tls
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        made, address = super().get_request()
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._open_lock:
            self._open.add(made)
        return made, address

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except (OSError, ValueError):
                return
        try:
            super().finish_request(request, client_address)
        finally:
            if self.tls:
                request.close()

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that left is nothing to print."""

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._open_lock:
            still = list(self._open)
        for one in still:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class _Break(Exception):
    """Break the connection off."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """The requests are in ``FakeNeutron.requests``."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            body = json.loads(text) if text else None
        except ValueError:
            body = None
        query = parse_qsl(parts.query, keep_blank_values=True)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, query, body, headers)
        neutron = self.server.neutron
        fault = neutron.arrive(request)
        try:
            if fault is None:
                reply = neutron.carry_out(request)
                neutron.leave(request)
                self._answer(request, reply)
            else:
                self._misbehave(fault, request)
        except (_Break, OSError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _serve

    def _misbehave(self, fault: Fault, request: Request) -> None:
        neutron = self.server.neutron
        match fault.kind:
            case Kind.ANSWER:
                if fault.commit:
                    neutron.carry_out(request)
                error = {"type": fault.error_type, "message": fault.message, "detail": ""}
                body = fault.page or {"NeutronError": error}
                self._answer(request, Reply(fault.status, body), fault.headers)
            case Kind.DROP_REPLY:
                neutron.carry_out(request)
                if fault.hang:
                    self._hang(fault)
                raise _Break
            case Kind.LATE:
                if not fault.hang:
                    raise _Break
                self._hang(fault)
                raise _Break
            case Kind.HANG:
                self._hang(fault)
                raise _Break
            case Kind.RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                raise _Break
            case Kind.GARBAGE:
                reply = neutron.carry_out(request)
                self._send(request, reply.status, fault.body, fault.headers)
            case Kind.SLOW:
                self._trickle(fault, request, neutron.carry_out(request))
            case Kind.DUPLICATE:
                neutron.carry_out(request)
                self._answer(request, neutron.carry_out(request))
            case Kind.HUGE:
                self._flood(request, neutron.carry_out(request))
            case Kind.PARTIAL:
                (collection, wishes) = next(iter(request.body.items()))
                kept = {collection: wishes[: fault.keep]}
                neutron.world.handle(request.method, request.path, request.query, kept)
                error = {"type": fault.error_type, "message": fault.message, "detail": ""}
                self._answer(request, Reply(500, {"NeutronError": error}))

    def _hang(self, fault: Fault) -> None:
        """Until the caller leaves, the test lets go, or the server stops."""
        self.connection.settimeout(0.02)
        while not fault.gone.is_set() and not self.server.stopping.is_set():
            try:
                if not self.connection.recv(1, socket.MSG_PEEK):
                    return
            except TimeoutError:
                continue
            except ValueError:  # TLS knows no peeking: wait for the test
                fault.gone.wait(0.02)

    def _trickle(self, fault: Fault, request: Request, reply: Reply) -> None:
        whole = json.dumps(reply.body).encode()
        head = f"HTTP/1.1 {reply.status} OK\r\ncontent-type: application/json\r\ncontent-length: {len(whole)}\r\n\r\n"
        request.status = reply.status
        for byte in head.encode() + whole:
            if self.server.stopping.wait(fault.interval):
                raise _Break
            self.wfile.write(bytes([byte]))

    def _flood(self, request: Request, reply: Reply) -> None:
        request.status = reply.status
        self.send_response(reply.status)
        self.send_header("content-type", "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        ends = time.monotonic() + PATIENCE
        while not self.server.stopping.is_set() and time.monotonic() < ends:
            self.wfile.write(b'{"ports": [' + b" " * 65536)
        raise _Break

    def _answer(self, request: Request, reply: Reply, headers: dict[str, str] | None = None) -> None:
        if isinstance(reply.body, str):
            self._send(request, reply.status, reply.body.encode(), {"content-type": "text/html"} | (headers or {}))
        else:
            body = b"" if reply.body is None else json.dumps(reply.body).encode()
            self._send(request, reply.status, body, {"content-type": "application/json"} | (headers or {}))

    def _send(self, request: Request, status: int, body: bytes, headers: dict[str, str]) -> None:
        request.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("x-openstack-request-id", f"req-{uuid.uuid4()}")
        if status != 204:
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)
