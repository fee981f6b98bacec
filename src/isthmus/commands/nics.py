"""vNICs: add, change, remove.

What a running guest has stays as it was when it was started: there is no hot plug, and a vNIC on an external network is
not moved, unplugged or unlinked under a running guest (the provider would know of it, the guest's wiring would not).
"""

from __future__ import annotations

from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.audit import audited
from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name
from isthmus.commands.claims import give_up_claims
from isthmus.commands.macs import check_mac, check_mac_free, next_mac
from isthmus.commands.standing import check_down, get_vm, is_down, vm_label
from isthmus.model import ClusterNetwork, Code, Network, Nic, Vm, VnicProfile, new_id, note
from isthmus.reconcile.engine import Engine

MODELS = ("virtio", "e1000", "e1000e", "rtl8139")
"""What the agent can give to a guest."""


class NicFields(TypedDict, total=False):
    """What a user may say of a vNIC. Absent: left as it is, or the default of a new one."""

    name: str
    mac: str
    interface: str
    plugged: bool
    linked: bool
    profile_id: str | None
    """None: on no network."""
    network_id: str
    """Instead of a profile: that network's default one."""


def add_nic(engine: Engine, caller: Caller, vm_id: str, **fields: Unpack[NicFields]) -> str:
    """:raises Missing: :raises Refused: :raises InConflict: name or MAC in use, pool exhausted, or the VM runs."""
    name = fields.get("name", "")
    with (
        audited(
            engine,
            caller,
            Code.NETWORK_ADD_VM_INTERFACE_FAILED,
            f"vNIC {name} could not be added to VM {vm_label(engine, vm_id)}",
            vm=vm_id,
        ),
        engine.db.write() as session,
    ):
        vm = get_vm(session, vm_id)
        _check_nic_name(session, vm, name, None)
        if fields.get("plugged", True) and not is_down(vm):
            raise InConflict(
                f"VM {vm.name} is {vm.status}: a plugged vNIC can be added only while it is down, hot plug is not "
                "offered. Add it unplugged, or stop the VM."
            )
        profile = _profile(session, vm, fields)
        if "mac" in fields:
            mac = check_mac(fields["mac"])
            check_mac_free(session, mac)
        else:
            mac = next_mac(session, vm)
        nic = Nic(
            id=new_id(),
            vm_id=vm.id,
            name=name,
            mac=mac,
            interface=_model(fields.get("interface", "virtio"), name),
            plugged=fields.get("plugged", True),
            linked=fields.get("linked", True),
            profile_id=profile.id if profile else None,
        )
        session.add(nic)
        note(
            session,
            Code.NETWORK_ADD_VM_INTERFACE,
            f"vNIC {name} ({mac}) was added to VM {vm.name} {_on(profile)} by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
            network=profile.network_id if profile else None,
        )
        return nic.id


def update_nic(engine: Engine, caller: Caller, vm_id: str, nic_id: str, **fields: Unpack[NicFields]) -> str:
    """:raises Missing: :raises Refused: :raises InConflict: name or MAC in use, or not on a running VM (specification,
    row 26).
    """
    claims: list[str] = []
    with (
        audited(
            engine,
            caller,
            Code.NETWORK_UPDATE_VM_INTERFACE_FAILED,
            f"vNIC {_nic_label(engine, nic_id)} of VM {vm_label(engine, vm_id)} could not be changed",
            vm=vm_id,
        ),
        engine.db.write() as session,
    ):
        nic = get_nic(session, vm_id, nic_id)
        vm, old = nic.vm, nic.profile
        if fields.get("name", nic.name) != nic.name:
            _check_nic_name(session, vm, fields["name"], nic.id)
        mac = check_mac(fields["mac"]) if "mac" in fields else nic.mac
        profile = _profile(session, vm, fields) if fields.keys() & {"profile_id", "network_id"} else old
        model = fields.get("interface", nic.interface)
        plugged, linked = fields.get("plugged", nic.plugged), fields.get("linked", nic.linked)
        changed = {
            "name": fields.get("name", nic.name) != nic.name,
            "MAC address": mac != nic.mac,
            "interface type": model != nic.interface,
            "card status": plugged != nic.plugged,
            "link state": linked != nic.linked,
            "network or profile": profile is not old,
        }
        words = [word for word, is_changed in changed.items() if is_changed]
        if not is_down(vm):
            _check_running(vm, nic, old, words, plugs=plugged and not nic.plugged)
        if mac != nic.mac:
            check_mac_free(session, mac, nic.id)
        if mac != nic.mac or profile is not old:
            if nic.plugged:
                check_down(session, vm, "moved to another network or address")
            claims = give_up_claims(session, [nic.id])
        nic.name, nic.mac, nic.plugged, nic.linked = fields.get("name", nic.name), mac, plugged, linked
        nic.interface = _model(model, nic.name)
        nic.profile_id = profile.id if profile else None
        if words:
            note(
                session,
                Code.NETWORK_UPDATE_VM_INTERFACE,
                f"vNIC {nic.name} of VM {vm.name} was changed by {caller.user}: {', '.join(words)}.",
                user=caller.user,
                correlation_id=caller.correlation_id,
                vm=vm.id,
                network=profile.network_id if profile else None,
            )
    for claim in claims:
        engine.wake("claim", claim)
    return nic_id


