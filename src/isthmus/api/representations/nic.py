"""Virtual NICs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified, Representation

if TYPE_CHECKING:
    from isthmus.api.representations.ip import BootProtocol, Ip
    from isthmus.api.representations.network import Network
    from isthmus.api.representations.network_filter import NetworkFilterParameter
    from isthmus.api.representations.template import Template
    from isthmus.api.representations.vm import Vm
    from isthmus.api.representations.vnic_profile import VnicProfile


class NicInterface(StrEnum):
    E1000 = "e1000"
    E1000E = "e1000e"
    PCI_PASSTHROUGH = "pci_passthrough"
    RTL8139 = "rtl8139"
    RTL8139_VIRTIO = "rtl8139_virtio"
    SPAPR_VLAN = "spapr_vlan"
    VIRTIO = "virtio"


class ReportedDeviceType(StrEnum):
    NETWORK = "network"


class Nic(Identified):
    """A NIC of a VM or template."""

    paths = ("vms/{vm.id}/nics/{id}", "templates/{template.id}/nics/{id}")
    actions = ("activate", "deactivate")

    boot_protocol: BootProtocol | None = None
    interface: NicInterface | None = None
    linked: bool | None = None
    mac: Mac | None = None
    network: Network | None = None
    network_filter_parameters: list[NetworkFilterParameter] | None = None
    on_boot: bool | None = None
    plugged: bool | None = None
    reported_devices: list[ReportedDevice] | None = None
    synced: bool | None = None
    template: Template | None = None
    vm: Vm | None = None
    vnic_profile: VnicProfile | None = None


class Mac(Representation):
    """A MAC address."""

    address: str | None = None


class ReportedDevice(Identified):
    """A device as seen from inside the guest."""

    paths = ("vms/{vm.id}/reporteddevices/{id}",)

    ips: list[Ip] | None = None
    mac: Mac | None = None
    type: ReportedDeviceType | None = None
    vm: Vm | None = None
