"""vNICs of VMs, what is seen of them from the guest's side, and the timeline of what was done for each."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.codec import Link
from isthmus.api.fields import sent
from isthmus.commands.caller import Missing, Refused
from isthmus.commands.nics import NicFields, add_nic, get_nic, remove_nic, update_nic
from isthmus.commands.standing import get_vm
from isthmus.model import Claim, Moment, Network, Nic, VnicProfile

router = APIRouter()
FIELDS: lists.Fields = {"name": Nic.name, "id": Nic.id, "mac": Nic.mac}


def representation(row: Nic, addresses: Sequence[str] = ()) -> rep.Nic:
    vm = rep.Vm(id=row.vm_id)
    return rep.Nic(
        id=row.id,
        name=row.name,
        interface=rep.NicInterface(row.interface),
        linked=row.linked,
        links=[Link(rel="timeline", href=f"vms/{row.vm_id}/nics/{row.id}/timeline")],
        mac=rep.Mac(address=row.mac),
        network=rep.Network(id=row.profile.network_id) if row.profile else None,
        plugged=row.plugged,
        reported_devices=[_device(row, addresses, expanded=True)] if addresses else None,
        vm=vm,
        vnic_profile=rep.VnicProfile(id=row.profile_id) if row.profile_id else None,
    )


@router.get("/vms/{vm_id}/nics")
def list_nics(call: Call, vm_id: str) -> Response:
    with call.engine.db.read() as session:
        get_vm(session, vm_id)
        mine = select(Nic).where(Nic.vm_id == vm_id).options(selectinload(Nic.profile))
        rows = session.scalars(lists.page(call, mine, FIELDS)).all()
        seen = _addresses(session, [vm_id])
        items = follow.expand(call, session, [representation(row, seen[row.id]) for row in rows])
    return lists.answer(call, rep.Nic, items)


@router.post("/vms/{vm_id}/nics")
def post_nic(call: Call, vm_id: str) -> Response:
    fields = _fields(call, vm_id, call.read(rep.Nic))
    return call.created(_shown(call, vm_id, add_nic(call.engine, call.caller, vm_id, **fields)))


@router.get("/vms/{vm_id}/nics/{nic_id}")
def get_one(call: Call, vm_id: str, nic_id: str) -> Response:
    return call.answer(_shown(call, vm_id, nic_id))


@router.put("/vms/{vm_id}/nics/{nic_id}")
def put_nic(call: Call, vm_id: str, nic_id: str) -> Response:
    update_nic(call.engine, call.caller, vm_id, nic_id, **_fields(call, vm_id, call.read(rep.Nic)))
    return call.answer(_shown(call, vm_id, nic_id))


@router.delete("/vms/{vm_id}/nics/{nic_id}")
def delete_nic(call: Call, vm_id: str, nic_id: str) -> Response:
    remove_nic(call.engine, call.caller, vm_id, nic_id)
    return call.done()


@router.post("/vms/{vm_id}/nics/{nic_id}/activate")
def activate(call: Call, vm_id: str, nic_id: str) -> Response:
    action = call.read_action()
    update_nic(call.engine, call.caller, vm_id, nic_id, plugged=True)
    return call.done(action)


@router.post("/vms/{vm_id}/nics/{nic_id}/deactivate")
def deactivate(call: Call, vm_id: str, nic_id: str) -> Response:
    action = call.read_action()
    update_nic(call.engine, call.caller, vm_id, nic_id, plugged=False)
    return call.done(action)


@router.get("/vms/{vm_id}/nics/{nic_id}/timeline")
def timeline(call: Call, vm_id: str, nic_id: str) -> Response:
    """Ours, not oVirt's: what was done for the vNIC, the oldest first; `max` keeps the newest."""
    with call.engine.db.read() as session:
        get_nic(session, vm_id, nic_id)
        mine = select(Moment).where(Moment.nic_id == nic_id)
        rows = session.scalars(lists.limited(call, mine.order_by(Moment.at.desc(), Moment.change.desc()))).all()
    return lists.answer(call, rep.Moment, (_moment(row) for row in reversed(rows)))


@router.get("/vms/{vm_id}/reporteddevices")
def list_devices(call: Call, vm_id: str) -> Response:
    with call.engine.db.read() as session:
        get_vm(session, vm_id)
        items = _devices(session, [vm_id])[vm_id]
    return lists.answer(call, rep.ReportedDevice, lists.first(call, items))


@router.get("/vms/{vm_id}/reporteddevices/{device_id}")
def get_device(call: Call, vm_id: str, device_id: str) -> Response:
    with call.engine.db.read() as session:
        get_vm(session, vm_id)
        for device in _devices(session, [vm_id])[vm_id]:
            if device.id == device_id:
                return call.answer(device)
    raise Missing(f"VM {vm_id} reports no device {device_id}.")


