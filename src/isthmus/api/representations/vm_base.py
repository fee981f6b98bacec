"""What virtual machines and templates have in common."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from isthmus.api.codec import Identified, Long

if TYPE_CHECKING:
    from isthmus.api.representations.bios import Bios
    from isthmus.api.representations.cluster import Cluster
    from isthmus.api.representations.console import Console
    from isthmus.api.representations.cpu import Cpu
    from isthmus.api.representations.display import Display
    from isthmus.api.representations.high_availability import HighAvailability
    from isthmus.api.representations.memory_policy import MemoryPolicy
    from isthmus.api.representations.migration import MigrationOptions
    from isthmus.api.representations.operating_system import OperatingSystem
    from isthmus.api.representations.placement_policy import VmPlacementPolicy
    from isthmus.api.representations.property import CustomProperty
    from isthmus.api.representations.rng_device import RngDevice
    from isthmus.api.representations.serial_number import SerialNumber
    from isthmus.api.representations.time_zone import TimeZone
    from isthmus.api.representations.usb import Usb
    from isthmus.api.representations.version import Version
    from isthmus.api.representations.virtio_scsi import VirtioScsi


class VmStorageErrorResumeBehaviour(StrEnum):
    AUTO_RESUME = "auto_resume"
    KILL = "kill"
    LEAVE_PAUSED = "leave_paused"


class VmType(StrEnum):
    DESKTOP = "desktop"
    HIGH_PERFORMANCE = "high_performance"
    SERVER = "server"


class VmBase(Identified):
    """What virtual machines and templates have in common."""

    bios: Bios | None = None
    cluster: Cluster | None = None
    console: Console | None = None
    cpu: Cpu | None = None
    cpu_shares: int | None = None
    creation_time: AwareDatetime | None = None
    custom_compatibility_version: Version | None = None
    custom_cpu_model: str | None = None
    custom_emulated_machine: str | None = None
    custom_properties: list[CustomProperty] | None = None
    delete_protected: bool | None = None
    display: Display | None = None
    high_availability: HighAvailability | None = None
    memory: Long = None
    memory_policy: MemoryPolicy | None = None
    migration: MigrationOptions | None = None
    migration_downtime: int | None = None
    multi_queues_enabled: bool | None = None
    origin: str | None = None
    os: OperatingSystem | None = None
    placement_policy: VmPlacementPolicy | None = None
    rng_device: RngDevice | None = None
    serial_number: SerialNumber | None = None
    soundcard_enabled: bool | None = None
    start_paused: bool | None = None
    stateless: bool | None = None
    storage_error_resume_behaviour: VmStorageErrorResumeBehaviour | None = None
    time_zone: TimeZone | None = None
    tpm_enabled: bool | None = None
    tunnel_migration: bool | None = None
    type: VmType | None = None
    usb: Usb | None = None
    virtio_scsi: VirtioScsi | None = None
    virtio_scsi_multi_queues: int | None = None
    virtio_scsi_multi_queues_enabled: bool | None = None
