"""Makes instances of any representation from its declaration: one with every field set, and random ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

from isthmus.api import representations
from isthmus.api.codec import Representation, Resource
from isthmus.api.codec.representation import Kind, Member, members

CLASSES = sorted(
    (
        cls
        for cls in (getattr(representations, name) for name in representations.__all__)
        if issubclass(cls, Representation)
    ),
    key=lambda cls: cls.__name__,
)

# What XML 1.0 can hold.
TEXT = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cs"],
        exclude_characters=[chr(i) for i in range(32) if chr(i) not in "\t\n\r"] + ["\ufffe", "\uffff"],
    ),
    max_size=12,
)
# An empty id is no id, and a client that reads attributes may normalise white space in them.
IDS = st.text("0123456789abcdef-", min_size=1, max_size=8)
DATES = st.datetimes(
    min_value=datetime(1971, 1, 1),
    max_value=datetime(2200, 1, 1),
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
).map(lambda d: d.replace(microsecond=d.microsecond // 1000 * 1000))


def full(cls: type[Representation], depth: int = 2) -> Any:
    """An instance with all fields set, those of nested ones too as deep as `depth`; deeper ones are references."""
    values = {}
    for member in members(cls):
        if member.name == "href" or (depth == 0 and member.kind is Kind.NESTED):
            continue
        value = _example(member, depth)
        values[member.name] = [value, value] if member.many else value
    if depth < 2 and issubclass(cls, Resource):
        values["expanded"] = True
    return cls(**values)


def _example(member: Member, depth: int) -> Any:
    match member.kind:
        case Kind.NESTED:
            return full(member.target, depth - 1)
        case Kind.ENUM:
            return member.choices[-1]
        case Kind.DATE:
            return datetime(2026, 1, 31, 12, 30, 45, 678000, tzinfo=UTC)
        case Kind.INTEGER:
            return member.wire.bounds[1]
        case Kind.BOOLEAN:
            return False
        case Kind.DECIMAL:
            return 2.5
    return f"{member.name} <&> \u00fc \u6f22"


def instances(cls: type[Representation], depth: int = 2) -> st.SearchStrategy[Any]:
    """Random instances in which a few fields are set."""
    known = [m for m in members(cls) if m.name != "href" and (depth > 0 or m.kind is not Kind.NESTED)]
    if not known:
        return st.just(cls())

    @st.composite
    def draw(draw: st.DrawFn) -> Any:
        chosen = draw(st.lists(st.sampled_from(known), max_size=8 if depth == 2 else 3, unique=True))
        values = {member.name: draw(_values(member, depth)) for member in chosen}
        if issubclass(cls, Resource):
            values["expanded"] = draw(st.booleans())
        return cls(**values)

    return draw()


def _values(member: Member, depth: int) -> st.SearchStrategy[Any]:
    one = _one(member, depth)
    return st.lists(one, max_size=2) if member.many else one


def _one(member: Member, depth: int) -> st.SearchStrategy[Any]:
    match member.kind:
        case Kind.NESTED:
            return instances(member.target, depth - 1)
        case Kind.ENUM:
            return st.sampled_from(member.choices)
        case Kind.DATE:
            return DATES
        case Kind.INTEGER:
            return st.integers(*member.wire.bounds)
        case Kind.BOOLEAN:
            return st.booleans()
        case Kind.DECIMAL:
            return st.floats(allow_nan=False, allow_infinity=False)
    return IDS if member.wire.attribute else TEXT


def as_written(obj: Representation, enclosing: tuple[str, ...] = ()) -> Any:
    """What is left of an instance after an answer was read back.

    Secrets are never written, what only answers have is passed over when read, an entity inside another has no
    references of its own unless it is expanded, and none back to what encloses it.
    """
    values = {}
    enclosing = enclosing or (obj.tag,)
    is_reference = len(enclosing) > 1 and isinstance(obj, Resource) and not obj.expanded
    for member in members(type(obj)):
        value = getattr(obj, member.name)
        if value is None or member.wire.secret or member.name in ("href", "creation_status"):
            continue
        if member.linked and (is_reference or member.element in enclosing):
            continue
        if member.kind is Kind.NESTED:
            if member.many:
                value = [as_written(item, (*enclosing, member.tag, member.item)) for item in value]
            else:
                value = as_written(value, (*enclosing, member.tag))
        values[member.name] = value
    return type(obj)(**values)


def without_ours(obj: Representation) -> Any:
    """The instance as a client of oVirt's can send it."""
    values = {}
    for member in members(type(obj)):
        value = getattr(obj, member.name)
        if value is None or member.wire.ours or member.name == "href":
            continue
        if member.kind is Kind.NESTED:
            value = [without_ours(item) for item in value] if member.many else without_ours(value)
        values[member.name] = value
    return type(obj)(**values)
