"""Disks: a file on the engine's machine, and the VMs that have it.

A disk is added in one of two ways: without a file, and then a sparse raw image of the given size is made in the data
directory (``files/disks``), which goes when the disk is removed; or with a file that is there already (the API's
``external_disk``), under the directories the administrator allowed, which stays when the disk is removed. A qcow2 image
("cow" in the API) is only taken, never made, and only when it stands alone: one that names a backing file would let its
author read any file of the host that runs it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_number, check_text
from isthmus.commands.files import check_file
from isthmus.commands.standing import check_down, get_vm
from isthmus.model import Code, Disk, DiskAttachment, Vm, new_id, note
from isthmus.reconcile.engine import Engine

MOST_BYTES = 1 << 50
INTERFACES = ("virtio", "virtio_scsi", "sata", "ide")
_QCOW2 = b"QFI\xfb"
_QCOW2_HEADER = struct.Struct(">4sIQIIQ")
_QCOW2_FEATURES = struct.Struct(">Q")
_EXTERNAL_DATA = 1 << 2


class NewDisk(TypedDict, total=False):
    name: str
    description: str
    format: str
    """raw or qcow2; absent: raw, or what the file is."""
    size: int
    """Bytes, of an image that is to be made."""
    path: str
    """Of a file that is there already."""


class AttachmentFields(TypedDict, total=False):
    interface: str
    bootable: bool
    active: bool
    read_only: bool


def add_disk(engine: Engine, caller: Caller, **fields: Unpack[NewDisk]) -> str:
    """:raises Refused:"""
    disk_id = new_id()
    made = _make_image(engine, disk_id, fields)
    try:
        with engine.db.write() as session:
            session.add(_disk(engine, disk_id, fields, made))
            _note_added(session, caller, fields, None)
    except BaseException:
        _undo(made)
        raise
    return disk_id


def attach_new_disk(
    engine: Engine, caller: Caller, vm_id: str, disk: NewDisk, **fields: Unpack[AttachmentFields]
) -> str:
    """A disk and its attachment in one. The disk's id. :raises Missing: :raises Refused: :raises InConflict:"""
    disk_id = new_id()
    with engine.db.read() as session:
        _check_attachment(session, vm_id, fields)
    made = _make_image(engine, disk_id, disk)
    try:
        with engine.db.write() as session:
            vm = _check_attachment(session, vm_id, fields)
            session.add(_disk(engine, disk_id, disk, made))
            session.flush()
            session.add(DiskAttachment(vm_id=vm.id, disk_id=disk_id, **fields))
            _note_added(session, caller, disk, vm)
    except BaseException:
        _undo(made)
        raise
    return disk_id


def attach_disk(engine: Engine, caller: Caller, vm_id: str, disk_id: str, **fields: Unpack[AttachmentFields]) -> str:
    """:raises Missing: :raises Refused: :raises InConflict: the VM runs, or the disk is another VM's."""
    with engine.db.write() as session:
        vm = _check_attachment(session, vm_id, fields)
        disk = get_disk(session, disk_id)
        holder = session.scalar(
            select(Vm).join(DiskAttachment, DiskAttachment.vm_id == Vm.id).where(DiskAttachment.disk_id == disk.id)
        )
        if holder is not None:
            raise InConflict(f"Disk {disk.name} is attached to VM {holder.name}: a disk is of one VM at a time.")
        session.add(DiskAttachment(vm_id=vm.id, disk_id=disk.id, **fields))
        note(
            session,
            Code.USER_ATTACH_DISK_TO_VM,
            f"Disk {disk.name} was attached to VM {vm.name} by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
        )
    return disk_id


def update_attachment(
    engine: Engine, caller: Caller, vm_id: str, disk_id: str, **fields: Unpack[AttachmentFields]
) -> str:
    """:raises Missing: :raises Refused: :raises InConflict:"""
    with engine.db.write() as session:
        attachment = get_attachment(session, vm_id, disk_id)
        changed = {key: value for key, value in fields.items() if getattr(attachment, key) != value}
        if not changed:
            return disk_id
        vm = _check_attachment(session, vm_id, fields, attachment.id)
        for key, value in changed.items():
            setattr(attachment, key, value)
        note(
            session,
            Code.USER_UPDATE_VM_DISK,
            f"Disk {attachment.disk.name} of VM {vm.name} was changed by {caller.user}: {', '.join(changed)}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
        )
    return disk_id


