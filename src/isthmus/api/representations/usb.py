"""USB for VMs."""

from __future__ import annotations

from enum import StrEnum

from isthmus.api.codec import Representation


class UsbType(StrEnum):
    LEGACY = "legacy"
    NATIVE = "native"


class Usb(Representation):
    """Whether and how a VM has USB."""

    enabled: bool | None = None
    type: UsbType | None = None
