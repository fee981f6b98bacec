"""Data centers: add, change, remove."""

from __future__ import annotations

from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_text
from isthmus.model import Cluster, Code, DataCenter, MacPool, Network, note
from isthmus.reconcile.engine import Engine

NAME_LIMIT = 40


class DataCenterFields(TypedDict, total=False):
    name: str
    description: str
    comment: str
    mac_pool_id: str | None


def add_data_center(engine: Engine, caller: Caller, **fields: Unpack[DataCenterFields]) -> str:
    """:raises Refused: a value is not allowed. :raises InConflict: the name is taken."""
    with engine.db.write() as session:
        center = DataCenter()
        _apply(session, center, fields, None)
        session.add(center)
        session.flush()
        note(
            session,
            Code.USER_ADD_STORAGE_POOL,
            f"Data center {center.name} was added by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            data_center=center.id,
        )
        return center.id


def update_data_center(engine: Engine, caller: Caller, center_id: str, **fields: Unpack[DataCenterFields]) -> str:
    """:raises Missing: :raises Refused: :raises InConflict: the name is taken."""
    with engine.db.write() as session:
        center = get_data_center(session, center_id)
        if _apply(session, center, fields, center.id):
            note(
                session,
                Code.USER_UPDATE_STORAGE_POOL,
                f"Data center {center.name} was changed by {caller.user}.",
                user=caller.user,
                correlation_id=caller.correlation_id,
                data_center=center.id,
            )
    return center_id


def remove_data_center(engine: Engine, caller: Caller, center_id: str) -> str:
    """:raises Missing: :raises InConflict: it still has clusters or networks; they are named."""
    with engine.db.write() as session:
        center = get_data_center(session, center_id)
        clusters = session.scalars(select(Cluster.name).where(Cluster.data_center_id == center.id)).all()
        networks = session.scalars(select(Network.name).where(Network.data_center_id == center.id)).all()
        for what, names in (("clusters", clusters), ("networks", networks)):
            if names:
                raise InConflict(
                    f"Data center {center.name} still has {what}: {', '.join(sorted(names))}. Remove them first."
                )
        note(
            session,
            Code.USER_REMOVE_STORAGE_POOL,
            f"Data center {center.name} was removed by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            data_center=center.id,
        )
        session.delete(center)
    return center_id


def get_data_center(session: Session, center_id: str) -> DataCenter:
    """:raises Missing:"""
    center = session.get(DataCenter, center_id)
    if center is None:
        raise Missing(f"There is no data center {center_id}.")
    return center


def find_data_center(session: Session, center_id: str | None, name: str | None) -> DataCenter:
    """The one that a request refers to by id, or by name. :raises Refused: neither was given, or there is none."""
    if not center_id and not name:
        raise Refused("A data center is needed: data_center.id or data_center.name.", "Incomplete parameters")
    wanted = DataCenter.id == center_id if center_id else DataCenter.name == name
    center = session.scalar(select(DataCenter).where(wanted))
    if center is None:
        raise Refused(f"There is no data center {center_id or name}.")
    return center


def check_plain_name(name: str, what: str, limit: int) -> str:
    """Names of data centers and clusters. :raises Refused:"""
    return check_name(name, what, pattern=r"[\w.-]+", allowed="letters, digits and . _ - may stand there", limit=limit)


def check_pool(session: Session, pool_id: str) -> None:
    """:raises Refused:"""
    if session.get(MacPool, pool_id) is None:
        raise Refused(f"There is no MAC pool {pool_id}.")


def _apply(session: Session, center: DataCenter, fields: DataCenterFields, own: str | None) -> bool:
    """Check and set; whether anything is other than it was."""
    before = (center.name, center.description, center.comment, center.mac_pool_id)
    if own is None or "name" in fields:
        name = check_plain_name(fields.get("name", ""), "a data center", NAME_LIMIT)
        if session.scalar(select(DataCenter.id).where(DataCenter.name == name, DataCenter.id != (own or ""))):
            raise InConflict(f"There is a data center {name} already: choose another name.")
        center.name = name
    if "description" in fields:
        center.description = check_text(fields["description"], "description")
    if "comment" in fields:
        center.comment = check_text(fields["comment"], "comment")
    if (pool := fields.get("mac_pool_id")) is not None:
        check_pool(session, pool)
        center.mac_pool_id = pool
    return before != (center.name, center.description, center.comment, center.mac_pool_id)
