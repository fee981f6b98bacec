"""Reads single values, of which both formats have the same idea: text, or in JSON a number or boolean just as well."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from isthmus.api.codec.errors import INVALID_VALUE, BadRequest, invalid_value
from isthmus.api.codec.representation import Kind, Member, Representation

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def milliseconds(value: datetime) -> int:
    """Since 1970, as JSON has dates."""
    return (value - _EPOCH) // timedelta(milliseconds=1)


def read(member: Member, raw: Any, parent: str, tag: str | None = None) -> Any:
    """The value of one element, attribute or property.

    Raises BadRequest, naming the element, when it is not of the member's kind or outside its range.
    """
    try:
        return _READERS[member.kind](member, raw)
    except (ValueError, OverflowError):
        raise invalid_value(tag or member.tag, parent, raw, _wanted(member)) from None


def build(cls: type[Representation], values: dict[str, Any]) -> Representation:
    """An instance from values that were read, each under its field's name.

    Raises BadRequest for what only the class itself refuses, such as text that is no Unicode.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        problems = "; ".join(f"'{'.'.join(map(str, e['loc']))}': {e['msg']}" for e in error.errors())
        raise BadRequest(INVALID_VALUE, f"Not a valid '{cls.tag}': {problems}.") from None


def _text(_member: Member, raw: Any) -> str:
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return str(raw)


def _integer(member: Member, raw: Any) -> int:
    if isinstance(raw, (bool, float)):
        raise ValueError
    if isinstance(raw, str):
        raw = raw.strip()
        if not _INTEGER.fullmatch(raw):
            raise ValueError
        raw = int(raw)
    low, high = member.wire.bounds
    if not low <= raw <= high:
        raise ValueError
    return int(raw)


def _boolean(_member: Member, raw: Any) -> bool:
    text = raw.strip().lower() if isinstance(raw, str) else str(raw).lower()
    if text not in _BOOLEANS:
        raise ValueError
    return _BOOLEANS[text]


def _decimal(_member: Member, raw: Any) -> float:
    if isinstance(raw, bool) or (isinstance(raw, str) and "_" in raw):
        raise ValueError
    number = float(raw)
    if not math.isfinite(number):
        raise ValueError
    return number


def _date(_member: Member, raw: Any) -> datetime:
    if isinstance(raw, str) and not _INTEGER.fullmatch(raw):
        value = datetime.fromisoformat(raw.strip())
        # A client that names no zone means the engine's, which keeps its times in UTC.
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(raw, bool):
        raise ValueError
    return _EPOCH + timedelta(milliseconds=int(raw))


def _enum(member: Member, raw: Any) -> Any:
    return member.target(raw.strip() if isinstance(raw, str) else raw)


def _wanted(member: Member) -> str:
    if member.kind is Kind.INTEGER:
        low, high = member.wire.bounds
        return f"an integer between {low} and {high}"
    if member.kind is Kind.ENUM:
        return f"one of {', '.join(member.choices)}"
    return str(member.kind.value)


_READERS: dict[Kind, Callable[[Member, Any], Any]] = {
    Kind.STRING: _text,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.DECIMAL: _decimal,
    Kind.DATE: _date,
    Kind.ENUM: _enum,
}
