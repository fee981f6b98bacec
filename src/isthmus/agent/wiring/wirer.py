"""What the VMs' side asks of the wiring: make ready, plug, look, clear away."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from isthmus.wire import agent_pb2 as pb

from .. import l2agent
from ..domain import tap_name
from ..metadata import NicRecord
from . import Unwirable, bridge, evidence, hostbridge, links

PLUGIN_LINUX_BRIDGE = "LINUX_BRIDGE"


class Wirer:
    def __init__(self, mappings_file: Path) -> None:
        self._mappings_file = mappings_file

    def record(self, nic: pb.Nic) -> NicRecord:
        """How this NIC will be wired here, for the domain's metadata.

        :raises Unwirable: a kind of port that this agent does not wire.
        """
        record = NicRecord(
            id=nic.id, name=nic.name, mac=nic.mac, tap=tap_name(nic), bridge=nic.host_bridge.bridge, kind="host-bridge"
        )
        if nic.HasField("host_bridge"):
            return record
        port = nic.port
        wanted = port.vif_type or {PLUGIN_LINUX_BRIDGE: "bridge"}.get(port.plugin_type, port.plugin_type)
        if wanted in ("binding_failed", "unbound"):
            raise Unwirable(
                f"the provider has not bound port {port.port_id} to this host (vif_type {wanted}): its L2 agent here "
                "was not alive, or has no mapping for the network"
            )
        if wanted != "bridge":
            raise Unwirable(f"the provider wants vif_type {wanted or '(none)'}; this agent wires: bridge")
        return replace(
            record,
            bridge=bridge.name(port.network_id, port.physical_network, self._l2()),
            kind="port",
            port=port.port_id,
            network=port.network_id,
            claim=port.claim,
            generation=port.generation,
            physical_network=port.physical_network,
            vlan=port.vlan,
        )

    def make_ready(self, nic: NicRecord) -> None:
        """The bridge, before the tap is there. Idempotent. :raises Unwirable: waiting would not help."""
        with links.opened() as kernel:
            if nic.kind == "port":
                bridge.make_ready(kernel, nic, self._l2())
            else:
                hostbridge.make_ready(kernel, nic)

    def plug(self, nic: NicRecord) -> bool:
        """Tap into bridge, both up, when both are there; whether this call had to. Idempotent."""
        with links.opened() as kernel:
            seen = kernel.all()
            tap, target = seen.get(nic.tap), seen.get(nic.bridge)
            if tap is None or target is None or target.kind != "bridge":
                return False
            kernel.enslave(tap, target)
            return tap.master != nic.bridge

    def missing(self, nics: Sequence[NicRecord]) -> dict[str, str]:
        """Per NIC id, in words, what it lacks to be wired; empty when it is. One look for all."""
        if not nics:
            return {}
        try:
            l2 = self._l2()
        except Unwirable as error:
            return {nic.id: str(error) for nic in nics}
        with links.opened() as kernel:
            seen = kernel.all()
        return {nic.id: evidence.missing(seen, nic, l2) for nic in nics}

    def leftover(self, taps: Iterable[str]) -> list[str]:
        """Those of these taps that are still there."""
        with links.opened() as kernel:
            seen = kernel.all()
        return [name for name in taps if name in seen and seen[name].kind == "tun"]

    def remove(self, taps: Iterable[str]) -> None:
        with links.opened() as kernel:
            seen = kernel.all()
            for name in taps:
                if name in seen and seen[name].kind == "tun":
                    kernel.delete(seen[name])

    def _l2(self) -> l2agent.L2Agent:
        try:
            return l2agent.read(self._mappings_file)
        except l2agent.MappingsUnreadable as error:
            raise Unwirable(str(error)) from error
