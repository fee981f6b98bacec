"""What can go wrong with a call to an in-process other side, and how a test says so."""

from __future__ import annotations

import enum
import fnmatch
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.neutron_world import Reply

PATIENCE = 30.0
"""Seconds after which a test that waits for something fails."""


class Kind(enum.StrEnum):
    """What can go wrong with one call."""

    ANSWER = "answer"
    """Answer ``status`` with ``error_type`` and ``message`` (or the HTML of ``page``) instead; ``commit=True``: after
    carrying it out."""
    DROP_REPLY = "drop reply"
    """Carry it out, then break the connection off. ``hang=True``: say nothing instead."""
    LATE = "late"
    """Break off; carry it out at ``land()``. ``hang=True``: say nothing instead of breaking off."""
    HANG = "hang"
    """Say nothing, until the caller leaves or ``land()``, and carry nothing out."""
    RESET = "reset"
    """Reset the connection; carry nothing out."""
    GARBAGE = "garbage"
    """Carry it out and answer success with ``body`` for a body."""
    SLOW = "slow"
    """Carry it out and send the answer a byte every ``interval`` seconds, for as long as the caller listens."""
    DUPLICATE = "duplicate"
    """Carry it out twice, as a proxy that tries again does; answer what the second time gave."""
    HUGE = "huge"
    """Carry it out and answer with a body that does not end."""
    PARTIAL = "partial"
    """Of a bulk create carry out the first ``keep`` objects only, then answer 500."""


@dataclass
class Request:
    method: str
    path: str
    query: list[tuple[str, str]]
    body: Any
    headers: dict[str, str]
    status: int | None = None
    """What was answered; None while it is not, or if nothing was."""

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    def values(self, key: str) -> list[str]:
        return [value for name, value in self.query if name == key]


Match = str | Callable[[Request], bool]


def matches(match: Match, request: Request) -> bool:
    return fnmatch.fnmatchcase(request.line, match) if isinstance(match, str) else match(request)


@dataclass
class Fault:
    match: Match
    kind: Kind
    times: int = 1
    status: int = 500
    error_type: str = "HTTPInternalServerError"
    message: str = "Request Failed: internal server error while processing your request."
    page: str = ""
    commit: bool = False
    hang: bool = False
    body: bytes = b"<html><body>It works!</body></html>"
    interval: float = 0.05
    keep: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    hits: int = 0
    carry_out: Callable[[Request], Reply] = field(kw_only=True)
    gone: threading.Event = field(default_factory=threading.Event)
    _hit: threading.Condition = field(default_factory=threading.Condition)
    _late: list[Request] = field(default_factory=list)

    def wait(self, hits: int = 1) -> None:
        """Until it has happened that often."""
        with self._hit:
            assert self._hit.wait_for(lambda: self.hits >= hits, PATIENCE), f"{self.match}: no such request came"

    def land(self) -> list[Reply]:
        """Carry out what is late (in the order it came), and let go of whoever hangs. What Neutron would answer."""
        with self._hit:
            late, self._late = self._late, []
        replies = [self.carry_out(request) for request in late]
        self.let_go()
        return replies

    def let_go(self) -> None:
        """Break off whoever hangs."""
        self.gone.set()

    def happen(self, request: Request) -> None:
        with self._hit:
            self.hits += 1
            if self.kind is Kind.LATE:
                self._late.append(request)
            self._hit.notify_all()


class Hold:
    """Requests that match wait: before they are carried out, or (``reply=True``) before they are answered."""

    def __init__(self, match: Match, *, reply: bool) -> None:
        self.match = match
        self.reply = reply
        self._changed = threading.Condition()
        self._waiting = 0
        self._open = False

    def wait(self, requests: int = 1) -> None:
        """Until so many have come."""
        with self._changed:
            come = self._changed.wait_for(lambda: self._waiting >= requests, PATIENCE)
            assert come, f"{self.match}: {self._waiting} of {requests} came"

    def let_go(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def enter(self) -> None:
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._open)
