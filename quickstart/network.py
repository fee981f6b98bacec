"""Point 2: the specification's network is made on Neutron through the engine, with a subnet."""

from __future__ import annotations

from typing import Any

from ovirtsdk4 import types

from quickstart.screen import Screen
from quickstart.site import Site

NAME = "red-500"
VLAN = 500
LABEL = "red"
CIDR = "10.50.0.0/24"


def add(site: Site, screen: Screen, provider: Any) -> Any:
    """The network, which from then on is Neutron's own."""
    networks = site.system.networks_service()
    found = next((n for n in networks.list() if n.name == NAME), None)
    if found is not None:
        screen.note(f"network {NAME} is there from an earlier run")
        return found
    with screen.step(f"adding network {NAME}: VLAN {VLAN}, label {LABEL}, on provider {provider.name}"):
        return networks.add(
            types.Network(
                name=NAME,
                data_center=types.DataCenter(name="Default"),
                vlan=types.Vlan(id=VLAN),
                network_labels=[types.NetworkLabel(id=LABEL)],
                external_provider=types.OpenStackNetworkProvider(id=provider.id),
            )
        )


def add_subnet(site: Site, screen: Screen, provider: Any) -> None:
    """By its id at the provider, as the list of the provider's networks gives it."""
    theirs = site.system.openstack_network_providers_service().provider_service(provider.id).networks_service()
    network_id = next(n.id for n in theirs.list() if n.name == NAME)
    subnets = theirs.network_service(network_id).subnets_service()
    if subnets.list():
        return
    with screen.step(f"adding subnet {CIDR}"):
        subnets.add(types.OpenStackSubnet(name=f"{NAME}-subnet", cidr=CIDR, ip_version="v4"))


def show(site: Site, screen: Screen) -> dict[str, Any]:
    """The network as Neutron has it."""
    network = site.neutron.get("networks", name=NAME)[0]
    subnets = site.neutron.get("subnets", network_id=network["id"])
    kind, label, vlan = (network[f"provider:{key}"] for key in ("network_type", "physical_network", "segmentation_id"))
    screen.note("Neutron says:")
    screen.table(
        ("id", "type", "physical network", "VLAN", "subnet"),
        (network["id"], kind, label, str(vlan), ", ".join(s["cidr"] for s in subnets)),
    )
    return network


def let_ping_in(site: Site, screen: Screen, network: dict[str, Any]) -> None:
    """A port's security group is the default one of the network's project, and that lets nobody in.

    Security groups are Neutron's own business, so this is said to Neutron.
    """
    project = network["project_id"]
    (group,) = site.neutron.get("security-groups", project_id=project, name="default")
    for protocol in ("icmp", "tcp"):
        rule = {"direction": "ingress", "ethertype": "IPv4", "protocol": protocol}
        if site.neutron.get("security-group-rules", security_group_id=group["id"], **rule):
            continue
        with screen.step(f"letting {protocol} in: a rule of Neutron's default security group"):
            site.neutron.add("security-group-rules", tenant_id=project, security_group_id=group["id"], **rule)
