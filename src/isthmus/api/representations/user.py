"""Users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified, Secret

if TYPE_CHECKING:
    from isthmus.api.representations.domain import Domain
    from isthmus.api.representations.group import Group


class User(Identified):
    """Somebody who can log in."""

    paths = ("users/{id}",)

    department: str | None = None
    domain: Domain | None = None
    domain_entry_id: str | None = None
    email: str | None = None
    groups: list[Group] | None = None
    last_name: str | None = None
    logged_in: bool | None = None
    namespace: str | None = None
    password: Secret = None
    principal: str | None = None
    user_name: str | None = None
