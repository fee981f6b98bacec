"""Labels of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.network import Network


class NetworkLabel(Identified):
    """A label, whose id is its text; for an external network the provider's physical network."""

    paths = ("networks/{network.id}/networklabels/{id}",)

    network: Network | None = None
