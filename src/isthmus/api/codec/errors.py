"""What the codec raises about a body that it will not take."""

from __future__ import annotations

UNREADABLE = "Request syntactically incorrect."
INVALID_VALUE = "Invalid value"


class BadRequest(Exception):
    """A request is wrong, and sending it again will not help; answer `status` with a fault of these two texts.

    `reason` is one of the few texts that clients of the API know, `detail` names the element and what it held.
    """

    status = 400

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason} {detail}")
        self.reason = reason
        self.detail = detail


class BodyTooLarge(BadRequest):
    """The body is longer than `MAX_BODY` bytes; it was not looked at."""

    status = 413


class UnsupportedMediaType(BadRequest):
    """The body's content type is neither XML nor JSON, or no answer can be made in the type asked for."""

    status = 415


def unreadable(detail: str) -> BadRequest:
    return BadRequest(UNREADABLE, detail)


def invalid_value(tag: str, parent: str, value: object, wanted: str) -> BadRequest:
    shown = repr(value)
    if len(shown) > 80:
        shown = shown[:77] + "..."
    where = f"'{tag}' of '{parent}'" if parent else f"'{tag}'"
    return BadRequest(INVALID_VALUE, f"The value {shown} of {where} is not {wanted}.")
