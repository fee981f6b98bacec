"""Versions."""

from __future__ import annotations

from isthmus.api.codec import Identified


class Version(Identified):
    """A version, of the product, of a cluster, of a program on a host."""

    build: int | None = None
    full_version: str | None = None
    major: int | None = None
    minor: int | None = None
    revision: int | None = None
