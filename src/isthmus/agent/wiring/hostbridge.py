"""A network without a provider: the Linux bridge of that name on the host.

The administrator's bridge is taken as it is; one that is not there is made, without an uplink: guests on this host
reach each other through it and nothing else.
"""

from __future__ import annotations

from ..metadata import NicRecord
from .links import Links


def make_ready(links: Links, nic: NicRecord) -> None:
    """Idempotent. :raises Unwirable: the name is that of a device which is no bridge."""
    links.ensure_bridge(nic.bridge)
