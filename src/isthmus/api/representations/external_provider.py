"""External providers of any kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified, Secret

if TYPE_CHECKING:
    from isthmus.api.representations.property import Property


class ExternalProvider(Identified):
    """What all kinds of external provider have; as a reference, a network provider."""

    paths = ("openstacknetworkproviders/{id}",)

    authentication_url: str | None = None
    password: Secret = None
    properties: list[Property] | None = None
    requires_authentication: bool | None = None
    url: str | None = None
    username: str | None = None
