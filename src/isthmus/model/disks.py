"""Disks: a file in the engine's data directory, sent to the host that runs the VM by its checksum."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isthmus.model.database import Base, Named, Row


class Disk(Named, Base):
    __tablename__ = "disk"
    path: Mapped[str] = mapped_column(default="")
    """Of the file on the engine's machine."""
    format: Mapped[str] = mapped_column(String(8), default="raw")
    """raw or qcow2."""
    size: Mapped[int] = mapped_column(BigInteger, default=0)
    """Provisioned, in bytes."""
    status: Mapped[str] = mapped_column(String(16), default="ok")


class DiskAttachment(Row, Base):
    __tablename__ = "disk_attachment"
    vm_id: Mapped[str] = mapped_column(ForeignKey("vm.id", ondelete="CASCADE"), index=True)
    disk_id: Mapped[str] = mapped_column(ForeignKey("disk.id"), index=True)
    interface: Mapped[str] = mapped_column(String(20), default="virtio")
    bootable: Mapped[bool] = mapped_column(default=False)
    active: Mapped[bool] = mapped_column(default=True)
    read_only: Mapped[bool] = mapped_column(default=False)
    disk: Mapped[Disk] = relationship()
