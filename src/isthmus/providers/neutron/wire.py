"""Neutron's objects as they come over the wire, and what the contract makes of them.

Read tolerantly: unknown attributes are skipped, missing and null ones have a value. A wrong type is an error, with
the place where it was found.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from isthmus.providers.base import Agent, ExternalNetwork, Port, Subnet


class WireNetwork(Struct):
    id: str
    name: str | None = None
    project_id: str | None = None
    description: str | None = None
    status: str | None = None
    network_type: str | None = field(default=None, name="provider:network_type")
    physical_network: str | None = field(default=None, name="provider:physical_network")
    segmentation_id: int | None = field(default=None, name="provider:segmentation_id")
    mtu: int | None = None
    shared: bool | None = None
    external: bool | None = field(default=None, name="router:external")
    port_security: bool | None = field(default=None, name="port_security_enabled")

    def network(self) -> ExternalNetwork:
        return ExternalNetwork(
            id=self.id,
            name=self.name or "",
            project_id=self.project_id or "",
            description=self.description or "",
            status=self.status or "",
            network_type=self.network_type or "",
            physical_network=self.physical_network or "",
            segmentation_id=self.segmentation_id,
            mtu=self.mtu,
            shared=bool(self.shared),
            external=bool(self.external),
            port_security=self.port_security,
        )


class WireSubnet(Struct):
    id: str
    network_id: str
    cidr: str
    ip_version: int
    name: str | None = None
    gateway_ip: str | None = None
    dns_nameservers: list[str] | None = None
    enable_dhcp: bool | None = None

    def subnet(self) -> Subnet:
        return Subnet(
            id=self.id,
            name=self.name or "",
            network_id=self.network_id,
            cidr=self.cidr,
            ip_version=self.ip_version,
            gateway=self.gateway_ip or "",
            dns_servers=tuple(self.dns_nameservers or ()),
            dhcp=bool(self.enable_dhcp),
        )


class _FixedIp(Struct):
    ip_address: str


class WirePort(Struct):
    id: str
    network_id: str
    mac_address: str
    device_owner: str | None = None
    device_id: str | None = None
    name: str | None = None
    status: str | None = None
    host: str | None = field(default=None, name="binding:host_id")
    vif_type: str | None = field(default=None, name="binding:vif_type")
    vif_details: dict[str, Any] | None = field(default=None, name="binding:vif_details")
    revision_number: int | None = None
    fixed_ips: list[_FixedIp] | None = None

    def port(self) -> Port:
        return Port(
            id=self.id,
            network_id=self.network_id,
            mac=self.mac_address.lower(),
            owner=self.device_owner or "",
            device_id=self.device_id or "",
            stamp=self.name or "",
            host=self.host or "",
            status=self.status or "",
            vif_type=self.vif_type or "",
            vif_details=self.vif_details or {},
            revision=self.revision_number,
            addresses=tuple(fixed.ip_address for fixed in self.fixed_ips or ()),
        )


class WireAgent(Struct):
    host: str
    agent_type: str
    alive: bool
    configurations: dict[str, Any] | None = None

    def agent(self) -> Agent:
        return Agent(self.host, self.agent_type, self.alive, self.configurations or {})


class WireExtension(Struct):
    alias: str


class OneNetwork(Struct):
    network: WireNetwork


class OneSubnet(Struct):
    subnet: WireSubnet


class OnePort(Struct):
    port: WirePort


class ManyPorts(Struct):
    ports: list[WirePort]


class Extensions(Struct):
    extensions: list[WireExtension]


def names(kind: type[Struct]) -> list[tuple[str, str]]:
    """The query that asks for the attributes we read and no others."""
    return [("fields", name) for name in kind.__struct_encode_fields__]
