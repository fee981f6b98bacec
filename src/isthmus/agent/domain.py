"""The domain of a VM as libvirt wants it. Every text goes through ElementTree, so a hostile name stays a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from isthmus.wire import agent_pb2 as pb

from . import metadata
from .metadata import NicRecord, VmRecord

DUMMY_BRIDGE = ";vdsmdummy;"
"""What hooks written for VDSM put a NIC on that the provider's own agent is to plug."""

_DISKS = {"virtio": "vd", "sata": "sd", "scsi": "sd"}
_UNSAFE = re.compile(r"[^\w .+:@-]")


class Unusable(Exception):
    """What the hooks made of the domain or of an interface cannot be started: says what is wrong with it."""


@dataclass(frozen=True)
class Paths:
    """Where the files of one run are on this host."""

    kernel: Path | None
    initrd: Path | None
    disks: tuple[Path, ...]
    console: Path


def tap_name(nic: pb.Nic) -> str:
    """The L2 agents look for a provider's port under the first name; the second kind they leave alone."""
    return f"tap{nic.port.port_id}"[:14] if nic.HasField("port") else f"nic{nic.id}"[:14]


def domain_name(vm: str, name: str) -> str:
    """libvirt takes no '/' and no line break; names are unique on a host, which ``vm`` sees to when need be."""
    return _UNSAFE.sub("_", name).strip() or f"vm-{vm}"


def interface(nic: pb.Nic, record: NicRecord) -> ET.Element:
    """A NIC on its bridge, before any hook saw it."""
    root = ET.Element("interface", type="bridge")
    ET.SubElement(root, "mac", address=nic.mac)
    ET.SubElement(root, "source", bridge=record.bridge)
    ET.SubElement(root, "target", dev=record.tap)
    ET.SubElement(root, "model", type=nic.model)
    ET.SubElement(root, "link", state="up" if nic.linked else "down")
    ET.SubElement(root, "rom", enabled="no")
    ET.SubElement(root, "alias", name=f"ua-{nic.id}")
    return root


def settle_interface(xml: str, record: NicRecord) -> ET.Element:
    """What the hooks left, checked. A provider's port is plugged by us once its tap is there, so libvirt only makes it.

    :raises Unusable: not an interface any more, another MAC, another tap than the one the L2 agent looks for.
    """
    try:
        root = ET.fromstring(xml)  # noqa: S314 - ours, rewritten by the host administrator's own scripts
    except ET.ParseError as error:
        raise Unusable(f"the hooks left no XML for NIC {record.name or record.id}: {error}") from error
    who = f"the hooks left NIC {record.name or record.id}"
    if root.tag != "interface":
        raise Unusable(f"{who} as <{root.tag}>, not <interface>")
    mac = root.find("mac")
    if mac is None or mac.get("address", "").lower() != record.mac:
        raise Unusable(f"{who} without its MAC address {record.mac}")
    if record.kind != "port":
        return root
    target = root.find("target")
    if target is None or target.get("dev") != record.tap:
        raise Unusable(f"{who} with tap {target.get('dev') if target is not None else '(none)'}, not {record.tap}")
    source = root.find("source")
    bridge = source.get("bridge") if source is not None else None
    if root.get("type") == "bridge" and bridge in (DUMMY_BRIDGE, record.bridge):
        root.set("type", "ethernet")
        if source is not None:
            root.remove(source)
    if root.get("type") != "ethernet":
        raise Unusable(
            f"{who} of type {root.get('type')}{f' on bridge {bridge}' if bridge else ''}, not on {record.bridge}"
        )
    return root


