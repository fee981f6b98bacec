"""Templates."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Representation
from isthmus.api.representations.vm_base import VmBase

if TYPE_CHECKING:
    from isthmus.api.representations.disk_attachment import DiskAttachment
    from isthmus.api.representations.nic import Nic
    from isthmus.api.representations.vm import Vm


class TemplateStatus(StrEnum):
    ILLEGAL = "illegal"
    LOCKED = "locked"
    OK = "ok"


class Template(VmBase):
    """What VMs are made from."""

    paths = ("templates/{id}",)

    disk_attachments: list[DiskAttachment] | None = None
    nics: list[Nic] | None = None
    status: TemplateStatus | None = None
    version: TemplateVersion | None = None
    vm: Vm | None = None


class TemplateVersion(Representation):
    """Which version of a template this is."""

    base_template: Template | None = None
    version_name: str | None = None
    version_number: int | None = None
