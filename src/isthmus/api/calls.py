"""What a route is given, and how it answers.

A route takes `call: Call`, decodes with `call.read(Vm)`, runs a command with `call.engine` and `call.caller`, and
returns one of `call.answer`, `call.created`, `call.accepted`, `call.done`, or `lists.answer` for a collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response

from isthmus.api.codec import CreationStatus, Identified, Link, Representation, decode, encode
from isthmus.api.faults import FAILED, fault
from isthmus.api.negotiation import Negotiated, Params
from isthmus.api.representations import Action, Job
from isthmus.api.sso import signed_in
from isthmus.commands.caller import Caller, Refused
from isthmus.reconcile.engine import Engine

R = TypeVar("R", bound=Representation)


class ApiCall:
    """One request of a signed-in user."""

    def __init__(self, request: Request, body: bytes, user: str) -> None:
        self.engine: Engine = request.app.state.engine
        self.negotiated: Negotiated = request.state.negotiated
        self.caller = Caller(user, self.negotiated.correlation_id)
        self._body = body
        self._content_type = request.headers.get("content-type")

    @property
    def params(self) -> Params:
        return self.negotiated.params

    def read(self, cls: type[R], *, tag: str | None = None) -> R:
        """The body. :raises BadRequest: it is not one of these."""
        return decode(cls, self._body, self._content_type, tag=tag)

    def read_action(self) -> Action:
        """The body of an action; none at all is one without arguments. :raises BadRequest:"""
        return self.read(Action) if self._body.strip() else Action()

    def answer(self, entity: Representation, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        body = encode(entity, self.negotiated.media, self.negotiated.prefix)
        return Response(body, status, headers, f"{self.negotiated.media}; charset=utf-8")

    def created(self, entity: Identified) -> Response:
        return self.answer(entity, 201, self._location(entity))

    def accepted(self, entity: Identified, job_id: str) -> Response:
        """Added here, but work remains: 202, with a link by which the client can see how it goes."""
        entity.creation_status = CreationStatus.IN_PROGRESS
        entity.links = [*(entity.links or ()), Link(rel="creation_status", href=f"jobs/{job_id}")]
        return self.answer(entity, 202, self._location(entity))

    def done(self, action: Action | None = None, *, job_id: str | None = None) -> Response:
        """An action, or a removal, that has been carried out, or accepted as a job."""
        action = action or Action()
        action.status = "complete"
        if job_id:
            action.job = Job(id=job_id)
        return self.answer(action)

    def refuse(self, refusal: Refused) -> Response:
        """For what is refused by no exception, such as a job that has failed."""
        return fault(self.negotiated, refusal.status, refusal.reason or FAILED, refusal.detail)

    def _location(self, entity: Identified) -> dict[str, str]:
        location = entity.location(self.negotiated.prefix)
        return {"Location": location} if location else {}


async def _body(request: Request) -> bytes:
    return await request.body()


async def _call(
    request: Request, body: Annotated[bytes, Depends(_body)], user: Annotated[str, Depends(signed_in)]
) -> ApiCall:
    return ApiCall(request, body, user)


Call = Annotated[ApiCall, Depends(_call)]