def detach_disk(engine: Engine, caller: Caller, vm_id: str, disk_id: str, *, remove: bool = False) -> str:
    """``remove``: the disk goes as well. :raises Missing: :raises InConflict: the VM runs."""
    with engine.db.write() as session:
        attachment = get_attachment(session, vm_id, disk_id)
        vm = _down(session, vm_id)
        name = attachment.disk.name
        images = drop_disks(engine, session, [attachment], keep=not remove)
        note(
            session,
            Code.USER_FINISHED_REMOVE_DISK if remove else Code.USER_DETACH_DISK_FROM_VM,
            f"Disk {name} was {'removed' if remove else 'detached'} from VM {vm.name} by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
        )
    for image in images:
        image.unlink(missing_ok=True)
    return disk_id


def update_disk(
    engine: Engine, caller: Caller, disk_id: str, *, name: str | None = None, description: str | None = None
) -> str:
    """:raises Missing: :raises Refused:"""
    with engine.db.write() as session:
        disk = get_disk(session, disk_id)
        if name is not None:
            disk.name = _check_disk_name(name)
        if description is not None:
            disk.description = check_text(description, f"description of disk {disk.name}")
        note(
            session,
            Code.USER_UPDATE_VM_DISK,
            f"Disk {disk.name} was changed by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
        )
    return disk_id


def remove_disk(engine: Engine, caller: Caller, disk_id: str) -> str:
    """Attached to a VM that is down it is detached first. :raises Missing: :raises InConflict: the VM runs."""
    with engine.db.write() as session:
        disk = get_disk(session, disk_id)
        name = disk.name
        attachments = list(session.scalars(select(DiskAttachment).where(DiskAttachment.disk_id == disk_id)))
        for attachment in attachments:
            _down(session, attachment.vm_id)
        images = drop_disks(engine, session, attachments, keep=True)
        session.flush()
        images = [*images, *_remove_row(engine, session, disk)]
        note(
            session,
            Code.USER_FINISHED_REMOVE_DISK,
            f"Disk {name} was removed by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
        )
    for image in images:
        image.unlink(missing_ok=True)
    return disk_id


def drop_disks(engine: Engine, session: Session, attachments: Iterable[DiskAttachment], *, keep: bool) -> list[Path]:
    """Detach, and unless ``keep`` remove the disks that no other VM has.

    The images to be unlinked once the transaction has committed: one that is unlinked before could be lost in vain.
    """
    disks = []
    for attachment in attachments:
        disks.append(attachment.disk)
        session.delete(attachment)
    session.flush()
    images: list[Path] = []
    for disk in [] if keep else disks:
        if session.scalar(select(DiskAttachment.id).where(DiskAttachment.disk_id == disk.id)) is None:
            images += _remove_row(engine, session, disk)
    return images


def get_disk(session: Session, disk_id: str) -> Disk:
    """:raises Missing:"""
    disk = session.get(Disk, disk_id)
    if disk is None:
        raise Missing(f"There is no disk {disk_id}.")
    return disk


def get_attachment(session: Session, vm_id: str, disk_id: str) -> DiskAttachment:
    """:raises Missing:"""
    attachment = session.scalar(
        select(DiskAttachment).where(DiskAttachment.vm_id == vm_id, DiskAttachment.disk_id == disk_id)
    )
    if attachment is None:
        raise Missing(f"VM {vm_id} has no disk {disk_id}.")
    return attachment


def _own(engine: Engine) -> Path:
    return (engine.data / "files" / "disks").resolve()


def _remove_row(engine: Engine, session: Session, disk: Disk) -> list[Path]:
    session.delete(disk)
    path = Path(disk.path)
    return [path] if path.parent == _own(engine) and path.stem == disk.id else []


