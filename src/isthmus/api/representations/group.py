"""Groups of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.domain import Domain


class Group(Identified):
    """A group of users."""

    paths = ("groups/{id}",)

    domain: Domain | None = None
    domain_entry_id: str | None = None
    namespace: str | None = None
