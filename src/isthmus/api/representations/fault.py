"""What went wrong with a request."""

from __future__ import annotations

from isthmus.api.codec import Representation


class Fault(Representation):
    """Why a request was refused: a reason that programs know, a detail for people."""

    detail: str | None = None
    reason: str | None = None
