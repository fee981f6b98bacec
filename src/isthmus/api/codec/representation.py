"""The base classes of all representations, and what a declaration says about a field's place in a document.

A field's annotation says its kind; what an annotation cannot say, a `Wire` in `Annotated` does. `members()` turns a
class into the table that the writers and readers of both formats work from.
"""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

SIGNED_32 = (-(2**31), 2**31 - 1)
UNSIGNED_32 = (0, 2**32 - 1)
SIGNED_64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Wire:
    """What the wire knows of a field beyond its annotation.

    `tag` where it is not the field's own name; `bounds` of an integer; `attribute` in XML instead of an element;
    `secret`: read but never written; `ours`: not in oVirt's API, so no client of oVirt's knows it.
    """

    tag: str | None = None
    bounds: tuple[int, int] = SIGNED_32
    attribute: bool = False
    secret: bool = False
    ours: bool = False


Long = Annotated[int | None, Wire(bounds=SIGNED_64)]
Unsigned = Annotated[int | None, Wire(bounds=UNSIGNED_32)]
Secret = Annotated[str | None, Wire(secret=True), Field(repr=False)]


class Kind(Enum):
    """How a value is written as text."""

    STRING = "a string"
    INTEGER = "an integer"
    BOOLEAN = "a boolean: true, false, 1 or 0"
    DECIMAL = "a decimal number"
    DATE = "a date in ISO 8601, such as 2026-01-31T12:00:00.000+01:00"
    ENUM = "one of a list"
    NESTED = "an element with members"


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a representation, resolved."""

    name: str
    tag: str
    kind: Kind
    many: bool
    item: str
    target: type[Any]
    wire: Wire

    @property
    def linked(self) -> bool:
        """Whether the value is an entity with a URL of its own, so that inside another one it is a reference."""
        return self.kind is Kind.NESTED and issubclass(self.target, Identified) and bool(self.target.paths)

    @property
    def element(self) -> str:
        """The tag around one value: a list's items have their own."""
        return self.item if self.many else self.tag

    @property
    def choices(self) -> list[StrEnum]:
        """What an ENUM may be."""
        return [choice for choice in self.target if isinstance(choice, StrEnum)]


def snake_case(name: str) -> str:
    """`OpenStackNetwork` is `openstack_network`: oVirt counts OpenStack as one word."""
    out = ""
    for char in name.replace("OpenStack", "Openstack"):
        out += f"_{char.lower()}" if char.isupper() and out else char.lower()
    return out


def pluralised(tag: str) -> str:
    if tag.endswith("y") and tag[-2] not in "aeiou":
        return tag[:-1] + "ies"
    return tag + "s"


class Representation(BaseModel):
    """A piece of a document. All fields are optional: absent is None and not in `model_fields_set`.

    `tag` and `plural` come from the class's name unless a class sets them. `ours` marks a class that oVirt has not.
    """

    model_config = ConfigDict(extra="forbid", defer_build=True)

    tag: ClassVar[str]
    plural: ClassVar[str]
    ours: ClassVar[bool] = False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "tag" not in cls.__dict__:
            cls.tag = snake_case(cls.__name__)
        if "plural" not in cls.__dict__:
            cls.plural = pluralised(cls.tag)


class Link(Representation):
    """A link beyond those that the class declares; `href` is relative to the API's root unless it starts with `/`."""

    href: str
    rel: str

    def location(self, prefix: str) -> str:
        return self.href if self.href.startswith("/") else f"{prefix}/{self.href}"


class Resource(Representation):
    """Something with a URL of its own.

    `paths` are its possible places under the API's root, such as `vms/{vm.id}/nics/{id}`: the first whose ids are
    all known is taken. `collections` and `actions` are the path segments below it that a client may follow: declare
    only what is served. `searchable` names the collections that also get a search link.
    """

    paths: ClassVar[tuple[str, ...]] = ()
    collections: ClassVar[tuple[str, ...]] = ()
    actions: ClassVar[tuple[str, ...]] = ()
    searchable: ClassVar[tuple[str, ...]] = ()

    # Set to override `paths`: relative to the API's root unless it starts with a slash. Never read from a request.
    href: Annotated[str | None, Wire(attribute=True)] = None
    # Links beyond the declared ones, such as creation_status.
    links: Annotated[list[Link] | None, Wire(ours=True)] = None
    # Inside another entity this one is a reference, written without links, actions and references of its own,
    # unless this is True: set it on what a client's `follow` put there.
    expanded: Annotated[bool, Wire(ours=True)] = False

    def location(self, prefix: str) -> str | None:
        """The href under `prefix` (`/ovirt-engine/api`, with or without a version), or None when an id is missing."""
        if self.href is not None:
            return self.href if self.href.startswith("/") else f"{prefix}/{self.href}"
        for pieces, names in _templates(type(self)):
            ids = [_follow(self, name) for name in names]
            if None not in ids:
                pairs = zip(ids, pieces[1:], strict=True)
                path = pieces[0] + "".join(f"{quote(str(i), safe='')}{piece}" for i, piece in pairs)
                return f"{prefix}/{path}" if path else prefix
        return None


