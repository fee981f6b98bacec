"""External providers, as their users configured them, and how they were last seen."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Float, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from isthmus.model.database import Base, Named
from isthmus.model.secrets import Secret


class Provider(Named, Base):
    __tablename__ = "provider"
    __table_args__ = (UniqueConstraint("name"),)
    type: Mapped[str] = mapped_column(String(40))
    """The provider type's own name, as its entry point has it: neutron, unmanaged."""
    url: Mapped[str] = mapped_column(default="")
    authentication_url: Mapped[str] = mapped_column(default="")
    requires_authentication: Mapped[bool] = mapped_column(default=False)
    username: Mapped[str] = mapped_column(default="")
    password: Mapped[str | None] = mapped_column(Secret("provider.password"))
    tenant_name: Mapped[str] = mapped_column(default="")
    plugin_type: Mapped[str] = mapped_column(String(40), default="")
    """LINUX_BRIDGE, OPEN_VSWITCH, or another that the user named."""
    network_mappings: Mapped[str] = mapped_column(default="")
    broker_type: Mapped[str] = mapped_column(String(20), default="")
    broker_host: Mapped[str] = mapped_column(default="")
    broker_port: Mapped[int | None]
    broker_username: Mapped[str] = mapped_column(default="")
    broker_password: Mapped[str | None] = mapped_column(Secret("provider.broker_password"))
    read_only: Mapped[bool] = mapped_column(default=False)
    auto_sync: Mapped[bool] = mapped_column(default=False)
    plug_wait: Mapped[float] = mapped_column(Float, default=60.0)
    """Seconds from the guest being wired until its ports must be ready; then the run is given up."""
    healthy: Mapped[bool | None]
    """As last seen; None: never asked."""
    problem: Mapped[str] = mapped_column(Text, default="")
    seen_at: Mapped[datetime | None]
