"""Storage domains, which other types refer to."""

from __future__ import annotations

from isthmus.api.codec import Identified


class StorageDomain(Identified):
    """A storage domain, by reference only."""
