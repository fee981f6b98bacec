"""What becomes of claims when their vNIC goes, or stands on another network."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.model import Claim, now


def give_up_claims(session: Session, nic_ids: Iterable[str]) -> list[str]:
    """Claims of these vNICs are no longer wanted; for a VM that is down everywhere (rule 10).

    A claim that records a port stays until the port is given back, with a generation of its own, so that a late reply
    is not recorded in it (rule 6). One that records none goes at once; what a call still on its way leaves behind is
    the sweep's to find (rule 7). The ids of those that stay: wake each after the commit.
    """
    left = []
    for claim in session.scalars(select(Claim).where(Claim.nic_id.in_(list(nic_ids)))):
        if claim.wanted == "absent" and claim.port_id is None:
            session.delete(claim)
            continue
        if claim.wanted != "absent":
            claim.wanted = "absent"
            claim.generation += 1
            claim.owed_since = now()
        left.append(claim.id)
    return left
