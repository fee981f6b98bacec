"""Hosts: how to reach them, what their agent last said, and which providers they carry."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isthmus.model.database import Base, Named, Row
from isthmus.model.datacenters import Cluster
from isthmus.model.providers import Provider


class Host(Named, Base):
    __tablename__ = "host"
    __table_args__ = (UniqueConstraint("name"), UniqueConstraint("address", "agent_port"))
    cluster_id: Mapped[str] = mapped_column(ForeignKey("cluster.id"), index=True)
    address: Mapped[str] = mapped_column(String(255))
    ssh_port: Mapped[int] = mapped_column(default=22)
    ssh_user: Mapped[str] = mapped_column(String(64), default="root")
    ssh_fingerprint: Mapped[str] = mapped_column(String(128), default="")
    ssh_host_key: Mapped[str] = mapped_column(Text, default="")
    """Type and base64 of the key seen at first contact, as known_hosts has it: no other machine is deployed."""
    agent_port: Mapped[int] = mapped_column(default=54322)
    status: Mapped[str] = mapped_column(String(32), default="installing")
    """oVirt's words: installing, install_failed, up, maintenance, preparing_for_maintenance, non_responsive,
    non_operational, connecting, reboot."""
    status_reason: Mapped[str] = mapped_column(Text, default="")
    wanted: Mapped[str] = mapped_column(String(16), default="up")
    """up or maintenance."""
    install_wanted: Mapped[int] = mapped_column(default=0)
    """Generation of the wanted installation; ``install_done`` follows it."""
    install_done: Mapped[int] = mapped_column(default=0)
    install_failed: Mapped[int] = mapped_column(default=0)
    install_job_id: Mapped[str | None] = mapped_column(String(36))
    session: Mapped[str] = mapped_column(String(64), default="")
    """Rule 12: the agent's session as last heard; orders are written with it. Empty: none known, no order may go."""
    fenced_session: Mapped[str] = mapped_column(String(64), default="")
    """A session whose host was said to be powered off: an agent that still shows it contradicts that."""
    boot_id: Mapped[str] = mapped_column(String(64), default="")
    certificate_serial: Mapped[str] = mapped_column(String(64), default="")
    certificate_until: Mapped[datetime | None]
    """When the host's certificate ends; renewed before."""
    capabilities: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What the agent reported of itself last, as JSON of CapabilitiesReply."""
    memory: Mapped[int] = mapped_column(BigInteger, default=0)
    seen_at: Mapped[datetime | None]
    cluster: Mapped[Cluster] = relationship()
    providers: Mapped[list[HostProvider]] = relationship(back_populates="host", cascade="all, delete-orphan")


class HostProvider(Row, Base):
    """A provider whose L2 agent the host carries."""

    __tablename__ = "host_provider"
    __table_args__ = (UniqueConstraint("host_id", "provider_id"),)
    host_id: Mapped[str] = mapped_column(ForeignKey("host.id", ondelete="CASCADE"), index=True)
    provider_id: Mapped[str] = mapped_column(ForeignKey("provider.id"), index=True)
    network_mappings: Mapped[str | None]
    """The host's own mapping; None: the provider's."""
    host: Mapped[Host] = relationship(back_populates="providers")
    provider: Mapped[Provider] = relationship()
