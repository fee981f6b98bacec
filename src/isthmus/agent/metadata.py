"""What a domain's own metadata says about it: the truth about a running VM, read back after the agent restarted."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any
from xml.etree import ElementTree as ET

NAMESPACE = "urn:isthmus:agent:vm:1"
PREFIX = "isthmus"

ET.register_namespace(PREFIX, NAMESPACE)


@dataclass(frozen=True)
class NicRecord:
    id: str
    mac: str
    tap: str
    bridge: str
    kind: str
    """``port`` (a provider's) or ``host-bridge``."""
    name: str = ""
    port: str = ""
    network: str = ""
    claim: str = ""
    generation: int = 0
    physical_network: str = ""
    vlan: int = 0


@dataclass(frozen=True)
class VmRecord:
    epoch: int
    nics: tuple[NicRecord, ...] = ()
    resumed: bool = False
    """The guest has run: a later resume is a continuation, not the end of its start."""
    console: str = field(default="")


def element(record: VmRecord, namespace: str = f"{{{NAMESPACE}}}") -> ET.Element:
    """For a place in a domain's document."""
    root = ET.Element(
        f"{namespace}vm",
        {"epoch": str(record.epoch), "resumed": str(int(record.resumed)), "console": record.console},
    )
    for nic in record.nics:
        values = {name: str(value) for name, value in asdict(nic).items() if value}
        ET.SubElement(root, f"{namespace}nic", values)
    return root


def text(record: VmRecord) -> str:
    """For ``setMetadata``, which adds the namespace itself."""
    return ET.tostring(element(record, ""), encoding="unicode")


def read(xml: str) -> VmRecord:
    """``xml`` is the metadata element itself. :raises ValueError: it is not what this module writes."""
    try:
        root = ET.fromstring(xml)  # noqa: S314 - written by us, given back by libvirt
    except ET.ParseError as error:
        raise ValueError(f"the domain's metadata cannot be read: {error}") from error
    nics = tuple(_nic(child) for child in root if child.tag.rpartition("}")[2] == "nic")
    return VmRecord(
        epoch=int(root.get("epoch", "0")),
        nics=nics,
        resumed=root.get("resumed") == "1",
        console=root.get("console", ""),
    )


def _nic(child: ET.Element) -> NicRecord:
    values: dict[str, Any] = {}
    for each in fields(NicRecord):
        given = child.get(each.name)
        if given is not None:
            values[each.name] = int(given) if each.name in ("generation", "vlan") else given
    try:
        return NicRecord(**values)
    except TypeError as error:
        raise ValueError(f"a NIC in the domain's metadata is incomplete: {error}") from error