def build(
    order: pb.StartOrder,
    *,
    kind: str,
    name: str,
    paths: Paths,
    record: VmRecord,
    interfaces: Sequence[ET.Element],
) -> str:
    """The document for ``createXML``; ``kind`` is libvirt's domain type (``kvm``, ``qemu``)."""
    root = ET.Element("domain", type=kind)
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "uuid").text = order.order.vm
    if order.name.strip():
        ET.SubElement(root, "title").text = order.name
    ET.SubElement(root, "metadata").append(metadata.element(record))
    ET.SubElement(root, "memory", unit="KiB").text = str(order.memory // 1024)
    ET.SubElement(root, "vcpu").text = str(order.vcpus)
    _boot(root, order, paths)
    ET.SubElement(ET.SubElement(root, "features"), "acpi")
    _cpu(root, order, kind)
    ET.SubElement(root, "on_poweroff").text = "destroy"
    ET.SubElement(root, "on_reboot").text = "restart"
    ET.SubElement(root, "on_crash").text = "destroy"
    devices = ET.SubElement(root, "devices")
    _disks(devices, order, paths)
    devices.extend(interfaces)
    for tag in ("serial", "console"):
        console = ET.SubElement(devices, tag, type="file")
        ET.SubElement(console, "source", path=str(paths.console))
        ET.SubElement(console, "target", {"type": "serial", "port": "0"} if tag == "console" else {"port": "0"})
    ET.SubElement(devices, "memballoon", model="none")
    ET.indent(root)
    return ET.tostring(root, encoding="unicode")


def settle_domain(xml: str, vm: str, record: VmRecord) -> str:
    """What the ``before_vm_start`` scripts left. :raises Unusable: it is no longer this VM of this epoch."""
    try:
        root = ET.fromstring(xml)  # noqa: S314 - ours, rewritten by the host administrator's own scripts
    except ET.ParseError as error:
        raise Unusable(f"the before_vm_start hooks left no XML: {error}") from error
    uuid = root.findtext("uuid", "").strip()
    ours = root.find(f"metadata/{{{metadata.NAMESPACE}}}vm")
    if root.tag != "domain" or uuid != vm or ours is None or ours.get("epoch") != str(record.epoch):
        raise Unusable("the before_vm_start hooks took away the domain's uuid or the agent's metadata")
    return xml


def _boot(root: ET.Element, order: pb.StartOrder, paths: Paths) -> None:
    boot = ET.SubElement(root, "os")
    ET.SubElement(boot, "type", arch="x86_64", machine="q35").text = "hvm"
    if paths.kernel is None:
        return  # the bootable disk carries a <boot order> of its own
    ET.SubElement(boot, "kernel").text = str(paths.kernel)
    if paths.initrd is not None:
        ET.SubElement(boot, "initrd").text = str(paths.initrd)
    if order.cmdline:
        ET.SubElement(boot, "cmdline").text = order.cmdline


def _cpu(root: ET.Element, order: pb.StartOrder, kind: str) -> None:
    if kind == "kvm":
        cpu = ET.SubElement(root, "cpu", mode="host-model")
    else:
        cpu = ET.SubElement(root, "cpu", mode="custom", match="exact")
        ET.SubElement(cpu, "model", fallback="allow").text = "qemu64"
    if order.sockets:
        shape = {"sockets": order.sockets, "cores": order.cores, "threads": order.threads}
        ET.SubElement(cpu, "topology", {name: str(value) for name, value in shape.items()})


def _disks(devices: ET.Element, order: pb.StartOrder, paths: Paths) -> None:
    used: dict[str, int] = {}
    place = 0
    for disk, path in zip(order.disks, paths.disks, strict=True):
        prefix = _DISKS[disk.interface]
        letter = chr(ord("a") + used.setdefault(prefix, 0))
        used[prefix] += 1
        root = ET.SubElement(devices, "disk", type="file", device="disk")
        format_ = disk.format if disk.read_only else "qcow2"  # a writable disk is an overlay of this run
        ET.SubElement(root, "driver", name="qemu", type=format_)
        ET.SubElement(root, "source", file=str(path))
        ET.SubElement(root, "target", dev=prefix + letter, bus=disk.interface)
        ET.SubElement(root, "serial").text = disk.id[:20]
        if disk.read_only:
            ET.SubElement(root, "readonly")
        if disk.bootable and paths.kernel is None:
            place += 1
            ET.SubElement(root, "boot", order=str(place))
    if any(disk.interface == "scsi" for disk in order.disks):
        ET.SubElement(devices, "controller", type="scsi", model="virtio-scsi")
