"""How memory is promised and taken back."""

from __future__ import annotations

from typing import Annotated

from isthmus.api.codec import Long, Representation, Wire


class MemoryPolicy(Representation):
    """What a VM is promised, and what a cluster allows beyond its memory."""

    ballooning: bool | None = None
    guaranteed: Long = None
    max: Long = None
    over_commit: MemoryOverCommit | None = None
    transparent_huge_pages: Annotated[TransparentHugePages | None, Wire(tag="transparent_hugepages")] = None


class MemoryOverCommit(Representation):
    """Promised memory in percent of what there is."""

    percent: int | None = None


class TransparentHugePages(Representation):
    """Whether huge pages are used without being asked for."""

    tag = "transparent_hugepages"
    plural = "transparent_huge_pagess"

    enabled: bool | None = None
