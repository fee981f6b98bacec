"""What the API shows and takes, one file a noun, each declared once for XML and JSON.

The classes refer to one another in circles (a VM has NICs, a NIC its VM), so each module imports the others' names for
type checkers only, and here, where all are known, pydantic gets to know them too.
"""

from __future__ import annotations

from isthmus.api.codec import Representation
from isthmus.api.representations.action import Action, GracePeriod
from isthmus.api.representations.api import Api, ApiSummary, ApiSummaryItem, ProductInfo, SpecialObjects
from isthmus.api.representations.bios import Bios, BiosType, BootMenu
from isthmus.api.representations.certificate import Certificate
from isthmus.api.representations.cluster import (
    Cluster,
    ErrorHandling,
    FencingPolicy,
    FipsMode,
    FirewallType,
    Ksm,
    LogMaxMemoryUsedThresholdType,
    MigrateOnError,
    SwitchType,
)
from isthmus.api.representations.console import Console
from isthmus.api.representations.cpu import Architecture, Cpu, CpuMode, CpuTopology
from isthmus.api.representations.data_center import DataCenter, DataCenterStatus, QuotaModeType, StorageFormat
from isthmus.api.representations.disk import (
    Disk,
    DiskBackup,
    DiskBackupMode,
    DiskContentType,
    DiskFormat,
    DiskInterface,
    DiskStatus,
    DiskStorageType,
    QcowVersion,
    ScsiGenericIO,
)
from isthmus.api.representations.disk_attachment import DiskAttachment
from isthmus.api.representations.display import Display, DisplayType, VideoType
from isthmus.api.representations.domain import Domain
from isthmus.api.representations.event import Event, LogSeverity
from isthmus.api.representations.external_network_provider_configuration import ExternalNetworkProviderConfiguration
from isthmus.api.representations.external_provider import ExternalProvider
from isthmus.api.representations.fault import Fault
from isthmus.api.representations.group import Group
from isthmus.api.representations.high_availability import HighAvailability
from isthmus.api.representations.host import (
    AutoNumaStatus,
    ExternalStatus,
    HardwareInformation,
    Host,
    HostDevicePassthrough,
    HostProtocol,
    HostStatus,
    HostType,
    KdumpStatus,
    SeLinux,
    SeLinuxMode,
    Spm,
    SpmStatus,
    VgpuPlacement,
    VmSummary,
)
from isthmus.api.representations.host_nic import HostNic, NicStatus
from isthmus.api.representations.ip import BootProtocol, Ip, IpVersion
from isthmus.api.representations.job import Job, JobStatus
from isthmus.api.representations.mac_pool import MacPool, Range
from isthmus.api.representations.memory_policy import MemoryOverCommit, MemoryPolicy, TransparentHugePages
from isthmus.api.representations.migration import InheritableBoolean, MigrationOptions, ParallelMigrationsPolicy
from isthmus.api.representations.moment import Moment
from isthmus.api.representations.network import DnsResolverConfiguration, Network, NetworkStatus, NetworkUsage, Vlan
from isthmus.api.representations.network_filter import NetworkFilter, NetworkFilterParameter
from isthmus.api.representations.network_label import NetworkLabel
from isthmus.api.representations.nic import Mac, Nic, NicInterface, ReportedDevice, ReportedDeviceType
from isthmus.api.representations.openstack_network import OpenStackNetwork
from isthmus.api.representations.openstack_network_provider import (
    AgentConfiguration,
    MessageBrokerType,
    NetworkPluginType,
    OpenStackNetworkProvider,
    OpenStackNetworkProviderType,
)
from isthmus.api.representations.openstack_subnet import OpenStackSubnet
from isthmus.api.representations.operating_system import (
    Boot,
    BootDevice,
    GuestOperatingSystem,
    Kernel,
    OperatingSystem,
    OperatingSystemInfo,
    TpmSupport,
)
from isthmus.api.representations.permission import Permission
from isthmus.api.representations.placement_policy import VmAffinity, VmPlacementPolicy
from isthmus.api.representations.property import CustomProperty, Property
from isthmus.api.representations.rng_device import Rate, RngDevice, RngSource
from isthmus.api.representations.role import Permit, Role
from isthmus.api.representations.serial_number import SerialNumber, SerialNumberPolicy
from isthmus.api.representations.ssh import Ssh, SshAuthenticationMethod
from isthmus.api.representations.step import ExternalSystemType, Step, StepEnum, StepStatus
from isthmus.api.representations.storage_domain import StorageDomain
from isthmus.api.representations.tag import Tag
from isthmus.api.representations.template import Template, TemplateStatus, TemplateVersion
from isthmus.api.representations.ticket import Ticket
from isthmus.api.representations.time_zone import TimeZone
from isthmus.api.representations.usb import Usb, UsbType
from isthmus.api.representations.user import User
from isthmus.api.representations.version import Version
from isthmus.api.representations.virtio_scsi import VirtioScsi
from isthmus.api.representations.vm import NumaTuneMode, Vm, VmStatus
from isthmus.api.representations.vm_base import VmBase, VmStorageErrorResumeBehaviour, VmType
from isthmus.api.representations.vnic_profile import VnicPassThrough, VnicPassThroughMode, VnicProfile

