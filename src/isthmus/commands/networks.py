"""Networks: add (also at a provider), change, remove."""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.audit import audited
from isthmus.commands.caller import Caller, InConflict, Refused
from isthmus.commands.clusternetworks import users_of
from isthmus.commands.networkrows import (
    FIXED,
    NetworkFields,
    apply_fields,
    attach_everywhere,
    center_of,
    check_label,
    get_network,
    label_of,
    network_label,
    note_network,
)
from isthmus.model import Cluster, ClusterNetwork, Code, Network, NetworkProvision, Provider, VnicProfile
from isthmus.model.jobs import add_step, end_job, start_job
from isthmus.model.points import declare, reach
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.networks import leave_network, watch_late

declare("add-network.before-commit", "add-network.after-commit")


def add_network(
    engine: Engine,
    caller: Caller,
    *,
    data_center_id: str,
    provider_id: str | None = None,
    physical_network: str = "",
    with_profile: bool = True,
    **fields: Unpack[NetworkFields],
) -> str:
    """With a provider: wanted there too, as a VLAN network of ``physical_network`` if it has a VLAN. Whether it was
    made is seen on the provision's job; a refusal of the provider takes the network away again.

    :raises Refused: a value is not allowed. :raises InConflict: the name is taken.
    """
    name = fields.get("name", "")
    with (
        audited(
            engine,
            caller,
            Code.NETWORK_ADD_NETWORK_FAILED,
            f"Network {name} could not be added",
            data_center=data_center_id,
            provider=provider_id,
        ),
        engine.db.write() as session,
    ):
        center = center_of(session, data_center_id, name)
        provider = _provider(session, provider_id, name) if provider_id else None
        network = Network(data_center_id=center.id, vm_network=True, stp=False, label="")
        if provider is not None:
            _check_external(provider, physical_network, fields)
        elif physical_network:
            fields["label"] = physical_network
        apply_fields(session, network, fields, external=provider is not None, own=None)
        session.add(network)
        if network.vm_network and with_profile:
            network.profiles.append(VnicProfile(name=name))
        session.flush()
        if provider is None:
            note_network(session, caller, Code.NETWORK_ADD_NETWORK, network, f"added to data center {center.name}")
        else:
            attach_everywhere(session, network)
            job = start_job(
                session,
                f"Adding network {name} at provider {provider.name}",
                user=caller.user,
                correlation_id=caller.correlation_id,
            )
            add_step(session, job.id, f"Make network {name} at provider {provider.name}", status="started")
            job.steps[0].ended_at = None
            network.provided_by.append(
                NetworkProvision(
                    data_center_id=center.id,
                    provider_id=provider.id,
                    physical_network=physical_network,
                    segmentation_id=network.vlan_id,
                    made_here=True,
                    job_id=job.id,
                )
            )
            session.flush()
        reach("add-network.before-commit")
    reach("add-network.after-commit")
    if provider is not None:
        engine.wake("network", network.id)
    return network.id


def update_network(engine: Engine, caller: Caller, network_id: str, **fields: Unpack[NetworkFields]) -> str:
    """:raises Missing: :raises Refused: a value is not allowed.

    :raises InConflict: the name is taken; the provider decides this for its network; or vNICs stand in the way.
    """
    with (
        audited(
            engine,
            caller,
            Code.NETWORK_UPDATE_NETWORK_FAILED,
            f"Network {network_label(engine, network_id)} could not be changed",
            network=network_id,
        ),
        engine.db.write() as session,
    ):
        network = get_network(session, network_id)
        if network.provided_by:
            shown = {key: getattr(network, key) for key in FIXED} | {"label": label_of(network)}
            fixed = [word for key, word in FIXED.items() if fields.get(key, shown[key]) != shown[key]]
            if fixed:
                raise InConflict(
                    f"The {', '.join(fixed)} of network {network.name} cannot be changed here: provider "
                    f"{network.provided_by[0].provider.name} decides it. Change the network there."
                )
        if network.vm_network and fields.get("vm_network") is False and (users := users_of(session, network.id)):
            raise InConflict(f"Network {network.name} must stay a VM network: it is used by {users}.")
        if apply_fields(session, network, fields, external=bool(network.provided_by), own=network.id):
            note_network(session, caller, Code.NETWORK_UPDATE_NETWORK, network, "changed")
    return network_id


def remove_network(engine: Engine, caller: Caller, network_id: str) -> str:
    """Only here: what a provider knows of it stays there, but for a network that is still being made.

    :raises Missing: :raises InConflict: vNICs stand on it, or a cluster is managed over it; they are named.
    """
    with (
        audited(
            engine,
            caller,
            Code.NETWORK_REMOVE_NETWORK_FAILED,
            f"Network {network_label(engine, network_id)} could not be removed",
            network=network_id,
        ),
        engine.db.write() as session,
    ):
        network = get_network(session, network_id)
        if users := users_of(session, network.id):
            raise InConflict(f"Network {network.name} is used by {users}. Move or remove those first.")
        managed = session.scalars(
            select(Cluster.name)
            .join(ClusterNetwork, ClusterNetwork.cluster_id == Cluster.id)
            .where(ClusterNetwork.network_id == network.id, ClusterNetwork.management)
        ).all()
        if managed:
            raise InConflict(f"Network {network.name} is the management network of cluster {', '.join(managed)}.")
        stamps = drop_network(session, caller, network)
    for stamp in stamps:
        engine.wake("late-network", stamp)
    return network_id


def drop_network(session: Session, caller: Caller, network: Network) -> list[str]:
    """Take a network away that nothing stands in the way of. The stamps of those that were still being made at their
    provider: to be woken after the commit.
    """
    stamps = []
    for provision in network.provided_by:
        if provision.external_id is None:
            watch_late(session, provision, sure=False)
            end_job(session, provision.job_id, fault=f"Network {network.name} was removed while it was being made.")
            stamps.append(provision.id)
    note_network(session, caller, Code.NETWORK_REMOVE_NETWORK, network, "removed")
    leave_network(session, network)
    session.delete(network)
    return stamps


def set_label(engine: Engine, caller: Caller, network_id: str, label: str) -> str:
    """A network of ours has one label at most; empty: none. :raises Missing: :raises Refused: :raises InConflict:"""
    if label:
        with engine.db.read() as session:
            had = get_network(session, network_id).label
        if had and had != label:
            raise InConflict(f"The network has the label {had} already: remove it first.")
    return update_network(engine, caller, network_id, label=label)


def _provider(session: Session, provider_id: str, name: str) -> Provider:
    provider = session.get(Provider, provider_id)
    if provider is None:
        raise Refused(f"There is no external network provider {provider_id} for network {name}.")
    if provider.read_only:
        raise Refused(f"Provider {provider.name} is read-only: network {name} cannot be added there, only imported.")
    return provider


def _check_external(provider: Provider, physical_network: str, fields: NetworkFields) -> None:
    """What may be said of a network that a provider is to make. :raises Refused:"""
    what = f"Network {fields.get('name', '')} at provider {provider.name}"
    if fields.get("vm_network") is False:
        raise Refused(f"{what} must be a VM network: that is all an external network can be.")
    if fields.get("mtu") is not None:
        raise Refused(f"{what} cannot be given an MTU: the provider decides it.")
    if fields.get("stp"):
        raise Refused(f"{what} cannot be given STP: its bridges are the provider's.")
    if fields.get("vlan_id") is not None and not physical_network:
        raise Refused(
            f"{what} has VLAN {fields['vlan_id']} but no label. Give the provider's physical network as label, or "
            "leave the VLAN out."
        )
    if physical_network:
        check_label(physical_network)
