"""X.509 certificates."""

from __future__ import annotations

from isthmus.api.codec import Identified


class Certificate(Identified):
    """A certificate, with its PEM text as content."""

    content: str | None = None
    organization: str | None = None
    subject: str | None = None
