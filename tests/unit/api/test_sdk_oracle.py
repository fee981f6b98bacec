"""oVirt's own client is the oracle: what we write it reads as meant, what it writes we read as meant, field by field.

Generic over the declared classes: a field that the client does not know fails here unless it is marked as ours.
"""

from __future__ import annotations

from typing import Any

import ovirtsdk4.readers
import ovirtsdk4.writers  # noqa: F401  (registers the writers)
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ovirtsdk4 import types
from ovirtsdk4.reader import Reader
from ovirtsdk4.writer import Writer

from isthmus.api.codec import XML, Representation, Resource, decode, encode, encode_list
from isthmus.api.codec.representation import Kind, Member, members
from tests.unit.api.shapes import CLASSES, as_written, full, instances, without_ours

PREFIX = "/ovirt-engine/api"
THEIRS = [cls for cls in CLASSES if not cls.ours]
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def assert_same(ours: Any, theirs: Any, located: Any, *, root: bool) -> None:
    """Every field of `ours` (as written) is in `theirs`, and nothing else; `located` still knows the parents' ids."""
    assert type(theirs).__name__ == type(ours).__name__
    linked = isinstance(ours, Resource) and (root or located.expanded)
    rels = set(ours.collections) if linked and located.location(PREFIX) else set()
    cls: type[Representation] = type(ours)
    for member in members(cls):
        if member.wire.ours or member.wire.secret:
            continue
        there = getattr(theirs, member.name)
        if member.name == "href":
            assert there == located.location(PREFIX)
            continue
        rel = member.tag.replace("_", "")
        if rel in rels:
            assert there.href == f"{located.location(PREFIX)}/{rel}"
        here = getattr(ours, member.name)
        if here is None:
            assert there is None or (there == [] and rel in rels), member.name
        elif member.many:
            inside = getattr(located, member.name)
            assert len(here) == len(there)
            for x, y, z in zip(here, there, inside, strict=True):
                assert_same_value(member, x, y, z)
        else:
            assert_same_value(member, here, there, getattr(located, member.name))


def assert_same_value(member: Member, here: Any, there: Any, located: Any) -> None:
    if member.kind is Kind.NESTED:
        assert_same(here, there, located, root=False)
    elif member.kind is Kind.ENUM:
        assert there.value == here
    else:
        assert there == here, member.name


def as_theirs(obj: Representation) -> Any:
    """The client's own object with the same values."""
    values = {}
    for member in members(type(obj)):
        value = getattr(obj, member.name)
        if value is None or member.wire.ours or member.name == "href":
            continue
        values[member.name] = [_their_value(member, x) for x in value] if member.many else _their_value(member, value)
    return getattr(types, type(obj).__name__)(**values)


def _their_value(member: Member, value: Any) -> Any:
    if member.kind is Kind.NESTED:
        return as_theirs(value)
    if member.kind is Kind.ENUM:
        return getattr(types, member.target.__name__)(str(value))
    return value


def written_by_client(obj: Representation) -> bytes:
    text: str = Writer.write(as_theirs(obj), root=obj.tag)
    return text.encode()


@pytest.mark.parametrize("cls", THEIRS)
def test_client_reads_every_field(cls: type[Representation]) -> None:
    obj = full(cls)
    assert_same(as_written(obj), Reader.read(encode(obj, XML, PREFIX)), obj, root=True)


@pytest.mark.parametrize("cls", THEIRS)
@few
@given(data=st.data())
def test_client_reads_what_we_write(cls: type[Representation], data: st.DataObject) -> None:
    obj = data.draw(instances(cls))
    assert_same(as_written(obj), Reader.read(encode(obj, XML, PREFIX)), obj, root=True)


@pytest.mark.parametrize("cls", THEIRS)
def test_we_read_every_field_of_the_client(cls: type[Representation]) -> None:
    obj = without_ours(full(cls))
    assert decode(cls, written_by_client(obj), XML) == obj


@pytest.mark.parametrize("cls", THEIRS)
@few
@given(data=st.data())
def test_we_read_what_the_client_writes(cls: type[Representation], data: st.DataObject) -> None:
    obj = without_ours(data.draw(instances(cls)))
    read = decode(cls, written_by_client(obj), XML)
    assert read == obj
    assert read.model_fields_set == obj.model_fields_set


@pytest.mark.parametrize("cls", THEIRS)
def test_client_reads_lists(cls: type[Representation]) -> None:
    one = full(cls)
    for items in ([], [one], [one, cls()]):
        read = Reader.read(b"".join(encode_list(cls, iter(items), XML, PREFIX)))
        assert len(read) == len(items)
        for item, theirs in zip(items, read, strict=True):
            assert_same(as_written(item), theirs, item, root=True)


@pytest.mark.parametrize("cls", THEIRS)
def test_enumerations_are_complete(cls: type[Representation]) -> None:
    for member in members(cls):
        if member.kind is Kind.ENUM and not member.wire.ours:
            theirs = getattr(types, member.target.__name__)
            assert {choice.value for choice in theirs} == set(map(str, member.choices))