__all__ = [
    "Action",
    "AgentConfiguration",
    "Api",
    "ApiSummary",
    "ApiSummaryItem",
    "Architecture",
    "AutoNumaStatus",
    "Bios",
    "BiosType",
    "Boot",
    "BootDevice",
    "BootMenu",
    "BootProtocol",
    "Certificate",
    "Cluster",
    "Console",
    "Cpu",
    "CpuMode",
    "CpuTopology",
    "CustomProperty",
    "DataCenter",
    "DataCenterStatus",
    "Disk",
    "DiskAttachment",
    "DiskBackup",
    "DiskBackupMode",
    "DiskContentType",
    "DiskFormat",
    "DiskInterface",
    "DiskStatus",
    "DiskStorageType",
    "Display",
    "DisplayType",
    "DnsResolverConfiguration",
    "Domain",
    "ErrorHandling",
    "Event",
    "ExternalNetworkProviderConfiguration",
    "ExternalProvider",
    "ExternalStatus",
    "ExternalSystemType",
    "Fault",
    "FencingPolicy",
    "FipsMode",
    "FirewallType",
    "GracePeriod",
    "Group",
    "GuestOperatingSystem",
    "HardwareInformation",
    "HighAvailability",
    "Host",
    "HostDevicePassthrough",
    "HostNic",
    "HostProtocol",
    "HostStatus",
    "HostType",
    "InheritableBoolean",
    "Ip",
    "IpVersion",
    "Job",
    "JobStatus",
    "KdumpStatus",
    "Kernel",
    "Ksm",
    "LogMaxMemoryUsedThresholdType",
    "LogSeverity",
    "Mac",
    "MacPool",
    "MemoryOverCommit",
    "MemoryPolicy",
    "MessageBrokerType",
    "MigrateOnError",
    "MigrationOptions",
    "Moment",
    "Network",
    "NetworkFilter",
    "NetworkFilterParameter",
    "NetworkLabel",
    "NetworkPluginType",
    "NetworkStatus",
    "NetworkUsage",
    "Nic",
    "NicInterface",
    "NicStatus",
    "NumaTuneMode",
    "OpenStackNetwork",
    "OpenStackNetworkProvider",
    "OpenStackNetworkProviderType",
    "OpenStackSubnet",
    "OperatingSystem",
    "OperatingSystemInfo",
    "ParallelMigrationsPolicy",
    "Permission",
    "Permit",
    "ProductInfo",
    "Property",
    "QcowVersion",
    "QuotaModeType",
    "Range",
    "Rate",
    "ReportedDevice",
    "ReportedDeviceType",
    "RngDevice",
    "RngSource",
    "Role",
    "ScsiGenericIO",
    "SeLinux",
    "SeLinuxMode",
    "SerialNumber",
    "SerialNumberPolicy",
    "SpecialObjects",
    "Spm",
    "SpmStatus",
    "Ssh",
    "SshAuthenticationMethod",
    "Step",
    "StepEnum",
    "StepStatus",
    "StorageDomain",
    "StorageFormat",
    "SwitchType",
    "Tag",
    "Template",
    "TemplateStatus",
    "TemplateVersion",
    "Ticket",
    "TimeZone",
    "TpmSupport",
    "TransparentHugePages",
    "Usb",
    "UsbType",
    "User",
    "Version",
    "VgpuPlacement",
    "VideoType",
    "VirtioScsi",
    "Vlan",
    "Vm",
    "VmAffinity",
    "VmBase",
    "VmPlacementPolicy",
    "VmStatus",
    "VmStorageErrorResumeBehaviour",
    "VmSummary",
    "VmType",
    "VnicPassThrough",
    "VnicPassThroughMode",
    "VnicProfile",
]

for _name in __all__:
    _class = globals()[_name]
    if issubclass(_class, Representation):
        _class.model_rebuild(_types_namespace=globals())
