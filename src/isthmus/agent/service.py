"""The calls of the wire protocol. Raises the other modules' own errors; ``server`` turns them into status codes."""

# ruff: noqa: ARG002 (the signatures are gRPC's)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from isthmus import __version__
from isthmus.wire import PROTOCOL, agent_pb2_grpc
from isthmus.wire import agent_pb2 as pb

from . import checks
from .capabilities import Host, boot_id, host_uuid
from .clean import clean
from .orders import Orders
from .tools import Tools
from .vms import Vms
from .watch import Feed


class OtherProtocol(Exception):
    """Engine and agent would not understand each other: says who speaks what."""


class Service(agent_pb2_grpc.AgentServicer):
    def __init__(self, orders: Orders, tools: Tools, vms: Vms, host: Host, feed: Feed) -> None:
        self._orders = orders
        self._tools = tools
        self._vms = vms
        self._host = host
        self._feed = feed

    def Hello(self, request: pb.HelloRequest, context: Any) -> pb.HelloReply:
        if request.protocol != PROTOCOL:
            raise OtherProtocol(
                f"protocol: the engine (version {request.engine_version}) speaks {request.protocol}, this agent "
                f"(version {__version__}) {PROTOCOL}; install the host again with that engine"
            )
        return pb.HelloReply(
            protocol=PROTOCOL,
            agent_version=__version__,
            session=self._orders.session,
            host_uuid=host_uuid(),
            boot_id=boot_id(),
        )

    def Capabilities(self, request: pb.CapabilitiesRequest, context: Any) -> pb.CapabilitiesReply:
        return self._host.capabilities()

    def StatFile(self, request: pb.FileRef, context: Any) -> pb.FileState:
        sha256 = checks.sha256("sha256", request.sha256)
        state = self._tools.files.stat(sha256)
        return pb.FileState(sha256=sha256, present=state.present, complete=state.complete)

    def PutFile(self, request: pb.FileChunk, context: Any) -> pb.FileState:
        sha256 = checks.sha256("sha256", request.sha256)
        state = self._tools.files.put(sha256, request.size, request.offset, request.data)
        return pb.FileState(sha256=sha256, present=state.present, complete=state.complete)

    def Start(self, request: pb.StartOrder, context: Any) -> pb.VmReport:
        return self._vms.start(request)

    def Resume(self, request: pb.Order, context: Any) -> pb.VmReport:
        return self._vms.resume(request)

    def Stop(self, request: pb.StopOrder, context: Any) -> pb.VmReport:
        return self._vms.stop(request)

    def GetVm(self, request: pb.VmRef, context: Any) -> pb.VmReport:
        return self._vms.report(checks.vm_id(request.vm))

    def ListVms(self, request: pb.ListVmsRequest, context: Any) -> pb.ListVmsReply:
        return pb.ListVmsReply(session=self._orders.session, vms=self._vms.reports())

    def Clean(self, request: pb.CleanRequest, context: Any) -> pb.CleanReply:
        return pb.CleanReply(items=clean(self._tools, self._vms, request.dry_run))

    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[pb.WatchEvent]:
        context.add_callback(self._feed.wake)
        return self._feed.watch(request.resume_token, context.is_active)
