"""What client and server settle before any noun is looked at: address, version, form, parameters, correlation.

`Negotiation` wraps the application. It takes the API's address with or without `/v4` and a trailing slash, never
redirecting (oVirt's clients follow no redirects), reads matrix parameters of the last path segment, bounds bodies,
echoes the correlation id, and turns whatever goes wrong unexpectedly into a fault.

No session is ever kept in a cookie, so a browser cannot be made to act by another site's page: every request carries
its own `Authorization` header.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.api.codec import JSON, MAX_BODY, UNREADABLE, XML, BodyTooLarge
from isthmus.api.faults import fault

log = logging.getLogger(__name__)

ROOT = "/ovirt-engine/api"
_DRAINED = 16 * MAX_BODY
"""Bytes of a body too large that are read and thrown away, so that its sender gets to read the answer."""
_TRUE, _FALSE = frozenset({"t", "true", "y", "yes", "1", ""}), frozenset({"f", "false", "n", "no", "0"})
_SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Params:
    """Parameters of the query and, below it, of the last path segment (`/vms;max=5`)."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        return self._values.get(name)

    def flag(self, name: str) -> bool | None:
        """None when absent or, as oVirt has it, no boolean; a parameter without a value is true."""
        value = self._values.get(name)
        if value is None:
            return None
        return True if value.lower() in _TRUE else False if value.lower() in _FALSE else None

    def number(self, name: str) -> int | None:
        """None when absent or no integer."""
        value = self._values.get(name, "")
        return int(value) if re.fullmatch(r"[+-]?[0-9]{1,18}", value) else None


@dataclass(frozen=True)
class Negotiated:
    prefix: str = ROOT
    """What hrefs begin with: the version again if the request had it in its path."""
    media: str = XML
    correlation_id: str = ""
    params: Params = field(default_factory=lambda: Params({}))


@dataclass(frozen=True)
class _Problem:
    status: int
    detail: str


class Negotiation:
    """The middleware. Routes find its result as `request.state.negotiated`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        negotiated, problem = negotiate(scope)
        scope.setdefault("state", {})["negotiated"] = negotiated
        headers = Headers(scope=scope)
        answer = _Answer(send, negotiated, closing=_announces_stray_body(scope["method"], headers))
        body = _Body(receive, headers)
        try:
            if problem:
                await fault(negotiated, problem.status, UNREADABLE, problem.detail)(scope, body.receive, answer.send)
            elif body.announced > MAX_BODY:
                await body.drain()
                await fault(negotiated, 413, UNREADABLE, body.complaint)(scope, body.receive, answer.send)
            else:
                await self.app(scope, body.receive, answer.send)
        except Exception:
            log.exception("%s %s failed, correlation id %s", scope["method"], scope["path"], negotiated.correlation_id)
            if answer.started:
                raise
            detail = (
                "The engine failed on this request; nothing is known to be changed. Its log has the reason under "
                f"correlation id {negotiated.correlation_id}."
            )
            await fault(negotiated, 500, "Internal error", detail)(scope, receive, answer.send)


def negotiate(scope: Scope) -> tuple[Negotiated, _Problem | None]:
    """Read what was settled, and make the path the canonical one that routes are declared with."""
    headers = Headers(scope=scope)
    problem: _Problem | None = None
    path, matrix = _split_matrix(scope)
    prefix = ROOT
    if path == ROOT or path.startswith(ROOT + "/"):
        rest = path[len(ROOT) :]
        if version := re.match(r"/v([0-9]+)(?=/|$)", rest):
            rest = rest[version.end() :]
            prefix += version[0]
            if version[1] != "4":
                problem = _Problem(400, f"Version {version[1]} of the API is not offered, only version 4.")
        wanted = headers.get("version", "").strip()
        if wanted and not re.fullmatch(r"4(\.[0-9]+)*", wanted):
            problem = _Problem(400, f"Version {wanted[:20]!r} of the API is not offered, only version 4.")
        path = ROOT + rest
    scope["path"] = path.rstrip("/") or "/"
    query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True))
    params = Params({**matrix, **query})
    media = _media(params.text("accept") or headers.get("accept") or "")
    if media is None:
        problem = problem or _Problem(406, f"Answers are made in {XML} and {JSON} only.")
    correlation = headers.get("correlation-id") or params.text("correlation_id") or ""
    correlation = re.sub(r"[^0-9A-Za-z_-]", "", correlation)[:36] or str(uuid.uuid4())
    return Negotiated(prefix, media or XML, correlation, params), problem


def _split_matrix(scope: Scope) -> tuple[str, dict[str, str]]:
    """The path without the parameters of its last segment, and those. Parameters of other segments are dropped."""
    raw = scope.get("raw_path") or scope["path"].encode()
    segments = raw.partition(b"?")[0].decode("latin-1").split("/")
    matrix: dict[str, str] = {}
    for number, segment in enumerate(segments):
        name, _, given = segment.partition(";")
        segments[number] = unquote(name)
        if number == len(segments) - 1 or not any(segments[number + 1 :]):
            matrix.update(parse_qsl(given, keep_blank_values=True, separator=";"))
    return "/".join(segments), matrix


def _media(accept: str) -> str | None:
    """XML unless JSON is liked better; None when neither will do."""
    if not accept.strip():
        return XML
    best: dict[str, float] = {}
    for item in accept.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        try:
            liked = float(quality)
        except ValueError:
            liked = 0.0
        if name in (XML, "text/xml", "*/*", "application/*", "text/*"):
            best[XML] = max(best.get(XML, 0.0), liked)
        if name in (JSON, "text/json", "*/*", "application/*", "text/*"):
            best[JSON] = max(best.get(JSON, 0.0), liked)
    xml, json = best.get(XML, 0.0), best.get(JSON, 0.0)
    if not xml and not json:
        return None
    return JSON if json > xml else XML


def _announces_stray_body(method: str, headers: Headers) -> bool:
    """libgovirt announces a body with a GET and then does not send it: what follows on that connection is lost."""
    return method in ("GET", "HEAD") and headers.get("content-length", "0") != "0"


class _Answer:
    """Adds to the answer what every answer has."""

    def __init__(self, send: Send, negotiated: Negotiated, *, closing: bool) -> None:
        self._send = send
        self._negotiated = negotiated
        self._closing = closing
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["Correlation-Id"] = self._negotiated.correlation_id
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            if self._closing:
                headers["Connection"] = "close"
        await self._send(message)


class _Body:
    """A body of bounded size."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._seen = 0
        length = headers.get("content-length", "")
        self.announced = int(length) if re.fullmatch(r"[0-9]{1,18}", length) else 0

    @property
    def complaint(self) -> str:
        return f"The body has more than {MAX_BODY} bytes, which is the most that is read."

    async def receive(self) -> Message:
        """:raises BodyTooLarge:"""
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > MAX_BODY:
                if message.get("more_body"):
                    await self.drain()
                raise BodyTooLarge(UNREADABLE, self.complaint)
        return message

    async def drain(self) -> None:
        while self._seen <= _DRAINED:
            message = await self._receive()
            self._seen += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                return
