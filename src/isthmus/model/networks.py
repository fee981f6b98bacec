"""Logical networks, who provides them, and which clusters have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isthmus.model.database import Base, Named, Row

if TYPE_CHECKING:
    from isthmus.model.profiles import VnicProfile
    from isthmus.model.providers import Provider


class Network(Named, Base):
    __tablename__ = "network"
    __table_args__ = (UniqueConstraint("data_center_id", "name"),)
    data_center_id: Mapped[str] = mapped_column(ForeignKey("data_center.id"), index=True)
    vm_network: Mapped[bool] = mapped_column(default=True)
    vlan_id: Mapped[int | None]
    mtu: Mapped[int | None]
    """None: unset, which for an external network means that the provider decides."""
    label: Mapped[str] = mapped_column(String(255), default="")
    stp: Mapped[bool] = mapped_column(default=False)
    provided_by: Mapped[list[NetworkProvision]] = relationship(
        back_populates="network", order_by="NetworkProvision.rank", cascade="all, delete-orphan"
    )
    clusters: Mapped[list[ClusterNetwork]] = relationship(back_populates="network", cascade="all, delete-orphan")
    profiles: Mapped[list[VnicProfile]] = relationship(back_populates="network", cascade="all, delete-orphan")


class NetworkProvision(Row, Base):
    """A network is provided by a provider, under an id of that provider's. Several may provide one network; the
    lowest ``rank`` serves new claims.

    ``external_id`` is None while the network is being made there: ``wish`` then holds what is asked for. One network
    of a provider stands in a data center once.
    """

    __tablename__ = "network_provision"
    __table_args__ = (
        UniqueConstraint("network_id", "provider_id"),
        UniqueConstraint("data_center_id", "provider_id", "external_id"),
    )
    network_id: Mapped[str] = mapped_column(ForeignKey("network.id", ondelete="CASCADE"), index=True)
    data_center_id: Mapped[str] = mapped_column(ForeignKey("data_center.id"))
    provider_id: Mapped[str] = mapped_column(ForeignKey("provider.id"), index=True)
    external_id: Mapped[str | None] = mapped_column(String(255))
    rank: Mapped[int] = mapped_column(default=0)
    physical_network: Mapped[str] = mapped_column(String(255), default="")
    """Neutron's physical network: 'label' in the dialog."""
    segmentation_id: Mapped[int | None]
    network_type: Mapped[str] = mapped_column(String(40), default="")
    made_here: Mapped[bool] = mapped_column(default=False)
    job_id: Mapped[str | None] = mapped_column(String(36))
    """The job that waits for the network to be made at the provider."""
    attempts: Mapped[int] = mapped_column(default=0)
    """Calls to make it that may have reached the provider; above zero it is looked up before it is asked for."""
    network: Mapped[Network] = relationship(back_populates="provided_by")
    provider: Mapped[Provider] = relationship()


class ClusterNetwork(Row, Base):
    __tablename__ = "cluster_network"
    __table_args__ = (UniqueConstraint("cluster_id", "network_id"),)
    cluster_id: Mapped[str] = mapped_column(ForeignKey("cluster.id", ondelete="CASCADE"), index=True)
    network_id: Mapped[str] = mapped_column(ForeignKey("network.id", ondelete="CASCADE"), index=True)
    required: Mapped[bool] = mapped_column(default=False)
    display: Mapped[bool] = mapped_column(default=False)
    migration: Mapped[bool] = mapped_column(default=False)
    management: Mapped[bool] = mapped_column(default=False)
    network: Mapped[Network] = relationship(back_populates="clusters")
