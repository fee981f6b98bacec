"""What was done for a virtual NIC, and when."""

from __future__ import annotations

from pydantic import AwareDatetime

from isthmus.api.codec import Identified, Long


class Moment(Identified):
    """One thing that was done for a NIC: a call to the provider, a hook, wiring, evidence, resume."""

    ours = True

    epoch: Long = None
    request_id: str | None = None
    seconds: float | None = None
    text: str | None = None
    time: AwareDatetime | None = None
    what: str | None = None
