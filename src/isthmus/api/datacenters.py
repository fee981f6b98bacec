"""Data centers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.fields import named
from isthmus.commands.datacenters import (
    add_data_center,
    get_data_center,
    remove_data_center,
    update_data_center,
)
from isthmus.model import DataCenter

router = APIRouter()
FIELDS: lists.Fields = {
    "name": DataCenter.name,
    "id": DataCenter.id,
    "description": DataCenter.description,
    "comment": DataCenter.comment,
}
COMPATIBLE = rep.Version(major=4, minor=7)
"""The compatibility level that clients are told of: what they may ask of clusters and data centers."""


def representation(row: DataCenter) -> rep.DataCenter:
    return rep.DataCenter(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        local=False,
        quota_mode=rep.QuotaModeType.DISABLED,
        status=rep.DataCenterStatus.UP,
        version=COMPATIBLE,
        supported_versions=[COMPATIBLE],
        mac_pool=rep.MacPool(id=row.mac_pool_id) if row.mac_pool_id else None,
    )


@router.get("/datacenters")
def list_data_centers(call: Call) -> Response:
    with call.engine.db.read() as session:
        rows = session.scalars(lists.page(call, select(DataCenter), FIELDS)).all()
        items = follow.expand(call, session, [representation(row) for row in rows])
    return lists.answer(call, rep.DataCenter, items)


@router.post("/datacenters")
def post_data_center(call: Call) -> Response:
    center_id = add_data_center(call.engine, call.caller, **_fields(call.read(rep.DataCenter)))
    return call.created(_shown(call, center_id))


@router.get("/datacenters/{center_id}")
def get_one(call: Call, center_id: str) -> Response:
    return call.answer(_shown(call, center_id))


@router.put("/datacenters/{center_id}")
def put_data_center(call: Call, center_id: str) -> Response:
    update_data_center(call.engine, call.caller, center_id, **_fields(call.read(rep.DataCenter)))
    return call.answer(_shown(call, center_id))


@router.delete("/datacenters/{center_id}")
def delete_data_center(call: Call, center_id: str) -> Response:
    remove_data_center(call.engine, call.caller, center_id)
    return call.done()


@follow.entity(rep.DataCenter)
def _find(session: Session, ids: Sequence[str]) -> Mapping[str, rep.DataCenter]:
    return {row.id: representation(row) for row in session.scalars(select(DataCenter).where(DataCenter.id.in_(ids)))}


def _shown(call: ApiCall, center_id: str) -> rep.DataCenter:
    with call.engine.db.read() as session:
        shown = representation(get_data_center(session, center_id))
        return follow.expand(call, session, [shown])[0]


def _fields(sent: rep.DataCenter) -> dict[str, str]:
    fields = named(sent)
    if sent.mac_pool is not None and sent.mac_pool.id:
        fields["mac_pool_id"] = sent.mac_pool.id
    return fields
