"""Processors, of hosts, VMs and clusters."""

from __future__ import annotations

from enum import StrEnum

from isthmus.api.codec import Representation


class Architecture(StrEnum):
    AARCH64 = "aarch64"
    LOONGARCH64 = "loongarch64"
    PPC64 = "ppc64"
    S390X = "s390x"
    UNDEFINED = "undefined"
    X86_64 = "x86_64"


class CpuMode(StrEnum):
    CUSTOM = "custom"
    HOST_MODEL = "host_model"
    HOST_PASSTHROUGH = "host_passthrough"


class Cpu(Representation):
    """A processor, or the kind of one a cluster asks for."""

    architecture: Architecture | None = None
    level: int | None = None
    mode: CpuMode | None = None
    name: str | None = None
    speed: float | None = None
    topology: CpuTopology | None = None
    type: str | None = None


class CpuTopology(Representation):
    """How virtual processors are grouped."""

    cores: int | None = None
    sockets: int | None = None
    threads: int | None = None
