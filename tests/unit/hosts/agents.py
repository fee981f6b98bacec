"""A scripted agent behind real mutual TLS on loopback, for tests of the engine's side."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from isthmus.hosts.pki import Authority, Credentials
from isthmus.wire import PROTOCOL
from isthmus.wire import agent_pb2 as pb
from isthmus.wire.agent_pb2_grpc import AgentServicer, add_AgentServicer_to_server


def request(claims: str = "anything", key: Any = None) -> tuple[str, Any]:
    """A certificate request and the key that it is for."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, claims)]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(claims)]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return csr.public_bytes(serialization.Encoding.PEM).decode(), key


def host_credentials(authority: Authority, host_id: str) -> Credentials:
    csr, key = request()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Credentials(authority.sign_host(csr, host_id).pem.encode(), pem)


class ScriptedAgent(AgentServicer):
    """Answers truthfully where it can; ``failures`` makes a method abort, ``events`` feeds the stream."""

    def __init__(self) -> None:
        self.session = "session-1"
        self.protocol = PROTOCOL
        self.failures: dict[str, tuple[grpc.StatusCode, str]] = {}
        self.files: dict[str, bytes] = {}
        self.puts: list[int] = []
        self.events: queue.Queue[pb.WatchEvent | None] = queue.Queue()
        self.tokens: list[str] = []
        self.hellos = 0
        self._watching = threading.Condition()

    def _maybe_fail(self, method: str, context: grpc.ServicerContext) -> None:
        if method in self.failures:
            context.abort(*self.failures[method])

    def Hello(self, request: pb.HelloRequest, context: grpc.ServicerContext) -> pb.HelloReply:
        self.hellos += 1
        self._maybe_fail("Hello", context)
        return pb.HelloReply(protocol=self.protocol, agent_version="1", session=self.session, host_uuid="u")

    def Capabilities(self, request: pb.CapabilitiesRequest, context: grpc.ServicerContext) -> pb.CapabilitiesReply:
        return pb.CapabilitiesReply(hostname="scripted")

    def Start(self, request: pb.StartOrder, context: grpc.ServicerContext) -> pb.VmReport:
        self._maybe_fail("Start", context)
        return pb.VmReport(vm=request.order.vm, state=pb.PAUSED, epoch=request.order.epoch)

    def StatFile(self, request: pb.FileRef, context: grpc.ServicerContext) -> pb.FileState:
        here = self.files.get(request.sha256, b"")
        complete = request.sha256 in self.files and len(here) == request.size
        return pb.FileState(sha256=request.sha256, present=len(here), complete=complete)

    def PutFile(self, request: pb.FileChunk, context: grpc.ServicerContext) -> pb.FileState:
        self.puts.append(request.offset)
        here = self.files.get(request.sha256, b"")
        if request.offset != len(here):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"offset: {len(here)} bytes are here")
        self._maybe_fail("PutFile", context)
        here += request.data
        self.files[request.sha256] = here
        if len(here) == request.size and hashlib.sha256(here).hexdigest() != request.sha256:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "sum: the content is another")
        return pb.FileState(sha256=request.sha256, present=len(here), complete=len(here) == request.size)

    def Watch(self, request: pb.WatchRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchEvent]:
        with self._watching:
            self.tokens.append(request.resume_token)
            mine = len(self.tokens)
            self._watching.notify_all()
        while context.is_active():
            with self._watching:
                if len(self.tokens) != mine:
                    return
                try:
                    event = self.events.get_nowait()
                except queue.Empty:
                    self._watching.wait(0.02)
                    continue
            if event is None:
                return
            yield event

    def watched(self, times: int) -> None:
        """Wait until the stream was asked for so many times; events put from then on go to the last one."""
        with self._watching:
            assert self._watching.wait_for(lambda: len(self.tokens) >= times, 20), self.tokens


@contextlib.contextmanager
def serving(agent: ScriptedAgent, credentials: Credentials, ca: bytes, port: int = 0) -> Iterator[int]:
    """The agent on a loopback port, until the block ends."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    add_AgentServicer_to_server(agent, server)
    tls = grpc.ssl_server_credentials([(credentials.key, credentials.certificate)], ca, True)
    bound = server.add_secure_port(f"127.0.0.1:{port}", tls)
    server.start()
    try:
        yield bound
    finally:
        server.stop(None).wait(5)
