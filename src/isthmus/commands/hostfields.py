"""What users say of a host, checked; and the providers it is to carry, written."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import TypedDict

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.caller import InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_number, check_text
from isthmus.model import Cluster, Host, HostProvider, Provider

_MAPPINGS = re.compile(r"(?:[^:,\s]{1,15}:[^:,\s]{1,15})(?:,[^:,\s]{1,15}:[^:,\s]{1,15})*")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
PLUGINS = ("LINUX_BRIDGE",)
"""Plug-in types whose L2 agent an installation sets up."""

Mappings = Mapping[str, str | None]
"""Per provider id the host's own mapping of physical networks, or None: the provider's."""


class HostFields(TypedDict, total=False):
    """What a user may say of a host. Absent: left as it is, or the default of a new one."""

    name: str
    description: str
    comment: str
    cluster_id: str
    address: str
    ssh_port: int
    ssh_user: str
    providers: Mappings


def check_new(session: Session, fields: HostFields) -> Cluster:
    check_host_name(session, fields.get("name", ""), None)
    check_address(session, fields.get("address", ""), None)
    check_rest(fields)
    cluster = session.get(Cluster, fields.get("cluster_id", ""))
    if cluster is None:
        raise Missing(f"There is no cluster {fields.get('cluster_id', '')} for host {fields.get('name')}.")
    for provider_id, mappings in fields.get("providers", {}).items():
        check_provider(session, provider_id, mappings)
    return cluster


def check_rest(fields: HostFields) -> None:
    name = fields.get("name", "")
    check_text(fields.get("description", ""), f"description of host {name}")
    check_text(fields.get("comment", ""), f"comment on host {name}")
    check_number(fields.get("ssh_port", 22), "SSH port", 1, 65535)
    user = fields.get("ssh_user", "root")
    if not _USER.fullmatch(user):
        raise Refused(f"{user!r} is not the name of a user on a host.")


def check_host_name(session: Session, name: str, host_id: str | None) -> None:
    check_name(name, "a host", pattern=r"[-_.0-9a-zA-Z]+", allowed="a-z, A-Z, 0-9 and . _ - may stand there", limit=255)
    if session.scalar(select(Host.id).where(Host.name == name, Host.id != (host_id or ""))) is not None:
        raise InConflict(f"There is a host {name} already: choose another name.")


def check_address(session: Session, address: str, host_id: str | None) -> None:
    if not address:
        raise Refused("A host needs an address.", "Incomplete parameters")
    if not _is_address(address):
        raise Refused(f"{address!r} is not the address of a host: an IP address, or a host name.")
    other = session.scalar(select(Host.name).where(Host.address == address, Host.id != (host_id or "")))
    if other is not None:
        raise InConflict(f"Host {other} has the address {address} already.")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        pass
    else:
        return True
    if len(text) > 255 or re.fullmatch(r"[0-9.]+", text):
        return False
    return all(_LABEL.fullmatch(label) for label in text.split("."))


def check_provider(session: Session, provider_id: str, mappings: str | None) -> Provider:
    provider = session.get(Provider, provider_id)
    if provider is None:
        raise Missing(f"There is no external network provider {provider_id}.")
    if provider.plugin_type not in PLUGINS:
        raise Refused(
            f"Provider {provider.name} has plug-in type {provider.plugin_type or 'none'}, for which no agent is "
            f"installed on hosts: only {', '.join(PLUGINS)}."
        )
    if mappings and not _MAPPINGS.fullmatch(mappings):
        raise Refused(
            f"The network mappings {mappings!r} are not allowed: pairs of physical network and interface like "
            "red:eth1,blue:eth2, each half of 1 to 15 characters, no blanks."
        )
    return provider


def write_providers(session: Session, host: Host, wanted: Mappings) -> None:
    known = {row.provider_id: row for row in host.providers}
    for provider_id, mappings in wanted.items():
        check_provider(session, provider_id, mappings)
        if provider_id in known:
            known[provider_id].network_mappings = mappings
        else:
            host.providers.append(HostProvider(provider_id=provider_id, network_mappings=mappings))
    for provider_id, row in known.items():
        if provider_id not in wanted:
            host.providers.remove(row)
