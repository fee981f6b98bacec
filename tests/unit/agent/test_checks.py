"""A malformed order is refused by name of its field, before anything of it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from isthmus.agent import checks
from isthmus.wire import agent_pb2 as pb

from .orders import KERNEL, NIC, bridge_nic, port_nic, start


def disk(**changes: Any) -> pb.Disk:
    values: dict[str, Any] = {"id": NIC, "sha256": KERNEL, "format": "raw", "interface": "virtio"}
    return pb.Disk(**{**values, **changes})


def nic(change: Callable[[pb.Nic], None], made: pb.Nic | None = None) -> pb.StartOrder:
    given = made or port_nic()
    change(given)
    return start(nics=[given])


def test_a_good_order_passes() -> None:
    checks.start(start(nics=[port_nic(), bridge_nic()], disks=[disk()], sockets=1, cores=1, threads=1))


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (start(vm="../../etc"), "vm: '../../etc' is no UUID"),
        (start(vm="6A1F0C3E-0000-4000-8000-0000000000AA"), "vm: "),
        (start(epoch=0), "epoch: "),
        (start(name="a\nb"), "name: 'a\\nb' has control characters"),
        (start(name="x" * 300), "name: 300 characters"),
        (start(cmdline="a\0b"), "cmdline: "),
        (start(memory=1), "memory: 1 is not between"),
        (start(vcpus=0), "vcpus: "),
        (start(vcpus=4, sockets=1, cores=1, threads=1), "sockets, cores, threads: "),
        (start(kernel_sha256="../x"), "kernel_sha256: '../x' is no SHA-256"),
        (start(kernel_sha256="", cmdline="quiet"), "need a kernel"),
        (start(kernel_sha256=""), "disks: without a kernel"),
        (start(emulation="xen"), "emulation: 'xen'"),
        (start(wire_seconds=100000), "wire_seconds: "),
        (start(disks=[disk(), disk()]), "disks.id: used twice"),
        (start(disks=[disk(format="vmdk")]), "disks.format: 'vmdk' is none of raw, qcow2"),
        (start(disks=[disk(interface="floppy")]), "disks.interface: "),
        (start(nics=[bridge_nic(number=n) for n in range(1, 40)]), "number of nics: 39"),
        (start(nics=[port_nic(), port_nic()]), "nics.id: used twice"),
        (start(nics=[port_nic(port_id="../tap")]), "nics.port.port_id: "),
        (start(nics=[port_nic(vlan=4095)]), "nics.port.vlan: "),
        (start(nics=[bridge_nic("a/b")]), "nics.host_bridge.bridge: 'a/b' is no name"),
        (start(nics=[bridge_nic("a name too long for it")]), "nics.host_bridge.bridge: "),
        (nic(lambda n: n.ClearField("port")), "nics.wiring: "),
        (nic(lambda n: setattr(n, "mac", "01:00:5e:00:00:01")), "nics.mac: "),
        (nic(lambda n: setattr(n, "mac", "junk")), "nics.mac: "),
        (nic(lambda n: setattr(n, "model", "ne2k")), "nics.model: 'ne2k' is none of"),
        (nic(lambda n: n.custom_properties.update({"a": "b\0"})), "nics.custom_properties: "),
        (start(custom_properties={"a": "b" * 70000}), "custom_properties, characters of 'a'"),
    ],
)
def test_a_malformed_order_is_refused_by_field(order: pb.StartOrder, says: str) -> None:
    with pytest.raises(checks.Malformed) as caught:
        checks.start(order)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 500
