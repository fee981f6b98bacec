"""Claims: one vNIC on one network of a provider with one MAC, and the port recorded for it.

A claim outlives its NIC and its VM until its port is known to be gone. ``generation`` grows with every change of what
is wanted; every record of a provider's reply is a compare-and-set on (generation, recorded port, revision): rule 6.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, String, Text, UniqueConstraint, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Mapped, Session, mapped_column

from isthmus.model.database import Base, Row, next_change


class Claim(Row, Base):
    __tablename__ = "claim"
    __table_args__ = (UniqueConstraint("nic_id", "provider_id", "external_network_id", "mac"),)
    nic_id: Mapped[str] = mapped_column(String(36), index=True)
    vm_id: Mapped[str] = mapped_column(String(36), index=True)
    provider_id: Mapped[str] = mapped_column(ForeignKey("provider.id"), index=True)
    network_id: Mapped[str] = mapped_column(String(36))
    external_network_id: Mapped[str] = mapped_column(String(255))
    mac: Mapped[str] = mapped_column(String(17))
    security_groups: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    generation: Mapped[int] = mapped_column(default=0)
    wanted: Mapped[str] = mapped_column(String(8), default="absent", index=True)
    """absent or bound."""
    host_id: Mapped[str | None] = mapped_column(String(36))
    binding_host: Mapped[str] = mapped_column(String(255), default="")
    """What ``binding:host_id`` is to say."""
    port_id: Mapped[str | None] = mapped_column(String(255), index=True)
    seen_host: Mapped[str] = mapped_column(String(255), default="")
    seen_status: Mapped[str] = mapped_column(String(20), default="")
    ready: Mapped[bool] = mapped_column(default=False)
    """Seen, by a GET made after the NIC was wired: bound to the host, usable and ACTIVE (rule 14)."""
    vif_type: Mapped[str] = mapped_column(String(40), default="")
    vif_details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    addresses: Mapped[list[str]] = mapped_column(default=list)
    revision: Mapped[int] = mapped_column(default=0)
    """Of this row: grows with every record, so that two replies to one snapshot cannot both be recorded."""
    problem: Mapped[str] = mapped_column(Text, default="")
    problem_final: Mapped[bool] = mapped_column(default=False)
    """The same call would fail again: a start is given up at once."""
    owed_since: Mapped[datetime | None]
    """When the port ought to have been given back: the age of the debt."""
    tries: Mapped[int] = mapped_column(default=0)
    """Failed calls in a row, for back-off."""


def record(session: Session, claim: Claim, **values: Any) -> bool:
    """Rule 6: write what a reply said, if the row is still the one that the call was made for.

    ``claim`` is the snapshot the caller read (in one statement) before its call. False: somebody was quicker, or the
    wish has changed; the news is thrown away, and what it left at the provider is the sweep's to find.
    """
    result = session.execute(
        update(Claim)
        .where(
            Claim.id == claim.id,
            Claim.generation == claim.generation,
            Claim.revision == claim.revision,
            Claim.port_id.is_(None) if claim.port_id is None else Claim.port_id == claim.port_id,
        )
        .values(revision=Claim.revision + 1, change=next_change(session), **values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)  # noqa: S101 - what an UPDATE returns
    return result.rowcount == 1
