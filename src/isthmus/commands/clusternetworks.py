"""Which networks a cluster has, and what it does with each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.clusters import get_cluster
from isthmus.model import Cluster, ClusterNetwork, Code, Network, Nic, Vm, VnicProfile, note
from isthmus.reconcile.engine import Engine

ROLES = ("display", "migration", "management")


class AttachmentFields(TypedDict, total=False):
    required: bool
    display: bool
    migration: bool
    management: bool


def attach_network(
    engine: Engine, caller: Caller, cluster_id: str, network_id: str, **fields: Unpack[AttachmentFields]
) -> str:
    """Without a word on it a network of ours is required, as oVirt has it; one of a provider's never is.

    :raises Missing: :raises Refused: :raises InConflict: attached already, or of another data center.
    """
    with engine.db.write() as session:
        cluster = get_cluster(session, cluster_id)
        network = session.get(Network, network_id)
        if network is None:
            raise Refused(f"There is no network {network_id} to attach to cluster {cluster.name}.")
        if network.data_center_id != cluster.data_center_id:
            raise InConflict(f"Network {network.name} is of another data center than cluster {cluster.name}.")
        if _find(session, cluster_id, network_id) is not None:
            raise InConflict(f"Network {network.name} is attached to cluster {cluster.name} already.")
        attachment = ClusterNetwork(cluster_id=cluster.id, network=network, required=not network.provided_by)
        session.add(attachment)
        _apply(session, cluster, attachment, fields)
        _note(session, caller, Code.NETWORK_ATTACH_NETWORK_TO_CLUSTER, cluster, network, "attached to")
    return network_id


def update_attachment(
    engine: Engine, caller: Caller, cluster_id: str, network_id: str, **fields: Unpack[AttachmentFields]
) -> str:
    """:raises Missing: :raises Refused: a role or 'required' for a provider's network."""
    with engine.db.write() as session:
        cluster = get_cluster(session, cluster_id)
        attachment = get_attachment(session, cluster, network_id)
        if _apply(session, cluster, attachment, fields):
            _note(session, caller, Code.NETWORK_UPDATE_NETWORK, cluster, attachment.network, "changed in")
    return network_id


def detach_network(engine: Engine, caller: Caller, cluster_id: str, network_id: str) -> str:
    """:raises Missing: :raises InConflict: vNICs of VMs in the cluster stand on it; they are named."""
    with engine.db.write() as session:
        cluster = get_cluster(session, cluster_id)
        attachment = get_attachment(session, cluster, network_id)
        users = users_of(session, network_id, cluster_id)
        if users:
            raise InConflict(
                f"Network {attachment.network.name} cannot be detached from cluster {cluster.name}: it is used by "
                f"{users}. Move or remove those first."
            )
        _note(session, caller, Code.NETWORK_DETACH_NETWORK_TO_CLUSTER, cluster, attachment.network, "detached from")
        session.delete(attachment)
    return network_id


def get_attachment(session: Session, cluster: Cluster, network_id: str) -> ClusterNetwork:
    """:raises Missing:"""
    attachment = _find(session, cluster.id, network_id)
    if attachment is None:
        raise Missing(f"Cluster {cluster.name} has no network {network_id}.")
    return attachment


def users_of(session: Session, network_id: str, cluster_id: str | None = None) -> str:
    """The vNICs that stand on a network, in words: "vNIC nic1 of VM web1, ..."; empty if there are none."""
    used = (
        select(Nic.name, Vm.name)
        .join(VnicProfile, VnicProfile.id == Nic.profile_id)
        .join(Vm, Vm.id == Nic.vm_id)
        .where(VnicProfile.network_id == network_id)
        .order_by(Vm.name, Nic.name)
    )
    if cluster_id is not None:
        used = used.where(Vm.cluster_id == cluster_id)
    return listed(f"vNIC {nic} of VM {vm}" for nic, vm in session.execute(used))


def listed(words: Iterable[str]) -> str:
    """The first ten, and how many more there are."""
    every = list(words)
    return ", ".join(every[:10]) + (f" and {len(every) - 10} more" if len(every) > 10 else "")


def _find(session: Session, cluster_id: str, network_id: str) -> ClusterNetwork | None:
    return session.scalar(
        select(ClusterNetwork).where(ClusterNetwork.cluster_id == cluster_id, ClusterNetwork.network_id == network_id)
    )


def _apply(session: Session, cluster: Cluster, attachment: ClusterNetwork, fields: AttachmentFields) -> bool:
    network = attachment.network
    asked = [word for word in ("required", *ROLES) if fields.get(word)]
    if network.provided_by and asked:
        raise Refused(
            f"Network {network.name} is provided by {network.provided_by[0].provider.name}: in a cluster it cannot be "
            f"{' or '.join(asked)}. Hosts do not have an external network but for the VMs that are on it."
        )
    changed = False
    for key, value in fields.items():
        if getattr(attachment, key) is not value:
            setattr(attachment, key, value)
            changed = True
    if changed:
        _take_over(session, cluster, attachment)
    return changed


def _take_over(session: Session, cluster: Cluster, attachment: ClusterNetwork) -> None:
    """A cluster has one network of each role: whoever gets it takes it from the other."""
    others = session.scalars(
        select(ClusterNetwork).where(
            ClusterNetwork.cluster_id == cluster.id, ClusterNetwork.network_id != attachment.network.id
        )
    )
    for other in others:
        for role in ROLES:
            if getattr(attachment, role) and getattr(other, role):
                setattr(other, role, False)


def _note(session: Session, caller: Caller, code: Code, cluster: Cluster, network: Network, what: str) -> None:
    note(
        session,
        code,
        f"Network {network.name} was {what} cluster {cluster.name} by {caller.user}.",
        user=caller.user,
        correlation_id=caller.correlation_id,
        cluster=cluster.id,
        network=network.id,
        data_center=cluster.data_center_id,
    )
