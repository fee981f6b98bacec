"""Is a NIC wired? Looked at in the kernel, never believed: says in words what is not there yet (rule 14)."""

from __future__ import annotations

from collections.abc import Mapping

from ..l2agent import L2Agent
from ..metadata import NicRecord
from . import Unwirable
from .bridge import uplink
from .links import Link


def missing(links: Mapping[str, Link], nic: NicRecord, l2: L2Agent) -> str:
    """Empty when frames of this NIC's tap can reach the network. Pure."""
    tap, bridge = links.get(nic.tap), links.get(nic.bridge)
    if tap is None:
        return f"tap {nic.tap} is not there"
    if bridge is None:
        return f"bridge {nic.bridge} is not there"
    if bridge.kind != "bridge":
        return f"{nic.bridge} is no bridge"
    if tap.master != nic.bridge:
        return f"tap {nic.tap} is in {f'bridge {tap.master}' if tap.master else 'no bridge'}, not in {nic.bridge}"
    for link in (bridge, tap):
        if not link.up:
            return f"{link.name} is down"
    if not tap.forwarding:
        return f"bridge {nic.bridge} does not forward for tap {nic.tap} yet"
    return _uplink_missing(links, nic, l2) if nic.kind == "port" else ""


def _uplink_missing(links: Mapping[str, Link], nic: NicRecord, l2: L2Agent) -> str:
    if nic.physical_network in l2.bridges:
        return ""  # the administrator's own bridge: what is in it is the administrator's affair
    try:
        device = uplink(nic, l2, links)
    except Unwirable as error:
        return str(error)
    if not device:
        tunnels = [link for link in links.values() if link.master == nic.bridge and link.kind != "tun"]
        return "" if any(link.up for link in tunnels) else f"bridge {nic.bridge} has no uplink yet"
    link = links.get(device)
    if link is None:
        return f"bridge {nic.bridge} has no uplink: {device} is not there"
    if link.master != nic.bridge:
        where = f"in bridge {link.master}" if link.master else "in no bridge"
        return f"bridge {nic.bridge} has no uplink: {device} is {where}"
    if not link.up or not link.carrier:
        return f"the uplink {device} of bridge {nic.bridge} {'has no carrier' if link.up else 'is down'}"
    if not link.forwarding:
        return f"bridge {nic.bridge} does not forward for its uplink {device}"
    return ""
