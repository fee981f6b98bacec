"""Where a VM may run: only on hosts that can wire every one of its NICs, the least loaded first.

Pure: what is known of the hosts goes in, a choice or each host's reasons come out. The reasons are whole sentences
for whoever tried to start the VM.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from isthmus.wire import agent_pb2 as pb

OVERHEAD = 64 << 20
"""Bytes that QEMU itself needs for a guest."""
RESERVE = 256 << 20
"""Bytes left to the host itself."""

_HOOK = "openstacknet"
_HOOK_POINT = "before_device_create"


class Plugin(enum.StrEnum):
    """How a host's L2 agent wires a provider's ports."""

    LINUX_BRIDGE = "LINUX_BRIDGE"
    OPEN_VSWITCH = "OPEN_VSWITCH"


_UNITS = {
    Plugin.LINUX_BRIDGE: ("neutron-linuxbridge-agent",),
    Plugin.OPEN_VSWITCH: ("neutron-openvswitch-agent",),
}
_WIRES = {Plugin.LINUX_BRIDGE: "bridge", Plugin.OPEN_VSWITCH: "ovs"}
HOST_BRIDGE = "host-bridge"


@dataclass(frozen=True)
class BridgeNeed:
    """A NIC on a network without a provider: the host's Linux bridge of that name."""

    nic: str
    network: str
    bridge: str


@dataclass(frozen=True)
class PortNeed:
    """A NIC on a network of a provider."""

    nic: str
    network: str
    provider: str
    plugin: Plugin
    network_type: str = ""
    """flat, vlan, vxlan, ...; empty when the provider does not say: then only agent and hook are asked for."""
    physical_network: str = ""
    vlan: int | None = None


@dataclass(frozen=True)
class Needs:
    memory: int
    """Bytes."""
    nics: Sequence[BridgeNeed | PortNeed] = ()
    only: frozenset[str] | None = None
    """Ids of the hosts that the VM is pinned to; None: any."""
    avoid: frozenset[str] = frozenset()
    """Ids of hosts that just failed to start it."""


@dataclass(frozen=True)
class HostView:
    """What the engine knows of a host."""

    id: str
    name: str
    up: bool
    why_down: str = ""
    memory: int = 0
    memory_free: int = 0
    """Bytes, as the host last said."""
    committed: int = 0
    """Bytes of the VMs that run there or may run there, as the engine has it: ahead of ``memory_free``."""
    vms: int = 0
    bridges: frozenset[str] = frozenset()
    interfaces: frozenset[str] = frozenset()
    hooks: frozenset[tuple[str, str]] = frozenset()
    """(point, file name)."""
    mappings: dict[str, str] = field(default_factory=dict)
    running_units: frozenset[str] = frozenset()
    wires: frozenset[str] = frozenset()
    vlan_8021q: bool = False
    tunnel_types: frozenset[str] = frozenset()
    """What the provider's list of agents says this host can tunnel (vxlan, ...)."""

    @classmethod
    def seen(
        cls,
        host_id: str,
        name: str,
        said: pb.CapabilitiesReply,
        *,
        up: bool,
        why_down: str = "",
        committed: int = 0,
        vms: int = 0,
        tunnel_types: Iterable[str] = (),
    ) -> HostView:
        """From the agent's own report."""
        return cls(
            id=host_id,
            name=name,
            up=up,
            why_down=why_down,
            memory=said.memory,
            memory_free=said.memory_free,
            committed=committed,
            vms=vms,
            bridges=frozenset(said.bridges),
            interfaces=frozenset(interface.name for interface in said.interfaces),
            hooks=frozenset((hook.point, hook.name) for hook in said.hooks),
            mappings=dict(said.mappings),
            running_units=frozenset(u.name.removesuffix(".service") for u in said.units if u.active),
            wires=frozenset(said.wires),
            vlan_8021q=said.vlan_8021q,
            tunnel_types=frozenset(tunnel_types),
        )


@dataclass(frozen=True)
class Choice:
    host: HostView
    others: tuple[HostView, ...] = ()
    """The other hosts that would do, best first."""


