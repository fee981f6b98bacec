"""Networks and subnets of a Neutron: list, make, find again by stamp, delete."""

from __future__ import annotations

from typing import Any

from isthmus.providers.base import ExternalNetwork, NewNetwork, NewSubnet, RequestWrong, Settings, Subnet
from isthmus.providers.neutron.client import PAGE, NeutronClient, Query
from isthmus.providers.neutron.wire import OneNetwork, OneSubnet, WireNetwork, WireSubnet, names

LIMIT = ("limit", str(PAGE))


class Networks:
    def __init__(self, client: NeutronClient, settings: Settings) -> None:
        self._client = client
        self._deployment = settings.deployment
        # Without Keystone nobody tells Neutron whose a new network is, so the request must.
        self._project = settings.project_name or settings.tenant_name or "isthmus"

    def every(self) -> list[ExternalNetwork]:
        return self._list([LIMIT], "list its networks")

    def one(self, network_id: str) -> ExternalNetwork:
        """:raises NotFound:"""
        what = f"show network {network_id}"
        return self._client.get(OneNetwork, f"/networks/{network_id}", names(WireNetwork), what).network.network()

    def create(self, wish: NewNetwork) -> ExternalNetwork:
        """A label and a VLAN make a VLAN network, a label alone a flat one, neither the provider's default type."""
        if wish.vlan_id is not None and not wish.physical_network:
            raise RequestWrong(
                f"network {wish.name!r} has VLAN {wish.vlan_id} but no label",
                advice="A VLAN is one of a physical network: give its label, or leave the VLAN out.",
            )
        body: dict[str, Any] = {
            "name": wish.name,
            "description": self._description(wish.stamp),
            "project_id": self._project,
            "admin_state_up": True,
        }
        if wish.physical_network:
            body["provider:network_type"] = "flat" if wish.vlan_id is None else "vlan"
            body["provider:physical_network"] = wish.physical_network
        if wish.vlan_id is not None:
            body["provider:segmentation_id"] = wish.vlan_id
        if wish.mtu is not None:
            body["mtu"] = wish.mtu
        if wish.port_security is not None:
            body["port_security_enabled"] = wish.port_security
        what = f"create network {wish.name!r}"
        return self._client.post(OneNetwork, "/networks", {"network": body}, what).network.network()

    def find(self, stamp: str) -> list[ExternalNetwork]:
        """Made with this stamp by this deployment. One GET, however many networks there are."""
        wanted = self._description(stamp)
        found = self._list([("description", wanted)], f"find the network with stamp {stamp}")
        return [network for network in found if network.description == wanted]

    def delete(self, network_id: str) -> None:
        self._client.delete(f"/networks/{network_id}", f"delete network {network_id}")

    def subnets(self, network_id: str | None) -> list[Subnet]:
        query: Query = [*names(WireSubnet), ("network_id", network_id) if network_id else LIMIT]
        what = f"list the subnets of network {network_id}" if network_id else "list its subnets"
        return [subnet.subnet() for subnet in self._client.collect(WireSubnet, "subnets", query, what)]

    def create_subnet(self, wish: NewSubnet) -> Subnet:
        """In the network's own project. :raises NotFound: there is no such network."""
        body: dict[str, Any] = {
            "name": wish.name,
            "network_id": wish.network_id,
            "cidr": wish.cidr,
            "ip_version": wish.ip_version,
            "enable_dhcp": True,
            "project_id": self.one(wish.network_id).project_id or self._project,
        }
        if wish.gateway:
            body["gateway_ip"] = wish.gateway
        if wish.dns_servers:
            body["dns_nameservers"] = list(wish.dns_servers)
        what = f"create subnet {wish.name!r} ({wish.cidr}) on network {wish.network_id}"
        return self._client.post(OneSubnet, "/subnets", {"subnet": body}, what).subnet.subnet()

    def delete_subnet(self, subnet_id: str) -> None:
        self._client.delete(f"/subnets/{subnet_id}", f"delete subnet {subnet_id}")

    def _list(self, query: Query, what: str) -> list[ExternalNetwork]:
        found = self._client.collect(WireNetwork, "networks", [*query, *names(WireNetwork)], what)
        return [network.network() for network in found]

    def _description(self, stamp: str) -> str:
        """The stamp's place: the description is Neutron's only free text that a list can be filtered by."""
        return f"isthmus-{self._deployment}:{stamp}"
