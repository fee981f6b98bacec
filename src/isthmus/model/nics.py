"""Virtual NICs, and the timeline of what was done for each."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Float, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isthmus.model.database import Base, Row
from isthmus.model.profiles import VnicProfile

if TYPE_CHECKING:
    from isthmus.model.vms import Vm


class Nic(Row, Base):
    __tablename__ = "nic"
    __table_args__ = (UniqueConstraint("vm_id", "name"), UniqueConstraint("mac"))
    vm_id: Mapped[str] = mapped_column(ForeignKey("vm.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    mac: Mapped[str] = mapped_column(String(17))
    """Lower case; unique in the engine (the protocol assumes that a MAC belongs to one claim)."""
    interface: Mapped[str] = mapped_column(String(20), default="virtio")
    plugged: Mapped[bool] = mapped_column(default=True)
    linked: Mapped[bool] = mapped_column(default=True)
    profile_id: Mapped[str | None] = mapped_column(ForeignKey("vnic_profile.id"), index=True)
    profile: Mapped[VnicProfile | None] = relationship()
    vm: Mapped[Vm] = relationship(back_populates="nics")


class Moment(Row, Base):
    """One thing that was done for a NIC: a call to the provider, a hook, wiring, evidence, resume."""

    __tablename__ = "moment"
    nic_id: Mapped[str] = mapped_column(String(36), index=True)
    vm_id: Mapped[str] = mapped_column(String(36), index=True)
    epoch: Mapped[int] = mapped_column(default=0)
    at: Mapped[datetime]
    what: Mapped[str] = mapped_column(String(40))
    """call, binding, hook, tap, plug, evidence, resume, release, problem."""
    text: Mapped[str] = mapped_column(Text, default="")
    request_id: Mapped[str | None] = mapped_column(String(64))
    seconds: Mapped[float | None] = mapped_column(Float)
