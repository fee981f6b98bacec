"""Networks of all data centers and of one, and their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.codec import CreationStatus, Link
from isthmus.api.fields import named, sent
from isthmus.api.waiting import job_outcome, refusal_of_job
from isthmus.commands.caller import Missing, Refused
from isthmus.commands.datacenters import find_data_center, get_data_center
from isthmus.commands.networkrows import get_network, label_of
from isthmus.commands.networks import (
    add_network,
    remove_network,
    set_label,
    update_network,
)
from isthmus.commands.providers import find_provider
from isthmus.model import Network, NetworkProvision

router = APIRouter()
FIELDS: lists.Fields = {
    "name": Network.name,
    "id": Network.id,
    "description": Network.description,
    "comment": Network.comment,
    "vlanid": Network.vlan_id,
    "mtu": Network.mtu,
    "vmnetwork": Network.vm_network,
}


def representation(row: Network) -> rep.Network:
    provided = row.provided_by[0] if row.provided_by else None
    shown = rep.Network(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        data_center=rep.DataCenter(id=row.data_center_id),
        mtu=row.mtu or 0,
        stp=row.stp,
        port_isolation=False,
        usages=[rep.NetworkUsage.VM] if row.vm_network else [],
        vlan=rep.Vlan(id=row.vlan_id) if row.vlan_id is not None else None,
        vdsm_name=None if provided else row.name,
        status=rep.NetworkStatus.OPERATIONAL,
    )
    if provided is not None:
        shown.external_provider = rep.OpenStackNetworkProvider(id=provided.provider_id)
        if provided.external_id is None:
            shown.status = rep.NetworkStatus.NON_OPERATIONAL
            shown.creation_status = CreationStatus.IN_PROGRESS
            shown.links = [Link(rel="creation_status", href=f"jobs/{provided.job_id}")]
    return shown


@router.get("/networks")
def list_networks(call: Call) -> Response:
    return _listed(call, None)


@router.post("/networks")
async def post_network(call: Call) -> Response:
    return await _add(call, None)


@router.get("/datacenters/{center_id}/networks")
def list_networks_of_data_center(call: Call, center_id: str) -> Response:
    return _listed(call, center_id)


@router.post("/datacenters/{center_id}/networks")
async def post_network_of_data_center(call: Call, center_id: str) -> Response:
    return await _add(call, center_id)


@router.get("/datacenters/{center_id}/networks/{network_id}")
@router.get("/networks/{network_id}")
def get_one(call: Call, network_id: str, center_id: str | None = None) -> Response:
    return call.answer(_shown(call, network_id, center_id))


@router.put("/datacenters/{center_id}/networks/{network_id}")
@router.put("/networks/{network_id}")
def put_network(call: Call, network_id: str, center_id: str | None = None) -> Response:
    _shown(call, network_id, center_id)
    update_network(call.engine, call.caller, network_id, **_fields(call.read(rep.Network)))
    return call.answer(_shown(call, network_id, center_id))


@router.delete("/datacenters/{center_id}/networks/{network_id}")
@router.delete("/networks/{network_id}")
def delete_network(call: Call, network_id: str, center_id: str | None = None) -> Response:
    _shown(call, network_id, center_id)
    remove_network(call.engine, call.caller, network_id)
    return call.done()


# --------------------------------------------------------------------------------------------------------- labels


@router.get("/networks/{network_id}/networklabels")
def list_labels(call: Call, network_id: str) -> Response:
    return lists.answer(call, rep.NetworkLabel, _labels(call, network_id))


@router.post("/networks/{network_id}/networklabels")
def post_label(call: Call, network_id: str) -> Response:
    label = call.read(rep.NetworkLabel).id
    if not label:
        raise Refused("The label's text is missing: its id.", "Incomplete parameters")
    set_label(call.engine, call.caller, network_id, label)
    return call.created(rep.NetworkLabel(id=label, network=rep.Network(id=network_id)))


@router.get("/networks/{network_id}/networklabels/{label}")
def get_label(call: Call, network_id: str, label: str) -> Response:
    return call.answer(_label(call, network_id, label))


@router.delete("/networks/{network_id}/networklabels/{label}")
def delete_label(call: Call, network_id: str, label: str) -> Response:
    _label(call, network_id, label)
    set_label(call.engine, call.caller, network_id, "")
    return call.done()


# ------------------------------------------------------------------------------------------------------ following


@follow.entity(rep.Network)
def _find(session: Session, ids: Sequence[str]) -> Mapping[str, rep.Network]:
    rows = session.scalars(_with_provisions().where(Network.id.in_(ids)))
    return {row.id: representation(row) for row in rows}


@follow.collection(rep.DataCenter, "networks")
def _of_data_centers(session: Session, ids: Sequence[str]) -> Mapping[str, Sequence[rep.Network]]:
    found: dict[str, list[rep.Network]] = {}
    for row in session.scalars(_with_provisions().where(Network.data_center_id.in_(ids)).order_by(Network.name)):
        found.setdefault(row.data_center_id, []).append(representation(row))
    return found


@follow.collection(rep.Network, "network_labels")
def _labels_of(session: Session, ids: Sequence[str]) -> Mapping[str, Sequence[rep.NetworkLabel]]:
    rows = session.scalars(_with_provisions().where(Network.id.in_(ids)))
    return {row.id: [_shown_label(row)] for row in rows if label_of(row)}


async def _add(call: ApiCall, center_id: str | None) -> Response:
    """At a provider the answer is waited for, a while: its refusal is this request's, and nothing was added."""
    network_id, job_id = await run_in_threadpool(_command, call, center_id)
    if job_id:
        job = await job_outcome(call.engine, job_id)
        if job.fault:
            return call.refuse(refusal_of_job(job))
        if job.ended_at is None:
            shown = await run_in_threadpool(_shown, call, network_id)
            shown.links = None
            return call.accepted(shown, job_id)
    return call.created(await run_in_threadpool(_shown, call, network_id))


