"""Data centers, and the clusters of hosts in them."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isthmus.model.database import Base, Named


class DataCenter(Named, Base):
    __tablename__ = "data_center"
    __table_args__ = (UniqueConstraint("name"),)
    mac_pool_id: Mapped[str | None] = mapped_column(ForeignKey("mac_pool.id"))
    clusters: Mapped[list[Cluster]] = relationship(back_populates="data_center")


class Cluster(Named, Base):
    __tablename__ = "cluster"
    __table_args__ = (UniqueConstraint("name"),)
    data_center_id: Mapped[str] = mapped_column(ForeignKey("data_center.id"), index=True)
    mac_pool_id: Mapped[str | None] = mapped_column(ForeignKey("mac_pool.id"))
    cpu_type: Mapped[str] = mapped_column(String(80), default="")
    cpu_architecture: Mapped[str] = mapped_column(String(20), default="x86_64")
    data_center: Mapped[DataCenter] = relationship(back_populates="clusters")