def _make_image(engine: Engine, disk_id: str, fields: NewDisk) -> Path | None:
    """The sparse file of a disk that comes without one. :raises Refused: checked here, before anything is written."""
    name = _check_disk_name(fields.get("name", ""))
    if "path" in fields:
        return None
    if fields.get("format", "raw") != "raw":
        raise Refused(f"Disk {name}: an image of format cow is not made here. Name a file that is one, or ask for raw.")
    if "size" not in fields:
        raise Refused(f"Disk {name} needs a provisioned size in bytes, or a file.", "Incomplete parameters")
    size = check_number(fields["size"], f"provisioned size of disk {name} in bytes", 512, MOST_BYTES)
    directory = _own(engine)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / f"{disk_id}.raw"
    try:
        with path.open("xb") as file:
            file.truncate((size + 511) // 512 * 512)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise Refused(f"The image of disk {name} could not be made: {error.strerror}.") from error
    return path


def _disk(engine: Engine, disk_id: str, fields: NewDisk, made: Path | None) -> Disk:
    name = fields.get("name", "")
    path = str(made) if made else check_file(engine, fields["path"], f"file of disk {name}")
    found, size = _look(path, name)
    kind = fields.get("format", found)
    if kind == "qcow2" and found != "qcow2":
        raise Refused(f"Disk {name} is said to be of format cow, but {path} is no qcow2 image.")
    return Disk(
        id=disk_id,
        name=name,
        description=check_text(fields.get("description", ""), f"description of disk {name}"),
        path=path,
        format=kind,
        size=size if kind == found else Path(path).stat().st_size,
    )


def _look(path: str, name: str) -> tuple[str, int]:
    """Format and size that the guest sees. :raises Refused: a qcow2 image that names other files."""
    with open(path, "rb") as file:
        head = file.read(104)
    if not head.startswith(_QCOW2) or len(head) < _QCOW2_HEADER.size + 8:
        return "raw", Path(path).stat().st_size
    _, version, backing, _, _, size = _QCOW2_HEADER.unpack_from(head)
    features = _QCOW2_FEATURES.unpack_from(head, 72)[0] if version >= 3 and len(head) >= 80 else 0
    if backing or features & _EXTERNAL_DATA:
        raise Refused(
            f"Disk {name}: the qcow2 image {path} names another file (a backing or a data file), which is not allowed. "
            "Flatten it first, for instance with qemu-img convert."
        )
    return "qcow2", size


def _undo(made: Path | None) -> None:
    if made:
        made.unlink(missing_ok=True)


def _check_disk_name(name: str) -> str:
    return check_name(
        name,
        "a disk",
        pattern=r"[\w. +:()-]+",
        allowed="letters, digits, blanks and . _ - + : ( ) may stand there",
        limit=255,
    )


def _down(session: Session, vm_id: str) -> Vm:
    vm = get_vm(session, vm_id)
    check_down(session, vm, "given other disks")
    return vm


def _check_attachment(session: Session, vm_id: str, fields: AttachmentFields, own: str | None = None) -> Vm:
    vm = _down(session, vm_id)
    interface = fields.get("interface", "virtio")
    if interface not in INTERFACES:
        raise Refused(f"A disk cannot be attached to VM {vm.name} by {interface}: {', '.join(INTERFACES)} are offered.")
    if fields.get("bootable"):
        other = session.scalar(
            select(Disk.name)
            .join(DiskAttachment, DiskAttachment.disk_id == Disk.id)
            .where(DiskAttachment.vm_id == vm.id, DiskAttachment.bootable, DiskAttachment.id != (own or ""))
        )
        if other is not None:
            raise InConflict(f"VM {vm.name} has a bootable disk already: {other}.")
    return vm


def _note_added(session: Session, caller: Caller, fields: NewDisk, vm: Vm | None) -> None:
    note(
        session,
        Code.USER_ADD_DISK_FINISHED_SUCCESS,
        f"Disk {fields.get('name')} was added{f' to VM {vm.name}' if vm else ''} by {caller.user}.",
        user=caller.user,
        correlation_id=caller.correlation_id,
        vm=vm.id if vm else None,
    )
