"""A provider's network on a Linux bridge: ``brq<network id>``, shared with the L2 agent.

For ports of a ``compute:`` owner the L2 agent makes the bridge and leaves the tap to us; until the tap is in it the
guest is deaf, whatever the provider says. The agent finds a bridge made before it and takes it as its own, so we
make it at once, before the tap exists and the L2 agent looks: that saves its polling interval. Left to the L2 agent
is what it does better: an uplink with the host's own addresses (they move to the bridge), a tunnel's device, and a
device that is in another bridge now.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..l2agent import L2Agent
from ..metadata import NicRecord
from . import Unwirable
from .links import Link, Links

_NAME_LIMIT = 15

logger = logging.getLogger(__name__)


def name(network_id: str, physical_network: str, l2: L2Agent) -> str:
    return l2.bridges.get(physical_network) or f"brq{network_id[:11]}"


def uplink(nic: NicRecord, l2: L2Agent, links: Mapping[str, Link]) -> str:
    """The device that carries the network to the outside; empty for a tunnel, whose device is the L2 agent's affair.

    :raises Unwirable: the host has no interface for the physical network.
    """
    if not nic.physical_network or nic.physical_network in l2.bridges:
        return ""
    parent = l2.interfaces.get(nic.physical_network)
    if parent is None:
        known = ", ".join(sorted(l2.mappings)) or "none"
        raise Unwirable(
            f"this host has no interface mapped to physical network {nic.physical_network} (mapped: {known})"
        )
    if not nic.vlan:
        return parent
    made = [
        link.name for link in links.values() if link.kind == "vlan" and link.vlan == nic.vlan and link.parent == parent
    ]
    return made[0] if made else f"{parent}.{nic.vlan}"


def make_ready(links: Links, nic: NicRecord, l2: L2Agent) -> None:
    """Bridge and uplink as far as they are ours to make. Idempotent. :raises Unwirable: waiting would not help."""
    seen = links.all()
    device = uplink(nic, l2, seen)
    if not device:
        return
    bridge = seen.get(nic.bridge)
    if device in seen and seen[device].master == nic.bridge and bridge is not None and bridge.up:
        return
    if device not in seen and nic.vlan:
        parent = seen.get(l2.interfaces[nic.physical_network])
        if parent is None:
            raise Unwirable(
                f"interface {l2.interfaces[nic.physical_network]}, mapped to physical network {nic.physical_network}, "
                "is not there on this host"
            )
        if len(device) > _NAME_LIMIT:
            return  # the L2 agent shortens such a name in its own way
        links.ensure_vlan(parent, device, nic.vlan)
        seen = links.all()
    if device not in seen:
        raise Unwirable(
            f"interface {device}, mapped to physical network {nic.physical_network}, is not there on this host"
        )
    if seen[device].master not in ("", nic.bridge) or links.addresses().get(device):
        logger.debug("%s is in use: bridge %s is left to the L2 agent", device, nic.bridge)
        return
    links.enslave(seen[device], links.ensure_bridge(nic.bridge))
