"""What a host has of an external network provider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from isthmus.api.codec import Identified, Wire

if TYPE_CHECKING:
    from isthmus.api.representations.external_provider import ExternalProvider
    from isthmus.api.representations.host import Host
    from isthmus.api.representations.property import Property


class ExternalNetworkProviderConfiguration(Identified):
    """A provider as configured on a host; `properties` hold the host's own mapping."""

    paths = ("hosts/{host.id}/externalnetworkproviderconfigurations/{id}",)

    external_network_provider: ExternalProvider | None = None
    host: Host | None = None
    # The host's own values where they are not the provider's, such as `network_mappings`.
    properties: Annotated[list[Property] | None, Wire(ours=True)] = None
