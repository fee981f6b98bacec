"""Point 1: the provider is added and tested, its networks are discovered, and one is imported."""

from __future__ import annotations

from typing import Any

from ovirtsdk4 import types

from quickstart.screen import Screen
from quickstart.site import Site

NAME = "neutron"
THEIRS = "blue-net"
"""A network that somebody made on Neutron before we came."""


def add(site: Site, screen: Screen) -> Any:
    """The provider. What hosts need to take part in its networks is said once, in its agent configuration."""
    given = site.variables
    providers = site.system.openstack_network_providers_service()
    found = next((p for p in providers.list() if p.name == NAME), None)
    if found is not None:
        screen.note(f"provider {NAME} is there from an earlier run")
        return found
    with screen.step(f"adding provider {NAME}, {given['NEUTRON_INTERNAL_URL']}"):
        return providers.add(
            types.OpenStackNetworkProvider(
                name=NAME,
                url=given["NEUTRON_INTERNAL_URL"],
                type=types.OpenStackNetworkProviderType.NEUTRON,
                external_plugin_type="LINUX_BRIDGE",
                requires_authentication=False,
                read_only=False,
                agent_configuration=types.AgentConfiguration(
                    broker_type=types.MessageBrokerType.RABBIT_MQ,
                    address=given["BROKER_HOST"],
                    port=int(given["BROKER_PORT"]),
                    username=given["BROKER_USER"],
                    password=given["BROKER_PASSWORD"],
                    network_mappings=given["HOST_MAPPINGS"],
                ),
            )
        )


def test(site: Site, screen: Screen, provider: Any) -> None:
    with screen.step(f"testing provider {NAME}"):
        site.system.openstack_network_providers_service().provider_service(provider.id).test_connectivity()


def discover(site: Site, screen: Screen, provider: Any) -> None:
    """Import a network under its own name, into the data center that is there from the start."""
    if not site.neutron.get("networks", name=THEIRS):
        with screen.step(f"somebody makes {THEIRS} on Neutron itself"):
            vlan = {"network_type": "vlan", "physical_network": "blue", "segmentation_id": 1001}
            fields = {f"provider:{key}": value for key, value in vlan.items()}
            site.neutron.add("networks", name=THEIRS, tenant_id="somebody", **fields)
    theirs = site.system.openstack_network_providers_service().provider_service(provider.id).networks_service()
    with screen.step(f"discovering the networks of {NAME}"):
        discovered = theirs.list()
    screen.table(("network", "id"), *((n.name, n.id) for n in discovered))
    if any(n.name == THEIRS for n in site.system.networks_service().list()):
        screen.note(f"{THEIRS} was imported by an earlier run")
        return
    with screen.step(f"importing {THEIRS}"):
        network_id = next(n.id for n in discovered if n.name == THEIRS)
        theirs.network_service(network_id).import_(data_center=types.DataCenter(name="Default"))
