"""A VM's firmware."""

from __future__ import annotations

from enum import StrEnum

from isthmus.api.codec import Representation


class BiosType(StrEnum):
    CLUSTER_DEFAULT = "cluster_default"
    I440FX_SEA_BIOS = "i440fx_sea_bios"
    Q35_OVMF = "q35_ovmf"
    Q35_SEA_BIOS = "q35_sea_bios"
    Q35_SECURE_BOOT = "q35_secure_boot"


class Bios(Representation):
    """Firmware of a VM."""

    boot_menu: BootMenu | None = None
    type: BiosType | None = None


class BootMenu(Representation):
    """Whether the firmware's boot menu is shown."""

    enabled: bool | None = None
