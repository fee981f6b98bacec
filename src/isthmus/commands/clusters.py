"""Clusters: add, change, remove."""

from __future__ import annotations

from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_text
from isthmus.commands.datacenters import NAME_LIMIT, check_plain_name, check_pool
from isthmus.model import Cluster, Code, DataCenter, Host, Vm, note
from isthmus.reconcile.engine import Engine

ARCHITECTURES = ("x86_64",)


class ClusterFields(TypedDict, total=False):
    name: str
    description: str
    comment: str
    data_center_id: str
    mac_pool_id: str | None
    cpu_type: str
    cpu_architecture: str


def add_cluster(engine: Engine, caller: Caller, **fields: Unpack[ClusterFields]) -> str:
    """:raises Refused: a value is not allowed. :raises InConflict: the name is taken."""
    with engine.db.write() as session:
        cluster = Cluster()
        center = session.get(DataCenter, fields.get("data_center_id", ""))
        if center is None:
            raise Refused(f"There is no data center {fields.get('data_center_id', '')}: no cluster was added.")
        cluster.data_center_id = center.id
        _apply(session, cluster, fields, None)
        session.add(cluster)
        session.flush()
        _note(session, caller, Code.USER_ADD_CLUSTER, cluster, f"added to data center {center.name}")
        return cluster.id


def update_cluster(engine: Engine, caller: Caller, cluster_id: str, **fields: Unpack[ClusterFields]) -> str:
    """:raises Missing: :raises Refused: :raises InConflict: the name is taken, or another data center is named."""
    with engine.db.write() as session:
        cluster = get_cluster(session, cluster_id)
        if fields.get("data_center_id", cluster.data_center_id) != cluster.data_center_id:
            raise InConflict(
                f"Cluster {cluster.name} stays in its data center: its hosts and networks belong there. Add a cluster "
                "in the other one instead."
            )
        if _apply(session, cluster, fields, cluster.id):
            _note(session, caller, Code.USER_UPDATE_CLUSTER, cluster, "changed")
    return cluster_id


def remove_cluster(engine: Engine, caller: Caller, cluster_id: str) -> str:
    """:raises Missing: :raises InConflict: it still has hosts or VMs; they are named."""
    with engine.db.write() as session:
        cluster = get_cluster(session, cluster_id)
        hosts = session.scalars(select(Host.name).where(Host.cluster_id == cluster.id)).all()
        vms = session.scalars(select(Vm.name).where(Vm.cluster_id == cluster.id)).all()
        for what, names in (("hosts", hosts), ("VMs", vms)):
            if names:
                raise InConflict(
                    f"Cluster {cluster.name} still has {what}: {', '.join(sorted(names))}. Remove them, or move them "
                    "to another cluster, first."
                )
        _note(session, caller, Code.USER_REMOVE_CLUSTER, cluster, "removed")
        session.delete(cluster)
    return cluster_id


def get_cluster(session: Session, cluster_id: str) -> Cluster:
    """:raises Missing:"""
    cluster = session.get(Cluster, cluster_id)
    if cluster is None:
        raise Missing(f"There is no cluster {cluster_id}.")
    return cluster


def _apply(session: Session, cluster: Cluster, fields: ClusterFields, own: str | None) -> bool:
    """Check and set; whether anything is other than it was."""
    before = _values(cluster)
    if own is None or "name" in fields:
        name = check_plain_name(fields.get("name", ""), "a cluster", NAME_LIMIT)
        if session.scalar(select(Cluster.id).where(Cluster.name == name, Cluster.id != (own or ""))):
            raise InConflict(f"There is a cluster {name} already: choose another name.")
        cluster.name = name
    if "description" in fields:
        cluster.description = check_text(fields["description"], "description")
    if "comment" in fields:
        cluster.comment = check_text(fields["comment"], "comment")
    if (pool := fields.get("mac_pool_id")) is not None:
        check_pool(session, pool)
        cluster.mac_pool_id = pool
    if "cpu_type" in fields:
        cluster.cpu_type = check_text(fields["cpu_type"], "CPU type", limit=80)
    if "cpu_architecture" in fields:
        architecture = fields["cpu_architecture"]
        if architecture not in ARCHITECTURES:
            raise Refused(f"Hosts of architecture {architecture} are not supported, only {', '.join(ARCHITECTURES)}.")
        cluster.cpu_architecture = architecture
    return before != _values(cluster)


def _values(cluster: Cluster) -> tuple[str | None, ...]:
    return (
        cluster.name,
        cluster.description,
        cluster.comment,
        cluster.mac_pool_id,
        cluster.cpu_type,
        cluster.cpu_architecture,
    )


def _note(session: Session, caller: Caller, code: Code, cluster: Cluster, what: str) -> None:
    note(
        session,
        code,
        f"Cluster {cluster.name} was {what} by {caller.user}.",
        user=caller.user,
        correlation_id=caller.correlation_id,
        cluster=cluster.id,
        data_center=cluster.data_center_id,
    )
