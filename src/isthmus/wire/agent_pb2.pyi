from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

ABSENT: VmState
CRASHED: VmState
DESCRIPTOR: _descriptor.FileDescriptor
PAUSED: VmState
RUNNING: VmState
SHUTTING_DOWN: VmState

class CapabilitiesReply(_message.Message):
    __slots__ = ["bridges", "conntrack_zones", "cpu_model", "cpus", "hook_facts", "hooks", "hostname", "interfaces", "kernel", "kvm", "kvm_reason", "l2_host", "libvirt_version", "mappings", "memory", "memory_free", "os_name", "os_version", "qemu_version", "units", "vlan_8021q", "wires"]
    class HookFactsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MappingsEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    BRIDGES_FIELD_NUMBER: _ClassVar[int]
    CONNTRACK_ZONES_FIELD_NUMBER: _ClassVar[int]
    CPUS_FIELD_NUMBER: _ClassVar[int]
    CPU_MODEL_FIELD_NUMBER: _ClassVar[int]
    HOOKS_FIELD_NUMBER: _ClassVar[int]
    HOOK_FACTS_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    INTERFACES_FIELD_NUMBER: _ClassVar[int]
    KERNEL_FIELD_NUMBER: _ClassVar[int]
    KVM_FIELD_NUMBER: _ClassVar[int]
    KVM_REASON_FIELD_NUMBER: _ClassVar[int]
    L2_HOST_FIELD_NUMBER: _ClassVar[int]
    LIBVIRT_VERSION_FIELD_NUMBER: _ClassVar[int]
    MAPPINGS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FREE_FIELD_NUMBER: _ClassVar[int]
    OS_NAME_FIELD_NUMBER: _ClassVar[int]
    OS_VERSION_FIELD_NUMBER: _ClassVar[int]
    QEMU_VERSION_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    VLAN_8021Q_FIELD_NUMBER: _ClassVar[int]
    WIRES_FIELD_NUMBER: _ClassVar[int]
    bridges: _containers.RepeatedScalarFieldContainer[str]
    conntrack_zones: bool
    cpu_model: str
    cpus: int
    hook_facts: _containers.ScalarMap[str, str]
    hooks: _containers.RepeatedCompositeFieldContainer[Hook]
    hostname: str
    interfaces: _containers.RepeatedCompositeFieldContainer[Interface]
    kernel: str
    kvm: bool
    kvm_reason: str
    l2_host: str
    libvirt_version: str
    mappings: _containers.ScalarMap[str, str]
    memory: int
    memory_free: int
    os_name: str
    os_version: str
    qemu_version: str
    units: _containers.RepeatedCompositeFieldContainer[Unit]
    vlan_8021q: bool
    wires: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, hostname: _Optional[str] = ..., os_name: _Optional[str] = ..., os_version: _Optional[str] = ..., kernel: _Optional[str] = ..., libvirt_version: _Optional[str] = ..., qemu_version: _Optional[str] = ..., cpus: _Optional[int] = ..., memory: _Optional[int] = ..., memory_free: _Optional[int] = ..., kvm: bool = ..., vlan_8021q: bool = ..., conntrack_zones: bool = ..., bridges: _Optional[_Iterable[str]] = ..., interfaces: _Optional[_Iterable[_Union[Interface, _Mapping]]] = ..., hooks: _Optional[_Iterable[_Union[Hook, _Mapping]]] = ..., mappings: _Optional[_Mapping[str, str]] = ..., units: _Optional[_Iterable[_Union[Unit, _Mapping]]] = ..., wires: _Optional[_Iterable[str]] = ..., cpu_model: _Optional[str] = ..., l2_host: _Optional[str] = ..., hook_facts: _Optional[_Mapping[str, str]] = ..., kvm_reason: _Optional[str] = ...) -> None: ...

class CapabilitiesRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class CleanReply(_message.Message):
    __slots__ = ["items"]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, items: _Optional[_Iterable[str]] = ...) -> None: ...

class CleanRequest(_message.Message):
    __slots__ = ["dry_run"]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    dry_run: bool
    def __init__(self, dry_run: bool = ...) -> None: ...

