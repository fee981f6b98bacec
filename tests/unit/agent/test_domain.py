"""The domain's document: what is in it, that nothing breaks out of it, and what hooks may and may not leave."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.agent import domain, metadata
from isthmus.agent.metadata import NicRecord, VmRecord
from isthmus.wire import agent_pb2 as pb

from .orders import KERNEL, MAC, NIC, PORT, VM, bridge_nic, port_nic, start

RECORD = NicRecord(
    id=NIC,
    name="nic1",
    mac=MAC,
    tap="tap2eea7d77-78",
    bridge="brqa2702f22-48",
    kind="port",
    port=PORT,
    claim="claim-1",
    generation=3,
    physical_network="red",
    vlan=500,
)
PATHS = domain.Paths(kernel=Path("/f/kernel"), initrd=Path("/f/initrd"), disks=(), console=Path("/c/vm.log"))


def built(order: pb.StartOrder, paths: domain.Paths = PATHS, kind: str = "qemu") -> ET.Element:
    record = VmRecord(epoch=order.order.epoch, nics=(RECORD,), console=str(paths.console))
    interfaces = [domain.interface(nic, RECORD) for nic in order.nics]
    name = domain.domain_name(order.order.vm, order.name)
    xml = domain.build(order, kind=kind, name=name, paths=paths, record=record, interfaces=interfaces)
    return ET.fromstring(xml)  # noqa: S314 - our own


def test_a_guest_with_its_own_kernel() -> None:
    root = built(start(epoch=7, nics=[port_nic()], initrd_sha256=KERNEL, cmdline="quiet a=<b>", vcpus=2))
    assert root.get("type") == "qemu"
    assert root.findtext("uuid") == VM
    assert root.findtext("os/kernel") == "/f/kernel"
    assert root.findtext("os/cmdline") == "quiet a=<b>"
    assert root.findtext("memory") == str(192 * 1024)
    assert root.findtext("vcpu") == "2"
    interface = root.find("devices/interface")
    assert interface is not None
    assert interface.find("target").attrib == {"dev": "tap2eea7d77-78"}  # type: ignore[union-attr]
    assert root.find("devices/serial/source").attrib == {"path": "/c/vm.log"}  # type: ignore[union-attr]


def test_the_metadata_is_read_back() -> None:
    root = built(start(epoch=7, nics=[port_nic()]))
    element = root.find(f"metadata/{{{metadata.NAMESPACE}}}vm")
    assert element is not None
    record = metadata.read(ET.tostring(element, encoding="unicode"))
    assert record == VmRecord(epoch=7, nics=(RECORD,), console="/c/vm.log")
    assert metadata.read(metadata.text(record)) == record


@given(st.text(max_size=60), st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=60))
def test_a_name_stays_a_name(name: str, title: str) -> None:
    hostile = domain.domain_name(VM, name)
    assert hostile.strip()
    assert not set(hostile) & set("/\n\r<>&'\"\0")
    order = start(name=title)
    assert built(order).find("title") is None or built(order).findtext("title") == title


def test_markup_in_a_name_does_not_break_out() -> None:
    root = built(start(name="</title><devices><disk/></devices>", cmdline="</cmdline><x/>"))
    assert root.findtext("title") == "</title><devices><disk/></devices>"
    assert root.find("devices/disk") is None
    assert root.findtext("os/cmdline") == "</cmdline><x/>"


def test_disks_in_order_of_their_bus() -> None:
    ids = [f"00000000-0000-4000-8000-00000000000{n}" for n in range(4)]
    kinds = [("virtio", False), ("sata", True), ("scsi", False), ("virtio", False)]
    disks = [
        pb.Disk(id=i, sha256=KERNEL, format="raw", interface=bus, read_only=ro, bootable=i == ids[0])
        for i, (bus, ro) in zip(ids, kinds, strict=True)
    ]
    paths = domain.Paths(None, None, tuple(Path(f"/d/{i}") for i in ids), Path("/c"))
    root = built(start(kernel_sha256="", disks=disks), paths)
    found = root.findall("devices/disk")
    assert [disk.find("target").get("dev") for disk in found] == ["vda", "sda", "sdb", "vdb"]  # type: ignore[union-attr]
    assert [disk.find("driver").get("type") for disk in found] == ["qcow2", "raw", "qcow2", "qcow2"]  # type: ignore[union-attr]
    assert [disk.find("boot") is not None for disk in found] == [True, False, False, False]
    assert root.find("devices/controller[@type='scsi']") is not None


def test_a_tap_is_named_as_the_l2_agent_looks_for_it() -> None:
    assert domain.tap_name(port_nic()) == "tap2eea7d77-78"
    assert domain.tap_name(bridge_nic()).startswith("nic")
    assert len(domain.tap_name(bridge_nic())) <= 15


def on_bridge(bridge: str) -> str:
    rest = f"<source bridge='{bridge}'/><target dev='{RECORD.tap}'/></interface>"
    return f"<interface type='bridge'><mac address='{MAC}'/>{rest}"


@pytest.mark.parametrize("bridge", [domain.DUMMY_BRIDGE, "brqa2702f22-48"])
def test_an_interface_that_a_hook_left_on_a_bridge_is_ours_to_plug(bridge: str) -> None:
    root = domain.settle_interface(on_bridge(bridge), RECORD)
    assert root.get("type") == "ethernet"
    assert root.find("source") is None


@pytest.mark.parametrize(
    ("xml", "says"),
    [
        ("junk", "left no XML"),
        ("<disk/>", "as <disk>"),
        ("<interface type='ethernet'/>", f"without its MAC address {MAC}"),
        (f"<interface type='ethernet'><mac address='{MAC}'/></interface>", "with tap (none), not tap2eea7d77-78"),
        (on_bridge("x"), "of type bridge on bridge x, not on brqa2702f22-48"),
    ],
)
def test_an_interface_that_cannot_be_wired_is_refused(xml: str, says: str) -> None:
    with pytest.raises(domain.Unusable) as caught:
        domain.settle_interface(xml, RECORD)
    assert says in str(caught.value)


def test_hooks_may_change_the_domain_but_not_whose_it_is() -> None:
    record = VmRecord(epoch=1, nics=(RECORD,))
    xml = ET.tostring(built(start()), encoding="unicode")
    changed = xml.replace("<devices>", "<devices><watchdog model='i6300esb'/>")
    assert domain.settle_domain(changed, VM, record) == changed
    for wrong in ("junk", xml.replace(VM, NIC), xml.replace('epoch="1"', 'epoch="2"')):
        with pytest.raises(domain.Unusable):
            domain.settle_domain(wrong, VM, record)


def test_kvm_has_the_hosts_processor() -> None:
    assert built(start(), kind="kvm").find("cpu").get("mode") == "host-model"  # type: ignore[union-attr]
