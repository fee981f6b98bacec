"""A VM's screen."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Representation

if TYPE_CHECKING:
    from isthmus.api.representations.certificate import Certificate


class DisplayType(StrEnum):
    SPICE = "spice"
    VNC = "vnc"


class VideoType(StrEnum):
    BOCHS = "bochs"
    CIRRUS = "cirrus"
    QXL = "qxl"
    VGA = "vga"


class Display(Representation):
    """How to get at the screen of a VM."""

    address: str | None = None
    allow_override: bool | None = None
    certificate: Certificate | None = None
    copy_paste_enabled: bool | None = None
    disconnect_action: str | None = None
    disconnect_action_delay: int | None = None
    file_transfer_enabled: bool | None = None
    keyboard_layout: str | None = None
    monitors: int | None = None
    port: int | None = None
    proxy: str | None = None
    secure_port: int | None = None
    single_qxl_pci: bool | None = None
    smartcard_enabled: bool | None = None
    type: DisplayType | None = None
    video_type: VideoType | None = None
