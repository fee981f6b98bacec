"""Is an order well formed? Asked before anything of it becomes a path, a device name or part of a document."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from isthmus.wire import agent_pb2 as pb

NIC_MODELS = ("virtio", "e1000", "e1000e", "rtl8139")
DISK_INTERFACES = ("virtio", "sata", "scsi")
DISK_FORMATS = ("raw", "qcow2")

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_BRIDGE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


class Malformed(ValueError):
    """The order cannot be meant: names the field, the value and what it should be. Nothing changed."""


def vm_id(value: str) -> str:
    """:raises Malformed: not a UUID in its usual form, lower case."""
    return _uuid("vm", value)


def sha256(field: str, value: str) -> str:
    """:raises Malformed: not 64 lower-case hexadecimal digits."""
    if not _SHA256.fullmatch(value):
        raise Malformed(f"{field}: {_show(value)} is no SHA-256 (64 lower-case hexadecimal digits)")
    return value


def order(given: pb.Order) -> None:
    """:raises Malformed:"""
    vm_id(given.vm)
    if given.epoch == 0:
        raise Malformed("epoch: an order's epoch is at least 1")


def start(given: pb.StartOrder) -> None:
    """:raises Malformed: names the first field that is wrong."""
    order(given.order)
    _text("name", given.name, 255)
    _text("cmdline", given.cmdline, 4096)
    _within("memory", given.memory, 16 << 20, 16 << 40)
    _within("vcpus", given.vcpus, 1, 512)
    topology = (given.sockets, given.cores, given.threads)
    if any(topology) and (min(topology) < 1 or given.sockets * given.cores * given.threads != given.vcpus):
        raise Malformed(f"sockets, cores, threads: {topology} do not make {given.vcpus} vcpus")
    for field, value in (("kernel_sha256", given.kernel_sha256), ("initrd_sha256", given.initrd_sha256)):
        if value:
            sha256(field, value)
    if not given.kernel_sha256 and (given.initrd_sha256 or given.cmdline):
        raise Malformed("kernel_sha256: initrd and cmdline need a kernel")
    if not given.kernel_sha256 and not given.disks:
        raise Malformed("disks: without a kernel the guest needs a disk to boot from")
    if given.emulation not in ("", "auto", "qemu"):
        raise Malformed(f"emulation: {_show(given.emulation)} is neither 'auto' nor 'qemu'")
    _within("wire_seconds", given.wire_seconds, 0, 3600)
    _within("number of disks", len(given.disks), 0, 24)
    _within("number of nics", len(given.nics), 0, 28)
    for disk in given.disks:
        _disk(disk)
    for nic in given.nics:
        _nic(nic)
    _unique("disks.id", [disk.id for disk in given.disks])
    _unique("nics.id", [nic.id for nic in given.nics])
    _unique("nics.mac", [nic.mac for nic in given.nics])
    _unique("nics.port.port_id", [nic.port.port_id for nic in given.nics if nic.HasField("port")])
    _properties("custom_properties", given.custom_properties)


def _disk(disk: pb.Disk) -> None:
    _uuid("disks.id", disk.id)
    sha256("disks.sha256", disk.sha256)
    _one_of("disks.format", disk.format, DISK_FORMATS)
    _one_of("disks.interface", disk.interface, DISK_INTERFACES)
    _within("disks.size", disk.size, 0, 1 << 50)


def _nic(nic: pb.Nic) -> None:
    _uuid("nics.id", nic.id)
    _text("nics.name", nic.name, 255)
    if not _MAC.fullmatch(nic.mac) or int(nic.mac[:2], 16) & 1 or nic.mac == "00:00:00:00:00:00":
        raise Malformed(f"nics.mac: {_show(nic.mac)} is no unicast address in the form 02:00:00:00:00:01")
    _one_of("nics.model", nic.model, NIC_MODELS)
    _properties("nics.custom_properties", nic.custom_properties)
    wiring = nic.WhichOneof("wiring")
    if wiring == "host_bridge":
        if not _BRIDGE.fullmatch(nic.host_bridge.bridge):
            raise Malformed(
                f"nics.host_bridge.bridge: {_show(nic.host_bridge.bridge)} is no name of a Linux bridge "
                "(1 to 15 letters, digits, '_', '.', '-')"
            )
    elif wiring == "port":
        port = nic.port
        _uuid("nics.port.port_id", port.port_id)
        _uuid("nics.port.network_id", port.network_id)
        for field in ("vif_type", "provider_type", "plugin_type", "claim", "physical_network"):
            _text(f"nics.port.{field}", getattr(port, field), 255)
        _text("nics.port.security_groups", port.security_groups, 16384)
        _within("nics.port.vif_details, characters", len(port.vif_details), 0, 65536)
        _within("nics.port.vlan", port.vlan, 0, 4094)
    else:
        raise Malformed(f"nics.wiring: NIC {nic.id} has neither a provider's port nor a bridge of the host")


def _properties(field: str, values: Mapping[str, str]) -> None:
    _within(f"{field}, number", len(values), 0, 128)
    for name, value in values.items():
        _within(f"{field}, characters of {_show(name)}", len(name) + len(value), 1, 65536)
        if "\0" in value or "\0" in name:
            raise Malformed(f"{field}: the property {_show(name)} has a NUL in it")


def _uuid(field: str, value: str) -> str:
    try:
        parsed = str(uuid.UUID(value))
    except ValueError:
        parsed = ""
    if parsed != value:
        raise Malformed(f"{field}: {_show(value)} is no UUID in lower case")
    return value


def _text(field: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise Malformed(f"{field}: {len(value)} characters, at most {limit} are taken")
    if _CONTROL.search(value):
        raise Malformed(f"{field}: {_show(value)} has control characters in it")


def _within(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise Malformed(f"{field}: {value} is not between {low} and {high}")


def _one_of(field: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise Malformed(f"{field}: {_show(value)} is none of {', '.join(known)}")


def _unique(field: str, values: list[str]) -> None:
    if len(set(values)) != len(values):
        raise Malformed(f"{field}: used twice in one order")


def _show(value: str) -> str:
    return ascii(value if len(value) <= 80 else value[:77] + "...")
