"""Pools of MAC addresses."""

from __future__ import annotations

from typing import Annotated

from isthmus.api.codec import Identified, Representation, Wire


class MacPool(Identified):
    """Ranges of MAC addresses from which NICs get theirs."""

    paths = ("macpools/{id}",)

    allow_duplicates: bool | None = None
    default_pool: bool | None = None
    ranges: list[Range] | None = None


class Range(Representation):
    """From one address to another, both included."""

    from_: Annotated[str | None, Wire(tag="from")] = None
    to: str | None = None
