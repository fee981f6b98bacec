"""vNIC profiles, of all networks and of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.fields import named, sent
from isthmus.commands.caller import Refused
from isthmus.commands.networkrows import get_network
from isthmus.commands.profiles import add_profile, get_profile, remove_profile, update_profile
from isthmus.model import VnicProfile

router = APIRouter()
FIELDS: lists.Fields = {
    "name": VnicProfile.name,
    "id": VnicProfile.id,
    "description": VnicProfile.description,
    "network": VnicProfile.network_id,
}


def representation(row: VnicProfile) -> rep.VnicProfile:
    return rep.VnicProfile(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        network=rep.Network(id=row.network_id),
        port_mirroring=row.port_mirroring,
        custom_properties=[rep.CustomProperty(name=k, value=v) for k, v in sorted(row.custom_properties.items())],
        pass_through=rep.VnicPassThrough(mode=rep.VnicPassThroughMode.DISABLED),
    )


@router.get("/vnicprofiles")
def list_profiles(call: Call) -> Response:
    return _listed(call, None)


@router.post("/vnicprofiles")
def post_profile(call: Call) -> Response:
    wanted = call.read(rep.VnicProfile)
    if wanted.network is None or not wanted.network.id:
        raise Refused("The profile's network is missing: network.id.", "Incomplete parameters")
    return _add(call, wanted, wanted.network.id)


@router.get("/networks/{network_id}/vnicprofiles")
def list_profiles_of_network(call: Call, network_id: str) -> Response:
    return _listed(call, network_id)


@router.post("/networks/{network_id}/vnicprofiles")
def post_profile_of_network(call: Call, network_id: str) -> Response:
    with call.engine.db.read() as session:
        get_network(session, network_id)
    return _add(call, call.read(rep.VnicProfile), network_id)


@router.get("/networks/{network_id}/vnicprofiles/{profile_id}")
@router.get("/vnicprofiles/{profile_id}")
def get_one(call: Call, profile_id: str) -> Response:
    return call.answer(_shown(call, profile_id))


@router.put("/vnicprofiles/{profile_id}")
def put_profile(call: Call, profile_id: str) -> Response:
    wanted = call.read(rep.VnicProfile)
    fields = _fields(wanted)
    if wanted.network is not None and wanted.network.id:
        fields["network_id"] = wanted.network.id
    update_profile(call.engine, call.caller, profile_id, **fields)
    return call.answer(_shown(call, profile_id))


@router.delete("/networks/{network_id}/vnicprofiles/{profile_id}")
@router.delete("/vnicprofiles/{profile_id}")
def delete_profile(call: Call, profile_id: str) -> Response:
    remove_profile(call.engine, call.caller, profile_id)
    return call.done()


@follow.entity(rep.VnicProfile)
def _find(session: Session, ids: Sequence[str]) -> Mapping[str, rep.VnicProfile]:
    rows = session.scalars(select(VnicProfile).where(VnicProfile.id.in_(ids)))
    return {row.id: representation(row) for row in rows}


@follow.collection(rep.Network, "vnic_profiles")
def _of_networks(session: Session, ids: Sequence[str]) -> Mapping[str, Sequence[rep.VnicProfile]]:
    found: dict[str, list[rep.VnicProfile]] = {}
    rows = session.scalars(select(VnicProfile).where(VnicProfile.network_id.in_(ids)).order_by(VnicProfile.name))
    for row in rows:
        found.setdefault(row.network_id, []).append(representation(row))
    return found


def _listed(call: ApiCall, network_id: str | None) -> Response:
    with call.engine.db.read() as session:
        wanted = select(VnicProfile)
        if network_id is not None:
            get_network(session, network_id)
            wanted = wanted.where(VnicProfile.network_id == network_id)
        rows = session.scalars(lists.page(call, wanted, FIELDS)).all()
        items = follow.expand(call, session, [representation(row) for row in rows])
    return lists.answer(call, rep.VnicProfile, items)


def _add(call: ApiCall, wanted: rep.VnicProfile, network_id: str) -> Response:
    profile_id = add_profile(call.engine, call.caller, network_id=network_id, **_fields(wanted))
    return call.created(_shown(call, profile_id))


def _shown(call: ApiCall, profile_id: str) -> rep.VnicProfile:
    with call.engine.db.read() as session:
        return follow.expand(call, session, [representation(get_profile(session, profile_id))])[0]


def _fields(wanted: rep.VnicProfile) -> dict[str, Any]:
    """:raises Refused: something is asked for that hosts would not do: better said than silently left out."""
    if wanted.pass_through is not None and wanted.pass_through.mode is rep.VnicPassThroughMode.ENABLED:
        raise Refused("vNICs are not passed through to devices of the host here.")
    if wanted.network_filter is not None and (wanted.network_filter.id or wanted.network_filter.name):
        raise Refused(
            "Network filters are not applied here. For an external network use the custom property SecurityGroups."
        )
    fields = named(wanted) | sent(wanted, "port_mirroring")
    if wanted.custom_properties is not None:
        fields["custom_properties"] = {p.name or "": p.value or "" for p in wanted.custom_properties}
    return fields
