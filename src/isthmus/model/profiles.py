"""vNIC profiles: how a vNIC stands on a network."""

from __future__ import annotations

from sqlalchemy import ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from isthmus.model.database import Base, Named
from isthmus.model.networks import Network


class VnicProfile(Named, Base):
    __tablename__ = "vnic_profile"
    __table_args__ = (UniqueConstraint("network_id", "name"),)
    network_id: Mapped[str] = mapped_column(ForeignKey("network.id", ondelete="CASCADE"), index=True)
    port_mirroring: Mapped[bool] = mapped_column(default=False)
    custom_properties: Mapped[dict[str, str]] = mapped_column(default=dict)
    """``SecurityGroups``: absent = the provider's default, empty = none, a comma separated list = those."""
    network: Mapped[Network] = relationship(back_populates="profiles")

    @property
    def security_groups(self) -> list[str] | None:
        text = self.custom_properties.get("SecurityGroups")
        return None if text is None else [g.strip() for g in text.split(",") if g.strip()]
