"""How a VM has a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.disk import Disk, DiskInterface
    from isthmus.api.representations.template import Template
    from isthmus.api.representations.vm import Vm


class DiskAttachment(Identified):
    """A disk as a VM sees it; its id is the disk's."""

    paths = ("vms/{vm.id}/diskattachments/{id}", "templates/{template.id}/diskattachments/{id}")

    active: bool | None = None
    bootable: bool | None = None
    disk: Disk | None = None
    interface: DiskInterface | None = None
    logical_name: str | None = None
    pass_discard: bool | None = None
    read_only: bool | None = None
    template: Template | None = None
    uses_scsi_reservation: bool | None = None
    vm: Vm | None = None
