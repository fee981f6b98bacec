"""oVirt's JSON: the XML's names and wrapped lists, as its own server makes it.

Booleans and integers are written as strings, decimals as numbers, dates as milliseconds since 1970; when read, each may
be either. Lists are `{"nics": {"nic": [...]}}`, a collection is `{"vm": [...]}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from isthmus.api.codec.errors import unreadable
from isthmus.api.codec.representation import (
    Kind,
    Member,
    Representation,
    Resource,
    attributes,
    elements,
    members,
)
from isthmus.api.codec.values import build, milliseconds, read
from isthmus.api.codec.xml_reader import ECHOED, MAX_DEPTH

_BATCH = 64 * 1024
_IGNORED = ECHOED | {"href"}
_encode = msgspec.json.Encoder().encode


def write(obj: Representation, prefix: str) -> bytes:
    return msgspec.json.format(_encode(_object(obj, prefix, (obj.tag,), root=True)), indent=2)


def write_list(item_tag: str, items: Iterable[Representation], prefix: str) -> Iterator[bytes]:
    """A collection, in pieces of about 64 KiB. Nothing is yielded before the first piece is full."""
    out = bytearray(b"{" + _encode(item_tag) + b": [")
    separator = b"\n"
    for item in items:
        out += separator
        out += msgspec.json.format(_encode(_object(item, prefix, (item.tag,), root=True)), indent=2)
        separator = b",\n"
        if len(out) >= _BATCH:
            yield bytes(out)
            out.clear()
    out += b"]}\n"
    yield bytes(out)


def parse(cls: type[Representation], body: bytes) -> Representation:
    """The instance that a JSON object holds. Raises BadRequest."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise unreadable(f"The JSON is not well formed: {error}.") from None
    return _instance(cls, document, cls.tag, 1)


def _object(obj: Representation, prefix: str, enclosing: tuple[str, ...], *, root: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    cls = type(obj)
    reference = False
    if isinstance(obj, Resource):
        href = obj.location(prefix)
        reference = not (root or obj.expanded)
        out |= _links(obj, href, prefix, declared=not reference and href is not None)
        if href is not None:
            out["href"] = href
    present = obj.model_fields_set
    for member in members(cls):
        if member.name not in present:
            continue
        value = getattr(obj, member.name)
        if value is None or member.wire.secret or member.name == "href":
            continue
        if member.linked and (reference or member.element in enclosing):
            continue
        if member.many:
            out[member.tag] = {member.item: [_value(member, x, prefix, enclosing, member.item) for x in value]}
        else:
            out[member.tag] = _value(member, value, prefix, enclosing, member.tag)
    return out


def _value(member: Member, value: Any, prefix: str, enclosing: tuple[str, ...], tag: str) -> Any:
    match member.kind:
        case Kind.NESTED:
            return _object(value, prefix, (*enclosing, tag), root=False)
        case Kind.BOOLEAN:
            return "true" if value else "false"
        case Kind.DATE:
            return milliseconds(value)
        case Kind.INTEGER:
            return str(value)
        case _:
            return value


def _links(obj: Resource, href: str | None, prefix: str, *, declared: bool) -> dict[str, Any]:
    out: dict[str, Any] = {}
    links = []
    if declared:
        if obj.actions:
            out["actions"] = {"link": [_link(f"{href}/{name}", name) for name in sorted(obj.actions)]}
        for name in obj.collections:
            links.append(_link(f"{href}/{name}", name))
            if name in obj.searchable:
                links.append(_link(f"{href}/{name}?search={{query}}", f"{name}/search"))
    links += [_link(link.location(prefix), link.rel) for link in obj.links or ()]
    if links:
        out["link"] = links
    return out


def _link(href: str, rel: str) -> dict[str, str]:
    return {"href": href, "rel": rel}


def _instance(cls: type[Representation], document: Any, tag: str, depth: int) -> Representation:
    if not isinstance(document, dict):
        raise unreadable(f"'{tag}' is not a JSON object.")
    if depth > MAX_DEPTH:
        raise unreadable(f"Objects are nested more than {MAX_DEPTH} deep, at '{tag}'.")
    known = elements(cls) | attributes(cls)
    values: dict[str, Any] = {}
    for name, raw in document.items():
        if raw is None or (name in _IGNORED and issubclass(cls, Resource)):
            continue
        member = known.get(name)
        if member is None:
            raise unreadable(f"Unknown property '{name}' in '{tag}'.")
        values[member.name] = _read(member, raw, tag, depth)
    return build(cls, values)


def _read(member: Member, raw: Any, parent: str, depth: int) -> Any:
    if member.many:
        return [_read_one(member, item, member.tag, member.item, depth) for item in _items(member, raw)]
    return _read_one(member, raw, parent, member.tag, depth)


def _items(member: Member, raw: Any) -> list[Any]:
    """The items of a wrapped list; an empty object is an empty list."""
    if isinstance(raw, dict) and set(raw) <= {member.item}:
        items = raw.get(member.item, [])
        if isinstance(items, list):
            return items
    raise unreadable(f"'{member.tag}' is not a list of the form {{\"{member.item}\": [...]}}.")


def _read_one(member: Member, raw: Any, parent: str, tag: str, depth: int) -> Any:
    if member.kind is Kind.NESTED:
        return _instance(member.target, raw, tag, depth + 1)
    if isinstance(raw, (dict, list)):
        raise unreadable(f"'{tag}' of '{parent}' holds more than a value.")
    return read(member, raw, parent, tag)
