"""Names with values."""

from __future__ import annotations

from isthmus.api.codec import Representation


class Property(Representation):
    """A name with a value."""

    name: str | None = None
    value: str | None = None


class CustomProperty(Representation):
    """A property of a VM or NIC that hooks on the host see."""

    name: str | None = None
    regexp: str | None = None
    value: str | None = None
