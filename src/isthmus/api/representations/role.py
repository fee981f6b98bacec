"""Roles."""

from __future__ import annotations

from isthmus.api.codec import Identified


class Role(Identified):
    """A set of permits."""

    paths = ("roles/{id}",)

    administrative: bool | None = None
    mutable: bool | None = None
    permits: list[Permit] | None = None


class Permit(Identified):
    """Something that one may do."""

    paths = ("roles/{role.id}/permits/{id}",)

    administrative: bool | None = None
    role: Role | None = None