@dataclass(frozen=True)
class Refusal:
    reasons: dict[str, tuple[str, ...]]
    """Host name -> why not. Empty when there are no hosts."""

    def __str__(self) -> str:
        if not self.reasons:
            return "there is no host in the cluster"
        return "; ".join(f"{host}: {', '.join(reasons)}" for host, reasons in sorted(self.reasons.items()))


def place(needs: Needs, hosts: Iterable[HostView]) -> Choice | Refusal:
    """The least loaded host that can run it, or why none can. The same input gives the same answer."""
    fit: list[HostView] = []
    reasons: dict[str, tuple[str, ...]] = {}
    for host in hosts:
        against = tuple(obstacles(needs, host))
        if against:
            reasons[host.name] = against
        else:
            fit.append(host)
    if not fit:
        return Refusal(reasons)
    fit.sort(key=lambda host: (host.committed / max(host.memory, 1), host.vms, host.name, host.id))
    return Choice(fit[0], tuple(fit[1:]))


def obstacles(needs: Needs, host: HostView) -> Iterable[str]:
    """Each reason why this host cannot run it; none: it can."""
    if needs.only is not None and host.id not in needs.only:
        yield "the VM is pinned to other hosts"
        return
    if host.id in needs.avoid:
        yield "a start there has just failed"
    if not host.up:
        yield host.why_down or "the host is not up"
        return
    wanted = needs.memory + OVERHEAD
    left = min(host.memory_free, host.memory - RESERVE - host.committed)
    if wanted > left:
        yield f"{_mib(wanted)} of memory are needed and {_mib(max(left, 0))} are free"
    said: set[str] = set()
    for need in needs.nics:
        found = _bridge_obstacles(need, host) if isinstance(need, BridgeNeed) else _port_obstacles(need, host)
        for reason in found:
            if reason not in said:
                said.add(reason)
                yield reason


def _bridge_obstacles(need: BridgeNeed, host: HostView) -> Iterable[str]:
    """A bridge that is not there is made by the agent, so only another device of that name is in the way."""
    if HOST_BRIDGE not in host.wires:
        yield "its agent cannot plug a NIC into a bridge of the host"
    elif need.bridge in host.interfaces - host.bridges:
        yield f"NIC {need.nic}: {need.bridge} is there, but is no bridge, as network {need.network} needs it"


def _port_obstacles(need: PortNeed, host: HostView) -> Iterable[str]:
    found = list(_plugin_obstacles(need, host)) + list(_reach_obstacles(need, host))
    if not found and _WIRES[need.plugin] not in host.wires:
        yield f"its agent cannot wire ports of provider {need.provider} ({need.plugin})"
    yield from found


def _plugin_obstacles(need: PortNeed, host: HostView) -> Iterable[str]:
    if not host.running_units.intersection(_UNITS[need.plugin]):
        yield f"{_UNITS[need.plugin][0]}, which provider {need.provider} needs, does not run there"
    if need.plugin is Plugin.LINUX_BRIDGE and not any(
        point == _HOOK_POINT and _HOOK in name for point, name in host.hooks
    ):
        yield f"the {_HOOK} hook ({_HOOK_POINT}) is not installed"


def _reach_obstacles(need: PortNeed, host: HostView) -> Iterable[str]:
    if need.network_type in ("", "local"):
        return
    if need.network_type not in ("flat", "vlan"):
        if need.network_type not in host.tunnel_types:
            yield f"NIC {need.nic}: the host has no {need.network_type} tunnels for network {need.network}"
        return
    device = host.mappings.get(need.physical_network)
    if device is None:
        yield (
            f"NIC {need.nic}: nothing is mapped to physical network {need.physical_network} of network {need.network}"
        )
    elif device not in host.interfaces | host.bridges:
        yield f"NIC {need.nic}: {device}, mapped to physical network {need.physical_network}, does not exist"
    elif (
        need.network_type == "vlan"
        and need.plugin is Plugin.LINUX_BRIDGE
        and not host.vlan_8021q
        and f"{device}.{need.vlan}" not in host.interfaces
    ):
        yield (
            f"NIC {need.nic}: the kernel has no 802.1q, and there is no ready device {device}.{need.vlan} "
            f"for VLAN {need.vlan} of network {need.network}"
        )


def _mib(size: int) -> str:
    return f"{size >> 20} MiB"