@follow.collection(rep.Vm, "nics")
def _nics(session: Session, vm_ids: Sequence[str]) -> Mapping[str, Sequence[rep.Nic]]:
    found: dict[str, list[rep.Nic]] = defaultdict(list)
    seen = _addresses(session, vm_ids)
    for row in session.scalars(
        select(Nic).where(Nic.vm_id.in_(vm_ids)).order_by(Nic.name).options(selectinload(Nic.profile))
    ):
        found[row.vm_id].append(representation(row, seen[row.id]))
    return found


@follow.collection(rep.Vm, "reported_devices")
def _devices(session: Session, vm_ids: Sequence[str]) -> Mapping[str, Sequence[rep.ReportedDevice]]:
    found: dict[str, list[rep.ReportedDevice]] = defaultdict(list)
    seen = _addresses(session, vm_ids)
    for row in session.scalars(select(Nic).where(Nic.vm_id.in_(vm_ids), Nic.id.in_(seen)).order_by(Nic.name)):
        found[row.vm_id].append(_device(row, seen[row.id]))
    return found


def _addresses(session: Session, vm_ids: Sequence[str]) -> Mapping[str, list[str]]:
    """By vNIC: what the providers of the present run gave it. One statement."""
    found: dict[str, list[str]] = defaultdict(list)
    for claim in session.scalars(select(Claim).where(Claim.vm_id.in_(vm_ids), Claim.wanted == "bound")):
        if claim.addresses:
            found[claim.nic_id] += claim.addresses
    return found


def _device(row: Nic, addresses: Sequence[str], *, expanded: bool = False) -> rep.ReportedDevice:
    return rep.ReportedDevice(
        id=row.id,
        name=row.name,
        expanded=expanded,
        ips=[
            rep.Ip(address=a, version=rep.IpVersion.V6 if ipaddress.ip_address(a).version == 6 else rep.IpVersion.V4)
            for a in addresses
        ],
        mac=rep.Mac(address=row.mac),
        type=rep.ReportedDeviceType.NETWORK,
        vm=rep.Vm(id=row.vm_id),
    )


def _moment(row: Moment) -> rep.Moment:
    return rep.Moment(
        id=row.id,
        epoch=row.epoch,
        request_id=row.request_id,
        seconds=row.seconds,
        text=row.text,
        time=row.at,
        what=row.what,
    )


def _shown(call: ApiCall, vm_id: str, nic_id: str) -> rep.Nic:
    with call.engine.db.read() as session:
        row = get_nic(session, vm_id, nic_id)
        shown = representation(row, _addresses(session, [vm_id])[nic_id])
        return follow.expand(call, session, [shown])[0]


def _fields(call: ApiCall, vm_id: str, body: rep.Nic) -> NicFields:
    """An empty `vnic_profile` means: on no network. Beside a profile, the network says nothing more."""
    given = sent(body, "name", "interface", "plugged", "linked")
    fields = cast(NicFields, {key: value for key, value in given.items() if value is not None})
    if body.mac is not None and body.mac.address:
        fields["mac"] = body.mac.address
    with call.engine.db.read() as session:
        center = get_vm(session, vm_id).cluster.data_center_id
        if "vnic_profile" in body.model_fields_set:
            fields["profile_id"] = _profile(session, body.vnic_profile, center)
        elif body.network is not None:
            fields["network_id"] = _network(session, body.network, center)
    return fields


def _profile(session: Session, reference: rep.VnicProfile | None, center: str) -> str | None:
    """By id, or by name where one network of the data center has a profile of that name. :raises Refused:"""
    if reference is None or not (reference.id or reference.name):
        return None
    if reference.id:
        return reference.id
    ids = session.scalars(
        select(VnicProfile.id)
        .join(VnicProfile.network)
        .where(VnicProfile.name == reference.name, Network.data_center_id == center)
    ).all()
    if len(ids) != 1:
        number = "No network" if not ids else f"{len(ids)} networks"
        raise Refused(f"{number} of the data center has a vNIC profile {reference.name!r}: name it by its id.")
    return ids[0]


def _network(session: Session, reference: rep.Network, center: str) -> str:
    """By id, or by name in the data center. :raises Refused:"""
    if reference.id:
        return reference.id
    found = session.scalar(
        select(Network.id).where(Network.name == (reference.name or ""), Network.data_center_id == center)
    )
    if found is None:
        raise Refused(f"There is no network {reference.name!r} in the data center.")
    return found
