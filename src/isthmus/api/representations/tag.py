"""Tags, which other types refer to."""

from __future__ import annotations

from isthmus.api.codec import Identified


class Tag(Identified):
    """A tag, by reference only."""

    paths = ("tags/{id}",)

    parent: Tag | None = None
