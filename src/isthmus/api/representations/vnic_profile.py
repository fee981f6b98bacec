"""vNIC profiles."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified, Representation

if TYPE_CHECKING:
    from isthmus.api.representations.network import Network
    from isthmus.api.representations.network_filter import NetworkFilter
    from isthmus.api.representations.property import CustomProperty


class VnicPassThroughMode(StrEnum):
    DISABLED = "disabled"
    ENABLED = "enabled"


class VnicProfile(Identified):
    """How a NIC is connected to a network."""

    paths = ("vnicprofiles/{id}",)

    custom_properties: list[CustomProperty] | None = None
    failover: VnicProfile | None = None
    migratable: bool | None = None
    network: Network | None = None
    network_filter: NetworkFilter | None = None
    pass_through: VnicPassThrough | None = None
    port_mirroring: bool | None = None


class VnicPassThrough(Representation):
    """Whether a NIC is a device of the host."""

    mode: VnicPassThroughMode | None = None
