"""Networks as an external provider has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.openstack_network_provider import OpenStackNetworkProvider


class OpenStackNetwork(Identified):
    """A network on its provider."""

    paths = ("openstacknetworkproviders/{openstack_network_provider.id}/networks/{id}",)
    collections = ("subnets",)
    actions = ("import",)

    openstack_network_provider: OpenStackNetworkProvider | None = None
