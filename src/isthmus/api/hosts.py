"""Hosts: what they are, what is done to them, their NICs and the providers they carry.

Adding a host, and installing it again, first logs in to it by SSH: the routes wait for that, and only then is anything
written. The wait is bounded, and does not hold a thread of the API.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import case, func, select
from sqlalchemy.orm import Session, selectinload

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.fields import named, sent
from isthmus.api.hostnics import capabilities
from isthmus.api.references import resolve
from isthmus.commands.caller import Missing, NotNow, Refused
from isthmus.commands.hostfields import HostFields
from isthmus.commands.hosts import (
    activate_host,
    add_host,
    check_install,
    check_new_host,
    deactivate_host,
    get_host,
    install_host,
    note_host_refused,
    remove_host,
    update_host,
)
from isthmus.commands.runs import confirm_reboot
from isthmus.hosts.ssh import Contact, ContactError, first_contact
from isthmus.model import Cluster, DataCenter, Host, HostProvider, MayRun, Provider, Vm
from isthmus.reconcile.engine import Engine

router = APIRouter()
FIELDS: lists.Fields = {
    "name": Host.name,
    "id": Host.id,
    "address": Host.address,
    "status": Host.status,
    "description": Host.description,
    "comment": Host.comment,
    "cluster": Cluster.name,
    "datacenter": DataCenter.name,
}
CONTACT_SECONDS = 60.0
"""For the first contact as a whole; each step of it has a limit of its own."""
MAPPINGS = "network_mappings"
_UNREACHABLE = frozenset({"unresolved", "no_route", "refused", "timeout", "not_ssh", "lost"})


@dataclass(frozen=True)
class _Load:
    """The VMs that may run on a host, and those of them that are up."""

    total: int = 0
    active: int = 0


def representation(row: Host, load: _Load) -> rep.Host:
    said = capabilities(row)
    known = bool(row.capabilities)
    return rep.Host(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        address=row.address,
        cluster=rep.Cluster(id=row.cluster_id),
        cpu=rep.Cpu(name=said.cpu_model or None, topology=rep.CpuTopology(sockets=1, cores=said.cpus, threads=1))
        if known
        else None,
        external_network_provider_configurations=[_configuration(p, expanded=True) for p in row.providers],
        libvirt_version=_version(said.libvirt_version),
        max_scheduling_memory=said.memory_free if known else None,
        memory=said.memory if known else None,
        os=rep.OperatingSystem(type=said.os_name, version=_version(said.os_version)) if known else None,
        ssh=rep.Ssh(port=row.ssh_port, fingerprint=row.ssh_fingerprint, user=rep.User(user_name=row.ssh_user)),
        status=rep.HostStatus(row.status),
        status_detail=row.status_reason or None,
        summary=rep.VmSummary(active=load.active, migrating=0, total=load.total),
        type=rep.HostType.RHEL,
    )


@router.get("/hosts")
def list_hosts(call: Call) -> Response:
    with call.engine.db.read() as session:
        wanted = select(Host).join(Host.cluster).join(Cluster.data_center).options(selectinload(Host.providers))
        rows = session.scalars(lists.page(call, wanted, FIELDS)).all()
        load = _loads(session, [row.id for row in rows])
        items = follow.expand(call, session, [representation(row, load[row.id]) for row in rows])
    return lists.answer(call, rep.Host, items)


@router.post("/hosts")
async def post_host(call: Call) -> Response:
    body = call.read(rep.Host)
    try:
        return await _add(call, body)
    except Refused as refusal:
        await run_in_threadpool(note_host_refused, call.engine, call.caller, body.name or "", refusal)
        raise


async def _add(call: ApiCall, body: rep.Host) -> Response:
    fields = await run_in_threadpool(_new_fields, call.engine, body)
    await run_in_threadpool(check_new_host, call.engine, **fields)
    password = (body.ssh.user.password if body.ssh and body.ssh.user else None) or body.root_password
    by_key = body.ssh is not None and body.ssh.authentication_method == rep.SshAuthenticationMethod.PUBLICKEY
    if not password and not by_key:
        raise Refused(
            "root_password is missing. Where the engine's public key is on the host already, ask for the "
            "authentication method publickey instead.",
            "Incomplete parameters",
        )
    contact = await _contact(
        call.engine,
        fields["address"],
        fields.get("ssh_port", 22),
        fields.get("ssh_user", "root"),
        None if by_key else password,
        body.ssh.fingerprint if body.ssh else None,
    )
    activate = call.params.flag("activate") is not False
    host_id = await run_in_threadpool(
        add_host, call.engine, call.caller, host_key=contact.host_key, activate=activate, **fields
    )
    return await run_in_threadpool(lambda: call.created(_shown(call, host_id)))


@router.get("/hosts/{host_id}")
def get_one(call: Call, host_id: str) -> Response:
    return call.answer(_shown(call, host_id))


@router.put("/hosts/{host_id}")
def put_host(call: Call, host_id: str) -> Response:
    body = call.read(rep.Host)
    with call.engine.db.read() as session:
        fields = _fields(session, body)
        if body.cluster is not None:
            fields["cluster_id"] = resolve(session, Cluster, body.cluster, "cluster")
    update_host(call.engine, call.caller, host_id, **fields)
    return call.answer(_shown(call, host_id))


@router.delete("/hosts/{host_id}")
def delete_host(call: Call, host_id: str) -> Response:
    remove_host(call.engine, call.caller, host_id)
    return call.done()


@router.post("/hosts/{host_id}/activate")
def activate(call: Call, host_id: str) -> Response:
    action = call.read_action()
    activate_host(call.engine, call.caller, host_id)
    return call.done(action)


@router.post("/hosts/{host_id}/deactivate")
def deactivate(call: Call, host_id: str) -> Response:
    action = call.read_action()
    deactivate_host(call.engine, call.caller, host_id)
    return call.done(action)


@router.post("/hosts/{host_id}/install")
async def install(call: Call, host_id: str) -> Response:
    """Again, with a password if the engine's key is not on the host any more."""
    action = call.read_action()
    host = await run_in_threadpool(check_install, call.engine, host_id)
    ssh = action.ssh
    password = (ssh.user.password if ssh and ssh.user else None) or action.root_password
    new = ssh.fingerprint if ssh else None
    contact = await _contact(
        call.engine, host.address, host.ssh_port, host.ssh_user, password, new or host.ssh_fingerprint or None
    )
    configurations = action.host.external_network_provider_configurations if action.host else None
    job = await run_in_threadpool(
        lambda: install_host(
            call.engine,
            call.caller,
            host_id,
            host_key=contact.host_key,
            activate=action.activate is not False,
            providers=None if configurations is None else _providers(call.engine, configurations),
        )
    )
    return call.done(action, job_id=job)


