"""External network providers."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified, Representation, Secret

if TYPE_CHECKING:
    from isthmus.api.representations.property import Property


class MessageBrokerType(StrEnum):
    QPID = "qpid"
    RABBIT_MQ = "rabbit_mq"


class NetworkPluginType(StrEnum):
    OPEN_VSWITCH = "open_vswitch"


class OpenStackNetworkProviderType(StrEnum):
    EXTERNAL = "external"
    NEUTRON = "neutron"


class OpenStackNetworkProvider(Identified):
    """A source of networks: OpenStack Neutron, or another of its API."""

    paths = ("openstacknetworkproviders/{id}",)
    collections = ("networks",)
    actions = ("testconnectivity",)

    agent_configuration: AgentConfiguration | None = None
    authentication_url: str | None = None
    auto_sync: bool | None = None
    external_plugin_type: str | None = None
    password: Secret = None
    plugin_type: NetworkPluginType | None = None
    project_domain_name: str | None = None
    project_name: str | None = None
    properties: list[Property] | None = None
    read_only: bool | None = None
    requires_authentication: bool | None = None
    tenant_name: str | None = None
    type: OpenStackNetworkProviderType | None = None
    unmanaged: bool | None = None
    url: str | None = None
    user_domain_name: str | None = None
    username: str | None = None


class AgentConfiguration(Representation):
    """What the agent on hosts is told: its broker, and which physical network is on which interface."""

    address: str | None = None
    broker_type: MessageBrokerType | None = None
    network_mappings: str | None = None
    password: Secret = None
    port: int | None = None
    username: str | None = None
