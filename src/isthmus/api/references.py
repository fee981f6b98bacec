"""References in what a client sends: by id, or by name where an entity's name is its own alone."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.api.codec import Identified
from isthmus.commands.caller import Refused
from isthmus.model.database import Named


def resolve(session: Session, model: type[Named], reference: Identified | None, what: str) -> str:
    """The id that a reference means; one given by id is not looked up, the command does that.

    ``what`` names the element: "cluster". :raises Refused: neither id nor name, or nothing has that name.
    """
    if reference is None or not (reference.id or reference.name):
        raise Refused(f"{what}.id or {what}.name is missing.", "Incomplete parameters")
    if reference.id:
        return reference.id
    found: str | None = session.scalar(select(model.id).where(model.name == reference.name))
    if found is None:
        raise Refused(f"There is no {what.replace('_', ' ')} named {reference.name!r}.")
    return found
