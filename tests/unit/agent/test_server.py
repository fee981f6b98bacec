"""Who is served: the engine by its certificate, and nobody else. Over real mutual TLS on loopback."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from isthmus.agent.agent import Agent
from isthmus.agent.config import Config
from isthmus.agent.server import ServeError
from isthmus.wire import PROTOCOL
from isthmus.wire import agent_pb2 as pb
from isthmus.wire.agent_pb2_grpc import AgentStub
from tests.waiting import wait_for

from .bench import URI, TestDriver, destroy_all
from .certificates import CLIENT, SERVER, Ca, Pair, write
from .orders import VM, order, start

HOST = "h1.host.isthmus"
ENGINE = "engine.isthmus"


class Served:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.ca = Ca()
        self.files = write(root / "pki", self.ca, self.ca.sign(HOST, SERVER))
        self.config = Config(
            listen="127.0.0.1",
            port=0,
            state_dir=root / "state",
            log_dir=root / "log",
            hooks_dirs=(root / "hooks",),
            libvirt_uri=URI,
            emulation="qemu",
            mappings_file=root / "l2.ini",
            **self.files,
        )
        self.agent = Agent(self.config, TestDriver)
        self.agent.start()
        self.channels: list[grpc.Channel] = []

    def stub(self, pair: Pair | None = None, ca: bytes | None = None) -> AgentStub:
        pair = pair or self.ca.sign(ENGINE, CLIENT)
        return self._stub(grpc.ssl_channel_credentials(ca or self.ca.pem, pair.key, pair.certificate))

    def anonymous(self) -> AgentStub:
        return self._stub(grpc.ssl_channel_credentials(self.ca.pem))

    def _stub(self, credentials: grpc.ChannelCredentials) -> AgentStub:
        options = [("grpc.ssl_target_name_override", HOST), ("grpc.use_local_subchannel_pool", 1)]
        options.append(("grpc.max_send_message_length", 64 << 20))
        channel = grpc.secure_channel(f"127.0.0.1:{self.agent.port}", credentials, options)
        self.channels.append(channel)
        return AgentStub(channel)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        for channel in self.channels:
            channel.close()
        self.agent.stop()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    try:
        yield made
    finally:
        made.close()
        destroy_all()


def hello(stub: AgentStub) -> pb.HelloReply:
    reply: pb.HelloReply = stub.Hello(pb.HelloRequest(protocol=PROTOCOL, engine_version="1"), timeout=10)
    return reply


def told(caught: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return caught.value.details() or ""


def refused(stub: AgentStub) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        hello(stub)
    return caught.value.code(), told(caught)


def test_the_engine_is_served(served: Served) -> None:
    reply = hello(served.stub())
    assert reply.session == served.agent.orders.session
    assert reply.protocol == PROTOCOL
    assert reply.host_uuid
    assert reply.boot_id


def test_another_protocol_is_refused(served: Served) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        served.stub().Hello(pb.HelloRequest(protocol=PROTOCOL + 1, engine_version="9"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert told(caught).startswith(f"protocol: the engine (version 9) speaks {PROTOCOL + 1}")


class TestWhoIsRefused:
    def test_another_hosts_certificate(self, served: Served) -> None:
        """As it is (serverAuth only) the handshake ends it; were it also for clients, its name does."""
        code, _ = refused(served.stub(served.ca.sign("h2.host.isthmus", SERVER)))
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED)
        code, details = refused(served.stub(served.ca.sign("h2.host.isthmus", CLIENT, SERVER)))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "is not the engine's: it lacks the DNS name engine.isthmus" in details

    def test_an_unknown_ca(self, served: Served) -> None:
        code, _ = refused(served.stub(Ca("unknown").sign(ENGINE, CLIENT)))
        assert code is grpc.StatusCode.UNAVAILABLE

    def test_a_ca_of_the_same_name(self, served: Served) -> None:
        code, _ = refused(served.stub(Ca().sign(ENGINE, CLIENT)))
        assert code is grpc.StatusCode.UNAVAILABLE

    def test_the_engines_name_for_a_server_only(self, served: Served) -> None:
        code, _ = refused(served.stub(served.ca.sign(ENGINE, SERVER)))
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED)

    def test_a_certificate_without_usages_or_names(self, served: Served) -> None:
        code, details = refused(served.stub(served.ca.sign(ENGINE)))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "lacks the extended key usage clientAuth" in details
        assert refused(served.stub(served.ca.sign(None, CLIENT)))[0] is grpc.StatusCode.PERMISSION_DENIED

    def test_no_certificate(self, served: Served) -> None:
        assert refused(served.anonymous())[0] is grpc.StatusCode.UNAVAILABLE

    def test_a_denied_serial(self, served: Served) -> None:
        pair = served.ca.sign(ENGINE, CLIENT)
        stub = served.stub(pair)
        hello(stub)
        served.files["denied"].write_text(f"# lost on Tuesday\n{pair.serial.upper()}  # laptop\n")
        code, details = refused(stub)
        assert (code, "deny list" in details) == (grpc.StatusCode.PERMISSION_DENIED, True)
        hello(served.stub(served.ca.sign(ENGINE, CLIENT)))
        served.files["denied"].write_text("")
        hello(stub)

    def test_a_deny_list_that_cannot_be_read_denies_everybody(self, served: Served) -> None:
        served.files["denied"].write_text("no serial\n")
        assert refused(served.stub())[0] is grpc.StatusCode.PERMISSION_DENIED

    def test_a_watcher_that_is_denied_meanwhile(self, served: Served) -> None:
        pair = served.ca.sign(ENGINE, CLIENT)
        stream = served.stub(pair).Watch(pb.WatchRequest(), timeout=20)
        next(stream)
        served.files["denied"].write_text(pair.serial)
        with pytest.raises(grpc.RpcError) as caught:
            for _ in stream:
                pass
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


def test_a_renewed_certificate_serves_the_next_connection(served: Served) -> None:
    hello(served.stub())
    new = Ca("new")
    write(served.root / "pki", new, new.sign(HOST, SERVER))
    hello(served.stub(new.sign(ENGINE, CLIENT), new.pem))
    assert refused(served.stub())[0] is grpc.StatusCode.UNAVAILABLE


def test_files_go_over_and_a_wrong_sum_is_data_loss(served: Served) -> None:
    stub, data = served.stub(), os.urandom(100_000)
    name = hashlib.sha256(data).hexdigest()
    reply = stub.PutFile(pb.FileChunk(sha256=name, size=len(data), offset=0, data=data[:60_000]))
    assert (reply.present, reply.complete) == (60_000, False)
    with pytest.raises(grpc.RpcError) as caught:
        stub.PutFile(pb.FileChunk(sha256=name, size=len(data), offset=5, data=b"x"))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert stub.PutFile(pb.FileChunk(sha256=name, size=len(data), offset=60_000, data=data[60_000:])).complete
    assert stub.StatFile(pb.FileRef(sha256=name)).complete
    other = "0" * 64
    with pytest.raises(grpc.RpcError) as caught:
        stub.PutFile(pb.FileChunk(sha256=other, size=3, offset=0, data=b"abc"))
    assert caught.value.code() is grpc.StatusCode.DATA_LOSS


def test_what_is_malformed_or_too_large(served: Served) -> None:
    stub = served.stub()
    for call, request in (
        (stub.Start, start(vm="../x")),
        (stub.Resume, order(epoch=0)),
        (stub.Stop, pb.StopOrder(order=order(vm="x"))),
        (stub.GetVm, pb.VmRef(vm="../../etc/passwd")),
        (stub.StatFile, pb.FileRef(sha256="../x")),
        (stub.PutFile, pb.FileChunk(sha256="a" * 64, size=1, data=b"too much")),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call(request)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, request
    with pytest.raises(grpc.RpcError) as caught:
        stub.PutFile(pb.FileChunk(sha256="a" * 64, size=1 << 30, data=b"x" * (20 << 20)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_error_of_our_own_is_told_without_its_inside(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(vm: str) -> pb.VmReport:
        raise KeyError("secret path /etc/shadow")

    monkeypatch.setattr(served.agent.vms, "report", broken)
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.RpcError) as caught:
        served.stub().GetVm(pb.VmRef(vm=VM))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "shadow" not in told(caught)
    reference = told(caught).split()[-1]
    assert reference in caplog.text


def test_orders_and_changes_over_the_wire(served: Served) -> None:
    stub = served.stub()
    session = hello(stub).session
    kernel = hashlib.sha256(b"kernel").hexdigest()
    stub.PutFile(pb.FileChunk(sha256=kernel, size=6, data=b"kernel"))
    wait_for(lambda: served.agent._hypervisor._connection is not None, "libvirt answers")
    stream = stub.Watch(pb.WatchRequest(), timeout=60)
    assert [event.snapshot_done for event in (next(stream), next(stream))] == [False, True]
    with pytest.raises(grpc.RpcError) as caught:
        stub.Start(start(1, "of another process", kernel_sha256=kernel))
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert told(caught).startswith("session: ")
    report = stub.Start(start(1, session, kernel_sha256=kernel))
    assert (report.state, report.epoch, report.session) == (pb.PAUSED, 1, session)
    assert stub.Resume(order(1, session)).state == pb.RUNNING
    assert [vm.vm for vm in stub.ListVms(pb.ListVmsRequest()).vms] == [VM]
    states = (event.vm.state for event in stream if event.WhichOneof("what") == "vm")
    assert pb.RUNNING in states
    assert stub.Stop(pb.StopOrder(order=order(2, session))).floor == 2
    assert pb.ABSENT in states
    assert list(stub.ListVms(pb.ListVmsRequest()).vms) == []
    assert list(stub.Clean(pb.CleanRequest()).items) == []
    stream.cancel()


def test_capabilities(served: Served) -> None:
    served.config.mappings_file.write_text(
        "[DEFAULT]\nhost=h9\n[linux_bridge]\nphysical_interface_mappings = red:eth1\n"
    )
    for point, body in (
        ("before_device_create", "exit 0"),
        ("after_get_caps", 'sed -i s/{/{\\"extra\\":[1],/ "$_hook_json"'),
    ):
        script = served.root / "hooks" / point / "50_openstacknet"
        script.parent.mkdir(parents=True)
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
    reply = served.stub().Capabilities(pb.CapabilitiesRequest(), timeout=60)
    assert dict(reply.mappings) == {"red": "eth1"}
    assert reply.l2_host == "h9"
    assert list(reply.wires) == ["host-bridge", "bridge"]
    assert [(hook.point, hook.name) for hook in reply.hooks] == [
        ("after_get_caps", "50_openstacknet"),
        ("before_device_create", "50_openstacknet"),
    ]
    assert dict(reply.hook_facts) == {"extra": "[1]"}
    assert (reply.kvm, reply.kvm_reason) == (False, "switched off by the agent's settings")
    assert reply.cpus >= 1
    assert 0 < reply.memory_free < reply.memory
    assert "lo" in [interface.name for interface in reply.interfaces]


def test_what_keeps_it_from_serving(served: Served, tmp_path: Path) -> None:
    taken = Config(**{**vars(served.config), "port": served.agent.port})
    with pytest.raises(ServeError, match="cannot listen on"):
        Agent(taken, TestDriver).start()
    with pytest.raises(ServeError, match="nowhere: No such file"):
        Agent(Config(**{**vars(served.config), "key": tmp_path / "nowhere"}), TestDriver).start()
