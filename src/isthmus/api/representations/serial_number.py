"""Serial numbers of VMs."""

from __future__ import annotations

from enum import StrEnum

from isthmus.api.codec import Representation


class SerialNumberPolicy(StrEnum):
    CUSTOM = "custom"
    HOST = "host"
    NONE = "none"
    VM = "vm"


class SerialNumber(Representation):
    """Where the serial number that a guest sees comes from."""

    policy: SerialNumberPolicy | None = None
    value: str | None = None
