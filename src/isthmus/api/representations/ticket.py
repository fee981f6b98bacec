"""Passwords of consoles."""

from __future__ import annotations

from isthmus.api.codec import Representation, Unsigned


class Ticket(Representation):
    """A console's password, and for how many seconds it is good."""

    value: str | None = None
    expiry: Unsigned = None
