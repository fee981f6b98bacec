"""Signing in: by a form for a token, or by Basic credentials on each call; and signing out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections import deque
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy import delete

from isthmus.api.faults import NotSignedIn
from isthmus.commands.caller import Refused
from isthmus.model import Code, Severity, note, now
from isthmus.model.settings import Token, check_password, get
from isthmus.reconcile.engine import Engine

ADMINISTRATOR = "admin@internal"
TOKEN_LIFE = timedelta(hours=12)
SCOPE = "ovirt-app-api"
_FAILURES, _WINDOW = 10, 60.0
"""So many wrong passwords an address may send in so many seconds; further attempts are not even looked at."""
_ADDRESSES = 10_000
_HASHING = threading.BoundedSemaphore(2)
"""One check of a password takes 16 MB and a twentieth of a second of a processor, by design."""

router = APIRouter(prefix="/ovirt-engine")


class TooManyAttempts(Refused):
    status = 429


class Gate:
    """Checks passwords: slowly the first time, quickly when the same one comes again, and not too many wrong ones.

    What was checked is remembered in memory, under a key of this process, as long as the stored password stays.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._good: tuple[str, bytes] = ("", b"")
        self._failures: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def check(self, engine: Engine, user: str, password: str, address: str) -> bool:
        """:raises TooManyAttempts: this address has sent too many wrong passwords lately."""
        self._refuse_flood(address)
        with engine.db.read() as session:
            kept = get(session, "admin_password")
        digest = hmac.digest(self._key, f"{user}\0{password}".encode(), "sha256")
        if self._good[0] == kept and hmac.compare_digest(self._good[1], digest):
            return True
        with _HASHING:
            right = check_password(password, kept)
        if right and user == ADMINISTRATOR:
            self._good = (kept, digest)
            return True
        self._count_failure(address)
        return False

    def _refuse_flood(self, address: str) -> None:
        with self._lock:
            times = self._failures.get(address)
            while times and times[0] < time.monotonic() - _WINDOW:
                times.popleft()
            if times and len(times) >= _FAILURES:
                wait = int(times[0] + _WINDOW - time.monotonic()) + 1
                raise TooManyAttempts(f"Too many wrong passwords came from {address}. Try again in {wait} s.")

    def _count_failure(self, address: str) -> None:
        with self._lock:
            if address not in self._failures and len(self._failures) >= _ADDRESSES:
                self._failures.pop(next(iter(self._failures)))
            self._failures.setdefault(address, deque()).append(time.monotonic())


def signed_in(request: Request) -> str:
    """The user whose request this is.

    :raises NotSignedIn: without good credentials in its Authorization header. :raises TooManyAttempts:
    """
    engine: Engine = request.app.state.engine
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        with engine.db.read() as session:
            token = session.get(Token, _digest(value.strip()))
        if token is None or token.expires_at <= now():
            raise NotSignedIn("The token is unknown or has expired. Sign in again.")
        return token.user
    if scheme.lower() == "basic":
        user, password = _basic(value)
        if not request.app.state.gate.check(engine, user, password, _address(request)):
            _note_failure(engine, request, user)
            raise NotSignedIn(f"User {user} and this password do not go together.")
        return user
    raise NotSignedIn("This needs a signed-in user: send Basic credentials, or a token as Bearer.")


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body()).decode("utf-8", "replace")
    return dict(parse_qsl(body, keep_blank_values=True))


Form = Annotated[dict[str, str], Depends(_form)]


@router.post("/sso/oauth/token")
def sign_in(request: Request, form: Form) -> Response:
    if request.headers.get("accept", "").strip() != "application/json":
        return _refusal("invalid_request", "The header 'Accept: application/json' is needed.")
    if form.get("grant_type") != "password":
        return _refusal("unsupported_grant_type", "Only the grant type 'password' is offered.")
    if SCOPE not in form.get("scope", "").split():
        return _refusal("invalid_scope", f"The scope must be '{SCOPE}'.")
    user, password = form.get("username", ""), form.get("password", "")
    engine: Engine = request.app.state.engine
    try:
        good = request.app.state.gate.check(engine, user, password, _address(request))
    except TooManyAttempts as flood:
        return _refusal("access_denied", flood.detail, flood.status)
    if not good:
        _note_failure(engine, request, user)
        return _refusal("access_denied", f"User {user} and this password do not go together.", 401)
    value = secrets.token_urlsafe(48)
    expires = now() + TOKEN_LIFE
    with engine.db.write() as session:
        session.execute(delete(Token).where(Token.expires_at <= now()))
        session.add(Token(digest=_digest(value), user=user, expires_at=expires))
        note(
            session,
            Code.USER_VDC_LOGIN,
            f"User {user} signed in from {_address(request)}.",
            user=user,
            correlation_id=request.state.negotiated.correlation_id,
        )
    milliseconds = str(int(expires.timestamp() * 1000))
    return _json({"access_token": value, "scope": SCOPE, "exp": milliseconds, "token_type": "bearer"})


@router.post("/services/sso-logout")
@router.post("/sso/oauth/revoke")
def sign_out(request: Request, form: Form) -> Response:
    engine: Engine = request.app.state.engine
    with engine.db.write() as session:
        token = session.get(Token, _digest(form.get("token", "")))
        if token is not None:
            session.delete(token)
            note(
                session,
                Code.USER_VDC_LOGOUT,
                f"User {token.user} signed out.",
                user=token.user,
                correlation_id=request.state.negotiated.correlation_id,
            )
    return _json({})


def _basic(value: str) -> tuple[str, str]:
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise NotSignedIn("The Basic credentials cannot be read: base64 of 'user:password' is expected.")
    return user, password


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _address(request: Request) -> str:
    return request.client.host if request.client else "an unknown address"


def _note_failure(engine: Engine, request: Request, user: str) -> None:
    shown = "".join(c if c.isprintable() else "?" for c in user[:64])
    with engine.db.write() as session:
        note(
            session,
            Code.USER_VDC_LOGIN_FAILED,
            f"User {shown} could not sign in from {_address(request)}: the password or the user is wrong.",
            severity=Severity.ERROR,
            user=shown,
            correlation_id=request.state.negotiated.correlation_id,
        )


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(document), status, media_type="application/json")


def _refusal(code: str, text: str, status: int = 400) -> Response:
    """Clients see the failure by the key `error`, whatever the status."""
    return _json({"error_code": code, "error": text}, status)