def _command(call: ApiCall, center_id: str | None) -> tuple[str, str | None]:
    """The network's id, and that of the job that makes it at its provider, if it is one's."""
    wanted = call.read(rep.Network)
    fields = _fields(wanted)
    with call.engine.db.read() as session:
        center = rep.DataCenter(id=center_id) if center_id else wanted.data_center or rep.DataCenter()
        fields["data_center_id"] = found = find_data_center(session, center.id, center.name).id
        label = fields.pop("label", "")
        if wanted.external_provider is not None:
            named_provider = wanted.external_provider
            fields["provider_id"] = find_provider(session, named_provider.id, named_provider.name).id
            label = _physical_network(session, found, wanted.external_provider_physical_network) or label
        elif wanted.external_provider_physical_network is not None:
            raise Refused("external_provider_physical_network is for a network of an external provider: none is given.")
    network_id = add_network(
        call.engine,
        call.caller,
        physical_network=label,
        with_profile=wanted.profile_required is not False,
        **fields,
    )
    with call.engine.db.read() as session:
        job_id = session.scalar(select(NetworkProvision.job_id).where(NetworkProvision.network_id == network_id))
    return network_id, job_id


def _physical_network(session: Session, center_id: str, given: rep.Network | None) -> str:
    """The provider's physical network: named outright, or that over which a network of the data center is carried."""
    if given is None:
        return ""
    if not given.id:
        return given.name or ""
    network = session.get(Network, given.id)
    if network is None or network.data_center_id != center_id:
        raise Refused(f"The data center has no network {given.id}: the physical network is not known.")
    return label_of(network) or network.name


def _listed(call: ApiCall, center_id: str | None) -> Response:
    with call.engine.db.read() as session:
        wanted = _with_provisions()
        if center_id is not None:
            get_data_center(session, center_id)
            wanted = wanted.where(Network.data_center_id == center_id)
        rows = session.scalars(lists.page(call, wanted, FIELDS)).all()
        items = follow.expand(call, session, [representation(row) for row in rows])
    return lists.answer(call, rep.Network, items)


def _with_provisions() -> Any:
    return select(Network).options(selectinload(Network.provided_by))


def _shown(call: ApiCall, network_id: str, center_id: str | None = None) -> rep.Network:
    with call.engine.db.read() as session:
        row = get_network(session, network_id)
        if center_id is not None and row.data_center_id != center_id:
            raise Missing(f"Data center {center_id} has no network {network_id}.")
        return follow.expand(call, session, [representation(row)])[0]


def _labels(call: ApiCall, network_id: str) -> list[rep.NetworkLabel]:
    with call.engine.db.read() as session:
        row = get_network(session, network_id)
        return [_shown_label(row)] if label_of(row) else []


def _shown_label(row: Network) -> rep.NetworkLabel:
    return rep.NetworkLabel(id=label_of(row), network=rep.Network(id=row.id))


def _label(call: ApiCall, network_id: str, label: str) -> rep.NetworkLabel:
    for shown in _labels(call, network_id):
        if shown.id == label:
            return shown
    raise Missing(f"Network {network_id} has no label {label!r}.")


def _fields(wanted: rep.Network) -> dict[str, Any]:
    """:raises Refused: something is asked for that would not be done."""
    fields = named(wanted) | sent(wanted, "stp")
    if wanted.port_isolation:
        raise Refused("Port isolation is not offered. For an external network its security groups do that.")
    if wanted.vlan is not None:
        fields["vlan_id"] = wanted.vlan.id
    if wanted.mtu is not None:
        fields["mtu"] = wanted.mtu or None
    if wanted.usages is not None:
        fields["vm_network"] = rep.NetworkUsage.VM in wanted.usages
    if wanted.network_labels:  # an empty one is what clients make of the link to the labels
        labels = [label.id or label.name or "" for label in wanted.network_labels]
        if len(labels) > 1:
            raise Refused(f"A network has one label at most, not {len(labels)}.")
        fields["label"] = labels[0]
    return fields
