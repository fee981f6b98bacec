"""From what a client sent to what a command takes: only the fields that were there."""

from __future__ import annotations

from typing import Any

from isthmus.api.codec import Identified, Representation


def sent(entity: Representation, *names: str, **renamed: str) -> dict[str, Any]:
    """The fields of these names that the client sent; `ours="theirs"` where the command has another name for one."""
    pairs = [(name, name) for name in names] + list(renamed.items())
    there = entity.model_fields_set
    return {ours: getattr(entity, theirs) for ours, theirs in pairs if theirs in there}


def named(entity: Identified) -> dict[str, Any]:
    """What every entity lets its user say of it."""
    return sent(entity, "name", "description", "comment")
