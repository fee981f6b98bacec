"""Networks: add (also at a provider), import from a provider, change, remove."""

from __future__ import annotations

from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.audit import audited
from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_number, check_text
from isthmus.commands.clusternetworks import users_of
from isthmus.model import (
    Cluster,
    ClusterNetwork,
    Code,
    DataCenter,
    Network,
    NetworkProvision,
    Provider,
    VnicProfile,
    note,
)
from isthmus.model.jobs import add_step, end_job, start_job
from isthmus.model.points import declare, reach
from isthmus.providers.base import ExternalNetwork
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.networks import imported_as, late_stamps, leave_network, watch_late

declare(
    "add-network.before-commit",
    "add-network.after-commit",
    "import.before-commit",
    "import.after-commit",
)

NAME_LIMIT = 255
BRIDGE_LIMIT = 15
"""Characters of a device's name in Linux."""


class NetworkFields(TypedDict, total=False):
    name: str
    description: str
    comment: str
    vlan_id: int | None
    mtu: int | None
    """None: unset."""
    vm_network: bool
    stp: bool
    label: str
    """Of a network of ours: which of a host's interfaces carry it."""


FIXED = {"vlan_id": "VLAN", "mtu": "MTU", "vm_network": "use for VMs", "stp": "STP", "label": "label"}
"""What the provider decides for a network of its own."""


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
        center = _center(session, data_center_id, name)
        provider = _provider(session, provider_id, name) if provider_id else None
        network = Network(data_center_id=center.id, vm_network=True, stp=False, label="")
        if provider is not None:
            _check_external(provider, physical_network, fields)
        elif physical_network:
            fields["label"] = physical_network
        _apply(session, network, fields, external=provider is not None, own=None)
        session.add(network)
        if network.vm_network and with_profile:
            network.profiles.append(VnicProfile(name=name))
        session.flush()
        if provider is None:
            _note(session, caller, Code.NETWORK_ADD_NETWORK, network, f"added to data center {center.name}")
        else:
            _attach_everywhere(session, network)
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


def import_network(
    engine: Engine,
    caller: Caller,
    *,
    provider_id: str,
    external: ExternalNetwork,
    data_center_id: str,
    name: str | None = None,
) -> str:
    """Make a provider's network, as the provider has just shown it, one of a data center's: a VM network, in all its
    clusters, not required and without a role, with a vNIC profile of its name.

    :raises Missing: no such provider. :raises Refused: a value is not allowed.
    :raises InConflict: the name is taken, or the data center has this network already.
    """
    name = external.name if name is None else name
    with (
        audited(
            engine,
            caller,
            Code.NETWORK_IMPORT_EXTERNAL_NETWORK_FAILED,
            f"Network {external.name} ({external.id}) could not be imported",
            data_center=data_center_id,
            provider=provider_id,
        ),
        engine.db.write() as session,
    ):
        provider = session.get(Provider, provider_id)
        if provider is None:
            raise Missing(f"There is no provider {provider_id}.")
        center = _center(session, data_center_id, name)
        other = imported_as(session, center.id, provider.id, external.id)
        if other is not None:
            raise InConflict(
                f"Data center {center.name} has network {external.name} ({external.id}) of provider {provider.name} "
                f"already: as network {other}."
            )
        _refuse_left_over(session, provider, external)
        network = Network(data_center_id=center.id, vm_network=True, stp=False, label="")
        _apply(session, network, {"name": name}, external=True, own=None)
        session.add(network)
        network.profiles.append(VnicProfile(name=name))
        network.provided_by.append(
            NetworkProvision(
                data_center_id=center.id,
                provider_id=provider.id,
                external_id=external.id,
                physical_network=external.physical_network,
                segmentation_id=external.segmentation_id,
                network_type=external.network_type,
            )
        )
        session.flush()
        _attach_everywhere(session, network)
        _note(
            session,
            caller,
            Code.NETWORK_IMPORT_EXTERNAL_NETWORK,
            network,
            f"imported from provider {provider.name} ({external.id}) into data center {center.name}",
            provider.id,
        )
        reach("import.before-commit")
    reach("import.after-commit")
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
        if _apply(session, network, fields, external=bool(network.provided_by), own=network.id):
            _note(session, caller, Code.NETWORK_UPDATE_NETWORK, network, "changed")
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
    _note(session, caller, Code.NETWORK_REMOVE_NETWORK, network, "removed")
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


def get_network(session: Session, network_id: str) -> Network:
    """:raises Missing:"""
    network = session.get(Network, network_id)
    if network is None:
        raise Missing(f"There is no network {network_id}.")
    return network


