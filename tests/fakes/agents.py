"""Hosts in this process whose agents obey the real rules (``isthmus.agent.orders``) over a libvirt that is a dict.

Orders can be held back, delivered late, twice or never; the agent can be restarted, the host powered off. A guest that
runs although its port is not bound to this host, or runs on two hosts, fails the test: ``violations``.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.agent.orders import Orders
from isthmus.agent.orders import Refused as NotObeyed
from isthmus.hosts.client import file_sum
from isthmus.hosts.errors import HostError, Refused, SessionChanged, StaleEpoch, Unreachable
from isthmus.wire import agent_pb2 as pb


@dataclass
class Domain:
    epoch: int
    running: bool
    order: pb.StartOrder


@dataclass
class FakeHost:
    """One host and its agent. ``check`` is asked before a guest runs: what is wrong then, or nothing."""

    id: str
    name: str
    check: Callable[[FakeHost, Domain], str] = lambda _host, _domain: ""
    on_wired: Callable[[str], None] = lambda _port: None
    """Told each port whose tap is on its bridge: its L2 agent reports it up."""
    orders: Orders = field(default_factory=Orders)
    domains: dict[str, Domain] = field(default_factory=dict)
    boot_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    reachable: bool = True
    start_goes_on: threading.Event | None = None
    """While set: a start that was obeyed waits for it before its guest appears."""
    files_go_on: threading.Event | None = None
    """While set: files that are sent to it move, and are there when it happens."""
    ignores_shutdown: bool = False
    """Its guests go on when they are asked to shut down."""
    wired: bool = True
    """Whether the tap is on its bridge: the host's own evidence."""
    violations: list[str] = field(default_factory=list)
    seen_orders: list[tuple[str, object]] = field(default_factory=list)
    lose_reply: set[str] = field(default_factory=set)
    """Names of calls whose next reply is lost after they were obeyed."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    watchers: list[queue.Queue[pb.VmReport | None]] = field(default_factory=list)

    # ------------------------------------------------------------------------------------------ its fate

    def restart_agent(self) -> None:
        """A new process: floors are rebuilt from the domains."""
        with self.lock:
            self.orders = Orders()
            for vm, domain in self.domains.items():
                self.orders.see(vm, domain.epoch)
            self._break_watches()

    def cut_off(self) -> None:
        """The network to it is gone; what runs there runs on."""
        with self.lock:
            self.reachable = False
            self._break_watches()

    def power_off(self) -> None:
        with self.lock:
            self.domains.clear()
            self.reachable = False
            self._break_watches()

    def power_on(self) -> None:
        with self.lock:
            self.orders, self.boot_id, self.reachable = Orders(), str(uuid.uuid4()), True

    def guest_ends(self, vm: str) -> None:
        """The guest shuts down by itself."""
        with self.lock:
            del self.domains[vm]
            self._tell(self.report(vm, "the guest shut down"))

    # ------------------------------------------------------------------------------------------- its word

    def report(self, vm: str, reason: str = "") -> pb.VmReport:
        word, domain = self.orders.word(vm), self.domains.get(vm)
        made = pb.VmReport(vm=vm, floor=word, session=self.orders.session, reason=reason)
        if domain is None:
            made.state = pb.ABSENT
            return made
        made.floor = self.orders.floor(vm)
        made.state = pb.RUNNING if domain.running else pb.PAUSED
        made.epoch = domain.epoch
        for nic in domain.order.nics:
            made.nics.append(
                pb.NicEvidence(
                    nic=nic.id,
                    port_id=nic.port.port_id,
                    wired=self.wired,
                    missing="" if self.wired else "the tap is not on its bridge",
                )
            )
        return made

    def _tell(self, report: pb.VmReport) -> None:
        for watcher in self.watchers:
            watcher.put(report)

    def _break_watches(self) -> None:
        for watcher in self.watchers:
            watcher.put(None)

    # --------------------------------------------------------------------------------------------- orders

    def start(self, order: pb.StartOrder) -> pb.VmReport:
        vm, orders = order.order.vm, self.orders
        with self.lock:
            self.seen_orders.append(("start", order))
            self._obey(lambda: orders.obey_start(vm, order.order.epoch, order.order.session))
            goes_on = self.start_goes_on
        if goes_on is not None:
            assert goes_on.wait(30)
        with self.lock:
            orders.start_ended(vm)
            if orders is not self.orders or orders.floor(vm) > order.order.epoch:
                return self.report(vm, "stopped while it was started")
            self.domains[vm] = Domain(order.order.epoch, False, order)
            for nic in order.nics:
                if self.wired and nic.port.port_id:
                    self.on_wired(nic.port.port_id)
            return self.report(vm)

    def resume(self, order: pb.Order) -> pb.VmReport:
        with self.lock:
            self.seen_orders.append(("resume", order))
            domain = self.domains.get(order.vm)
            epoch = domain.epoch if domain else 0
            self._obey(lambda: self.orders.check_resume(order.vm, order.epoch, order.session, epoch))
            assert domain is not None
            if not self.wired:
                raise Refused("wiring: the tap is not on its bridge", host=self.id, call="resume")
            wrong = self.check(self, domain)
            if wrong:
                self.violations.append(wrong)
            domain.running = True
            return self.report(order.vm)

    def stop(self, order: pb.StopOrder) -> pb.VmReport:
        with self.lock:
            self.seen_orders.append(("stop", order))
            what = order.order
            domain = self.domains.get(what.vm)
            epoch = domain.epoch if domain else 0
            self._obey(lambda: self.orders.obey_stop(what.vm, what.epoch, what.session, epoch))
            if order.graceful and self.ignores_shutdown and domain is not None and domain.running:
                report = self.report(what.vm)
                report.state = pb.SHUTTING_DOWN
                return report
            self.domains.pop(what.vm, None)
            return self.report(what.vm)

    def _obey(self, rule: Callable[[], None]) -> None:
        try:
            rule()
        except NotObeyed as error:
            kind = {"session": SessionChanged, "epoch": StaleEpoch}.get(str(error).split(":")[0], Refused)
            raise kind(str(error), host=self.id, call="") from error


class FakeClient:
    """The engine's way to a ``FakeHost``; has the methods of ``HostClient`` that the engine calls."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.host_id = host.id

    def _answer(self, call: str, answer: Callable[[], pb.VmReport]) -> pb.VmReport:
        self._dial(call)
        report = answer()
        if call in self.host.lose_reply:
            self.host.lose_reply.discard(call)
            raise Unreachable("no answer in time", problem="timeout", sent=True, host=self.host_id, call=call)
        return report

    def _dial(self, call: str) -> None:
        if not self.host.reachable:
            raise Unreachable("nothing listens", problem="refused", host=self.host_id, call=call)

    def hello(self) -> pb.HelloReply:
        self._dial("hello")
        return pb.HelloReply(protocol=1, session=self.host.orders.session, boot_id=self.host.boot_id)

    def capabilities(self) -> pb.CapabilitiesReply:
        self._dial("capabilities")
        return capabilities_of()

    def start(self, order: pb.StartOrder) -> pb.VmReport:
        return self._answer("start", lambda: self.host.start(order))

    def resume(self, order: pb.Order) -> pb.VmReport:
        return self._answer("resume", lambda: self.host.resume(order))

    def stop(self, order: pb.StopOrder) -> pb.VmReport:
        return self._answer("stop", lambda: self.host.stop(order))

    def get_vm(self, vm: str) -> pb.VmReport:
        return self._answer("get_vm", lambda: self.host.report(vm))

    def list_vms(self) -> pb.ListVmsReply:
        self._dial("list_vms")
        with self.host.lock:
            return pb.ListVmsReply(
                session=self.host.orders.session, vms=[self.host.report(vm) for vm in self.host.domains]
            )

    def send_file(self, path: Path | str, progress: Callable[[int, int], None] | None = None) -> str:
        self._dial("send_file")
        sha256, size = file_sum(Path(path))
        while self.host.files_go_on is not None and not self.host.files_go_on.wait(0.01):
            if progress is not None:
                progress(0, size)
        return sha256

    def watch(self, resume_token: str = "") -> FakeWatch:
        self._dial("watch")
        return FakeWatch(self.host)

    def close(self) -> None:
        """Nothing is held."""


