"""MAC pools."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import select

from isthmus.api import lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.fields import named, sent
from isthmus.commands.macpools import add_mac_pool, get_mac_pool, remove_mac_pool, update_mac_pool
from isthmus.model import MacPool

router = APIRouter()
FIELDS: lists.Fields = {"name": MacPool.name, "id": MacPool.id}


def representation(row: MacPool) -> rep.MacPool:
    return rep.MacPool(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        allow_duplicates=row.allow_duplicates,
        default_pool=row.is_default,
        ranges=[rep.Range(from_=piece["from"], to=piece["to"]) for piece in row.ranges],
    )


@router.get("/macpools")
def list_mac_pools(call: Call) -> Response:
    with call.engine.db.read() as session:
        rows = session.scalars(lists.page(call, select(MacPool), FIELDS)).all()
    return lists.answer(call, rep.MacPool, (representation(row) for row in rows))


@router.post("/macpools")
def post_mac_pool(call: Call) -> Response:
    pool_id = add_mac_pool(call.engine, call.caller, **_fields(call.read(rep.MacPool)))
    return call.created(_shown(call, pool_id))


@router.get("/macpools/{pool_id}")
def get_one(call: Call, pool_id: str) -> Response:
    return call.answer(_shown(call, pool_id))


@router.put("/macpools/{pool_id}")
def put_mac_pool(call: Call, pool_id: str) -> Response:
    update_mac_pool(call.engine, call.caller, pool_id, **_fields(call.read(rep.MacPool)))
    return call.answer(_shown(call, pool_id))


@router.delete("/macpools/{pool_id}")
def delete_mac_pool(call: Call, pool_id: str) -> Response:
    remove_mac_pool(call.engine, call.caller, pool_id)
    return call.done()


def _shown(call: ApiCall, pool_id: str) -> rep.MacPool:
    with call.engine.db.read() as session:
        return representation(get_mac_pool(session, pool_id))


def _fields(wanted: rep.MacPool) -> dict[str, Any]:
    fields = named(wanted) | sent(wanted, "allow_duplicates")
    if wanted.ranges is not None:
        fields["ranges"] = [(piece.from_ or "", piece.to or "") for piece in wanted.ranges]
    return fields