class Disk(_message.Message):
    __slots__ = ["bootable", "format", "id", "interface", "read_only", "sha256", "size"]
    BOOTABLE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INTERFACE_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    bootable: bool
    format: str
    id: str
    interface: str
    read_only: bool
    sha256: str
    size: int
    def __init__(self, id: _Optional[str] = ..., sha256: _Optional[str] = ..., format: _Optional[str] = ..., interface: _Optional[str] = ..., bootable: bool = ..., size: _Optional[int] = ..., read_only: bool = ...) -> None: ...

class FileChunk(_message.Message):
    __slots__ = ["data", "offset", "sha256", "size"]
    DATA_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    offset: int
    sha256: str
    size: int
    def __init__(self, sha256: _Optional[str] = ..., size: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class FileRef(_message.Message):
    __slots__ = ["sha256", "size"]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    size: int
    def __init__(self, sha256: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class FileState(_message.Message):
    __slots__ = ["complete", "present", "sha256"]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    complete: bool
    present: int
    sha256: str
    def __init__(self, sha256: _Optional[str] = ..., present: _Optional[int] = ..., complete: bool = ...) -> None: ...

class HelloReply(_message.Message):
    __slots__ = ["agent_version", "boot_id", "host_uuid", "protocol", "session"]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    HOST_UUID_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    agent_version: str
    boot_id: str
    host_uuid: str
    protocol: int
    session: str
    def __init__(self, protocol: _Optional[int] = ..., agent_version: _Optional[str] = ..., session: _Optional[str] = ..., host_uuid: _Optional[str] = ..., boot_id: _Optional[str] = ...) -> None: ...

class HelloRequest(_message.Message):
    __slots__ = ["deployment", "engine_version", "protocol"]
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    ENGINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    deployment: str
    engine_version: str
    protocol: int
    def __init__(self, protocol: _Optional[int] = ..., engine_version: _Optional[str] = ..., deployment: _Optional[str] = ...) -> None: ...

class Hook(_message.Message):
    __slots__ = ["name", "point", "sha256"]
    NAME_FIELD_NUMBER: _ClassVar[int]
    POINT_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    point: str
    sha256: str
    def __init__(self, point: _Optional[str] = ..., name: _Optional[str] = ..., sha256: _Optional[str] = ...) -> None: ...

class HostBridge(_message.Message):
    __slots__ = ["bridge"]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    bridge: str
    def __init__(self, bridge: _Optional[str] = ...) -> None: ...

class Interface(_message.Message):
    __slots__ = ["addresses", "kind", "mac", "master", "mtu", "name", "parent", "up", "vlan"]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    MASTER_FIELD_NUMBER: _ClassVar[int]
    MTU_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    UP_FIELD_NUMBER: _ClassVar[int]
    VLAN_FIELD_NUMBER: _ClassVar[int]
    addresses: _containers.RepeatedScalarFieldContainer[str]
    kind: str
    mac: str
    master: str
    mtu: int
    name: str
    parent: str
    up: bool
    vlan: int
    def __init__(self, name: _Optional[str] = ..., mac: _Optional[str] = ..., kind: _Optional[str] = ..., up: bool = ..., mtu: _Optional[int] = ..., addresses: _Optional[_Iterable[str]] = ..., master: _Optional[str] = ..., vlan: _Optional[int] = ..., parent: _Optional[str] = ...) -> None: ...

class ListVmsReply(_message.Message):
    __slots__ = ["session", "vms"]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    VMS_FIELD_NUMBER: _ClassVar[int]
    session: str
    vms: _containers.RepeatedCompositeFieldContainer[VmReport]
    def __init__(self, session: _Optional[str] = ..., vms: _Optional[_Iterable[_Union[VmReport, _Mapping]]] = ...) -> None: ...

class ListVmsRequest(_message.Message):
    __slots__ = []
    def __init__(self) -> None: ...

class LogLine(_message.Message):
    __slots__ = ["level", "text", "vm"]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    level: str
    text: str
    vm: str
    def __init__(self, level: _Optional[str] = ..., text: _Optional[str] = ..., vm: _Optional[str] = ...) -> None: ...

class Moment(_message.Message):
    __slots__ = ["at", "seconds", "text", "what"]
    AT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WHAT_FIELD_NUMBER: _ClassVar[int]
    at: float
    seconds: float
    text: str
    what: str
    def __init__(self, what: _Optional[str] = ..., at: _Optional[float] = ..., seconds: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class Nic(_message.Message):
    __slots__ = ["custom_properties", "host_bridge", "id", "linked", "mac", "model", "name", "port"]
    class CustomPropertiesEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CUSTOM_PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    HOST_BRIDGE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    LINKED_FIELD_NUMBER: _ClassVar[int]
    MAC_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    custom_properties: _containers.ScalarMap[str, str]
    host_bridge: HostBridge
    id: str
    linked: bool
    mac: str
    model: str
    name: str
    port: ProviderPort
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., mac: _Optional[str] = ..., model: _Optional[str] = ..., linked: bool = ..., host_bridge: _Optional[_Union[HostBridge, _Mapping]] = ..., port: _Optional[_Union[ProviderPort, _Mapping]] = ..., custom_properties: _Optional[_Mapping[str, str]] = ...) -> None: ...

class NicEvidence(_message.Message):
    __slots__ = ["bridge", "missing", "moments", "nic", "port_id", "tap", "wired"]
    BRIDGE_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_FIELD_NUMBER: _ClassVar[int]
    NIC_FIELD_NUMBER: _ClassVar[int]
    PORT_ID_FIELD_NUMBER: _ClassVar[int]
    TAP_FIELD_NUMBER: _ClassVar[int]
    WIRED_FIELD_NUMBER: _ClassVar[int]
    bridge: str
    missing: str
    moments: _containers.RepeatedCompositeFieldContainer[Moment]
    nic: str
    port_id: str
    tap: str
    wired: bool
    def __init__(self, nic: _Optional[str] = ..., port_id: _Optional[str] = ..., tap: _Optional[str] = ..., bridge: _Optional[str] = ..., wired: bool = ..., missing: _Optional[str] = ..., moments: _Optional[_Iterable[_Union[Moment, _Mapping]]] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ["epoch", "session", "vm"]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    session: str
    vm: str
    def __init__(self, vm: _Optional[str] = ..., epoch: _Optional[int] = ..., session: _Optional[str] = ...) -> None: ...

class ProviderPort(_message.Message):
    __slots__ = ["claim", "generation", "network_id", "physical_network", "plugin_type", "port_id", "provider_type", "security_groups", "vif_details", "vif_type", "vlan"]
    CLAIM_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ID_FIELD_NUMBER: _ClassVar[int]
    PHYSICAL_NETWORK_FIELD_NUMBER: _ClassVar[int]
    PLUGIN_TYPE_FIELD_NUMBER: _ClassVar[int]
    PORT_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    SECURITY_GROUPS_FIELD_NUMBER: _ClassVar[int]
    VIF_DETAILS_FIELD_NUMBER: _ClassVar[int]
    VIF_TYPE_FIELD_NUMBER: _ClassVar[int]
    VLAN_FIELD_NUMBER: _ClassVar[int]
    claim: str
    generation: int
    network_id: str
    physical_network: str
    plugin_type: str
    port_id: str
    provider_type: str
    security_groups: str
    vif_details: str
    vif_type: str
    vlan: int
    def __init__(self, port_id: _Optional[str] = ..., network_id: _Optional[str] = ..., vif_type: _Optional[str] = ..., vif_details: _Optional[str] = ..., provider_type: _Optional[str] = ..., plugin_type: _Optional[str] = ..., security_groups: _Optional[str] = ..., claim: _Optional[str] = ..., generation: _Optional[int] = ..., physical_network: _Optional[str] = ..., vlan: _Optional[int] = ...) -> None: ...

class StartOrder(_message.Message):
    __slots__ = ["cmdline", "cores", "custom_properties", "disks", "emulation", "initrd_sha256", "kernel_sha256", "memory", "name", "nics", "order", "sockets", "threads", "vcpus", "wire_seconds"]
    class CustomPropertiesEntry(_message.Message):
        __slots__ = ["key", "value"]
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CMDLINE_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    CUSTOM_PROPERTIES_FIELD_NUMBER: _ClassVar[int]
    DISKS_FIELD_NUMBER: _ClassVar[int]
    EMULATION_FIELD_NUMBER: _ClassVar[int]
    INITRD_SHA256_FIELD_NUMBER: _ClassVar[int]
    KERNEL_SHA256_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    NICS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    SOCKETS_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    VCPUS_FIELD_NUMBER: _ClassVar[int]
    WIRE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    cmdline: str
    cores: int
    custom_properties: _containers.ScalarMap[str, str]
    disks: _containers.RepeatedCompositeFieldContainer[Disk]
    emulation: str
    initrd_sha256: str
    kernel_sha256: str
    memory: int
    name: str
    nics: _containers.RepeatedCompositeFieldContainer[Nic]
    order: Order
    sockets: int
    threads: int
    vcpus: int
    wire_seconds: int
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ..., name: _Optional[str] = ..., memory: _Optional[int] = ..., vcpus: _Optional[int] = ..., sockets: _Optional[int] = ..., cores: _Optional[int] = ..., threads: _Optional[int] = ..., kernel_sha256: _Optional[str] = ..., initrd_sha256: _Optional[str] = ..., cmdline: _Optional[str] = ..., disks: _Optional[_Iterable[_Union[Disk, _Mapping]]] = ..., nics: _Optional[_Iterable[_Union[Nic, _Mapping]]] = ..., custom_properties: _Optional[_Mapping[str, str]] = ..., emulation: _Optional[str] = ..., wire_seconds: _Optional[int] = ...) -> None: ...

class StopOrder(_message.Message):
    __slots__ = ["graceful", "order"]
    GRACEFUL_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    graceful: bool
    order: Order
    def __init__(self, order: _Optional[_Union[Order, _Mapping]] = ..., graceful: bool = ...) -> None: ...

class Unit(_message.Message):
    __slots__ = ["active", "name"]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    active: bool
    name: str
    def __init__(self, name: _Optional[str] = ..., active: bool = ...) -> None: ...

class VmRef(_message.Message):
    __slots__ = ["vm"]
    VM_FIELD_NUMBER: _ClassVar[int]
    vm: str
    def __init__(self, vm: _Optional[str] = ...) -> None: ...

class VmReport(_message.Message):
    __slots__ = ["console", "domain_xml", "epoch", "floor", "moments", "nics", "reason", "session", "state", "vm"]
    CONSOLE_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_XML_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    MOMENTS_FIELD_NUMBER: _ClassVar[int]
    NICS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    console: str
    domain_xml: str
    epoch: int
    floor: int
    moments: _containers.RepeatedCompositeFieldContainer[Moment]
    nics: _containers.RepeatedCompositeFieldContainer[NicEvidence]
    reason: str
    session: str
    state: VmState
    vm: str
    def __init__(self, vm: _Optional[str] = ..., state: _Optional[_Union[VmState, str]] = ..., epoch: _Optional[int] = ..., floor: _Optional[int] = ..., session: _Optional[str] = ..., nics: _Optional[_Iterable[_Union[NicEvidence, _Mapping]]] = ..., domain_xml: _Optional[str] = ..., reason: _Optional[str] = ..., console: _Optional[str] = ..., moments: _Optional[_Iterable[_Union[Moment, _Mapping]]] = ...) -> None: ...

class WatchEvent(_message.Message):
    __slots__ = ["alive", "log", "session", "snapshot_done", "token", "vm"]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    LOG_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_DONE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    VM_FIELD_NUMBER: _ClassVar[int]
    alive: bool
    log: LogLine
    session: str
    snapshot_done: bool
    token: str
    vm: VmReport
    def __init__(self, token: _Optional[str] = ..., session: _Optional[str] = ..., vm: _Optional[_Union[VmReport, _Mapping]] = ..., snapshot_done: bool = ..., log: _Optional[_Union[LogLine, _Mapping]] = ..., alive: bool = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ["resume_token"]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    resume_token: str
    def __init__(self, resume_token: _Optional[str] = ...) -> None: ...

class VmState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = []
