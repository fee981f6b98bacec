"""Orders as an engine would write them."""

from __future__ import annotations

import uuid
from typing import Any

from isthmus.wire import agent_pb2 as pb

VM = "6a1f0c3e-0000-4000-8000-0000000000aa"
PORT = "2eea7d77-7821-4b5d-9d6f-55b19f3c1f11"
NETWORK = "a2702f22-4822-4d55-8a3f-0c5b2f9f2d10"
NIC = "0c6a8f0e-1111-4111-8111-111111111111"
MAC = "56:6f:00:00:00:01"
KERNEL = "a" * 64


def order(epoch: int = 1, session: str = "s", vm: str = VM) -> pb.Order:
    return pb.Order(vm=vm, epoch=epoch, session=session)


def port_nic(**changes: Any) -> pb.Nic:
    port: dict[str, Any] = {
        "port_id": PORT,
        "network_id": NETWORK,
        "vif_type": "bridge",
        "provider_type": "OPENSTACK_NETWORK",
        "plugin_type": "LINUX_BRIDGE",
        "claim": "claim-1",
        "generation": 3,
        "physical_network": "red",
        "vlan": 500,
    }
    port.update(changes)
    return pb.Nic(id=NIC, name="nic1", mac=MAC, model="virtio", linked=True, port=pb.ProviderPort(**port))


def bridge_nic(bridge: str = "office", number: int = 1) -> pb.Nic:
    return pb.Nic(
        id=str(uuid.UUID(int=number)),
        name=f"nic{number}",
        mac=f"56:6f:00:00:01:{number:02x}",
        model="virtio",
        linked=True,
        host_bridge=pb.HostBridge(bridge=bridge),
    )


def start(epoch: int = 1, session: str = "s", vm: str = VM, **changes: Any) -> pb.StartOrder:
    values: dict[str, Any] = {
        "order": order(epoch, session, vm),
        "name": "web",
        "memory": 192 << 20,
        "vcpus": 1,
        "kernel_sha256": KERNEL,
        "wire_seconds": 20,
    }
    values.update(changes)
    return pb.StartOrder(**values)
