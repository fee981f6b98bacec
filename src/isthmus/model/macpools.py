"""MAC pools: the addresses that vNICs get when their user names none."""

from __future__ import annotations

from typing import Any

from sqlalchemy import UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from isthmus.model.database import Base, Named


class MacPool(Named, Base):
    __tablename__ = "mac_pool"
    __table_args__ = (UniqueConstraint("name"),)
    is_default: Mapped[bool] = mapped_column(default=False)
    allow_duplicates: Mapped[bool] = mapped_column(default=False)
    ranges: Mapped[list[dict[str, Any]]]
    """[{"from": MAC, "to": MAC}], in order."""
