"""External network providers. What they know of networks and subnets is asked of them each time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.fields import named, sent
from isthmus.api.waiting import TEST_SECONDS, within
from isthmus.commands.caller import NotNow, Refused
from isthmus.commands.providers import (
    ProviderFields,
    add_provider,
    get_provider,
    remove_provider,
    trial,
    trial_of,
    update_provider,
)
from isthmus.model import Provider
from isthmus.providers.base import Settings

router = APIRouter()
FIELDS: lists.Fields = {
    "name": Provider.name,
    "id": Provider.id,
    "description": Provider.description,
    "type": Provider.type,
    "url": Provider.url,
}
PLUG_WAIT = "plug_wait"


def representation(row: Provider) -> rep.OpenStackNetworkProvider:
    types = rep.OpenStackNetworkProviderType
    presets = rep.NetworkPluginType
    return rep.OpenStackNetworkProvider(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        type=types.NEUTRON if row.type == "neutron" else types.EXTERNAL,
        unmanaged=row.type == "unmanaged",
        url=row.url,
        requires_authentication=row.requires_authentication,
        authentication_url=row.authentication_url or None,
        username=row.username or None,
        tenant_name=row.tenant_name or None,
        read_only=row.read_only,
        auto_sync=row.auto_sync,
        plugin_type=presets.OPEN_VSWITCH if row.plugin_type == "OPEN_VSWITCH" else None,
        external_plugin_type=row.plugin_type or None,
        agent_configuration=_agent(row),
        properties=[rep.Property(name=PLUG_WAIT, value=f"{row.plug_wait:g}")],
    )


@router.get("/openstacknetworkproviders")
def list_providers(call: Call) -> Response:
    with call.engine.db.read() as session:
        rows = session.scalars(lists.page(call, select(Provider), FIELDS)).all()
        items = follow.expand(call, session, [representation(row) for row in rows])
    return lists.answer(call, rep.OpenStackNetworkProvider, items)


@router.post("/openstacknetworkproviders")
def post_provider(call: Call) -> Response:
    wanted = call.read(rep.OpenStackNetworkProvider)
    fields = _fields(wanted)
    fields.setdefault("type", "neutron")
    return call.created(_shown(call, add_provider(call.engine, call.caller, **fields)))


@router.post("/openstacknetworkproviders/testconnectivity")
async def test_unsaved(call: Call) -> Response:
    """Not oVirt's: tries what a dialog holds. With an id, what it leaves out, the password too, is what is saved."""
    wanted = call.read(rep.OpenStackNetworkProvider)
    fields = _fields(wanted)
    if wanted.id:
        type_name, settings = await run_in_threadpool(trial_of, call.engine, wanted.id, **fields)
    else:
        fields.setdefault("type", "neutron")
        type_name, settings = await run_in_threadpool(trial, call.engine, **fields)
    return await _test(call, type_name, settings)


@router.get("/openstacknetworkproviders/{provider_id}")
def get_one(call: Call, provider_id: str) -> Response:
    return call.answer(_shown(call, provider_id))


@router.put("/openstacknetworkproviders/{provider_id}")
def put_provider(call: Call, provider_id: str) -> Response:
    update_provider(call.engine, call.caller, provider_id, **_fields(call.read(rep.OpenStackNetworkProvider)))
    return call.answer(_shown(call, provider_id))


@router.delete("/openstacknetworkproviders/{provider_id}")
def delete_provider(call: Call, provider_id: str) -> Response:
    remove_provider(call.engine, call.caller, provider_id)
    return call.done()


@router.post("/openstacknetworkproviders/{provider_id}/testconnectivity")
async def test_saved(call: Call, provider_id: str) -> Response:
    call.read_action()
    type_name, settings = await run_in_threadpool(trial_of, call.engine, provider_id)
    return await _test(call, type_name, settings)


@follow.entity(rep.OpenStackNetworkProvider)
def _find(session: Session, ids: Sequence[str]) -> Mapping[str, rep.OpenStackNetworkProvider]:
    return {row.id: representation(row) for row in session.scalars(select(Provider).where(Provider.id.in_(ids)))}


async def _test(call: ApiCall, type_name: str, settings: Settings) -> Response:
    """Apart from the provider's own lane, in which calls may be hanging. Writes nothing.

    :raises Refused: what was seen, and what to do about it.
    """
    answer = call.engine.try_out(type_name, settings, lambda provider: provider.test())
    try:
        result = await within(asyncio.wrap_future(answer), TEST_SECONDS)
    except TimeoutError:
        raise NotNow(
            f"The test of {settings.url} has not ended within {TEST_SECONDS:g} s: what is there accepts connections "
            "and says nothing. Look at the provider, and at firewalls on the way."
        ) from None
    if not result.ok:
        raise Refused(" ".join(_sentence(text) for text in (result.message, result.advice) if text), "Test failed")
    return call.done()


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _shown(call: ApiCall, provider_id: str) -> rep.OpenStackNetworkProvider:
    with call.engine.db.read() as session:
        return follow.expand(call, session, [representation(get_provider(session, provider_id))])[0]


def _agent(row: Provider) -> rep.AgentConfiguration | None:
    if not (row.network_mappings or row.broker_type or row.broker_host or row.broker_port or row.broker_username):
        return None
    return rep.AgentConfiguration(
        network_mappings=row.network_mappings,
        broker_type=rep.MessageBrokerType(row.broker_type) if row.broker_type else None,
        address=row.broker_host,
        port=row.broker_port,
        username=row.broker_username,
    )


def _fields(wanted: rep.OpenStackNetworkProvider) -> ProviderFields:
    """:raises Refused: something is asked for that would be without effect."""
    fields: dict[str, Any] = named(wanted) | sent(
        wanted,
        "url",
        "authentication_url",
        "requires_authentication",
        "username",
        "password",
        "tenant_name",
        "read_only",
        "auto_sync",
    )
    for name in ("user_domain_name", "project_name", "project_domain_name"):
        if getattr(wanted, name):
            raise Refused(f"{name} is of version 3 of Keystone's API, which is not offered yet; use tenant_name.")
    if type_name := _type(wanted):
        fields["type"] = type_name
    plugin = wanted.external_plugin_type or wanted.plugin_type
    if plugin is not None:
        fields["plugin_type"] = str(plugin)
    if wanted.agent_configuration is not None:
        agent = wanted.agent_configuration
        fields |= sent(
            agent,
            "network_mappings",
            broker_host="address",
            broker_port="port",
            broker_username="username",
            broker_password="password",  # noqa: S106 - a field's name
        )
        if agent.broker_type is not None:
            fields["broker_type"] = str(agent.broker_type)
    for item in wanted.properties or ():
        if item.name != PLUG_WAIT:
            raise Refused(f"A provider has no property {item.name!r}, only {PLUG_WAIT}: seconds.")
        fields["plug_wait"] = _seconds(item.value or "")
    return cast(ProviderFields, fields)


def _type(wanted: rep.OpenStackNetworkProvider) -> str | None:
    if wanted.type is rep.OpenStackNetworkProviderType.NEUTRON and not wanted.unmanaged:
        return "neutron"
    if wanted.unmanaged:
        return "unmanaged"
    if wanted.type is rep.OpenStackNetworkProviderType.EXTERNAL:
        raise Refused("Providers of type 'external' are offered as unmanaged ones only: unmanaged must be true.")
    return None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refused(f"{PLUG_WAIT} is a number of seconds, not {text!r}.", "Invalid value") from None
