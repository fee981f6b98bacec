"""Time zones."""

from __future__ import annotations

from isthmus.api.codec import Representation


class TimeZone(Representation):
    """A time zone."""

    name: str | None = None
    utc_offset: str | None = None
