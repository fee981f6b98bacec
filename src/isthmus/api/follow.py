"""`follow=nics.vnic_profile,cluster`: what an entity refers to, written out inside it.

A noun says once how its sub-collections and itself are read for many parents at a time, so that a list with `follow`
takes one more statement (or few) for each followed name, however long it is:

    @follow.collection(rep.DataCenter, "clusters")
    def _clusters(session, ids): ...        # -> {data center's id: [rep.Cluster, ...]}

    @follow.entity(rep.Cluster)
    def _find(session, ids): ...            # -> {id: rep.Cluster}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from isthmus.api.calls import ApiCall
from isthmus.api.codec import Identified
from isthmus.api.codec.representation import Member, members
from isthmus.commands.caller import Refused

R = TypeVar("R", bound=Identified)
Collection = Callable[[Session, Sequence[str]], Mapping[str, Sequence[Identified]]]
Entity = Callable[[Session, Sequence[str]], Mapping[str, Identified]]

_collections: dict[tuple[type[Identified], str], Collection] = {}
_entities: dict[type[Identified], Entity] = {}
_DEPTH = 6


def collection(cls: type[Identified], name: str) -> Callable[[Collection], Collection]:
    def register(read: Collection) -> Collection:
        _collections[cls, _plain(name)] = read
        return read

    return register


def entity(cls: type[Identified]) -> Callable[[Entity], Entity]:
    def register(read: Entity) -> Entity:
        _entities[cls] = read
        return read

    return register


def expand(call: ApiCall, session: Session, items: Sequence[R]) -> Sequence[R]:
    """Put into `items` what the request follows; returns them.

    :raises Refused: a name that cannot be followed there, naming those that can.
    """
    paths = [p.strip().split(".") for p in (call.params.text("follow") or "").split(",") if p.strip()]
    if any(len(path) > _DEPTH for path in paths):
        raise Refused(f"At most {_DEPTH} links may be followed in a row.", "Invalid value")
    if paths and items:
        _expand(session, items, type(items[0]), paths)
    return items


def _expand(
    session: Session, items: Sequence[Identified], cls: type[Identified], paths: Iterable[Sequence[str]]
) -> None:
    by_name: dict[str, list[Sequence[str]]] = {}
    for path in paths:
        by_name.setdefault(_plain(path[0]), []).append(path[1:])
    for name, rests in by_name.items():
        member = _member(cls, name)
        found = _fill(session, items, cls, member)
        deeper = [rest for rest in rests if rest]
        if deeper and found:
            _expand(session, found, member.target, deeper)


def _fill(session: Session, items: Sequence[Identified], cls: type[Identified], member: Member) -> list[Identified]:
    read = _collections.get((cls, _plain(member.name)))
    if read is not None:
        by_parent = read(session, [item.id for item in items if item.id])
        found = []
        for item in items:
            inner = [_expanded(x) for x in by_parent.get(item.id or "", ())]
            setattr(item, member.name, inner)
            found += inner
        return found
    references = [(item, getattr(item, member.name)) for item in items]
    ids = {r.id for _, value in references for r in _as_list(value) if r.id}
    by_id = {key: _expanded(x) for key, x in _entities[member.target](session, sorted(ids)).items()} if ids else {}
    for item, value in references:
        if isinstance(value, list):
            setattr(item, member.name, [by_id.get(r.id or "", r) for r in value])
        elif value is not None:
            setattr(item, member.name, by_id.get(value.id or "", value))
    return list(by_id.values())


def _expanded(item: Identified) -> Identified:
    item.expanded = True
    return item


def _as_list(value: Any) -> list[Identified]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _member(cls: type[Identified], name: str) -> Member:
    can = {}
    for member in members(cls):
        if member.linked and ((cls, _plain(member.name)) in _collections or member.target in _entities):
            can[_plain(member.name)] = member
    if name not in can:
        shown = ", ".join(sorted(m.name for m in can.values())) or "nothing"
        raise Refused(f"{name!r} of '{cls.tag}' cannot be followed; {shown} can.", "Invalid value")
    return can[name]


def _plain(name: str) -> str:
    return name.replace("_", "").lower()
