"""NICs of hosts."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.host import Host
    from isthmus.api.representations.ip import BootProtocol, Ip
    from isthmus.api.representations.network import Network, Vlan
    from isthmus.api.representations.nic import Mac


class NicStatus(StrEnum):
    DOWN = "down"
    UP = "up"


class HostNic(Identified):
    """A NIC of a host, as its agent sees it."""

    paths = ("hosts/{host.id}/nics/{id}",)

    base_interface: str | None = None
    boot_protocol: BootProtocol | None = None
    bridged: bool | None = None
    custom_configuration: bool | None = None
    host: Host | None = None
    ip: Ip | None = None
    ipv6: Ip | None = None
    mac: Mac | None = None
    mtu: int | None = None
    network: Network | None = None
    status: NicStatus | None = None
    vlan: Vlan | None = None