@router.post("/hosts/{host_id}/fence")
def fence(call: Call, host_id: str) -> Response:
    """Only the administrator's own word: the host has been rebooted, or switched off."""
    action = call.read_action()
    if (action.fence_type or "").lower() != "manual":
        raise Refused(
            f"fence_type {action.fence_type or '(none)'} is not offered: there is no power management. Switch the host "
            "off yourself, then send fence_type manual to confirm it."
        )
    confirm_reboot(call.engine, call.caller, host_id)
    return call.done(action)


@router.get("/hosts/{host_id}/externalnetworkproviderconfigurations")
def list_configurations(call: Call, host_id: str) -> Response:
    with call.engine.db.read() as session:
        items = [_configuration(row) for row in get_host(session, host_id).providers]
        items = list(follow.expand(call, session, items))
    return lists.answer(call, rep.ExternalNetworkProviderConfiguration, lists.first(call, items))


@router.get("/hosts/{host_id}/externalnetworkproviderconfigurations/{configuration_id}")
def get_configuration(call: Call, host_id: str, configuration_id: str) -> Response:
    with call.engine.db.read() as session:
        for row in get_host(session, host_id).providers:
            if row.id == configuration_id:
                return call.answer(follow.expand(call, session, [_configuration(row)])[0])
    raise Missing(f"Host {host_id} has no external network provider configuration {configuration_id}.")


@follow.entity(rep.Host)
def _find(session: Session, ids: Sequence[str]) -> Mapping[str, rep.Host]:
    load = _loads(session, ids)
    rows = session.scalars(select(Host).where(Host.id.in_(ids)).options(selectinload(Host.providers)))
    return {row.id: representation(row, load[row.id]) for row in rows}


@follow.collection(rep.Host, "external_network_provider_configurations")
def _configurations_of(
    session: Session, host_ids: Sequence[str]
) -> Mapping[str, Sequence[rep.ExternalNetworkProviderConfiguration]]:
    found: dict[str, list[rep.ExternalNetworkProviderConfiguration]] = defaultdict(list)
    for row in session.scalars(select(HostProvider).where(HostProvider.host_id.in_(host_ids))):
        found[row.host_id].append(_configuration(row))
    return found


