"""Virtual machines: what is wanted of each, what was last seen, and on which hosts it may run."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isthmus.model.database import Base, Named, Row
from isthmus.model.datacenters import Cluster
from isthmus.model.nics import Nic


class Vm(Named, Base):
    """Truth about a running VM is libvirt on its host; this row holds the wish, the epoch and what was last heard."""

    __tablename__ = "vm"
    __table_args__ = (UniqueConstraint("name"),)
    cluster_id: Mapped[str] = mapped_column(ForeignKey("cluster.id"), index=True)
    memory: Mapped[int] = mapped_column(BigInteger, default=1 << 30)
    """Bytes."""
    sockets: Mapped[int] = mapped_column(default=1)
    cores: Mapped[int] = mapped_column(default=1)
    threads: Mapped[int] = mapped_column(default=1)
    os_type: Mapped[str] = mapped_column(String(40), default="other")
    kernel: Mapped[str] = mapped_column(default="")
    initrd: Mapped[str] = mapped_column(default="")
    cmdline: Mapped[str] = mapped_column(Text, default="")
    custom_properties: Mapped[dict[str, str]] = mapped_column(default=dict)
    placement_host_id: Mapped[str | None] = mapped_column(String(36))
    """The only host it may be started on, if its user pinned it."""
    created_at: Mapped[datetime]

    wanted: Mapped[str] = mapped_column(String(8), default="down")
    """up or down."""
    epoch: Mapped[int] = mapped_column(BigInteger, default=0)
    """Of the newest order; only grows (rules 11 and 13)."""
    order: Mapped[str] = mapped_column(String(8), default="")
    """start or stop: what the order of this epoch says; empty before the first."""
    graceful: Mapped[bool] = mapped_column(default=False)
    """The stop is a shutdown that the guest may take its time over."""
    host_id: Mapped[str | None] = mapped_column(ForeignKey("host.id"), index=True)
    """Where it runs, or is to run."""
    status: Mapped[str] = mapped_column(String(24), default="down", index=True)
    """oVirt's words: down, wait_for_launch, powering_up, up, paused, powering_down, not_responding, unknown."""
    seen_state: Mapped[str] = mapped_column(String(16), default="")
    """What the agent last said under this epoch: '', paused, running."""
    ordered_at: Mapped[datetime | None]
    """When the present order was written, or its files were last seen on their way: the wait is counted from here."""
    wired_at: Mapped[datetime | None]
    """When the agent said that the guest is wired: the plug wait is counted from here."""
    stop_reason: Mapped[str] = mapped_column(Text, default="")
    failed: Mapped[bool] = mapped_column(default=False)
    """The last run was given up or ended in error, for the reason in ``stop_reason``."""
    started_at: Mapped[datetime | None]
    stopped_at: Mapped[datetime | None]
    job_id: Mapped[str | None] = mapped_column(String(36))
    correlation_id: Mapped[str] = mapped_column(String(64), default="")
    started_by: Mapped[str] = mapped_column(String(255), default="")
    cluster: Mapped[Cluster] = relationship()
    nics: Mapped[list[Nic]] = relationship(back_populates="vm", order_by="Nic.name", cascade="all, delete-orphan")
    may_run: Mapped[list[MayRun]] = relationship(back_populates="vm", cascade="all, delete-orphan")


class MayRun(Row, Base):
    """Rule 11: the VM may run on this host. Entered by the transaction that writes an order which may make it so;
    left only on the host's word "not here, epoch e", or its confirmed power-off under e, e being the present epoch.
    """

    __tablename__ = "may_run"
    __table_args__ = (UniqueConstraint("vm_id", "host_id"),)
    vm_id: Mapped[str] = mapped_column(ForeignKey("vm.id", ondelete="CASCADE"), index=True)
    host_id: Mapped[str] = mapped_column(ForeignKey("host.id"), index=True)
    epoch: Mapped[int] = mapped_column(BigInteger)
    """Of the order that was written for this host last."""
    session: Mapped[str] = mapped_column(String(64))
    """Rule 12: the agent's session that the order carries."""
    vm: Mapped[Vm] = relationship(back_populates="may_run")