class FakeWatch:
    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self._queue: queue.Queue[pb.VmReport | None] = queue.Queue()
        with host.lock:
            self._first = [host.report(vm) for vm in host.domains]
            self._session = host.orders.session
            host.watchers.append(self._queue)

    def cancel(self) -> None:
        self._queue.put(None)

    def __iter__(self) -> Iterator[pb.WatchEvent]:
        yield pb.WatchEvent(session=self._session, snapshot_done=False)
        for report in self._first:
            yield pb.WatchEvent(session=self._session, vm=report)
        yield pb.WatchEvent(session=self._session, snapshot_done=True)
        while (report := self._queue.get()) is not None:
            yield pb.WatchEvent(session=self._session, vm=report)
        with self._host.lock:
            self._host.watchers.remove(self._queue)
        raise Unreachable("the stream ended", problem="lost", host=self._host.id, call="watch")


def capabilities_of() -> pb.CapabilitiesReply:
    """What a host that can wire everything says of itself."""
    return pb.CapabilitiesReply(
        hostname="fake",
        os_name="Debian GNU/Linux",
        cpus=8,
        memory=64 << 30,
        memory_free=60 << 30,
        vlan_8021q=True,
        bridges=["plain"],
        interfaces=[pb.Interface(name="eth1")],
        hooks=[pb.Hook(point="before_device_create", name="50_openstacknet")],
        mappings={"red": "eth1"},
        units=[pb.Unit(name="neutron-linuxbridge-agent", active=True)],
        wires=["bridge", "host-bridge"],
    )


def wait_for(condition: Callable[[], bool], what: str = "", seconds: float = 60.0) -> None:
    """Until it holds; looked at often, because nothing tells of it."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what or condition}"
        time.sleep(0.02)


__all__ = ["Domain", "FakeClient", "FakeHost", "HostError", "capabilities_of", "wait_for"]
