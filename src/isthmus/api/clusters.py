"""Clusters, and the networks of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from isthmus.api import follow, lists, networks
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.datacenters import COMPATIBLE
from isthmus.api.fields import named, sent
from isthmus.commands.caller import Refused
from isthmus.commands.clusternetworks import (
    ROLES,
    attach_network,
    detach_network,
    get_attachment,
    update_attachment,
)
from isthmus.commands.clusters import add_cluster, get_cluster, remove_cluster, update_cluster
from isthmus.commands.datacenters import find_data_center, get_data_center
from isthmus.model import Cluster, ClusterNetwork, Network

router = APIRouter()
FIELDS: lists.Fields = {
    "name": Cluster.name,
    "id": Cluster.id,
    "description": Cluster.description,
    "comment": Cluster.comment,
}


def representation(row: Cluster) -> rep.Cluster:
    return rep.Cluster(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        data_center=rep.DataCenter(id=row.data_center_id),
        mac_pool=rep.MacPool(id=row.mac_pool_id) if row.mac_pool_id else None,
        cpu=rep.Cpu(architecture=rep.Architecture(row.cpu_architecture), type=row.cpu_type or None),
        version=COMPATIBLE,
        virt_service=True,
        gluster_service=False,
        switch_type=rep.SwitchType.LEGACY,
    )


@router.get("/clusters")
def list_clusters(call: Call) -> Response:
    return _listed(call, None)


@router.post("/clusters")
def post_cluster(call: Call) -> Response:
    return _add(call, None)


@router.get("/datacenters/{center_id}/clusters")
def list_clusters_of_data_center(call: Call, center_id: str) -> Response:
    return _listed(call, center_id)


@router.post("/datacenters/{center_id}/clusters")
def post_cluster_of_data_center(call: Call, center_id: str) -> Response:
    return _add(call, center_id)


@router.get("/datacenters/{center_id}/clusters/{cluster_id}")
def get_cluster_of_data_center(call: Call, center_id: str, cluster_id: str) -> Response:
    with call.engine.db.read() as session:
        get_data_center(session, center_id)
    return call.answer(_shown(call, cluster_id))


@router.get("/clusters/{cluster_id}")
def get_one(call: Call, cluster_id: str) -> Response:
    return call.answer(_shown(call, cluster_id))


@router.put("/clusters/{cluster_id}")
def put_cluster(call: Call, cluster_id: str) -> Response:
    wanted = call.read(rep.Cluster)
    update_cluster(call.engine, call.caller, cluster_id, **_fields(call, wanted, wanted.data_center))
    return call.answer(_shown(call, cluster_id))


@router.delete("/clusters/{cluster_id}")
def delete_cluster(call: Call, cluster_id: str) -> Response:
    remove_cluster(call.engine, call.caller, cluster_id)
    return call.done()


# -------------------------------------------------------------------------------------- the networks of a cluster


@router.get("/clusters/{cluster_id}/networks")
def list_networks_of_cluster(call: Call, cluster_id: str) -> Response:
    with call.engine.db.read() as session:
        get_cluster(session, cluster_id)
        rows = session.scalars(lists.page(call, _attachments([cluster_id]), networks.FIELDS)).unique().all()
        items = follow.expand(call, session, [_attached(row) for row in rows])
    return lists.answer(call, rep.Network, items)


@router.post("/clusters/{cluster_id}/networks")
def post_network_of_cluster(call: Call, cluster_id: str) -> Response:
    wanted = call.read(rep.Network)
    with call.engine.db.read() as session:
        cluster = get_cluster(session, cluster_id)
        network_id = wanted.id or session.scalar(
            select(Network.id).where(
                Network.data_center_id == cluster.data_center_id, Network.name == (wanted.name or "")
            )
        )
        if not network_id:
            raise Refused(
                f"Which network is to be attached to cluster {cluster.name}? It is named by id, or by the name it has "
                f"in the data center; {wanted.name or 'nothing'} is none.",
                "Incomplete parameters",
            )
    attach_network(call.engine, call.caller, cluster_id, network_id, **_attachment_fields(wanted))
    return call.created(_shown_attached(call, cluster_id, network_id))


@router.get("/clusters/{cluster_id}/networks/{network_id}")
def get_network_of_cluster(call: Call, cluster_id: str, network_id: str) -> Response:
    return call.answer(_shown_attached(call, cluster_id, network_id))


@router.put("/clusters/{cluster_id}/networks/{network_id}")
def put_network_of_cluster(call: Call, cluster_id: str, network_id: str) -> Response:
    fields = _attachment_fields(call.read(rep.Network))
    update_attachment(call.engine, call.caller, cluster_id, network_id, **fields)
    return call.answer(_shown_attached(call, cluster_id, network_id))


@router.delete("/clusters/{cluster_id}/networks/{network_id}")
def delete_network_of_cluster(call: Call, cluster_id: str, network_id: str) -> Response:
    detach_network(call.engine, call.caller, cluster_id, network_id)
    return call.done()


# ------------------------------------------------------------------------------------------------------ following


@follow.entity(rep.Cluster)
def _find(session: Session, ids: Sequence[str]) -> Mapping[str, rep.Cluster]:
    return {row.id: representation(row) for row in session.scalars(select(Cluster).where(Cluster.id.in_(ids)))}


@follow.collection(rep.DataCenter, "clusters")
def _of_data_centers(session: Session, ids: Sequence[str]) -> Mapping[str, Sequence[rep.Cluster]]:
    found: dict[str, list[rep.Cluster]] = {}
    for row in session.scalars(select(Cluster).where(Cluster.data_center_id.in_(ids)).order_by(Cluster.name)):
        found.setdefault(row.data_center_id, []).append(representation(row))
    return found


@follow.collection(rep.Cluster, "networks")
def _networks(session: Session, ids: Sequence[str]) -> Mapping[str, Sequence[rep.Network]]:
    found: dict[str, list[rep.Network]] = {}
    for row in session.scalars(_attachments(ids).order_by(Network.name)).unique():
        found.setdefault(row.cluster_id, []).append(_attached(row))
    return found


def _listed(call: ApiCall, center_id: str | None) -> Response:
    with call.engine.db.read() as session:
        wanted = select(Cluster)
        if center_id is not None:
            get_data_center(session, center_id)
            wanted = wanted.where(Cluster.data_center_id == center_id)
        rows = session.scalars(lists.page(call, wanted, FIELDS)).all()
        items = follow.expand(call, session, [representation(row) for row in rows])
    return lists.answer(call, rep.Cluster, items)


def _add(call: ApiCall, center_id: str | None) -> Response:
    wanted = call.read(rep.Cluster)
    center = rep.DataCenter(id=center_id) if center_id else wanted.data_center or rep.DataCenter()
    return call.created(_shown(call, add_cluster(call.engine, call.caller, **_fields(call, wanted, center))))


def _shown(call: ApiCall, cluster_id: str) -> rep.Cluster:
    with call.engine.db.read() as session:
        shown = representation(get_cluster(session, cluster_id))
        return follow.expand(call, session, [shown])[0]


def _fields(call: ApiCall, wanted: rep.Cluster, center: rep.DataCenter | None) -> dict[str, Any]:
    fields = named(wanted)
    if center is not None:
        with call.engine.db.read() as session:
            fields["data_center_id"] = find_data_center(session, center.id, center.name).id
    if wanted.mac_pool is not None and wanted.mac_pool.id:
        fields["mac_pool_id"] = wanted.mac_pool.id
    if wanted.cpu is not None:
        if wanted.cpu.type is not None:
            fields["cpu_type"] = wanted.cpu.type
        if wanted.cpu.architecture not in (None, rep.Architecture.UNDEFINED):
            fields["cpu_architecture"] = str(wanted.cpu.architecture)
    return fields


def _attachments(cluster_ids: Sequence[str]) -> Any:
    return (
        select(ClusterNetwork)
        .join(ClusterNetwork.network)
        .where(ClusterNetwork.cluster_id.in_(cluster_ids))
        .options(joinedload(ClusterNetwork.network).selectinload(Network.provided_by))
    )


def _attached(row: ClusterNetwork) -> rep.Network:
    shown = networks.representation(row.network)
    shown.cluster = rep.Cluster(id=row.cluster_id)
    shown.required = row.required
    shown.display = row.display
    roles = [rep.NetworkUsage(role) for role in ROLES if getattr(row, role)]
    shown.usages = [*(shown.usages or ()), *roles]
    return shown


def _shown_attached(call: ApiCall, cluster_id: str, network_id: str) -> rep.Network:
    with call.engine.db.read() as session:
        shown = _attached(get_attachment(session, get_cluster(session, cluster_id), network_id))
        return follow.expand(call, session, [shown])[0]


def _attachment_fields(wanted: rep.Network) -> dict[str, Any]:
    """`usages` is the whole list of roles where it is given; `display` may also stand by itself."""
    fields = sent(wanted, "required", "display")
    if wanted.usages is not None:
        fields |= {role: rep.NetworkUsage(role) in wanted.usages for role in ROLES}
    return {key: bool(value) for key, value in fields.items()}
