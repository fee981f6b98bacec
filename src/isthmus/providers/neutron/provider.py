"""OpenStack Neutron as a network provider: the contract's methods, each a line to the module that keeps it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from isthmus.providers.base import (
    Agent,
    Call,
    Capabilities,
    ExternalNetwork,
    Failed,
    Field,
    FieldKind,
    NetworkProvider,
    NewNetwork,
    NewSubnet,
    Outcome,
    Port,
    PortWish,
    ProviderError,
    ProviderUnwell,
    Settings,
    Subnet,
    TestResult,
)
from isthmus.providers.neutron import connectivity
from isthmus.providers.neutron.client import NeutronClient
from isthmus.providers.neutron.networks import Networks
from isthmus.providers.neutron.ports import Ports
from isthmus.providers.neutron.wire import Extensions, WireAgent, names

PLUGIN_TYPES = ("LINUX_BRIDGE", "OPEN_VSWITCH")


class _Parts(NamedTuple):
    client: NeutronClient
    networks: Networks
    ports: Ports


class NeutronProvider(NetworkProvider):
    """Its address is looked at when it is first used: a malformed one is ``RequestWrong`` there, not here."""

    type = "neutron"
    label = "OpenStack Network"
    plugin_types = PLUGIN_TYPES
    fields = (
        Field("url", "Provider URL", required=True, help="http://host:9696"),
        Field("plugin_type", "Plugin Type", FieldKind.CHOICE, choices=PLUGIN_TYPES),
        Field("requires_authentication", "Requires Authentication", FieldKind.BOOLEAN, group="authentication"),
        Field("username", "Username", group="authentication"),
        Field("password", "Password", FieldKind.SECRET, group="authentication"),
        Field("authentication_url", "Authentication URL", group="authentication"),
        Field("tenant_name", "Tenant Name", group="authentication"),
        Field("user_domain_name", "User Domain Name", group="authentication"),
        Field("project_name", "Project Name", group="authentication"),
        Field("project_domain_name", "Project Domain Name", group="authentication"),
        Field(
            "network_mappings",
            "Interface Mappings",
            group="agent",
            help="Which interface of a host (or bridge, for Open vSwitch) carries which label: red:eth1,blue:eth2",
        ),
        Field("broker_host", "Host", group="agent"),
        Field("broker_port", "Port", FieldKind.NUMBER, group="agent"),
        Field("broker_username", "Username", group="agent"),
        Field("broker_password", "Password", FieldKind.SECRET, group="agent"),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._lock = threading.Lock()
        self._made: _Parts | None = None
        self._closed = False
        self._capabilities: Capabilities | None = None

    def test(self) -> TestResult:
        return connectivity.test(self.settings)

    def capabilities(self) -> Capabilities:
        if self._capabilities is None:
            what = "list its extensions"
            answer = self._parts.client.get(Extensions, "/extensions", [("fields", "alias")], what)
            aliases = frozenset(extension.alias for extension in answer.extensions)
            self._capabilities = Capabilities(
                bulk_ports=True,  # part of the core API since its first version
                provider_attributes="provider" in aliases,
                port_binding="binding" in aliases,
                agents="agent" in aliases,
                security_groups="security-group" in aliases,
                subnets=True,
                mtu="net-mtu-writable" in aliases,
                extensions=aliases,
            )
        return self._capabilities

    def networks(self) -> list[ExternalNetwork]:
        return self._parts.networks.every()

    def network(self, network_id: str) -> ExternalNetwork:
        return self._parts.networks.one(network_id)

    def create_network(self, wish: NewNetwork) -> ExternalNetwork:
        return self._parts.networks.create(wish)

    def find_network(self, stamp: str) -> list[ExternalNetwork]:
        return self._parts.networks.find(stamp)

    def delete_network(self, network_id: str) -> None:
        self._parts.networks.delete(network_id)

    def subnets(self, network_id: str | None = None) -> list[Subnet]:
        return self._parts.networks.subnets(network_id)

    def create_subnet(self, wish: NewSubnet) -> Subnet:
        return self._parts.networks.create_subnet(wish)

    def delete_subnet(self, subnet_id: str) -> None:
        self._parts.networks.delete_subnet(subnet_id)

    def ensure(self, wishes: Sequence[PortWish]) -> tuple[dict[str, Outcome], list[Call]]:
        if not wishes:
            return {}, []
        try:
            ports = self._parts.ports
        except ProviderError as error:
            return {wish.claim: Failed(error) for wish in wishes}, []
        return ports.ensure(wishes)

    def release(self, port_id: str) -> list[Call]:
        return self._parts.ports.release(port_id)

    def ports(self, *, ids: Sequence[str] | None = None, vm: str | None = None) -> tuple[list[Port], list[Call]]:
        return self._parts.ports.ours(ids, vm)

    def agents(self, host: str | None = None) -> list[Agent]:
        if not self.capabilities().agents:
            return []
        query = [*names(WireAgent), *([("host", host)] if host is not None else [])]
        what = f"list the agents of host {host!r}" if host is not None else "list its agents"
        return [agent.agent() for agent in self._parts.client.collect(WireAgent, "agents", query, what)]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            made = self._made
        if made:
            made.client.close()

    @property
    def _parts(self) -> _Parts:
        """:raises RequestWrong: the address is malformed. :raises ProviderUnwell: closed."""
        with self._lock:
            if self._closed:
                raise ProviderUnwell(f"provider {self.settings.name!r} was removed or changed")
            if self._made is None:
                client = NeutronClient(self.settings)
                self._made = _Parts(client, Networks(client, self.settings), Ports(client, self.owner))
            return self._made
