"""Virtual machines."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from isthmus.api.representations.vm_base import VmBase

if TYPE_CHECKING:
    from isthmus.api.representations.disk_attachment import DiskAttachment
    from isthmus.api.representations.host import Host
    from isthmus.api.representations.nic import Nic, ReportedDevice
    from isthmus.api.representations.operating_system import GuestOperatingSystem
    from isthmus.api.representations.template import Template
    from isthmus.api.representations.time_zone import TimeZone


class NumaTuneMode(StrEnum):
    INTERLEAVE = "interleave"
    PREFERRED = "preferred"
    STRICT = "strict"


class VmStatus(StrEnum):
    DOWN = "down"
    IMAGE_LOCKED = "image_locked"
    MIGRATING = "migrating"
    NOT_RESPONDING = "not_responding"
    PAUSED = "paused"
    POWERING_DOWN = "powering_down"
    POWERING_UP = "powering_up"
    REBOOT_IN_PROGRESS = "reboot_in_progress"
    RESTORING_STATE = "restoring_state"
    SAVING_STATE = "saving_state"
    SUSPENDED = "suspended"
    UNASSIGNED = "unassigned"
    UNKNOWN = "unknown"
    UP = "up"
    WAIT_FOR_LAUNCH = "wait_for_launch"


class Vm(VmBase):
    """A virtual machine."""

    paths = ("vms/{id}",)
    collections = ("diskattachments", "nics")
    actions = ("shutdown", "start", "stop")

    disk_attachments: list[DiskAttachment] | None = None
    fqdn: str | None = None
    guest_operating_system: GuestOperatingSystem | None = None
    guest_time_zone: TimeZone | None = None
    has_illegal_images: bool | None = None
    host: Host | None = None
    next_run_configuration_exists: bool | None = None
    nics: list[Nic] | None = None
    numa_tune_mode: NumaTuneMode | None = None
    original_template: Template | None = None
    reported_devices: list[ReportedDevice] | None = None
    run_once: bool | None = None
    start_time: AwareDatetime | None = None
    status: VmStatus | None = None
    status_detail: str | None = None
    stop_reason: str | None = None
    stop_time: AwareDatetime | None = None
    template: Template | None = None
    use_latest_template_version: bool | None = None
