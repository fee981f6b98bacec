"""A VM's serial console."""

from __future__ import annotations

from isthmus.api.codec import Representation


class Console(Representation):
    """Whether there is a serial console."""

    enabled: bool | None = None
