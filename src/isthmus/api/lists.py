"""Collections: which rows a client asked for, and how they are sent.

A route names the fields that may be searched by, and reads its rows in one statement (and one more for each relation);
`answer` then sends them, encoded piece by piece:

    rows = session.scalars(lists.page(call, select(Vm).options(selectinload(Vm.nics)), FIELDS)).all()
    return lists.answer(call, rep.Vm, (representation(row) for row in rows))

Of oVirt's search language this understands `field=value and field="other value" sortby field desc page 2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

from fastapi import Response
from sqlalchemy import Boolean, Integer, Select, String, func
from sqlalchemy.orm import InstrumentedAttribute
from starlette.responses import StreamingResponse

from isthmus.api.calls import ApiCall
from isthmus.api.codec import Representation, encode_list
from isthmus.commands.caller import Refused

S = TypeVar("S", bound=Select[Any])
Fields = Mapping[str, InstrumentedAttribute[Any]]

PAGE = 100
"""Rows of a page, where `max` does not say another number."""
MOST = 1_000_000_000
"""Rows that can be asked for at once: what offsets are reckoned with must fit into a database's integers."""
_TERM = r"""(?P<field>[A-Za-z_.]+)\s*=\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s"'=]+))"""
_PIECE = re.compile(
    rf"\s*(?:(?:(?P<and>and)\s+)?{_TERM}|sortby\s+(?P<sort>[A-Za-z_.]+)(?:\s+(?P<order>asc|desc))?"
    r"|page\s+(?P<page>[0-9]{1,9}))(?=\s|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Search:
    terms: tuple[tuple[str, str], ...] = ()
    sort: str = ""
    descending: bool = False
    page: int = 0


def parse(text: str) -> Search:
    """:raises Refused: saying what is understood."""
    terms: list[tuple[str, str]] = []
    sort, descending, page = "", False, 0
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _PIECE.match(text, position)
        if found is None or (found["field"] and bool(found["and"]) != bool(terms)):
            raise Refused(
                f"The search {text!r} is not understood from {text[position:].strip()!r} on. Understood are equalities"
                ' joined by "and", such as name=web1 and id="...", then "sortby FIELD asc|desc" and "page N".',
                "Invalid value",
            )
        if found["field"]:
            value = next(found[k] for k in ("double", "single", "bare") if found[k] is not None)
            terms.append((found["field"].lower(), value))
        elif found["sort"]:
            sort, descending = found["sort"].lower(), (found["order"] or "").lower() == "desc"
        else:
            page = int(found["page"])
        position = found.end()
    return Search(tuple(terms), sort, descending, page)


def page(call: ApiCall, statement: S, fields: Fields, *, order: Any = None) -> S:
    """The statement narrowed to what `search`, `max` and `case_sensitive` ask for.

    `order` is by which column, unless the search says another; by default it is the first of `fields`.

    :raises Refused: the search names another field, or a value that the field cannot have.
    """
    search = parse(call.params.text("search") or "")
    exact = call.params.flag("case_sensitive") is not False
    for name, value in search.terms:
        statement = statement.where(_equal(_column(fields, name), name, value, exact=exact))
    if search.sort:
        column = _column(fields, search.sort)
        statement = statement.order_by(column.desc() if search.descending else column.asc())
    else:
        statement = statement.order_by(next(iter(fields.values())) if order is None else order)
    return limited(call, statement, search.page)


def limited(call: ApiCall, statement: S, number: int = 0) -> S:
    most = call.params.number("max")
    most = None if most is None or most < 0 else min(most, MOST)
    if number > 0:
        size = PAGE if most is None else most
        return statement.offset((number - 1) * size).limit(size)
    return statement if most is None else statement.limit(most)


def first(call: ApiCall, items: Iterable[Any]) -> Iterable[Any]:
    """As many as `max` allows, of items that come from no database."""
    most = call.params.number("max")
    return items if most is None or most < 0 else islice(items, most)


def answer(
    call: ApiCall, cls: type[Representation], items: Iterable[Representation], *, plural: str | None = None
) -> Response:
    """A collection. What goes wrong before its first piece is full is still a fault."""
    negotiated = call.negotiated
    pieces = encode_list(cls, items, negotiated.media, negotiated.prefix, plural=plural)
    head = list(islice(pieces, 2))
    media_type = f"{negotiated.media}; charset=utf-8"
    if len(head) < 2:
        return Response(b"".join(head), media_type=media_type)
    return StreamingResponse(_rest(head, pieces), media_type=media_type)


def _rest(head: list[bytes], pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield from chain(head, pieces)


def _column(fields: Fields, name: str) -> InstrumentedAttribute[Any]:
    column = fields.get(name)
    if column is None:
        raise Refused(f"Here one may search by {', '.join(sorted(fields))}, but not by {name!r}.", "Invalid value")
    return column


def _equal(column: InstrumentedAttribute[Any], name: str, value: str, *, exact: bool) -> Any:
    if isinstance(column.type, Boolean):
        if value.lower() not in ("true", "false"):
            raise Refused(f"{name} is true or false, not {value!r}.", "Invalid value")
        return column.is_(value.lower() == "true")
    if isinstance(column.type, Integer):
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", value):
            raise Refused(f"{name} is a number, not {value!r}.", "Invalid value")
        return column == int(value)
    if not isinstance(column.type, String):
        raise Refused(f"One may sort by {name}, but not search for one {name}.", "Invalid value")
    if "*" in value:
        raise Refused(f"Wildcards are not understood, only equality: {name}={value!r} finds nothing.", "Invalid value")
    if not exact:
        return func.lower(column) == value.lower()
    return column == value
