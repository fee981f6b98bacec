"""Hosts: where VMs run."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from isthmus.api.codec import Identified, Long, Representation, Secret, Wire

if TYPE_CHECKING:
    from isthmus.api.representations.certificate import Certificate
    from isthmus.api.representations.cluster import Cluster, Ksm
    from isthmus.api.representations.cpu import Cpu
    from isthmus.api.representations.display import Display
    from isthmus.api.representations.external_network_provider_configuration import ExternalNetworkProviderConfiguration
    from isthmus.api.representations.host_nic import HostNic
    from isthmus.api.representations.memory_policy import TransparentHugePages
    from isthmus.api.representations.operating_system import OperatingSystem
    from isthmus.api.representations.rng_device import RngSource
    from isthmus.api.representations.ssh import Ssh
    from isthmus.api.representations.version import Version


class AutoNumaStatus(StrEnum):
    DISABLE = "disable"
    ENABLE = "enable"
    UNKNOWN = "unknown"


class ExternalStatus(StrEnum):
    ERROR = "error"
    FAILURE = "failure"
    INFO = "info"
    OK = "ok"
    WARNING = "warning"


class HostProtocol(StrEnum):
    STOMP = "stomp"
    XML = "xml"


class HostStatus(StrEnum):
    CONNECTING = "connecting"
    DOWN = "down"
    ERROR = "error"
    INITIALIZING = "initializing"
    INSTALL_FAILED = "install_failed"
    INSTALLING = "installing"
    INSTALLING_OS = "installing_os"
    KDUMPING = "kdumping"
    MAINTENANCE = "maintenance"
    NON_OPERATIONAL = "non_operational"
    NON_RESPONSIVE = "non_responsive"
    PENDING_APPROVAL = "pending_approval"
    PREPARING_FOR_MAINTENANCE = "preparing_for_maintenance"
    REBOOT = "reboot"
    UNASSIGNED = "unassigned"
    UP = "up"


class HostType(StrEnum):
    OVIRT_NODE = "ovirt_node"
    RHEL = "rhel"
    RHEV_H = "rhev_h"


class KdumpStatus(StrEnum):
    DISABLED = "disabled"
    ENABLED = "enabled"
    UNKNOWN = "unknown"


class SeLinuxMode(StrEnum):
    DISABLED = "disabled"
    ENFORCING = "enforcing"
    PERMISSIVE = "permissive"


class SpmStatus(StrEnum):
    CONTENDING = "contending"
    NONE = "none"
    SPM = "spm"


class VgpuPlacement(StrEnum):
    CONSOLIDATED = "consolidated"
    SEPARATED = "separated"


class Host(Identified):
    """A hypervisor."""

    paths = ("hosts/{id}",)
    collections = ("externalnetworkproviderconfigurations", "nics")
    actions = ("activate", "deactivate", "fence", "install")

    address: str | None = None
    auto_numa_status: AutoNumaStatus | None = None
    certificate: Certificate | None = None
    cluster: Cluster | None = None
    cpu: Cpu | None = None
    device_passthrough: HostDevicePassthrough | None = None
    display: Display | None = None
    external_network_provider_configurations: list[ExternalNetworkProviderConfiguration] | None = None
    external_status: ExternalStatus | None = None
    hardware_information: HardwareInformation | None = None
    kdump_status: KdumpStatus | None = None
    ksm: Ksm | None = None
    libvirt_version: Version | None = None
    max_scheduling_memory: Long = None
    memory: Long = None
    nics: list[HostNic] | None = None
    network_operation_in_progress: bool | None = None
    numa_supported: bool | None = None
    os: OperatingSystem | None = None
    override_iptables: bool | None = None
    ovn_configured: bool | None = None
    port: int | None = None
    protocol: HostProtocol | None = None
    reinstallation_required: bool | None = None
    root_password: Secret = None
    se_linux: SeLinux | None = None
    spm: Spm | None = None
    ssh: Ssh | None = None
    status: HostStatus | None = None
    status_detail: str | None = None
    summary: VmSummary | None = None
    transparent_huge_pages: Annotated[TransparentHugePages | None, Wire(tag="transparent_hugepages")] = None
    type: HostType | None = None
    update_available: bool | None = None
    version: Version | None = None
    vgpu_placement: VgpuPlacement | None = None


class HardwareInformation(Representation):
    """What the machine says of itself."""

    family: str | None = None
    manufacturer: str | None = None
    product_name: str | None = None
    serial_number: str | None = None
    supported_rng_sources: list[RngSource] | None = None
    uuid: str | None = None
    version: str | None = None


class HostDevicePassthrough(Representation):
    """Whether devices of the host can be given to VMs."""

    enabled: bool | None = None


class SeLinux(Representation):
    """The mode of SELinux on a host."""

    mode: SeLinuxMode | None = None


class Spm(Representation):
    """Storage pool manager, a role that no host has here."""

    priority: int | None = None
    status: SpmStatus | None = None


class VmSummary(Representation):
    """How many VMs a host has."""

    active: int | None = None
    migrating: int | None = None
    total: int | None = None
