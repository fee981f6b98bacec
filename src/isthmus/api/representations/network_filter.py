"""Filters of what a NIC may send and receive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.nic import Nic
    from isthmus.api.representations.version import Version


class NetworkFilter(Identified):
    """A filter of libvirt, by name."""

    paths = ("networkfilters/{id}",)

    version: Version | None = None


class NetworkFilterParameter(Identified):
    """A value for a variable of a filter."""

    paths = ("vms/{nic.vm.id}/nics/{nic.id}/networkfilterparameters/{id}",)

    nic: Nic | None = None
    value: str | None = None
