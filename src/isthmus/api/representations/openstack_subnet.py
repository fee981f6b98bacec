"""Subnets as an external provider has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.openstack_network import OpenStackNetwork


class OpenStackSubnet(Identified):
    """A subnet of a network on its provider."""

    paths = (
        "openstacknetworkproviders/{openstack_network.openstack_network_provider.id}/"
        "networks/{openstack_network.id}/subnets/{id}",
    )

    cidr: str | None = None
    dns_servers: list[str] | None = None
    gateway: str | None = None
    ip_version: str | None = None
    openstack_network: OpenStackNetwork | None = None
