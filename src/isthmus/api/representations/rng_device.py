"""Sources of randomness."""

from __future__ import annotations

from enum import StrEnum

from isthmus.api.codec import Representation


class RngSource(StrEnum):
    HWRNG = "hwrng"
    RANDOM = "random"
    URANDOM = "urandom"


class RngDevice(Representation):
    """A source of randomness for the guest."""

    rate: Rate | None = None
    source: RngSource | None = None


class Rate(Representation):
    """How many bytes in which time."""

    bytes: int | None = None
    period: int | None = None
