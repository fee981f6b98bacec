"""Directories of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.user import User


class Domain(Identified):
    """A directory of users."""

    paths = ("domains/{id}",)

    user: User | None = None
    users: list[User] | None = None
