"""vNIC profiles: add, change, remove."""

from __future__ import annotations

import re
from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.audit import audited
from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_properties, check_text
from isthmus.commands.clusternetworks import listed
from isthmus.model import Code, Network, Nic, Vm, VnicProfile, note
from isthmus.reconcile.engine import Engine

NAME_LIMIT = 50
SECURITY_GROUPS = "SecurityGroups"
_UUID = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_GROUPS = re.compile(rf"(?:{_UUID}(?:, *{_UUID})*)?")


class ProfileFields(TypedDict, total=False):
    name: str
    description: str
    comment: str
    network_id: str
    port_mirroring: bool
    custom_properties: dict[str, str]


def add_profile(engine: Engine, caller: Caller, **fields: Unpack[ProfileFields]) -> str:
    """:raises Refused: a value is not allowed. :raises InConflict: the network has a profile of that name."""
    name = fields.get("name", "")
    with (
        audited(engine, caller, Code.ADD_VNIC_PROFILE_FAILED, f"vNIC profile {name} could not be added"),
        engine.db.write() as session,
    ):
        network = session.get(Network, fields.get("network_id", ""))
        if network is None:
            raise Refused(f"There is no network {fields.get('network_id', '')}: vNIC profile {name} was not added.")
        if not network.vm_network:
            raise InConflict(f"Network {network.name} is not a VM network: it has no vNIC profiles.")
        profile = VnicProfile(network_id=network.id, port_mirroring=False, custom_properties={})
        _apply(session, network, profile, fields, None)
        session.add(profile)
        session.flush()
        _note(session, caller, Code.ADD_VNIC_PROFILE, profile, network, "added to")
        return profile.id


def update_profile(engine: Engine, caller: Caller, profile_id: str, **fields: Unpack[ProfileFields]) -> str:
    """Running VMs have what they were started with; their next start takes the new properties.

    :raises Missing: :raises Refused: :raises InConflict: the name is taken, or another network is named.
    """
    with (
        audited(
            engine,
            caller,
            Code.UPDATE_VNIC_PROFILE_FAILED,
            f"vNIC profile {profile_label(engine, profile_id)} could not be changed",
        ),
        engine.db.write() as session,
    ):
        profile = get_profile(session, profile_id)
        if fields.get("network_id", profile.network_id) != profile.network_id:
            raise InConflict(
                f"vNIC profile {profile.name} stays on network {profile.network.name}. Add a profile on the other."
            )
        if _apply(session, profile.network, profile, fields, profile.id):
            _note(session, caller, Code.UPDATE_VNIC_PROFILE, profile, profile.network, "changed on")
    return profile_id


def remove_profile(engine: Engine, caller: Caller, profile_id: str) -> str:
    """:raises Missing: :raises InConflict: vNICs have it; they are named."""
    with (
        audited(
            engine,
            caller,
            Code.REMOVE_VNIC_PROFILE_FAILED,
            f"vNIC profile {profile_label(engine, profile_id)} could not be removed",
        ),
        engine.db.write() as session,
    ):
        profile = get_profile(session, profile_id)
        used = session.execute(
            select(Nic.name, Vm.name)
            .join(Vm, Vm.id == Nic.vm_id)
            .where(Nic.profile_id == profile.id)
            .order_by(Vm.name, Nic.name)
        )
        users = listed(f"vNIC {nic} of VM {vm}" for nic, vm in used)
        if users:
            raise InConflict(f"vNIC profile {profile.name} is used by {users}. Give those another profile first.")
        _note(session, caller, Code.REMOVE_VNIC_PROFILE, profile, profile.network, "removed from")
        session.delete(profile)
    return profile_id


def get_profile(session: Session, profile_id: str) -> VnicProfile:
    """:raises Missing:"""
    profile = session.get(VnicProfile, profile_id)
    if profile is None:
        raise Missing(f"There is no vNIC profile {profile_id}.")
    return profile


def profile_label(engine: Engine, profile_id: str) -> str:
    with engine.db.read() as session:
        return session.scalar(select(VnicProfile.name).where(VnicProfile.id == profile_id)) or profile_id


def _apply(session: Session, network: Network, profile: VnicProfile, fields: ProfileFields, own: str | None) -> bool:
    """Check and set; whether anything is other than it was."""
    before = _values(profile)
    if own is None or fields.get("name", profile.name) != profile.name:
        name = check_name(
            fields.get("name", ""),
            "a vNIC profile",
            pattern=r"[A-Za-z0-9_-]+",
            allowed="a-z, A-Z, 0-9 and _ - may stand there",
            limit=NAME_LIMIT,
        )
        taken = select(VnicProfile.id).where(VnicProfile.network_id == network.id, VnicProfile.name == name)
        if session.scalar(taken) is not None:
            raise InConflict(f"Network {network.name} has a vNIC profile {name} already: choose another name.")
        profile.name = name
    if "description" in fields:
        profile.description = check_text(fields["description"], "description")
    if "comment" in fields:
        profile.comment = check_text(fields["comment"], "comment")
    if fields.get("port_mirroring"):
        raise Refused(_no_mirroring(network, profile.name))
    if "custom_properties" in fields:
        profile.custom_properties = _properties(fields["custom_properties"], profile.name)
    return before != _values(profile)


def _no_mirroring(network: Network, name: str) -> str:
    if network.provided_by:
        return (
            f"vNIC profile {name} cannot have port mirroring: network {network.name} is provided by "
            f"{network.provided_by[0].provider.name}, and what is on an external network is not the hosts' to mirror. "
            "Use the provider's own means, such as Neutron's tap as a service."
        )
    return f"vNIC profile {name} cannot have port mirroring: hosts of this engine do not mirror ports."


def _properties(given: dict[str, str], name: str) -> dict[str, str]:
    """:raises Refused:"""
    values = check_properties(given, f"vNIC profile {name}")
    groups = values.get(SECURITY_GROUPS)
    if groups is not None and not _GROUPS.fullmatch(groups.strip()):
        raise Refused(
            f"{SECURITY_GROUPS} of vNIC profile {name} must be ids of security groups with commas between them, or "
            f"empty for none; {groups!r} is neither. Without the property the provider's default group is used."
        )
    return values


def _values(profile: VnicProfile) -> tuple[object, ...]:
    return (profile.name, profile.description, profile.comment, profile.custom_properties)


def _note(session: Session, caller: Caller, code: Code, profile: VnicProfile, network: Network, what: str) -> None:
    note(
        session,
        code,
        f"vNIC profile {profile.name} was {what} network {network.name} by {caller.user}.",
        user=caller.user,
        correlation_id=caller.correlation_id,
        network=network.id,
        data_center=network.data_center_id,
    )
