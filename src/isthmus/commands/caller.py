"""Who asks, and how a command refuses.

A command is a function ``verb_noun(engine, caller, ...)``: it checks, writes what is wanted and the audit event in one
transaction, wakes the reconciler, and returns the id of the row. It waits for no outside party; where an answer of a
provider is needed first, the route asks the provider and hands the answer to the command.
"""

from __future__ import annotations

from dataclasses import dataclass

from isthmus.providers.base import Conflict, CredentialsWrong, NotFound, ProviderError, RequestWrong


@dataclass(frozen=True)
class Caller:
    user: str
    """As events name it: admin@internal."""
    correlation_id: str = ""


class Refused(Exception):
    """A command that changed nothing. ``reason`` is a head line, ``detail`` what failed, on what, and what to do."""

    status = 400

    def __init__(self, detail: str, reason: str = "Operation Failed") -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason


class Missing(Refused):
    """No such object."""

    status = 404


class InConflict(Refused):
    """The object's state, or another object, forbids it."""

    status = 409


class Forbidden(Refused):
    status = 403


class NotNow(Refused):
    """An outside party is not well; the same request may succeed later."""

    status = 503


def refusal_of(error: ProviderError) -> Refused:
    """A provider's refusal (which names the provider) as a command's, with its error type and request id kept."""
    text = str(error)
    text = text[:1].upper() + text[1:]
    if isinstance(error, NotFound):
        return Missing(text)
    if isinstance(error, Conflict):
        return InConflict(text)
    if isinstance(error, RequestWrong | CredentialsWrong):
        return Refused(text)
    return NotNow(text)
