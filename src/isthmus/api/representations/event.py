"""What happened, for people."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.cluster import Cluster
    from isthmus.api.representations.data_center import DataCenter
    from isthmus.api.representations.host import Host
    from isthmus.api.representations.storage_domain import StorageDomain
    from isthmus.api.representations.template import Template
    from isthmus.api.representations.user import User
    from isthmus.api.representations.vm import Vm


class LogSeverity(StrEnum):
    ALERT = "alert"
    ERROR = "error"
    NORMAL = "normal"
    WARNING = "warning"


class Event(Identified):
    """Something a user did or that went wrong."""

    paths = ("events/{id}",)

    cluster: Cluster | None = None
    code: int | None = None
    correlation_id: str | None = None
    custom_data: str | None = None
    custom_id: int | None = None
    data_center: DataCenter | None = None
    flood_rate: int | None = None
    host: Host | None = None
    index: int | None = None
    log_on_host: bool | None = None
    origin: str | None = None
    severity: LogSeverity | None = None
    storage_domain: StorageDomain | None = None
    template: Template | None = None
    time: AwareDatetime | None = None
    user: User | None = None
    vm: Vm | None = None