def network_label(engine: Engine, network_id: str) -> str:
    with engine.db.read() as session:
        return session.scalar(select(Network.name).where(Network.id == network_id)) or network_id


def label_of(network: Network) -> str:
    """For a provider's network its physical network there."""
    return network.provided_by[0].physical_network if network.provided_by else network.label


def _center(session: Session, center_id: str, name: str) -> DataCenter:
    center = session.get(DataCenter, center_id)
    if center is None:
        raise Refused(f"There is no data center {center_id} for network {name}.")
    return center


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
        _check_label(physical_network)


def _apply(session: Session, network: Network, fields: NetworkFields, *, external: bool, own: str | None) -> bool:
    """Check and set; whether anything is other than it was."""
    before = _values(network)
    if own is None or fields.get("name", network.name) != network.name:
        network.name = _check_name(session, network.data_center_id, fields.get("name", ""), external=external, own=own)
    if "description" in fields:
        network.description = check_text(fields["description"], "description")
    if "comment" in fields:
        network.comment = check_text(fields["comment"], "comment")
    if "vlan_id" in fields:
        vlan = fields["vlan_id"]
        network.vlan_id = None if vlan is None else check_number(vlan, "VLAN", 0, 4094)
    if "mtu" in fields:
        mtu = fields["mtu"]
        network.mtu = None if mtu is None else check_number(mtu, "MTU", 68, 65535)
    if "label" in fields and not external:
        network.label = _check_label(fields["label"]) if fields["label"] else ""
    if "vm_network" in fields:
        network.vm_network = fields["vm_network"]
    if "stp" in fields:
        network.stp = fields["stp"]
    return before != _values(network)


def _check_name(session: Session, center_id: str, name: str, *, external: bool, own: str | None) -> str:
    """:raises Refused: :raises InConflict:"""
    if external:
        pattern, allowed = r"(?!bond)\S(?:.*\S)?", "no blank at either end, and it may not begin with 'bond'"
        if not name.isprintable():
            raise Refused(f"The name {name!r} of a network holds control characters.")
        check_name(name, "a network", pattern=pattern, allowed=allowed, limit=NAME_LIMIT)
    else:
        allowed = (
            "as the network is a bridge of that name on each host, a-z, A-Z, 0-9 and _ - may stand there, and it may "
            "not begin with 'bond'"
        )
        pattern = r"(?!bond)[A-Za-z0-9_-]+"
        check_name(name, "a network without a provider", pattern=pattern, allowed=allowed, limit=BRIDGE_LIMIT)
    taken = select(Network.id).where(
        Network.data_center_id == center_id, Network.name == name, Network.id != (own or "")
    )
    if session.scalar(taken) is not None:
        raise InConflict(f"The data center has a network {name} already: choose another name.")
    return name


def _check_label(label: str) -> str:
    return check_name(
        label,
        "a network label",
        pattern=r"[A-Za-z0-9_.:-]+",
        allowed="a-z, A-Z, 0-9 and _ . : - may stand there",
        limit=64,
    )


def _refuse_left_over(session: Session, provider: Provider, external: ExternalNetwork) -> None:
    """:raises InConflict: the network was made by a call that had been given up, and is about to be deleted."""
    known = session.scalar(
        select(NetworkProvision.id).where(
            NetworkProvision.provider_id == provider.id, NetworkProvision.external_id == external.id
        )
    )
    pending = session.scalars(
        select(NetworkProvision.id).where(
            NetworkProvision.provider_id == provider.id, NetworkProvision.external_id.is_(None)
        )
    )
    if known is None and any(stamp in external.description for stamp in [*late_stamps(session), *pending]):
        raise InConflict(
            f"Network {external.name} ({external.id}) of provider {provider.name} comes from an addition that is not "
            "finished or was given up. It is taken over, or removed, in a moment; look again then."
        )


def _attach_everywhere(session: Session, network: Network) -> None:
    for cluster_id in session.scalars(select(Cluster.id).where(Cluster.data_center_id == network.data_center_id)):
        network.clusters.append(ClusterNetwork(cluster_id=cluster_id, required=False))


def _values(network: Network) -> tuple[object, ...]:
    return (network.name, network.description, network.comment, *(getattr(network, key) for key in FIXED))


def _note(
    session: Session, caller: Caller, code: Code, network: Network, what: str, provider_id: str | None = None
) -> None:
    provided = network.provided_by
    note(
        session,
        code,
        f"Network {network.name} was {what} by {caller.user}.",
        user=caller.user,
        correlation_id=caller.correlation_id,
        data_center=network.data_center_id,
        network=network.id,
        provider=provider_id or (provided[0].provider_id if provided else None),
    )
