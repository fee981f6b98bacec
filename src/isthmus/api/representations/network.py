"""Networks."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from isthmus.api.codec import Identified, Representation, Wire

if TYPE_CHECKING:
    from isthmus.api.representations.cluster import Cluster
    from isthmus.api.representations.data_center import DataCenter
    from isthmus.api.representations.ip import Ip
    from isthmus.api.representations.network_label import NetworkLabel
    from isthmus.api.representations.openstack_network_provider import OpenStackNetworkProvider
    from isthmus.api.representations.vnic_profile import VnicProfile


class NetworkStatus(StrEnum):
    NON_OPERATIONAL = "non_operational"
    OPERATIONAL = "operational"


class NetworkUsage(StrEnum):
    DEFAULT_ROUTE = "default_route"
    DISPLAY = "display"
    GLUSTER = "gluster"
    MANAGEMENT = "management"
    MIGRATION = "migration"
    VM = "vm"


class Network(Identified):
    """A network of a data center; inside a cluster, with what that cluster does with it."""

    paths = ("clusters/{cluster.id}/networks/{id}", "networks/{id}")
    collections = ("networklabels", "vnicprofiles")

    cluster: Cluster | None = None
    data_center: DataCenter | None = None
    display: bool | None = None
    dns_resolver_configuration: DnsResolverConfiguration | None = None
    external_provider: OpenStackNetworkProvider | None = None
    external_provider_physical_network: Network | None = None
    ip: Ip | None = None
    mtu: int | None = None
    network_labels: list[NetworkLabel] | None = None
    port_isolation: bool | None = None
    profile_required: bool | None = None
    required: bool | None = None
    status: NetworkStatus | None = None
    stp: bool | None = None
    usages: list[NetworkUsage] | None = None
    vdsm_name: str | None = None
    vlan: Vlan | None = None
    vnic_profiles: list[VnicProfile] | None = None


class Vlan(Representation):
    """A VLAN's tag, as `id`."""

    id: Annotated[int | None, Wire(attribute=True)] = None


class DnsResolverConfiguration(Representation):
    """Name servers of a network."""

    name_servers: list[str] | None = None
