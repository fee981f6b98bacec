"""Networks and subnets as their provider has them, asked each time; and the import of a network."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from isthmus.api import lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.waiting import ask
from isthmus.commands.caller import Missing, Refused
from isthmus.commands.datacenters import find_data_center
from isthmus.commands.imports import import_network
from isthmus.commands.providers import get_provider
from isthmus.commands.subnets import new_subnet, note_subnet
from isthmus.model import Code, Provider
from isthmus.providers.base import ExternalNetwork, Subnet

T = TypeVar("T")

router = APIRouter()
_ROOT = "/openstacknetworkproviders/{provider_id}/networks"
_NETWORK = _ROOT + "/{network_id}"
_SUBNETS = _NETWORK + "/subnets"


@router.get(_ROOT)
async def list_networks(call: Call, provider_id: str) -> Response:
    provider = await _provider(call, provider_id)
    found = await ask(call.engine, provider, "list its networks", lambda p: p.networks())
    ordered = sorted(found, key=lambda network: (network.name, network.id))
    shown = (_network(provider_id, network) for network in lists.first(call, ordered))
    return lists.answer(call, rep.OpenStackNetwork, shown)


@router.get(_NETWORK)
async def get_network(call: Call, provider_id: str, network_id: str) -> Response:
    provider = await _provider(call, provider_id)
    return call.answer(_network(provider_id, await _ask_network(call, provider, network_id)))


@router.post(_NETWORK + "/import")
async def import_one(call: Call, provider_id: str, network_id: str) -> Response:
    """The name to import under is the query parameter `name`; without it, the name that the provider has."""
    action = call.read_action()
    provider = await _provider(call, provider_id)
    center_id = await run_in_threadpool(_data_center, call, action.data_center)
    external = await _ask_network(call, provider, network_id)
    await run_in_threadpool(
        import_network,
        call.engine,
        call.caller,
        provider_id=provider_id,
        external=external,
        data_center_id=center_id,
        name=call.params.text("name"),
    )
    return call.done()


# -------------------------------------------------------------------------------------------------------- subnets


@router.get(_SUBNETS)
async def list_subnets(call: Call, provider_id: str, network_id: str) -> Response:
    provider = await _provider(call, provider_id)
    found = await _ask_subnets(call, provider, network_id)
    shown = (_subnet(provider_id, subnet) for subnet in lists.first(call, found))
    return lists.answer(call, rep.OpenStackSubnet, shown)


@router.post(_SUBNETS)
async def post_subnet(call: Call, provider_id: str, network_id: str) -> Response:
    wanted = call.read(rep.OpenStackSubnet)
    provider = await _provider(call, provider_id)
    wish = new_subnet(
        name=wanted.name or "",
        network_id=network_id,
        cidr=wanted.cidr or "",
        ip_version=wanted.ip_version,
        gateway=wanted.gateway or "",
        dns_servers=wanted.dns_servers or (),
    )
    asked = f"Adding subnet {wish.name} ({wish.cidr}) to network {network_id} of provider {provider.name}"
    made = await _noted(
        call,
        provider,
        asked,
        Code.SUBNET_ADDED,
        Code.SUBNET_ADDITION_FAILED,
        ask(call.engine, provider, f"make subnet {wish.name}", lambda p: p.create_subnet(wish)),
    )
    return call.created(_subnet(provider_id, made))


@router.get(_SUBNETS + "/{subnet_id}")
async def get_subnet(call: Call, provider_id: str, network_id: str, subnet_id: str) -> Response:
    provider = await _provider(call, provider_id)
    return call.answer(_subnet(provider_id, await _find_subnet(call, provider, network_id, subnet_id)))


@router.delete(_SUBNETS + "/{subnet_id}")
async def delete_subnet(call: Call, provider_id: str, network_id: str, subnet_id: str) -> Response:
    provider = await _provider(call, provider_id)
    subnet = await _find_subnet(call, provider, network_id, subnet_id)
    asked = f"Removing subnet {subnet.name} ({subnet.cidr}) from network {network_id} of provider {provider.name}"
    await _noted(
        call,
        provider,
        asked,
        Code.SUBNET_REMOVED,
        Code.SUBNET_REMOVAL_FAILED,
        ask(call.engine, provider, f"remove subnet {subnet.name}", lambda p: p.delete_subnet(subnet_id)),
    )
    return call.done()


async def _provider(call: ApiCall, provider_id: str) -> Provider:
    """:raises Missing:"""

    def read() -> Provider:
        with call.engine.db.read() as session:
            return get_provider(session, provider_id)

    return await run_in_threadpool(read)


async def _ask_network(call: ApiCall, provider: Provider, network_id: str) -> ExternalNetwork:
    return await ask(call.engine, provider, f"show network {network_id}", lambda p: p.network(network_id))


async def _ask_subnets(call: ApiCall, provider: Provider, network_id: str) -> list[Subnet]:
    found = await ask(call.engine, provider, f"list subnets of {network_id}", lambda p: p.subnets(network_id))
    return sorted(found, key=lambda subnet: (subnet.name, subnet.id))


async def _find_subnet(call: ApiCall, provider: Provider, network_id: str, subnet_id: str) -> Subnet:
    for subnet in await _ask_subnets(call, provider, network_id):
        if subnet.id == subnet_id:
            return subnet
    raise Missing(f"Network {network_id} of provider {provider.name} has no subnet {subnet_id}.")


async def _noted(call: ApiCall, provider: Provider, text: str, done: Code, failed: Code, answer: Awaitable[T]) -> T:
    """The provider's answer, with an event of how it went."""
    try:
        found = await answer
    except Refused as refusal:
        await run_in_threadpool(note_subnet, call.engine, call.caller, failed, provider.id, text, refusal)
        raise
    await run_in_threadpool(note_subnet, call.engine, call.caller, done, provider.id, text)
    return found


def _data_center(call: ApiCall, wanted: rep.DataCenter | None) -> str:
    with call.engine.db.read() as session:
        wanted = wanted or rep.DataCenter()
        return find_data_center(session, wanted.id, wanted.name).id


def _network(provider_id: str, network: ExternalNetwork) -> rep.OpenStackNetwork:
    return rep.OpenStackNetwork(
        id=network.id,
        name=network.name,
        description=network.description,
        openstack_network_provider=rep.OpenStackNetworkProvider(id=provider_id),
    )


def _subnet(provider_id: str, subnet: Subnet) -> rep.OpenStackSubnet:
    provider = rep.OpenStackNetworkProvider(id=provider_id)
    return rep.OpenStackSubnet(
        id=subnet.id,
        name=subnet.name,
        cidr=subnet.cidr,
        ip_version=f"v{subnet.ip_version}",
        gateway=subnet.gateway or None,
        dns_servers=list(subnet.dns_servers),
        openstack_network=rep.OpenStackNetwork(id=subnet.network_id, openstack_network_provider=provider),
    )