def _shown(call: ApiCall, host_id: str) -> rep.Host:
    with call.engine.db.read() as session:
        shown = representation(get_host(session, host_id), _loads(session, [host_id])[host_id])
        return follow.expand(call, session, [shown])[0]


# -------------------------------------------------------------------------------------------- what is sent


def _new_fields(engine: Engine, body: rep.Host) -> HostFields:
    with engine.db.read() as session:
        fields = _fields(session, body)
        fields["cluster_id"] = resolve(session, Cluster, body.cluster or rep.Cluster(name="Default"), "cluster")
    return fields


def _fields(session: Session, body: rep.Host) -> HostFields:
    fields: dict[str, Any] = {**named(body), **sent(body, "address")}
    if body.ssh is not None:
        fields |= sent(body.ssh, ssh_port="port")
        if body.ssh.user is not None:
            fields |= sent(body.ssh.user, ssh_user="user_name")
    fields = {key: value for key, value in fields.items() if value is not None}
    if body.external_network_provider_configurations is not None:
        fields["providers"] = _resolved(session, body.external_network_provider_configurations)
    return cast(HostFields, fields)


def _providers(
    engine: Engine, configurations: Sequence[rep.ExternalNetworkProviderConfiguration]
) -> dict[str, str | None]:
    with engine.db.read() as session:
        return _resolved(session, configurations)


def _resolved(
    session: Session, configurations: Sequence[rep.ExternalNetworkProviderConfiguration]
) -> dict[str, str | None]:
    """Provider ids with the host's own mapping: a property of the configuration, or of the provider named in it.

    :raises Refused: no such provider, a property that is not known, or one provider twice.
    """
    found: dict[str, str | None] = {}
    for configuration in configurations:
        provider = configuration.external_network_provider
        provider_id = resolve(session, Provider, provider, "external_network_provider")
        if provider_id in found:
            raise Refused(f"External network provider {provider_id} is named twice.")
        given = [*(configuration.properties or ()), *((provider.properties if provider else None) or ())]
        unknown = sorted({p.name or "" for p in given} - {MAPPINGS})
        if unknown:
            raise Refused(f"The properties {', '.join(unknown)} are not known here, only {MAPPINGS} is.")
        found[provider_id] = next((p.value for p in given), None)
    return found


async def _contact(
    engine: Engine, address: str, port: int, user: str, password: str | None, fingerprint: str | None
) -> Contact:
    """Log in to the host once, in a lane of its own. :raises Refused: what was found. :raises NotNow: no answer."""
    future = engine.loop.lane(f"ssh:{address}").submit(
        lambda: first_contact(
            address,
            port,
            user,
            password=password,
            engine_key=engine.authority.ssh_key_path,
            engine_public_key=engine.authority.ssh_public_key,
            expected_fingerprint=fingerprint,
        )
    )
    try:
        return await asyncio.wait_for(asyncio.wrap_future(future), CONTACT_SECONDS)
    except TimeoutError:
        raise NotNow(f"The host at {address} has not answered within {CONTACT_SECONDS:g} s. Try again.") from None
    except ContactError as error:
        kind = NotNow if error.problem in _UNREACHABLE else Refused
        raise kind(f"The host at {address} cannot be installed: {error}") from error


# ------------------------------------------------------------------------------------------- what is shown


def _loads(session: Session, host_ids: Sequence[str]) -> Mapping[str, _Load]:
    found: dict[str, _Load] = defaultdict(_Load)
    up = func.sum(case((Vm.status == "up", 1), else_=0))
    counted = (
        select(MayRun.host_id, func.count(), up)
        .join(Vm, Vm.id == MayRun.vm_id)
        .where(MayRun.host_id.in_(host_ids))
        .group_by(MayRun.host_id)
    )
    for host_id, total, active in session.execute(counted):
        found[host_id] = _Load(total, int(active))
    return found


def _version(text: str) -> rep.Version | None:
    if not text:
        return None
    numbers = [int(n) for n in re.findall(r"\d{1,9}", text)[:4]]
    major, minor, build, revision, *_ = [*numbers, None, None, None, None]
    return rep.Version(full_version=text, major=major, minor=minor, build=build, revision=revision)


def _configuration(row: HostProvider, *, expanded: bool = False) -> rep.ExternalNetworkProviderConfiguration:
    own = row.network_mappings
    return rep.ExternalNetworkProviderConfiguration(
        id=row.id,
        expanded=expanded,
        external_network_provider=rep.ExternalProvider(id=row.provider_id),
        host=rep.Host(id=row.host_id),
        properties=[rep.Property(name=MAPPINGS, value=own)] if own is not None else None,
    )
