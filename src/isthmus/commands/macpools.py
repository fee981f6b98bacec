"""MAC pools: add, change, remove."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_text
from isthmus.commands.macs import check_mac
from isthmus.model import Cluster, Code, DataCenter, MacPool, note
from isthmus.reconcile.engine import Engine

NAME_LIMIT = 255


class MacPoolFields(TypedDict, total=False):
    name: str
    description: str
    comment: str
    allow_duplicates: bool
    ranges: list[tuple[str, str]]
    """From one address to another, both included."""


def add_mac_pool(engine: Engine, caller: Caller, **fields: Unpack[MacPoolFields]) -> str:
    """:raises Refused: a value is not allowed. :raises InConflict: the name is taken."""
    with engine.db.write() as session:
        pool = MacPool(allow_duplicates=False)
        if not fields.get("ranges"):
            raise Refused("A MAC pool needs at least one range.", "Incomplete parameters")
        _apply(session, pool, fields, None)
        session.add(pool)
        session.flush()
        _note(session, caller, Code.MAC_POOL_ADD_SUCCESS, pool, "added")
        return pool.id


def update_mac_pool(engine: Engine, caller: Caller, pool_id: str, **fields: Unpack[MacPoolFields]) -> str:
    """Addresses that vNICs have already stay theirs, also outside the new ranges.

    :raises Missing: :raises Refused: :raises InConflict: the name is taken.
    """
    with engine.db.write() as session:
        pool = get_mac_pool(session, pool_id)
        if _apply(session, pool, fields, pool.id):
            _note(session, caller, Code.MAC_POOL_EDIT_SUCCESS, pool, "changed")
    return pool_id


def remove_mac_pool(engine: Engine, caller: Caller, pool_id: str) -> str:
    """:raises Missing: :raises InConflict: it is the default one, or in use; by whom is said."""
    with engine.db.write() as session:
        pool = get_mac_pool(session, pool_id)
        if pool.is_default:
            raise InConflict(f"MAC pool {pool.name} is the default one and stays.")
        centers = session.scalars(select(DataCenter.name).where(DataCenter.mac_pool_id == pool.id)).all()
        clusters = session.scalars(select(Cluster.name).where(Cluster.mac_pool_id == pool.id)).all()
        users = [f"data center {name}" for name in centers] + [f"cluster {name}" for name in clusters]
        if users:
            raise InConflict(f"MAC pool {pool.name} is used by {', '.join(users)}. Give those another pool first.")
        _note(session, caller, Code.MAC_POOL_REMOVE_SUCCESS, pool, "removed")
        session.delete(pool)
    return pool_id


def get_mac_pool(session: Session, pool_id: str) -> MacPool:
    """:raises Missing:"""
    pool = session.get(MacPool, pool_id)
    if pool is None:
        raise Missing(f"There is no MAC pool {pool_id}.")
    return pool


def _apply(session: Session, pool: MacPool, fields: MacPoolFields, own: str | None) -> bool:
    """Check and set; whether anything is other than it was."""
    before = _values(pool)
    if own is None or "name" in fields:
        name = check_name(
            fields.get("name", ""), "a MAC pool", pattern=r"[^\x00-\x1f]+", allowed="no control characters", limit=255
        )
        if session.scalar(select(MacPool.id).where(MacPool.name == name, MacPool.id != (own or ""))):
            raise InConflict(f"There is a MAC pool {name} already: choose another name.")
        pool.name = name
    if "description" in fields:
        pool.description = check_text(fields["description"], "description")
    if "comment" in fields:
        pool.comment = check_text(fields["comment"], "comment")
    if fields.get("allow_duplicates"):
        raise Refused(
            f"MAC pool {pool.name} cannot allow duplicates: in this engine an address belongs to one vNIC, because "
            "providers know ports by it."
        )
    if "ranges" in fields:
        pool.ranges = _ranges(pool.name, fields["ranges"])
    return before != _values(pool)


def _ranges(name: str, given: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """:raises Refused: none, a malformed address, one that ends before it begins, or two that overlap."""
    if not given:
        raise Refused(f"MAC pool {name} needs at least one range.")
    ranges = [(check_mac(first), check_mac(last)) for first, last in given]
    for first, last in ranges:
        if first > last:
            raise Refused(f"The range {first} to {last} of MAC pool {name} ends before it begins.")
    ordered = sorted(ranges)
    for (_, last), (first, _) in pairwise(ordered):
        if first <= last:
            raise Refused(f"Two ranges of MAC pool {name} overlap: one ends with {last}, another begins with {first}.")
    return [{"from": first, "to": last} for first, last in ranges]


def _values(pool: MacPool) -> tuple[Any, ...]:
    return (pool.name, pool.description, pool.comment, pool.ranges)


def _note(session: Session, caller: Caller, code: Code, pool: MacPool, what: str) -> None:
    text = f"MAC pool {pool.name} was {what} by {caller.user}."
    note(session, code, text, user=caller.user, correlation_id=caller.correlation_id)
