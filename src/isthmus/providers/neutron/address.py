"""The address a user gives: ``http://host:9696``, with or without a trailing slash or ``/v2.0``."""

from __future__ import annotations

from urllib.parse import urlsplit

from isthmus.providers.base import RequestWrong

VERSION = "/v2.0"

ADVICE = "Give it as http://host:9696 or https://host:9696."


def root_of(url: str) -> str:
    """The address under which ``/v2.0`` lies.

    :raises RequestWrong: the address is malformed; the message says where.
    """
    text = url.strip()
    if not text:
        raise RequestWrong("the provider has no address", advice=ADVICE)
    if any(c.isspace() or not c.isprintable() for c in text):
        raise _malformed(text, "it has a blank in it")
    try:
        parts = urlsplit(text)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError as error:  # a port that is no number or above 65535, a host that cannot be a name or address
        raise _malformed(text, str(error)) from error
    if parts.scheme not in ("http", "https"):
        raise _malformed(text, "it does not begin with http:// or https://")
    if not parts.hostname:
        raise _malformed(text, "it names no host")
    if port == 0:
        raise _malformed(text, "port 0 is none")
    if parts.username is not None or parts.password is not None:
        raise RequestWrong(
            f"the address of {parts.hostname!r} has a user name in it",
            advice="Use the fields for user name and password.",
        )
    if parts.query or parts.fragment:
        raise _malformed(text, "it goes on after its path")
    path = parts.path.rstrip("/")
    if path.endswith(VERSION):
        path = path.removesuffix(VERSION).rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _malformed(text: str, why: str) -> RequestWrong:
    return RequestWrong(f"the address {text!r} is malformed: {why}", advice=ADVICE)
