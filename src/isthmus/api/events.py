"""Audit events, newest first."""

from __future__ import annotations

import re

from fastapi import APIRouter, Response
from sqlalchemy import select

from isthmus.api import lists
from isthmus.api import representations as rep
from isthmus.api.calls import Call
from isthmus.commands.caller import Missing
from isthmus.model import Event

router = APIRouter()
FIELDS: lists.Fields = {
    "id": Event.id,
    "type": Event.code,
    "code": Event.code,
    "severity": Event.severity,
    "message": Event.text,
    "time": Event.at,
    "user": Event.user,
    "correlation_id": Event.correlation_id,
    "event_host": Event.host_id,
    "event_vm": Event.vm_id,
    "event_datacenter": Event.data_center_id,
}


def representation(row: Event) -> rep.Event:
    return rep.Event(
        id=str(row.id),
        description=row.text,
        code=row.code,
        index=row.id,
        severity=rep.LogSeverity(row.severity),
        time=row.at,
        correlation_id=row.correlation_id or None,
        custom_id=-1,
        user=rep.User(user_name=row.user) if row.user else None,
        data_center=rep.DataCenter(id=row.data_center_id) if row.data_center_id else None,
        cluster=rep.Cluster(id=row.cluster_id) if row.cluster_id else None,
        host=rep.Host(id=row.host_id) if row.host_id else None,
        vm=rep.Vm(id=row.vm_id) if row.vm_id else None,
    )


@router.get("/events")
def list_events(call: Call) -> Response:
    """With `from` those after that one only, so that a client can follow what happens."""
    wanted = select(Event)
    after = call.params.number("from")
    if after is not None:
        wanted = wanted.where(Event.id > after)
    with call.engine.db.read() as session:
        rows = session.scalars(lists.page(call, wanted, FIELDS, order=Event.id.desc())).all()
    return lists.answer(call, rep.Event, (representation(row) for row in rows))


@router.get("/events/{event_id}")
def get_one(call: Call, event_id: str) -> Response:
    with call.engine.db.read() as session:
        row = session.get(Event, int(event_id)) if re.fullmatch("[0-9]{1,18}", event_id) else None
    if row is None:
        raise Missing(f"There is no event {event_id}.")
    return call.answer(representation(row))
