"""The kernel's network devices, through netlink. Every change is idempotent."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from . import Unwirable

_IFF_UP = 1
_FORWARDING = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Link:
    name: str
    index: int
    kind: str = ""
    """``bridge``, ``tun``, ``vlan``, ``veth``, ...; empty for hardware."""
    mac: str = ""
    up: bool = False
    carrier: bool = False
    forwarding: bool = False
    """As a port of a bridge."""
    mtu: int = 0
    master: str = ""
    parent: str = ""
    vlan: int = 0


class Links:
    """One netlink socket: not for use by two threads. Made by ``opened``."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def all(self) -> dict[str, Link]:
        messages = list(self._socket.get_links())
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in messages}
        links = (_link(message, names) for message in messages)
        return {link.name: link for link in links}

    def addresses(self) -> dict[str, list[str]]:
        """Per device, ``address/prefix``; link-local IPv6 addresses, which the kernel makes itself, left out."""
        names = {message["index"]: message.get_attr("IFLA_IFNAME") for message in self._socket.get_links()}
        found: dict[str, list[str]] = {}
        for message in self._socket.get_addr():
            address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS") or ""
            if not address.startswith("fe80:"):
                device = names.get(message["index"], "")
                found.setdefault(device, []).append(f"{address}/{message['prefixlen']}")
        return found

    def ensure_bridge(self, name: str) -> Link:
        """A bridge of that name, up, that forwards at once. :raises Unwirable: the name is another device's."""
        link = self.all().get(name)
        if link is None:
            with _tolerating(errno.EEXIST):
                self._socket.link("add", ifname=name, kind="bridge", br_forward_delay=0, br_stp_state=0)
            _no_ipv6(name)
            logger.info("made bridge %s", name)
            link = self.all().get(name)
        if link is None or link.kind != "bridge":
            raise Unwirable(
                f"{name} is there on this host, but is no bridge ({link.kind or 'hardware'})"
                if link
                else f"bridge {name} vanished as soon as it was made"
            )
        self.set_up(link)
        return link

    def ensure_vlan(self, parent: Link, name: str, vlan: int) -> None:
        """:raises Unwirable: this kernel has no 802.1q."""
        try:
            with _tolerating(errno.EEXIST):
                self._socket.link("add", ifname=name, kind="vlan", link=parent.index, vlan_id=vlan)
                logger.info("made VLAN device %s", name)
        except NetlinkError as error:
            raise Unwirable(
                f"the VLAN device {name} is not there and cannot be made ({error}): this kernel has no 802.1q for "
                f"VLAN {vlan}; load the module 8021q, or make the device ready before"
            ) from error

    def enslave(self, link: Link, bridge: Link) -> None:
        if link.master != bridge.name:
            self._socket.link("set", index=link.index, master=bridge.index)
            logger.info("put %s into bridge %s", link.name, bridge.name)
        self.set_up(link)

    def set_up(self, link: Link) -> None:
        if not link.up:
            self._socket.link("set", index=link.index, state="up")

    def delete(self, link: Link) -> None:
        with _tolerating(errno.ENODEV):
            self._socket.link("del", index=link.index)
            logger.info("removed %s", link.name)


@contextmanager
def opened() -> Iterator[Links]:
    with IPRoute() as socket:
        yield Links(socket)


@contextmanager
def _tolerating(number: int) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code != number:
            raise


def _no_ipv6(name: str) -> None:
    """The host itself has no business on a guest network; without this it answers there on its link-local address."""
    try:
        Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
    except FileNotFoundError:
        return  # no IPv6 in this kernel
    except OSError as error:
        logger.warning("IPv6 stays on for bridge %s: %s", name, error)


def _link(message: Any, names: Mapping[int, str]) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else None) or ""
    data = info.get_attr("IFLA_INFO_DATA") if info and kind == "vlan" else None
    port = info.get_attr("IFLA_INFO_SLAVE_DATA") if info else None
    # A parent's index only means something here when it is not in another namespace.
    parent = message.get_attr("IFLA_LINK") if message.get_attr("IFLA_LINK_NETNSID") is None else None
    return Link(
        name=message.get_attr("IFLA_IFNAME"),
        index=message["index"],
        kind=kind,
        mac=message.get_attr("IFLA_ADDRESS") or "",
        up=bool(message["flags"] & _IFF_UP),
        carrier=bool(message.get_attr("IFLA_CARRIER")),
        forwarding=bool(port and hasattr(port, "get_attr") and port.get_attr("IFLA_BRPORT_STATE") == _FORWARDING),
        mtu=message.get_attr("IFLA_MTU") or 0,
        master=names.get(message.get_attr("IFLA_MASTER") or 0, ""),
        parent=names.get(parent, "") if parent else "",
        vlan=(data.get_attr("IFLA_VLAN_ID") or 0) if data else 0,
    )
