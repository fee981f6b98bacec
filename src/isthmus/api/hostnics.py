"""NICs of hosts, as their agents saw them last."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Response
from google.protobuf import json_format
from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import Call
from isthmus.commands.caller import Missing
from isthmus.commands.hosts import get_host
from isthmus.model import Host
from isthmus.wire import agent_pb2 as wire

router = APIRouter()


@router.get("/hosts/{host_id}/nics")
def list_nics(call: Call, host_id: str) -> Response:
    with call.engine.db.read() as session:
        nics = _nics(get_host(session, host_id))
    return lists.answer(call, rep.HostNic, lists.first(call, nics))


@router.get("/hosts/{host_id}/nics/{nic_id}")
def get_nic(call: Call, host_id: str, nic_id: str) -> Response:
    with call.engine.db.read() as session:
        for nic in _nics(get_host(session, host_id)):
            if nic.id == nic_id:
                return call.answer(nic)
    raise Missing(f"Host {host_id} has no NIC {nic_id}.")


@follow.collection(rep.Host, "nics")
def _nics_of(session: Session, host_ids: Sequence[str]) -> Mapping[str, Sequence[rep.HostNic]]:
    return {row.id: _nics(row) for row in session.scalars(select(Host).where(Host.id.in_(host_ids)))}


def capabilities(row: Host) -> wire.CapabilitiesReply:
    return json_format.ParseDict(row.capabilities, wire.CapabilitiesReply(), ignore_unknown_fields=True)


def _nics(row: Host) -> list[rep.HostNic]:
    """As the agent saw them last. An id is made from host and name: it stays when the interface comes and goes."""
    found = []
    for seen in capabilities(row).interfaces:
        first = _addresses(seen.addresses)
        found.append(
            rep.HostNic(
                id=str(uuid.uuid5(uuid.UUID(row.id), seen.name)),
                name=seen.name,
                base_interface=seen.parent or None,
                bridged=seen.kind == "bridge",
                host=rep.Host(id=row.id),
                ip=first.get(4),
                ipv6=first.get(6),
                mac=rep.Mac(address=seen.mac) if seen.mac else None,
                mtu=seen.mtu,
                status=rep.NicStatus.UP if seen.up else rep.NicStatus.DOWN,
                vlan=rep.Vlan(id=seen.vlan) if seen.vlan else None,
            )
        )
    return sorted(found, key=lambda nic: nic.name or "")


def _addresses(texts: Sequence[str]) -> dict[int, rep.Ip]:
    """The first address of each kind, by its version."""
    found: dict[int, rep.Ip] = {}
    for text in texts:
        address = ipaddress.ip_interface(text)
        shown = rep.Ip(
            address=str(address.ip),
            netmask=str(address.netmask) if "/" in text else None,
            version=rep.IpVersion.V6 if address.version == 6 else rep.IpVersion.V4,
        )
        found.setdefault(address.version, shown)
    return found
