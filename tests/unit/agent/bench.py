"""An agent's inside on libvirt's own test driver and a kernel that is a table: for what needs no root and no QEMU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt

from isthmus.agent.files import Files
from isthmus.agent.hooks import Hooks
from isthmus.agent.hypervisor import Hypervisor, LibvirtRefused
from isthmus.agent.metadata import NicRecord
from isthmus.agent.orders import Orders
from isthmus.agent.runs import Runs
from isthmus.agent.tools import Tools
from isthmus.agent.vms import Vms
from isthmus.agent.wiring import Unwirable, evidence
from isthmus.agent.wiring.links import Link
from isthmus.agent.wiring.wirer import Wirer
from isthmus.wire import agent_pb2 as pb
from tests.waiting import wait_for

from .orders import KERNEL

URI = "test:///default"


class Kernel(Wirer):
    """Network devices that are rows of a table. The taps come and go with the guests, as QEMU's do."""

    def __init__(self, mappings_file: Path) -> None:
        super().__init__(mappings_file)
        self.links: dict[str, Link] = {}
        self.plugs = True
        self.unwirable = ""

    def make_ready(self, nic: NicRecord) -> None:
        if self.unwirable:
            raise Unwirable(self.unwirable)
        self.links.setdefault(nic.bridge, Link(nic.bridge, 1, kind="bridge", up=True))
        if nic.kind == "port":
            self.links["eth1.500"] = Link("eth1.500", 2, up=True, carrier=True, forwarding=True, master=nic.bridge)

    def plug(self, nic: NicRecord) -> bool:
        tap = self.links.get(nic.tap)
        if tap is None or not self.plugs:
            return False
        self.links[nic.tap] = replace(tap, master=nic.bridge, forwarding=True)
        return tap.master != nic.bridge

    def missing(self, nics: Any) -> dict[str, str]:
        return {nic.id: evidence.missing(self.links, nic, self._l2()) for nic in nics}

    def leftover(self, taps: Iterable[str]) -> list[str]:
        return [tap for tap in taps if tap in self.links]

    def remove(self, taps: Iterable[str]) -> None:
        for tap in taps:
            self.links.pop(tap, None)


class TestDriver(Hypervisor):
    """libvirt's in-memory driver, which knows no start in paused state."""

    __test__ = False
    kernel: Kernel
    refuses = ""
    before_create: Callable[[], None] = staticmethod(lambda: None)

    def create_paused(self, xml: str) -> None:
        self.before_create()
        if self.refuses:
            raise LibvirtRefused(self.refuses)
        domain = self._ask(lambda: self._connected().createXML(xml, 0))
        domain.suspend()
        guest = self.find(domain.UUIDString())
        assert guest is not None
        assert guest.record is not None
        for nic in guest.record.nics:
            self.kernel.links[nic.tap] = Link(nic.tap, 9, kind="tun", up=True, carrier=True)


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        mappings = root / "l2.ini"
        mappings.write_text("[DEFAULT]\nhost=h1\n[linux_bridge]\nphysical_interface_mappings = red:eth1\n")
        self.kernel = Kernel(mappings)
        self.published: list[pb.VmReport] = []
        self.hooks = Hooks((root / "hooks",), 10.0, root / "state" / "hooks")
        self.files = Files(root / "state")
        self.script("before_device_create", "50_openstacknet", "exit 0")
        (root / "state" / "files").mkdir(parents=True)
        self.files.path(KERNEL).write_bytes(b"kernel")
        self._begin()

    def _begin(self) -> None:
        self.orders = Orders()
        self.hypervisor = TestDriver(URI, lambda vm, why: self.vms.changed(vm, why), lambda: self.vms.connected())
        self.hypervisor.kernel = self.kernel
        self.tools = Tools(
            hypervisor=self.hypervisor,
            wirer=self.kernel,
            hooks=self.hooks,
            files=self.files,
            runs=Runs(self.root / "state"),
            console_dir=self.root / "console",
            domain_type=lambda emulation: "test",
        )
        self.vms = Vms(self.tools, self.orders, self.published.append)
        self.hypervisor.open()
        wait_for(self._connected, "libvirt's test driver answers")

    def _connected(self) -> bool:
        return self.hypervisor._connection is not None

    def restart(self) -> None:
        """A new agent process: nothing in memory, the same libvirt and the same files."""
        self.close()
        self._begin()

    def close(self) -> None:
        self.vms.close()
        self.hypervisor.close()

    def script(self, point: str, name: str, body: str) -> Path:
        path = self.root / "hooks" / point / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {point}/{name} >> {self.root}/trace\n{body}\n")
        path.chmod(0o755)
        return path

    @property
    def trace(self) -> list[str]:
        path = self.root / "trace"
        return path.read_text().split() if path.exists() else []

    @property
    def session(self) -> str:
        return self.orders.session

    def in_thread(self, call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
        answers: list[Any] = []
        thread = threading.Thread(target=lambda: answers.append(call()))
        thread.start()
        return thread, answers


def destroy_all() -> None:
    connection = libvirt.open(URI)
    for domain in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        if domain.name() != "test":
            domain.destroy()
    connection.close()
