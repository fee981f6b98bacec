"""Starting a VM again when its host fails."""

from __future__ import annotations

from isthmus.api.codec import Representation


class HighAvailability(Representation):
    """Whether a VM is started again elsewhere, and how soon."""

    enabled: bool | None = None
    priority: int | None = None
