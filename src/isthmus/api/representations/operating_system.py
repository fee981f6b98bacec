"""Operating systems, and how they boot."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified, Representation

if TYPE_CHECKING:
    from isthmus.api.representations.cpu import Architecture
    from isthmus.api.representations.version import Version


class BootDevice(StrEnum):
    CDROM = "cdrom"
    HD = "hd"
    NETWORK = "network"


class TpmSupport(StrEnum):
    REQUIRED = "required"
    SUPPORTED = "supported"
    UNSUPPORTED = "unsupported"


class OperatingSystem(Representation):
    """What runs on a VM or host, and how a VM boots."""

    tag = "os"
    plural = "oss"

    boot: Boot | None = None
    cmdline: str | None = None
    custom_kernel_cmdline: str | None = None
    description: str | None = None
    initrd: str | None = None
    kernel: str | None = None
    reported_kernel_cmdline: str | None = None
    type: str | None = None
    version: Version | None = None


class Boot(Representation):
    """From what a VM boots, in this order."""

    devices: list[BootDevice] | None = None


class OperatingSystemInfo(Identified):
    """An operating system that can be chosen for a VM."""

    tag = "operating_system"
    plural = "operation_systems"
    paths = ("operatingsystems/{id}",)

    architecture: Architecture | None = None
    tpm_support: TpmSupport | None = None


class GuestOperatingSystem(Representation):
    """The operating system as seen from inside the guest."""

    architecture: str | None = None
    codename: str | None = None
    distribution: str | None = None
    family: str | None = None
    kernel: Kernel | None = None
    version: Version | None = None


class Kernel(Representation):
    """A kernel."""

    version: Version | None = None