class CreationStatus(StrEnum):
    """How far an asynchronous add has come."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETE = "complete"
    FAILED = "failed"


class Identified(Resource):
    """An entity, or a reference to one when only `id` (or `name`, in a request) is set."""

    id: Annotated[str | None, Wire(attribute=True)] = None
    name: str | None = None
    description: str | None = None
    comment: str | None = None
    creation_status: Annotated[CreationStatus | None, Wire(ours=True)] = None


# Written in this order before all others, so that text-scraping clients find an entity's own name first.
FIRST = ("name", "description", "comment", "creation_status")
# Fields that are no members of the document: written as links and attributes by their own rules.
_APART = frozenset({"href", "links", "expanded"})


@cache
def members(cls: type[Representation]) -> tuple[Member, ...]:
    """The fields of a class in the order of a document: name and its like, plain ones, references and collections."""
    found = [_member(name, info.annotation, info.metadata) for name, info in cls.model_fields.items()]
    found = [member for member in found if member.name not in _APART or member.wire.attribute]
    depth = _depths(cls)

    def rank(member: Member) -> tuple[bool, int, bool, bool, int, str]:
        first = FIRST.index(member.name) if member.name in FIRST else len(FIRST)
        # An entity's own status comes before any that something inside it may have, again for the scrapers.
        later = member.name != "status"
        return not member.wire.attribute, first, later, member.linked, depth[member.name], member.tag

    return tuple(sorted(found, key=rank))


@cache
def elements(cls: type[Representation]) -> dict[str, Member]:
    """The members that may stand inside an element (or a JSON object), by tag."""
    return {member.tag: member for member in members(cls) if not member.wire.attribute}


@cache
def attributes(cls: type[Representation]) -> dict[str, Member]:
    return {m.tag: m for m in members(cls) if m.wire.attribute and m.name != "href"}


def _depths(cls: type[Representation]) -> dict[str, int]:
    depths: dict[str, int] = {}
    for depth, base in enumerate(reversed(cls.__mro__)):
        for name in inspect.get_annotations(base):
            depths.setdefault(name, depth)
    return depths


def _member(name: str, annotation: Any, metadata: list[Any]) -> Member:
    wire = next((item for item in metadata if isinstance(item, Wire)), Wire())
    target = _without_none(annotation)
    many = typing.get_origin(target) is list
    if many:
        target = typing.get_args(target)[0]
    tag = wire.tag or name
    kind = _kind(target)
    item = target.tag if kind is Kind.NESTED else tag.removesuffix("s")
    return Member(name, tag, kind, many, item, target, wire)


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        (annotation,) = (arg for arg in typing.get_args(annotation) if arg is not type(None))
    return annotation


def _kind(target: Any) -> Kind:
    kinds = {
        str: Kind.STRING,
        bool: Kind.BOOLEAN,
        int: Kind.INTEGER,
        float: Kind.DECIMAL,
        datetime: Kind.DATE,
        AwareDatetime: Kind.DATE,
    }
    if target in kinds:
        return kinds[target]
    if issubclass(target, StrEnum):
        return Kind.ENUM
    if issubclass(target, Representation):
        return Kind.NESTED
    raise TypeError(f"{target!r} has no form on the wire")


@cache
def _templates(cls: type[Resource]) -> tuple[tuple[list[str], list[str]], ...]:
    """Each path as the pieces between its placeholders, and the placeholders."""
    split = [path.replace("}", "{").split("{") for path in cls.paths]
    return tuple((parts[0::2], parts[1::2]) for parts in split)


def _follow(resource: Resource, name: str) -> str | None:
    value: Any = resource
    for step in name.split("."):
        value = getattr(value, step, None)
        if value is None:
            return None
    return str(value)
