"""Checks of what users write: names, texts, numbers, custom properties. Each refuses by saying what may stand there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from isthmus.commands.caller import Refused

TEXT_LIMIT = 4000
_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")


def check_name(value: str, what: str, *, pattern: str, allowed: str, limit: int) -> str:
    """``allowed`` says in words what ``pattern`` (of the whole name) admits. :raises Refused:"""
    if not value:
        raise Refused(f"{what} needs a name.", "Incomplete parameters")
    if len(value) > limit:
        raise Refused(f"The name of {what} has {len(value)} characters; at most {limit} are allowed.")
    if not re.fullmatch(pattern, value):
        raise Refused(f"The name {value!r} of {what} is not allowed: {allowed}.")
    return value


def check_text(value: str, what: str, *, limit: int = TEXT_LIMIT) -> str:
    """A description, a comment, a command line: no control characters. :raises Refused:"""
    if len(value) > limit:
        raise Refused(f"The {what} has {len(value)} characters; at most {limit} are allowed.")
    if any(ord(c) < 32 and c not in "\t\n\r" for c in value):
        raise Refused(f"The {what} holds control characters.")
    return value


def check_number(value: int, what: str, low: int, high: int) -> int:
    """:raises Refused: outside ``low`` to ``high``."""
    if not low <= value <= high:
        raise Refused(f"The {what} must be between {low} and {high}, not {value}.")
    return value


def check_properties(values: Mapping[str, str], what: str) -> dict[str, str]:
    """Custom properties reach hooks as environment variables: names of such, values of one line. :raises Refused:"""
    for name, value in values.items():
        if not _PROPERTY.fullmatch(name):
            raise Refused(
                f"The custom property {name!r} of {what} is not allowed: letters, digits and _, no digit first."
            )
        check_text(value, f"custom property {name} of {what}")
        if "\n" in value or "\r" in value:
            raise Refused(f"The custom property {name} of {what} has more than one line.")
    return dict(values)