def remove_nic(engine: Engine, caller: Caller, vm_id: str, nic_id: str) -> str:
    """Its claims outlive it until their ports are given back. :raises Missing: :raises InConflict: plugged, and the VM
    runs or may still run.
    """
    with (
        audited(
            engine,
            caller,
            Code.NETWORK_REMOVE_VM_INTERFACE_FAILED,
            f"vNIC {_nic_label(engine, nic_id)} of VM {vm_label(engine, vm_id)} could not be removed",
            vm=vm_id,
        ),
        engine.db.write() as session,
    ):
        nic = get_nic(session, vm_id, nic_id)
        vm = nic.vm
        if nic.plugged and not is_down(vm):
            raise InConflict(
                f"VM {vm.name} is {vm.status}: its plugged vNIC {nic.name} can be removed only while it is down, hot "
                "unplug is not offered. Stop the VM first."
            )
        if nic.plugged:
            check_down(session, vm, f"without its vNIC {nic.name}")
        claims = give_up_claims(session, [nic.id])
        note(
            session,
            Code.NETWORK_REMOVE_VM_INTERFACE,
            f"vNIC {nic.name} ({nic.mac}) was removed from VM {vm.name} by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
            network=nic.profile.network_id if nic.profile else None,
        )
        session.delete(nic)
    for claim in claims:
        engine.wake("claim", claim)
    return nic_id


def get_nic(session: Session, vm_id: str, nic_id: str) -> Nic:
    """:raises Missing:"""
    vm = get_vm(session, vm_id)
    nic = session.get(Nic, nic_id)
    if nic is None or nic.vm_id != vm.id:
        raise Missing(f"VM {vm.name} has no vNIC {nic_id}.")
    return nic


def _check_running(vm: Vm, nic: Nic, profile: VnicProfile | None, words: list[str], *, plugs: bool) -> None:
    """Row 26 of the specification, and what else has no way into a running guest. :raises InConflict:"""
    if plugs:
        raise InConflict(
            f"VM {vm.name} is {vm.status}: its vNIC {nic.name} can be plugged only while it is down, hot plug is not "
            "offered."
        )
    fixed = [word for word in words if word != "name"]
    if not nic.plugged or not fixed:
        return
    provision = profile.network.provided_by[0] if profile and profile.network.provided_by else None
    if profile is not None and provision is not None:
        why = (
            f"it stands on network {profile.network.name} of external provider {provision.provider.name}, and a vNIC "
            "on an external network is not moved, unplugged or unlinked while the guest runs"
        )
    else:
        why = "what a running guest has is not changed, hot plug is not offered"
    raise InConflict(
        f"VM {vm.name} is {vm.status}: the {', '.join(fixed)} of its vNIC {nic.name} cannot be changed: {why}. Stop "
        "the VM first."
    )


def _profile(session: Session, vm: Vm, fields: NicFields) -> VnicProfile | None:
    """The profile that the fields name, checked against the VM's cluster. :raises Refused: :raises InConflict:"""
    if fields.get("profile_id") is not None:
        profile = session.get(VnicProfile, fields["profile_id"])
        if profile is None:
            raise Refused(f"There is no vNIC profile {fields['profile_id']}.")
        if fields.get("network_id", profile.network_id) != profile.network_id:
            raise Refused(f"vNIC profile {profile.name} is of network {profile.network.name}, not of the one named.")
    elif "network_id" in fields:
        profile = _default_profile(session, fields["network_id"])
    else:
        return None
    network = profile.network
    attached = session.scalar(
        select(ClusterNetwork.id).where(
            ClusterNetwork.cluster_id == vm.cluster_id, ClusterNetwork.network_id == network.id
        )
    )
    if attached is None:
        raise InConflict(
            f"Network {network.name} is not attached to cluster {vm.cluster.name} of VM {vm.name}. Attach it first."
        )
    if not network.vm_network:
        raise InConflict(f"Network {network.name} is not a VM network: no vNIC can stand on it.")
    return profile


def _default_profile(session: Session, network_id: str) -> VnicProfile:
    """Of the network's own name if there is one, else the first by name. :raises Refused:"""
    network = session.get(Network, network_id)
    if network is None:
        raise Refused(f"There is no network {network_id}.")
    profiles = sorted(network.profiles, key=lambda p: (p.name != network.name, p.name))
    if not profiles:
        raise Refused(f"Network {network.name} has no vNIC profile: add one first.")
    return profiles[0]


def _check_nic_name(session: Session, vm: Vm, name: str, nic_id: str | None) -> None:
    check_name(name, "a vNIC", pattern=r"[0-9a-zA-Z_.-]+", allowed="a-z, A-Z, 0-9 and . _ - may stand there", limit=50)
    taken = select(Nic.id).where(Nic.vm_id == vm.id, Nic.name == name, Nic.id != (nic_id or ""))
    if session.scalar(taken) is not None:
        raise InConflict(f"VM {vm.name} has a vNIC {name} already: choose another name.")


def _model(value: str, name: str) -> str:
    if value not in MODELS:
        raise Refused(f"vNIC {name} cannot be of type {value}: {', '.join(MODELS)} are offered.")
    return value


def _on(profile: VnicProfile | None) -> str:
    return f"with profile {profile.name} of network {profile.network.name}" if profile else "without a network"


def _nic_label(engine: Engine, nic_id: str) -> str:
    with engine.db.read() as session:
        return session.scalar(select(Nic.name).where(Nic.id == nic_id)) or nic_id
