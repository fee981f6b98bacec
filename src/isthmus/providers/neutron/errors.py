"""What went wrong between us and Neutron, put into the contract's three kinds, in words for a user."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator

import msgspec
import urllib3

from isthmus.providers.base import (
    Conflict,
    CredentialsWrong,
    NotFound,
    ProviderError,
    ProviderUnwell,
    RequestWrong,
)

LONGEST_QUOTE = 600
"""Characters of the other side's own words that go into a message."""


class NoAnswer(ProviderUnwell):
    """There was no HTTP answer. ``problem`` is one of ``TestResult``'s words; ``seen`` is what was seen, alone."""

    def __init__(self, message: str, problem: str, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.problem = problem
        self.seen = message


class NotNeutron(ProviderUnwell):
    """Something answered, not as Neutron does: a proxy's page, another server. It may be Neutron again later."""

    def __init__(self, message: str, problem: str, advice: str = "", status: int | None = None) -> None:
        super().__init__(message, advice=advice, status=status)
        self.problem = problem


# ------------------------------------------------------------------------------------------ no answer at all


def no_answer(error: BaseException, address: str, limit: float, *, expired: bool = False) -> NoAnswer:
    """Say plainly why there was no answer. ``error`` is what the HTTP libraries raised, causes and all.

    ``expired``: the exchange was cut because its time was up, and the error is what came of that; but a name that was
    still not resolved by then is the reason all the same.
    """
    causes = list(_causes(error))

    def caused_by(*kinds: type[BaseException]) -> BaseException | None:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    if caused_by(urllib3.exceptions.NameResolutionError, socket.gaierror):
        return NoAnswer(
            f"the host name in {address} does not resolve",
            "unresolved",
            "Check the name, and this machine's resolver.",
        )
    if not expired and (trouble := caused_by(ssl.SSLError)):
        return _tls(trouble, address)
    if expired or caused_by(TimeoutError):  # urllib3's own is no sign: its refused connections are of that class too
        return NoAnswer(
            f"{address} did not answer within {limit:g} s",
            "timeout",
            "Check that Neutron runs, and that no firewall drops what is sent to it.",
        )
    if caused_by(ConnectionRefusedError):
        return NoAnswer(
            f"{address} refuses connections",
            "refused",
            "Check that Neutron runs there, and the port in the address.",
        )
    if caused_by(http.client.BadStatusLine) and not caused_by(http.client.RemoteDisconnected):
        return NoAnswer(
            f"what listens at {address} does not speak HTTP",
            "not_provider",
            "Check the port, and whether the address should begin with https://.",
        )
    if lost := caused_by(http.client.HTTPException, ConnectionError, urllib3.exceptions.ProtocolError):
        return NoAnswer(
            f"{address} broke the connection off before its answer was complete ({_plain(str(lost)) or 'closed'})",
            "error",
            "Check that it is Neutron that listens there; its log may say more.",
        )
    unreachable = next((cause for cause in causes if isinstance(cause, OSError) and cause.errno), None)
    if unreachable:
        return NoAnswer(
            f"{address} cannot be reached ({_plain(str(unreachable))})",
            "refused",
            "Check the address, and this machine's routes.",
        )
    return NoAnswer(f"{address} could not be asked ({_plain(str(error))})", "error")


def _tls(error: BaseException, address: str) -> NoAnswer:
    if isinstance(error, ssl.SSLCertVerificationError):
        return NoAnswer(
            f"the certificate of {address} is not trusted ({_plain(error.verify_message)})",
            "tls",
            "Give the CA certificate that signed it, and use the name that it is made out to.",
        )
    return NoAnswer(
        f"no TLS connection could be made to {address} ({_plain(str(error))})",
        "tls",
        "Check whether the address should begin with http:// instead, and the port.",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all it was raised from; the libraries hand causes on in three different ways."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        cause = todo.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        todo += [cause.__cause__, cause.__context__]
        todo += [arg for arg in cause.args if isinstance(arg, BaseException)]
        if isinstance(reason := getattr(cause, "reason", None), BaseException):
            todo.append(reason)


# --------------------------------------------------------------------------------------- an answer that says no


class _NeutronError(msgspec.Struct):
    type: str = ""
    message: str = ""


class _Body(msgspec.Struct):
    """Neutron's own form, and the two of what stands before it (authentication, WSGI)."""

    neutron: _NeutronError | str | None = msgspec.field(default=None, name="NeutronError")
    not_implemented: _NeutronError | str | None = msgspec.field(default=None, name="NotImplementedError")
    error: _NeutronError | str | None = None
    message: str | None = None


def refusal(
    who: str, what: str, status: int, request_id: str | None, body: bytes, *, server: str = ""
) -> ProviderError:
    """The error for an answer that is not a success. ``who`` and ``what`` make the sentence: "X refused to Y"."""
    error_type, words, neutrons_own = _words(body)
    said = f": {words}" if words else f" (HTTP {status})"

    def error(kind: type[ProviderError], verb: str, advice: str = "") -> ProviderError:
        return kind(
            f"{who} {verb} to {what}{said}",
            error_type=error_type,
            request_id=request_id,
            status=status,
            advice=advice,
        )

    if 300 <= status < 400:
        return NotNeutron(
            f"{who} did not answer as Neutron does when asked to {what}: it redirects (HTTP {status})",
            "not_provider",
            "Enter the address that it redirects to, if that is the right one.",
            status,
        )
    if status in (401, 403):
        advice = "Check the provider's credentials, and that they may do this."
        return error(CredentialsWrong, "wants other credentials", advice)
    if status == 404 and not neutrons_own:
        # Never taken for "this object is gone": a proxy's 404 would leave a port behind for ever.
        return NotNeutron(
            f"{who} has no Neutron API at the address given (HTTP 404{f', server {server}' if server else ''})"
            f" when asked to {what}",
            "not_found",
            "Check the port and the path: the address ends at the port, or at /v2.0.",
            status,
        )
    if status == 404:
        return error(NotFound, "refused")
    if status == 409:
        return error(Conflict, "refused")
    if status in (408, 425, 429) or (status >= 500 and status != 501):
        return error(ProviderUnwell, "was not able", "It is tried again later; Neutron's log has the request.")
    if status == 501 or neutrons_own:
        return error(RequestWrong, "refused")
    return NotNeutron(
        f"{who} did not answer as Neutron does when asked to {what} (HTTP {status}"
        f"{f', server {server}' if server else ''})",
        "not_provider",
        "Check that the address is Neutron's, and whether it should begin with https://.",
        status,
    )


def garbage(who: str, what: str, status: int, request_id: str | None, error: Exception) -> NotNeutron:
    """The answer was a success, but its body is not what Neutron sends."""
    unclear = NotNeutron(
        f"{who} did not answer as Neutron does when asked to {what}: HTTP {status}, {_plain(str(error))}",
        "not_provider",
        "Check that the address is Neutron's, and what stands between.",
        status,
    )
    unclear.request_id = request_id
    return unclear


def _words(body: bytes) -> tuple[str | None, str, bool]:
    """Error type, message, and whether Neutron itself wrote them."""
    try:
        read = msgspec.json.decode(body, type=_Body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None, "", False
    own = read.neutron or read.not_implemented
    said = own or read.error
    if isinstance(said, _NeutronError):
        return _plain(said.type) or None, _plain(said.message), own is not None
    return None, _plain(said or read.message or ""), own is not None


def _plain(words: str) -> str:
    """One line of bounded length: it goes into events, logs and pages."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split()).rstrip(".")
    return line if len(line) <= LONGEST_QUOTE else line[: LONGEST_QUOTE - 1] + "…"
