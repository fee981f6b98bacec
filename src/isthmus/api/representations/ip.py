"""IP addresses."""

from __future__ import annotations

from enum import StrEnum

from isthmus.api.codec import Representation


class BootProtocol(StrEnum):
    AUTOCONF = "autoconf"
    DHCP = "dhcp"
    NONE = "none"
    POLY_DHCP_AUTOCONF = "poly_dhcp_autoconf"
    STATIC = "static"


class IpVersion(StrEnum):
    V4 = "v4"
    V6 = "v6"


class Ip(Representation):
    """An address, and how to get out from it."""

    address: str | None = None
    gateway: str | None = None
    netmask: str | None = None
    version: IpVersion | None = None
