"""Disks."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified, Long

if TYPE_CHECKING:
    from isthmus.api.representations.storage_domain import StorageDomain
    from isthmus.api.representations.template import Template
    from isthmus.api.representations.vm import Vm


class DiskBackup(StrEnum):
    INCREMENTAL = "incremental"
    NONE = "none"


class DiskBackupMode(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"


class DiskContentType(StrEnum):
    BACKUP_SCRATCH = "backup_scratch"
    DATA = "data"
    HOSTED_ENGINE = "hosted_engine"
    HOSTED_ENGINE_CONFIGURATION = "hosted_engine_configuration"
    HOSTED_ENGINE_METADATA = "hosted_engine_metadata"
    HOSTED_ENGINE_SANLOCK = "hosted_engine_sanlock"
    ISO = "iso"
    MEMORY_DUMP_VOLUME = "memory_dump_volume"
    MEMORY_METADATA_VOLUME = "memory_metadata_volume"
    OVF_STORE = "ovf_store"


class DiskFormat(StrEnum):
    COW = "cow"
    RAW = "raw"


class DiskInterface(StrEnum):
    IDE = "ide"
    SATA = "sata"
    SPAPR_VSCSI = "spapr_vscsi"
    VIRTIO = "virtio"
    VIRTIO_SCSI = "virtio_scsi"


class DiskStatus(StrEnum):
    ILLEGAL = "illegal"
    LOCKED = "locked"
    OK = "ok"


class DiskStorageType(StrEnum):
    CINDER = "cinder"
    IMAGE = "image"
    LUN = "lun"
    MANAGED_BLOCK_STORAGE = "managed_block_storage"


class QcowVersion(StrEnum):
    QCOW2_V2 = "qcow2_v2"
    QCOW2_V3 = "qcow2_v3"


class ScsiGenericIO(StrEnum):
    DISABLED = "disabled"
    FILTERED = "filtered"
    UNFILTERED = "unfiltered"


class Disk(Identified):
    """A disk, which VMs have by attachments."""

    paths = ("disks/{id}",)

    active: bool | None = None
    actual_size: Long = None
    alias: str | None = None
    backup: DiskBackup | None = None
    backup_mode: DiskBackupMode | None = None
    bootable: bool | None = None
    content_type: DiskContentType | None = None
    external_disk: str | None = None
    format: DiskFormat | None = None
    image_id: str | None = None
    initial_size: Long = None
    interface: DiskInterface | None = None
    logical_name: str | None = None
    propagate_errors: bool | None = None
    provisioned_size: Long = None
    qcow_version: QcowVersion | None = None
    read_only: bool | None = None
    sgio: ScsiGenericIO | None = None
    shareable: bool | None = None
    sparse: bool | None = None
    status: DiskStatus | None = None
    storage_domains: list[StorageDomain] | None = None
    storage_type: DiskStorageType | None = None
    template: Template | None = None
    total_size: Long = None
    uses_scsi_reservation: bool | None = None
    vm: Vm | None = None
    vms: list[Vm] | None = None
    wipe_after_delete: bool | None = None
