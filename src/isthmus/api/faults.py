"""How a refusal looks on the wire: a `<fault>`, in the form the client asked for, never a page or a trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from isthmus.api.codec import INVALID_VALUE, BadRequest, encode
from isthmus.api.representations import Fault
from isthmus.commands.caller import Refused
from isthmus.reconcile.loop import LaneFull

if TYPE_CHECKING:
    from isthmus.api.negotiation import Negotiated

FAILED = "Operation Failed"


class NotSignedIn(Exception):
    """No credentials, or none that are good (any more)."""


def fault(
    negotiated: Negotiated, status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None
) -> Response:
    body = encode(Fault(reason=reason, detail=detail), negotiated.media, negotiated.prefix)
    return Response(body, status, headers, f"{negotiated.media}; charset=utf-8")


def install(app: FastAPI) -> None:
    """Answer every exception that routes and the code below them may raise."""

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> Response:
        return fault(request.state.negotiated, error.status, error.reason, error.detail)

    @app.exception_handler(BadRequest)
    def bad_request(request: Request, error: BadRequest) -> Response:
        return fault(request.state.negotiated, error.status, error.reason, error.detail)

    @app.exception_handler(NotSignedIn)
    def not_signed_in(request: Request, error: NotSignedIn) -> Response:
        headers = {"WWW-Authenticate": 'Basic realm="RESTAPI"'}
        return fault(request.state.negotiated, 401, "Not signed in", str(error), headers)

    @app.exception_handler(LaneFull)
    def lane_full(request: Request, _error: LaneFull) -> Response:
        detail = "Too many calls wait for this provider or host already. It may be hanging; try again later."
        return fault(request.state.negotiated, 503, FAILED, detail, {"Retry-After": "10"})

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return fault(request.state.negotiated, 400, INVALID_VALUE, problems)

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        """What the router itself says: no such path, or no such method on it."""
        path = request.url.path
        detail = {
            404: f"There is nothing at {path}.",
            405: f"{request.method} is not possible on {path}.",
        }.get(error.status_code, str(error.detail))
        return fault(request.state.negotiated, error.status_code, FAILED, detail, error.headers)
