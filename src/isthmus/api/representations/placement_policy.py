"""On which hosts a VM may run."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Representation

if TYPE_CHECKING:
    from isthmus.api.representations.host import Host


class VmAffinity(StrEnum):
    MIGRATABLE = "migratable"
    PINNED = "pinned"
    USER_MIGRATABLE = "user_migratable"


class VmPlacementPolicy(Representation):
    """On which hosts a VM may run."""

    affinity: VmAffinity | None = None
    hosts: list[Host] | None = None
