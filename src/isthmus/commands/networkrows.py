"""What adding, importing and changing a network have in common: its fields, their checks, its place in clusters."""

from __future__ import annotations

from typing import TypedDict

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_number, check_text
from isthmus.model import Cluster, ClusterNetwork, Code, DataCenter, Network, note
from isthmus.reconcile.engine import Engine

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


def center_of(session: Session, center_id: str, name: str) -> DataCenter:
    center = session.get(DataCenter, center_id)
    if center is None:
        raise Refused(f"There is no data center {center_id} for network {name}.")
    return center


def apply_fields(session: Session, network: Network, fields: NetworkFields, *, external: bool, own: str | None) -> bool:
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
        network.label = check_label(fields["label"]) if fields["label"] else ""
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


def check_label(label: str) -> str:
    return check_name(
        label,
        "a network label",
        pattern=r"[A-Za-z0-9_.:-]+",
        allowed="a-z, A-Z, 0-9 and _ . : - may stand there",
        limit=64,
    )


def attach_everywhere(session: Session, network: Network) -> None:
    for cluster_id in session.scalars(select(Cluster.id).where(Cluster.data_center_id == network.data_center_id)):
        network.clusters.append(ClusterNetwork(cluster_id=cluster_id, required=False))


def _values(network: Network) -> tuple[object, ...]:
    return (network.name, network.description, network.comment, *(getattr(network, key) for key in FIXED))


def note_network(
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
