"""Audit events: each thing a user did or that went wrong, with oVirt's codes and severities."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from isthmus.model.database import Base, next_change, now


class Severity(enum.StrEnum):
    NORMAL = "normal"
    WARNING = "warning"
    ERROR = "error"
    ALERT = "alert"


class Code(enum.IntEnum):
    """oVirt's newest numeric codes; the words are ours."""

    VDS_FAILURE = 12
    VDS_DETECTED = 13
    VDS_RECOVER = 14
    VDS_MAINTENANCE = 15
    VDS_ACTIVATE = 16
    USER_VDC_LOGIN = 30
    USER_VDC_LOGOUT = 31
    USER_RUN_VM = 32
    USER_STOP_VM = 33
    USER_ADD_VM = 34
    USER_UPDATE_VM = 35
    USER_ADD_VDS = 42
    USER_UPDATE_VDS = 43
    USER_REMOVE_VDS = 44
    USER_FAILED_RUN_VM = 54
    USER_FAILED_ADD_VM = 57
    USER_FAILED_UPDATE_VM = 58
    VM_DOWN = 61
    USER_INITIATED_SHUTDOWN_VM = 73
    USER_UPDATE_VM_DISK = 88
    USER_FAILED_ADD_VDS = 104
    USER_FAILED_UPDATE_VDS = 105
    USER_FAILED_REMOVE_VDS = 106
    USER_REMOVE_VM_FINISHED = 113
    USER_VDC_LOGIN_FAILED = 114
    VM_DOWN_ERROR = 119
    USER_INITIATED_RUN_VM = 150
    PROVIDER_ADDED = 205
    PROVIDER_ADDITION_FAILED = 206
    PROVIDER_UPDATED = 207
    PROVIDER_UPDATE_FAILED = 208
    PROVIDER_REMOVED = 209
    PROVIDER_REMOVAL_FAILED = 210
    VDS_MANUAL_FENCE_STATUS = 494
    VDS_SET_NONOPERATIONAL = 517
    VDS_INSTALL = 504
    VDS_INSTALL_FAILED = 505
    VDS_INSTALL_IN_PROGRESS = 509
    VDS_INSTALL_IN_PROGRESS_WARNING = 510
    VDS_INSTALL_IN_PROGRESS_ERROR = 511
    USER_ADD_CLUSTER = 809
    USER_UPDATE_CLUSTER = 811
    USER_REMOVE_CLUSTER = 813
    NETWORK_REMOVE_VM_INTERFACE = 930
    NETWORK_REMOVE_VM_INTERFACE_FAILED = 931
    NETWORK_ADD_VM_INTERFACE = 932
    NETWORK_ADD_VM_INTERFACE_FAILED = 933
    NETWORK_UPDATE_VM_INTERFACE = 934
    NETWORK_UPDATE_VM_INTERFACE_FAILED = 935
    NETWORK_ADD_NETWORK = 942
    NETWORK_ADD_NETWORK_FAILED = 943
    NETWORK_REMOVE_NETWORK = 944
    NETWORK_ATTACH_NETWORK_TO_CLUSTER = 946
    NETWORK_DETACH_NETWORK_TO_CLUSTER = 948
    USER_ADD_STORAGE_POOL = 950
    USER_UPDATE_STORAGE_POOL = 952
    USER_REMOVE_STORAGE_POOL = 954
    NETWORK_REMOVE_NETWORK_FAILED = 9441
    MAC_POOL_ADD_SUCCESS = 10700
    MAC_POOL_EDIT_SUCCESS = 10702
    MAC_POOL_REMOVE_SUCCESS = 10704
    NETWORK_IMPORT_EXTERNAL_NETWORK = 10920
    NETWORK_IMPORT_EXTERNAL_NETWORK_FAILED = 10921
    NETWORK_UPDATE_NETWORK = 1114
    NETWORK_UPDATE_NETWORK_FAILED = 11144
    ADD_VNIC_PROFILE = 1122
    ADD_VNIC_PROFILE_FAILED = 1123
    UPDATE_VNIC_PROFILE = 1124
    UPDATE_VNIC_PROFILE_FAILED = 1125
    REMOVE_VNIC_PROFILE = 1126
    REMOVE_VNIC_PROFILE_FAILED = 1127
    SUBNET_REMOVED = 1140
    SUBNET_REMOVAL_FAILED = 1141
    SUBNET_ADDED = 1142
    SUBNET_ADDITION_FAILED = 1143
    REMOVE_PORT_FROM_EXTERNAL_PROVIDER_FAILED = 1149
    VNICS_OUT_OF_SYNC_ON_NETWORK_UPDATE = 11291
    USER_ATTACH_DISK_TO_VM = 2016
    USER_DETACH_DISK_FROM_VM = 2018
    USER_ADD_DISK_FINISHED_SUCCESS = 2021
    USER_FINISHED_REMOVE_DISK = 2014


class Event(Base):
    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    change: Mapped[int] = mapped_column(index=True)
    code: Mapped[int] = mapped_column(index=True)
    severity: Mapped[str] = mapped_column(String(8))
    text: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(index=True)
    user: Mapped[str] = mapped_column(String(255), default="")
    correlation_id: Mapped[str] = mapped_column(String(64), default="")
    data_center_id: Mapped[str | None] = mapped_column(String(36), index=True)
    cluster_id: Mapped[str | None] = mapped_column(String(36), index=True)
    host_id: Mapped[str | None] = mapped_column(String(36), index=True)
    vm_id: Mapped[str | None] = mapped_column(String(36), index=True)
    network_id: Mapped[str | None] = mapped_column(String(36), index=True)
    provider_id: Mapped[str | None] = mapped_column(String(36), index=True)
    job_id: Mapped[str | None] = mapped_column(String(36))


def note(
    session: Session,
    code: Code,
    text: str,
    *,
    severity: Severity = Severity.NORMAL,
    user: str = "",
    correlation_id: str = "",
    data_center: str | None = None,
    cluster: str | None = None,
    host: str | None = None,
    vm: str | None = None,
    network: str | None = None,
    provider: str | None = None,
    job: str | None = None,
) -> Event:
    """Write an event in the caller's transaction: what happened and its record stand or fall together."""
    event = Event(
        change=next_change(session),
        code=int(code),
        severity=severity.value,
        text=text,
        at=now(),
        user=user,
        correlation_id=correlation_id,
        data_center_id=data_center,
        cluster_id=cluster,
        host_id=host,
        vm_id=vm,
        network_id=network,
        provider_id=provider,
        job_id=job,
    )
    session.add(event)
    return event
