"""Clusters: hosts that are alike, among which a VM may run anywhere."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified, Representation

if TYPE_CHECKING:
    from isthmus.api.representations.bios import BiosType
    from isthmus.api.representations.cpu import Cpu
    from isthmus.api.representations.data_center import DataCenter
    from isthmus.api.representations.display import Display
    from isthmus.api.representations.external_provider import ExternalProvider
    from isthmus.api.representations.mac_pool import MacPool
    from isthmus.api.representations.memory_policy import MemoryPolicy
    from isthmus.api.representations.migration import MigrationOptions
    from isthmus.api.representations.network import Network
    from isthmus.api.representations.rng_device import RngSource
    from isthmus.api.representations.serial_number import SerialNumber
    from isthmus.api.representations.version import Version


class FipsMode(StrEnum):
    DISABLED = "disabled"
    ENABLED = "enabled"
    UNDEFINED = "undefined"


class FirewallType(StrEnum):
    FIREWALLD = "firewalld"
    IPTABLES = "iptables"


class LogMaxMemoryUsedThresholdType(StrEnum):
    ABSOLUTE_VALUE_IN_MB = "absolute_value_in_mb"
    PERCENTAGE = "percentage"


class MigrateOnError(StrEnum):
    DO_NOT_MIGRATE = "do_not_migrate"
    MIGRATE = "migrate"
    MIGRATE_HIGHLY_AVAILABLE = "migrate_highly_available"


class SwitchType(StrEnum):
    LEGACY = "legacy"
    OVS = "ovs"


class Cluster(Identified):
    """A group of hosts in a data center."""

    paths = ("clusters/{id}",)
    collections = ("networks",)

    ballooning_enabled: bool | None = None
    bios_type: BiosType | None = None
    cpu: Cpu | None = None
    data_center: DataCenter | None = None
    display: Display | None = None
    error_handling: ErrorHandling | None = None
    external_network_providers: list[ExternalProvider] | None = None
    fencing_policy: FencingPolicy | None = None
    fips_mode: FipsMode | None = None
    firewall_type: FirewallType | None = None
    gluster_service: bool | None = None
    ha_reservation: bool | None = None
    ksm: Ksm | None = None
    log_max_memory_used_threshold: int | None = None
    log_max_memory_used_threshold_type: LogMaxMemoryUsedThresholdType | None = None
    mac_pool: MacPool | None = None
    maintenance_reason_required: bool | None = None
    management_network: Network | None = None
    memory_policy: MemoryPolicy | None = None
    migration: MigrationOptions | None = None
    networks: list[Network] | None = None
    optional_reason: bool | None = None
    required_rng_sources: list[RngSource] | None = None
    serial_number: SerialNumber | None = None
    supported_versions: list[Version] | None = None
    switch_type: SwitchType | None = None
    threads_as_cores: bool | None = None
    trusted_service: bool | None = None
    tunnel_migration: bool | None = None
    upgrade_correlation_id: str | None = None
    upgrade_in_progress: bool | None = None
    upgrade_percent_complete: int | None = None
    version: Version | None = None
    virt_service: bool | None = None
    vnc_encryption: bool | None = None


class ErrorHandling(Representation):
    """What happens to VMs when their host fails."""

    on_error: MigrateOnError | None = None


class FencingPolicy(Representation):
    """When a host may be fenced."""

    enabled: bool | None = None


class Ksm(Representation):
    """Sharing of equal memory pages among VMs."""

    enabled: bool | None = None
    merge_across_nodes: bool | None = None
