"""Bringing a guest up, as far as paused and wired: hooks, domain, tap into bridge, evidence.

One ``Launch`` is one obeyed start. It runs on the thread that serves the order; ``cancel`` is set by a stop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree as ET

from pyroute2.netlink.exceptions import NetlinkError

from isthmus.wire import agent_pb2 as pb

from . import domain
from .ending import finish
from .hooks import HookCancelled, HookFailed
from .hypervisor import LibvirtRefused
from .metadata import NicRecord, VmRecord
from .moments import Moments
from .runs import DiskUnusable, Run
from .tools import Tools, nic_properties, vm_properties, words
from .wiring import Unwirable
from .wiring.wirer import PLUGIN_LINUX_BRIDGE

WIRE_SECONDS = 60
_LOOK_SECONDS = 0.1
_OPENSTACKNET = "openstacknet"

logger = logging.getLogger(__name__)


class Failed(Exception):
    """The guest could not be brought up, and why. ``missing`` is what each NIC lacked, where wiring was reached."""

    def __init__(self, reason: str, missing: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.missing = dict(missing or {})


def hook_facts(nic: pb.Nic) -> dict[str, str]:
    """What hooks written for VDSM look for on a NIC of an external network; no property may say otherwise."""
    if not nic.HasField("port"):
        return {}
    port = nic.port
    facts = {"vnic_id": port.port_id, "provider_type": port.provider_type, "plugin_type": port.plugin_type}
    facts["security_groups"] = port.security_groups
    return {name: value for name, value in facts.items() if value}


@dataclass
class Launch:
    tools: Tools
    order: pb.StartOrder
    cancel: threading.Event
    moments: Moments
    nics: tuple[NicRecord, ...] = ()
    run: Run = field(init=False)
    _made: bool = field(init=False, default=False)
    _record: VmRecord = field(init=False)

    def __post_init__(self) -> None:
        order = self.order.order
        self.run = Run(
            vm=order.vm,
            epoch=order.epoch,
            custom=dict(self.order.custom_properties),
            devices={nic.id: dict(nic.custom_properties) for nic in self.order.nics},
            fixed={nic.id: hook_facts(nic) for nic in self.order.nics},
        )

    def go(self) -> str:
        """The domain's document; the guest is paused and every NIC wired. :raises Failed: nothing was left behind."""
        try:
            xml = self._prepare()
            self._create(xml)
            self._wire()
            self._after_devices()
            return xml
        except (Unwirable, DiskUnusable, domain.Unusable, HookFailed, LibvirtRefused, OSError) as error:
            self._undo()
            raise Failed(str(error)) from error
        except HookCancelled as error:
            self._undo()
            raise Failed("stopped while a hook of its start ran") from error
        except BaseException:
            self._undo()
            raise

    # ------------------------------------------------------------------------------------------ before it exists

    def _prepare(self) -> str:
        tools, order = self.tools, self.order
        self.nics = tuple(tools.wirer.record(nic) for nic in order.nics)
        self._check_openstacknet()
        console = tools.console_dir / f"{self.run.vm}.log"
        console.parent.mkdir(parents=True, exist_ok=True)
        self._record = VmRecord(epoch=self.run.epoch, nics=self.nics, console=str(console))
        self.run = replace(self.run, taps=tuple(nic.tap for nic in self.nics))
        tools.runs.save(self.run)
        paths = domain.Paths(
            kernel=self._file("kernel", order.kernel_sha256),
            initrd=self._file("initrd", order.initrd_sha256),
            disks=tuple(self._disk(disk) for disk in order.disks),
            console=console,
        )
        interfaces = [self._interface(nic, record) for nic, record in zip(order.nics, self.nics, strict=True)]
        xml = domain.build(
            order,
            kind=tools.domain_type(order.emulation),
            name=self._name(),
            paths=paths,
            record=self._record,
            interfaces=interfaces,
        )
        self._check_wanted()
        devices = {
            record.id: ET.tostring(interface, encoding="unicode")
            for record, interface in zip(self.nics, interfaces, strict=True)
        }
        self.run = replace(self.run, domain_xml=xml, interfaces=devices)
        outcome = tools.hooks.run_xml("before_vm_start", xml, vm_properties(self.run), self.cancel)
        self.moments.hooks(outcome.runs)
        self.run = replace(self.run, domain_xml=domain.settle_domain(outcome.data, self.run.vm, self._record))
        tools.runs.save(self.run)
        return self.run.domain_xml

    def _check_openstacknet(self) -> None:
        wanted = any(nic.HasField("port") and nic.port.plugin_type == PLUGIN_LINUX_BRIDGE for nic in self.order.nics)
        scripts = self.tools.hooks.scripts("before_device_create")
        if wanted and not any(_OPENSTACKNET in script.name for script in scripts):
            raise Failed(
                "the openstacknet hook is not installed on this host: no script of that name at before_device_create"
            )

    def _file(self, what: str, sha256: str) -> Path | None:
        if not sha256:
            return None
        state = self.tools.files.stat(sha256)
        if not state.complete:
            raise Failed(f"the {what} {sha256} is not on this host (of it are here: {state.present} bytes)")
        return self.tools.files.path(sha256)

    def _disk(self, disk: pb.Disk) -> Path:
        image = self._file(f"image of disk {disk.id},", disk.sha256)
        if image is None:
            raise Failed(f"disk {disk.id} names no image")
        return self.tools.runs.disk(self.run, disk, image)

    def _name(self) -> str:
        """Names are unique in libvirt, and only there: another VM of that name gets its id behind it."""
        name = domain.domain_name(self.run.vm, self.order.name)
        holder = self.tools.hypervisor.named(name)
        return name if holder in ("", self.run.vm) else f"{name}-{self.run.vm}"

    def _interface(self, nic: pb.Nic, record: NicRecord) -> ET.Element:
        self._check_wanted()
        xml = ET.tostring(domain.interface(nic, record), encoding="unicode")
        outcome = self.tools.hooks.run_xml(
            "before_device_create", xml, nic_properties(self.run, record.id), self.cancel
        )
        self.moments.hooks(outcome.runs, record.id)
        return domain.settle_interface(outcome.data, record)

    # ------------------------------------------------------------------------------------------- from then on

    def _create(self, xml: str) -> None:
        with self.moments.timing("bridges made ready"):
            for nic in self.nics:
                self._ready(nic)
        self._check_wanted()
        logger.info("VM %s, epoch %d: its domain:\n%s", self.run.vm, self.run.epoch, xml)
        self._made = True
        with self.moments.timing("domain made, paused"):
            self.tools.hypervisor.create_paused(xml)

    def _ready(self, nic: NicRecord) -> None:
        try:
            self.tools.wirer.make_ready(nic)
        except NetlinkError as error:
            # Somebody else changes the same devices, the L2 agent most likely: the next look tells.
            logger.warning("NIC %s: %s not made ready: %s", nic.id, nic.bridge, error)

    def _wire(self) -> None:
        begun = time.monotonic()
        limit = self.order.wire_seconds or WIRE_SECONDS
        told: set[str] = set()
        while True:
            missing = self._look()
            for nic in self.nics:
                if not missing[nic.id] and nic.id not in told:
                    told.add(nic.id)
                    self.moments.add(
                        "wired", nic.id, seconds=time.monotonic() - begun, text=f"{nic.tap} in {nic.bridge}"
                    )
            if not any(missing.values()):
                return
            if self.tools.hypervisor.find(self.run.vm) is None:
                raise Failed("the guest ended while it was wired; its console and QEMU's log may say why", missing)
            if time.monotonic() - begun > limit:
                raise Failed(f"wiring: not done within {limit} s: {words(self.nics, missing)}", missing)
            if self.cancel.wait(_LOOK_SECONDS):
                raise Failed("stopped before it was wired", missing)

    def _look(self) -> dict[str, str]:
        for nic in self.nics:
            self._ready(nic)
            try:
                if self.tools.wirer.plug(nic):
                    self.moments.add("plugged", nic.id, text=f"{nic.tap} into {nic.bridge}")
            except NetlinkError as error:
                logger.warning("NIC %s: %s not plugged: %s", nic.id, nic.tap, error)
        return self.tools.wirer.missing(self.nics)

    def _after_devices(self) -> None:
        for nic in self.nics:
            self._check_wanted()
            xml = self.run.interfaces[nic.id]
            outcome = self.tools.hooks.run_xml(
                "after_device_create", xml, nic_properties(self.run, nic.id), self.cancel
            )
            self.moments.hooks(outcome.runs, nic.id)

    def _undo(self) -> None:
        if self._made:
            self.tools.hypervisor.destroy(self.run.vm)
        finish(self.tools, self.run)

    def _check_wanted(self) -> None:
        if self.cancel.is_set():
            raise Failed("stopped while it was started")
