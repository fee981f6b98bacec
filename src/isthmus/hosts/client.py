"""The engine's end of the protocol to one host's agent.

A ``HostClient`` may be used from many threads. It has one channel, made on first use and again after the
host was lost, which accepts exactly the certificate that ``dial`` saw and found good. Each call has a time
limit; what goes wrong is one of the errors of ``hosts.errors``, and nothing is retried here: whoever orders
knows what may be ordered again.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc

from isthmus import __version__
from isthmus.wire import PROTOCOL
from isthmus.wire import agent_pb2 as pb
from isthmus.wire.agent_pb2_grpc import AgentStub

from .dial import see_certificate
from .errors import HostError, Refused, SessionChanged, StaleEpoch, Unreachable, VersionMismatch
from .pki import Authority, host_name

DIAL_SECONDS = 5.0
SILENCE_SECONDS = 15.0
"""A watched agent says something every few seconds; one silent for so long is lost."""
CHUNK = 1 << 20
_MESSAGE_LIMIT = 16 << 20

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Channels to one address share a connection unless told otherwise, and so its pinned certificate.
    ("grpc.use_local_subchannel_pool", 1),
)

T = TypeVar("T")


@dataclass(frozen=True)
class _Connection:
    channel: grpc.Channel
    stub: Any
    serial: str
    """Of the one certificate that the channel accepts."""


class Watch:
    """Changes on a host as they happen: iterate; ``cancel`` from any thread ends it at once.

    Iterating raises ``Unreachable`` when the stream ends, whoever ended it, also when the agent falls silent.
    """

    def __init__(self, client: HostClient, connection: _Connection, resume_token: str) -> None:
        self._client = client
        self._connection = connection
        self._call = connection.stub.Watch(pb.WatchRequest(resume_token=resume_token))
        self._heard = time.monotonic()
        self._ended = threading.Event()
        self._silent = False
        self._cancelled = False

    def cancel(self) -> None:
        self._cancelled = True
        self._ended.set()
        self._call.cancel()

    def __iter__(self) -> Iterator[pb.WatchEvent]:
        threading.Thread(target=self._listen_for_silence, name="watch-silence", daemon=True).start()
        try:
            for event in self._call:
                self._heard = time.monotonic()
                yield event
            raise self._client._unreachable("lost", "the agent ended the stream of changes", "watch")
        except grpc.RpcError as error:
            if self._cancelled:
                raise self._client._unreachable("closed", "no longer watched", "watch") from error
            if self._silent:
                raise self._client._unreachable(
                    "timeout", f"the agent said nothing for {SILENCE_SECONDS:g} s", "watch"
                ) from error
            raise self._client._translate(error, "watch", self._connection) from error
        finally:
            self._ended.set()
            self._call.cancel()

    def _listen_for_silence(self) -> None:
        while not self._ended.wait(max(0.05, self._heard + SILENCE_SECONDS - time.monotonic())):
            if time.monotonic() - self._heard >= SILENCE_SECONDS:
                self._silent = True
                self._call.cancel()
                return


class HostClient:
    def __init__(self, host_id: str, address: str, port: int, authority: Authority, deployment: str = "") -> None:
        self.host_id = host_id
        self.address = address
        self.port = port
        self.deployment = deployment
        self._authority = authority
        self._mutex = threading.Lock()
        self._dialling = threading.Lock()
        self._connection: _Connection | None = None
        self._closed = False
        self._sending: dict[str, threading.Lock] = {}

    # ------------------------------------------------------------------------------------------------- calls

    def hello(self) -> pb.HelloReply:
        """Who the agent is, and its session. :raises VersionMismatch: :raises HostError:"""
        reply = self._call(
            "hello",
            "Hello",
            pb.HelloReply,
            pb.HelloRequest(protocol=PROTOCOL, engine_version=__version__, deployment=self.deployment),
            5.0,
        )
        if reply.protocol != PROTOCOL:
            raise VersionMismatch(
                f"the agent (version {reply.agent_version}) speaks protocol {reply.protocol}, the engine "
                f"(version {__version__}) {PROTOCOL}: install the host again with this engine",
                host=self.host_id,
                call="hello",
            )
        return reply

    def capabilities(self) -> pb.CapabilitiesReply:
        """What the host is and can do, looked at now. :raises HostError:"""
        return self._call("capabilities", "Capabilities", pb.CapabilitiesReply, pb.CapabilitiesRequest(), 20.0)

    def start(self, order: pb.StartOrder) -> pb.VmReport:
        """Returns once the guest is paused and wired, or could not be, which the report says.

        :raises SessionChanged: rule 12. :raises StaleEpoch: rule 13. :raises HostError: after an
        ``Unreachable`` with
            ``sent`` the guest may run, now or later.
        """
        limit = float(order.wire_seconds or 60) + 60.0
        return self._call("start", "Start", pb.VmReport, order, limit)

    def resume(self, order: pb.Order) -> pb.VmReport:
        """:raises SessionChanged: :raises Refused: the domain is of another epoch. :raises HostError:"""
        return self._call("resume", "Resume", pb.VmReport, order, 20.0)

    def stop(self, order: pb.StopOrder) -> pb.VmReport:
        """Idempotent. Not graceful: answers once the guest is gone. :raises SessionChanged: :raises
        HostError:
        """
        return self._call("stop", "Stop", pb.VmReport, order, 60.0)

    def get_vm(self, vm: str) -> pb.VmReport:
        """With evidence for each NIC, looked at now. :raises HostError:"""
        return self._call("get_vm", "GetVm", pb.VmReport, pb.VmRef(vm=vm), 15.0)

    def list_vms(self) -> pb.ListVmsReply:
        """Every VM that libvirt has there. :raises HostError:"""
        return self._call("list_vms", "ListVms", pb.ListVmsReply, pb.ListVmsRequest(), 30.0)

    def clean(self, dry_run: bool = False) -> list[str]:
        """What was left of VMs that are gone, in words; removed unless ``dry_run``. :raises HostError:"""
        reply = self._call("clean", "Clean", pb.CleanReply, pb.CleanRequest(dry_run=dry_run), 30.0)
        return list(reply.items)

    def watch(self, resume_token: str = "") -> Watch:
        """:raises Unreachable: at once when the host cannot be dialled; later while iterating."""
        connection = self._dialled("watch")
        try:
            return Watch(self, connection, resume_token)
        except ValueError as error:
            raise self._ended("watch") from error

    def send_file(self, path: Path | str, progress: Callable[[int, int], None] | None = None) -> str:
        """See that the host has this file; the SHA-256 under which it is known there.

        Goes on where an earlier try ended, sends nothing when it is complete; one sender at a time for each
        file. ``progress`` is told bytes present and size.

        :raises OSError: the file cannot be read. :raises HostError:
        """
        path = Path(path)
        sha256, size = file_sum(path)
        with self._mutex:
            lock = self._sending.setdefault(sha256, threading.Lock())
        with lock:
            state = self._stat_file(sha256, size)
            others = 0
            with path.open("rb") as file:
                while not state.complete:
                    file.seek(state.present)
                    chunk = pb.FileChunk(sha256=sha256, size=size, offset=state.present, data=file.read(CHUNK))
                    if len(chunk.data) == 0 and size > 0:
                        raise OSError(f"{path} became shorter while it was sent to host {self.host_id}")
                    try:
                        state = self._call("put_file", "PutFile", pb.FileState, chunk, 30.0)
                    except Refused:
                        # Another engine may be sending the same file: look again, and give in if nothing
                        # moves.
                        seen, others = self._stat_file(sha256, size), others + 1
                        if others > 5 or (seen.present == chunk.offset and not seen.complete):
                            raise
                        state = seen
                    if progress is not None:
                        progress(state.present, size)
        return sha256

    def _stat_file(self, sha256: str, size: int) -> pb.FileState:
        return self._call("stat_file", "StatFile", pb.FileState, pb.FileRef(sha256=sha256, size=size), 60.0)

    # ------------------------------------------------------------------------------------------- the channel

    def close(self) -> None:
        """End the channel: calls in flight fail with ``Unreachable`` (``closed``). Final."""
        with self._mutex:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.channel.close()

    def _dialled(self, call: str) -> _Connection:
        with self._dialling:
            with self._mutex:
                if self._closed:
                    raise self._unreachable("closed", "the client was closed", call)
                connection = self._connection
            if connection is not None and connection.serial not in self._authority.denied():
                return connection
            if connection is not None:
                self._drop(connection)
            seen = see_certificate(self.host_id, self.address, self.port, self._authority, DIAL_SECONDS)
            ours = self._authority.engine()
            credentials = grpc.ssl_channel_credentials(seen.pem.encode(), ours.key, ours.certificate)
            name = host_name(self.host_id)
            target = f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"
            channel = grpc.secure_channel(target, credentials, [*_OPTIONS, ("grpc.ssl_target_name_override", name)])
            with self._mutex:
                if self._closed:
                    channel.close()
                    raise self._unreachable("closed", "the client was closed", call)
                stub = AgentStub(channel)  # type: ignore[no-untyped-call]
                self._connection = _Connection(channel, stub, seen.serial)
                return self._connection

    def _drop(self, connection: _Connection) -> None:
        """The host was lost through this channel: the next call dials, and says what is wrong."""
        with self._mutex:
            if self._connection is not connection:
                return
            self._connection = None
        connection.channel.close()

    def _call(self, call: str, method: str, reply: type[T], request: object, limit: float) -> T:
        connection = self._dialled(call)
        try:
            answer = getattr(connection.stub, method)(request, timeout=limit)
        except grpc.RpcError as error:
            raise self._translate(error, call, connection) from error
        except ValueError as error:
            raise self._ended(call) from error
        if not isinstance(answer, reply):
            raise TypeError(f"{method} answered {type(answer).__name__}, not {reply.__name__}")
        return answer

    # --------------------------------------------------------------------------------------------- its errors

    def _translate(self, error: grpc.RpcError, call: str, connection: _Connection) -> HostError:
        code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
        said = (error.details() if isinstance(error, grpc.Call) else str(error)) or code.name
        words = {"host": self.host_id, "call": call}
        match code:
            case grpc.StatusCode.FAILED_PRECONDITION if said.startswith("session:"):
                return SessionChanged(said, **words)
            case grpc.StatusCode.FAILED_PRECONDITION if said.startswith("epoch:"):
                return StaleEpoch(said, **words)
            case grpc.StatusCode.FAILED_PRECONDITION if said.startswith("protocol:"):
                return VersionMismatch(said, **words)
            case (
                grpc.StatusCode.FAILED_PRECONDITION
                | grpc.StatusCode.INVALID_ARGUMENT
                | grpc.StatusCode.NOT_FOUND
                | grpc.StatusCode.DATA_LOSS
            ):
                return Refused(said, **words)
            case grpc.StatusCode.UNIMPLEMENTED:
                return VersionMismatch(f"the agent does not know the call {call}: {said}", **words)
            case grpc.StatusCode.UNAUTHENTICATED | grpc.StatusCode.PERMISSION_DENIED:
                self._drop(connection)
                return self._unreachable("identity", f"the agent does not accept the engine: {said}", call)
            case grpc.StatusCode.DEADLINE_EXCEEDED:
                return self._unreachable("timeout", f"no answer to {call} in time", call, sent=True)
            case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
                if self._closed:
                    return self._ended(call)
                self._drop(connection)
                return self._unreachable("lost", f"the connection ended: {said}", call, sent=True)
        return HostError(f"the agent failed at {call}: {said} ({code.name})", **words)

    def _ended(self, call: str) -> Unreachable:
        """For a call whose channel was closed, which gRPC says with a ``ValueError`` or as cancelled."""
        if self._closed:
            return self._unreachable("closed", "the client was closed", call, sent=True)
        return self._unreachable("lost", "the connection ended", call, sent=True)

    def _unreachable(self, problem: str, message: str, call: str, sent: bool = False) -> Unreachable:
        return Unreachable(
            f"host at {self.address}:{self.port}: {message}",
            problem=problem,
            sent=sent,
            host=self.host_id,
            call=call,
        )


_sums: dict[tuple[str, int, int, int], str] = {}


def file_sum(path: Path) -> tuple[str, int]:
    """SHA-256 and size of a file; remembered while it stays the same file of the same date."""
    status = os.stat(path)
    key = (str(path.resolve()), status.st_ino, status.st_size, status.st_mtime_ns)
    if key not in _sums:
        with path.open("rb") as file:
            _sums[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _sums[key], status.st_size
