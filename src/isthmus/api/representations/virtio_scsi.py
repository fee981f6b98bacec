"""The VirtIO SCSI controller."""

from __future__ import annotations

from isthmus.api.codec import Representation


class VirtioScsi(Representation):
    """Whether a VM has a VirtIO SCSI controller."""

    enabled: bool | None = None
