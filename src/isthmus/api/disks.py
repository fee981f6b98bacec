"""Disks, and their attachments to VMs.

A disk that is added with `external_disk`, the path of a file on the engine's machine, is that file; one without gets an
empty sparse raw image of its `provisioned_size`. `storage_domains` and `sparse` say nothing here.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import cast

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.fields import sent
from isthmus.commands.caller import Refused
from isthmus.commands.disks import (
    AttachmentFields,
    NewDisk,
    add_disk,
    attach_disk,
    attach_new_disk,
    detach_disk,
    get_attachment,
    get_disk,
    remove_disk,
    update_attachment,
    update_disk,
)
from isthmus.commands.standing import get_vm
from isthmus.model import Disk, DiskAttachment

router = APIRouter()
FIELDS: lists.Fields = {"name": Disk.name, "alias": Disk.name, "id": Disk.id, "description": Disk.description}
_FORMATS = {rep.DiskFormat.RAW: "raw", rep.DiskFormat.COW: "qcow2"}
_NAMES = {name: shown for shown, name in _FORMATS.items()}


def representation(row: Disk) -> rep.Disk:
    return rep.Disk(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        alias=row.name,
        actual_size=_used(row.path),
        content_type=rep.DiskContentType.DATA,
        external_disk=row.path,
        format=_NAMES[row.format],
        provisioned_size=row.size,
        shareable=False,
        sparse=True,
        status=rep.DiskStatus(row.status),
        storage_type=rep.DiskStorageType.IMAGE,
        total_size=row.size,
    )


def attachment(row: DiskAttachment) -> rep.DiskAttachment:
    return rep.DiskAttachment(
        id=row.disk_id,
        active=row.active,
        bootable=row.bootable,
        disk=rep.Disk(id=row.disk_id),
        interface=rep.DiskInterface(row.interface),
        read_only=row.read_only,
        vm=rep.Vm(id=row.vm_id),
    )


@router.get("/disks")
def list_disks(call: Call) -> Response:
    with call.engine.db.read() as session:
        rows = session.scalars(lists.page(call, select(Disk), FIELDS)).all()
        items = follow.expand(call, session, [representation(row) for row in rows])
    return lists.answer(call, rep.Disk, items)


@router.post("/disks")
def post_disk(call: Call) -> Response:
    return call.created(_disk(call, add_disk(call.engine, call.caller, **_new(call.read(rep.Disk)))))


@router.get("/disks/{disk_id}")
def get_one_disk(call: Call, disk_id: str) -> Response:
    return call.answer(_disk(call, disk_id))


@router.put("/disks/{disk_id}")
def put_disk(call: Call, disk_id: str) -> Response:
    body = call.read(rep.Disk)
    shown = _disk(call, disk_id)
    for name in ("provisioned_size", "format", "external_disk"):
        if getattr(body, name) not in (None, getattr(shown, name)):
            raise Refused(f"The {name} of disk {shown.name} cannot be changed: its name and description can.")
    update_disk(call.engine, call.caller, disk_id, name=body.name or body.alias, description=body.description)
    return call.answer(_disk(call, disk_id))


@router.delete("/disks/{disk_id}")
def delete_disk(call: Call, disk_id: str) -> Response:
    remove_disk(call.engine, call.caller, disk_id)
    return call.done()


@router.get("/vms/{vm_id}/diskattachments")
def list_attachments(call: Call, vm_id: str) -> Response:
    with call.engine.db.read() as session:
        get_vm(session, vm_id)
        mine = select(DiskAttachment).where(DiskAttachment.vm_id == vm_id).order_by(DiskAttachment.id)
        rows = session.scalars(lists.limited(call, mine)).all()
        items = follow.expand(call, session, [attachment(row) for row in rows])
    return lists.answer(call, rep.DiskAttachment, items)


@router.post("/vms/{vm_id}/diskattachments")
def post_attachment(call: Call, vm_id: str) -> Response:
    body = call.read(rep.DiskAttachment)
    if body.disk is None:
        raise Refused("disk is missing: the id of a disk, or a disk to add.", "Incomplete parameters")
    fields = _fields(body)
    if body.disk.id:
        disk_id = attach_disk(call.engine, call.caller, vm_id, body.disk.id, **fields)
    else:
        disk_id = attach_new_disk(call.engine, call.caller, vm_id, _new(body.disk), **fields)
    return call.created(_attachment(call, vm_id, disk_id))


@router.get("/vms/{vm_id}/diskattachments/{disk_id}")
def get_one_attachment(call: Call, vm_id: str, disk_id: str) -> Response:
    return call.answer(_attachment(call, vm_id, disk_id))


@router.put("/vms/{vm_id}/diskattachments/{disk_id}")
def put_attachment(call: Call, vm_id: str, disk_id: str) -> Response:
    fields = _fields(call.read(rep.DiskAttachment))
    update_attachment(call.engine, call.caller, vm_id, disk_id, **fields)
    return call.answer(_attachment(call, vm_id, disk_id))


@router.delete("/vms/{vm_id}/diskattachments/{disk_id}")
def delete_attachment(call: Call, vm_id: str, disk_id: str) -> Response:
    remove = call.params.flag("detach_only") is False
    detach_disk(call.engine, call.caller, vm_id, disk_id, remove=remove)
    return call.done()


@follow.entity(rep.Disk)
def _find(session: Session, ids: Sequence[str]) -> Mapping[str, rep.Disk]:
    return {row.id: representation(row) for row in session.scalars(select(Disk).where(Disk.id.in_(ids)))}


@follow.collection(rep.Vm, "disk_attachments")
def _attachments(session: Session, vm_ids: Sequence[str]) -> Mapping[str, Sequence[rep.DiskAttachment]]:
    found: dict[str, list[rep.DiskAttachment]] = defaultdict(list)
    rows = select(DiskAttachment).where(DiskAttachment.vm_id.in_(vm_ids)).order_by(DiskAttachment.id)
    for row in session.scalars(rows):
        found[row.vm_id].append(attachment(row))
    return found


def _disk(call: ApiCall, disk_id: str) -> rep.Disk:
    with call.engine.db.read() as session:
        return follow.expand(call, session, [representation(get_disk(session, disk_id))])[0]


def _attachment(call: ApiCall, vm_id: str, disk_id: str) -> rep.DiskAttachment:
    with call.engine.db.read() as session:
        get_vm(session, vm_id)
        return follow.expand(call, session, [attachment(get_attachment(session, vm_id, disk_id))])[0]


def _new(body: rep.Disk) -> NewDisk:
    fields = NewDisk(name=body.name or body.alias or "", description=body.description or "")
    if body.format is not None:
        fields["format"] = _FORMATS[body.format]
    if body.provisioned_size is not None:
        fields["size"] = body.provisioned_size
    if body.external_disk:
        fields["path"] = body.external_disk
    return fields


def _fields(body: rep.DiskAttachment) -> AttachmentFields:
    given = sent(body, "interface", "bootable", "active", "read_only")
    return cast(AttachmentFields, {key: value for key, value in given.items() if value is not None})


def _used(path: str) -> int:
    """Bytes that the file takes on the engine's disk; 0 where it is gone."""
    try:
        return os.stat(path).st_blocks * 512
    except OSError:
        return 0
