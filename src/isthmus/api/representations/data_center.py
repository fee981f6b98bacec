"""Data centers: what shares networks."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.cluster import Cluster
    from isthmus.api.representations.mac_pool import MacPool
    from isthmus.api.representations.network import Network
    from isthmus.api.representations.version import Version


class DataCenterStatus(StrEnum):
    CONTEND = "contend"
    MAINTENANCE = "maintenance"
    NOT_OPERATIONAL = "not_operational"
    PROBLEMATIC = "problematic"
    UNINITIALIZED = "uninitialized"
    UP = "up"


class QuotaModeType(StrEnum):
    AUDIT = "audit"
    DISABLED = "disabled"
    ENABLED = "enabled"


class StorageFormat(StrEnum):
    V1 = "v1"
    V2 = "v2"
    V3 = "v3"
    V4 = "v4"
    V5 = "v5"


class DataCenter(Identified):
    """What shares networks and storage."""

    paths = ("datacenters/{id}",)
    collections = ("clusters", "networks")

    clusters: list[Cluster] | None = None
    local: bool | None = None
    mac_pool: MacPool | None = None
    networks: list[Network] | None = None
    quota_mode: QuotaModeType | None = None
    status: DataCenterStatus | None = None
    storage_format: StorageFormat | None = None
    supported_versions: list[Version] | None = None
    version: Version | None = None
