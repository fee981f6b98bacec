"""VMs, and the actions on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi import APIRouter, Response
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import ApiCall, Call
from isthmus.api.fields import named, sent
from isthmus.api.references import resolve
from isthmus.api.templates import BLANK, check_blank
from isthmus.commands.caller import Refused
from isthmus.commands.runs import run_vm, stop_vm
from isthmus.commands.standing import get_vm
from isthmus.commands.vms import VmFields, add_vm, remove_vm, update_vm
from isthmus.model import Cluster, DataCenter, Host, Vm

router = APIRouter()
FIELDS: lists.Fields = {
    "name": Vm.name,
    "id": Vm.id,
    "status": Vm.status,
    "description": Vm.description,
    "comment": Vm.comment,
    "cluster": Cluster.name,
    "datacenter": DataCenter.name,
    "host": Host.name,
}
_NOT_OFFERED = ("stateless", "start_paused", "delete_protected", "tpm_enabled")
_PLACING = frozenset({"host", "placement_policy", "id", "href"})
"""What a start may say of the VM; anything else would be a run with settings of its own ("run once")."""


def representation(row: Vm) -> rep.Vm:
    pinned = row.placement_host_id
    return rep.Vm(
        id=row.id,
        name=row.name,
        description=row.description,
        comment=row.comment,
        cluster=rep.Cluster(id=row.cluster_id),
        cpu=rep.Cpu(topology=rep.CpuTopology(sockets=row.sockets, cores=row.cores, threads=row.threads)),
        creation_time=row.created_at,
        custom_properties=[rep.CustomProperty(name=n, value=v) for n, v in sorted(row.custom_properties.items())],
        delete_protected=False,
        host=rep.Host(id=row.host_id) if row.host_id else None,
        memory=row.memory,
        os=rep.OperatingSystem(
            type=row.os_type,
            kernel=row.kernel or None,
            initrd=row.initrd or None,
            cmdline=row.cmdline or None,
        ),
        original_template=rep.Template(id=BLANK),
        placement_policy=rep.VmPlacementPolicy(
            affinity=rep.VmAffinity.PINNED if pinned else rep.VmAffinity.MIGRATABLE,
            hosts=[rep.Host(id=pinned)] if pinned else None,
        ),
        start_paused=False,
        start_time=row.started_at if row.status != "down" else None,
        stateless=False,
        status=rep.VmStatus(row.status),
        stop_reason=row.stop_reason,
        stop_time=row.stopped_at,
        template=rep.Template(id=BLANK),
        type=rep.VmType.SERVER,
    )


@router.get("/vms")
def list_vms(call: Call) -> Response:
    with call.engine.db.read() as session:
        rows = session.scalars(lists.page(call, _joined(), FIELDS)).all()
        items = follow.expand(call, session, [representation(row) for row in rows])
    return lists.answer(call, rep.Vm, items)


@router.post("/vms")
def post_vm(call: Call) -> Response:
    body = call.read(rep.Vm)
    for member, path in (("nics", "nics"), ("disk_attachments", "diskattachments")):
        if getattr(body, member):
            raise Refused(f"A VM is added without {member}: add each by POST to vms/ID/{path}.")
    with call.engine.db.read() as session:
        fields = _fields(session, body)
        fields["cluster_id"] = resolve(session, Cluster, body.cluster, "cluster")
    check_blank(body.template)
    return call.created(_shown(call, add_vm(call.engine, call.caller, **fields)))


@router.get("/vms/{vm_id}")
def get_one(call: Call, vm_id: str) -> Response:
    return call.answer(_shown(call, vm_id))


@router.put("/vms/{vm_id}")
def put_vm(call: Call, vm_id: str) -> Response:
    body = call.read(rep.Vm)
    with call.engine.db.read() as session:
        fields = _fields(session, body)
        if body.cluster is not None:
            fields["cluster_id"] = resolve(session, Cluster, body.cluster, "cluster")
    check_blank(body.template)
    update_vm(call.engine, call.caller, vm_id, **fields)
    return call.answer(_shown(call, vm_id))


@router.delete("/vms/{vm_id}")
def delete_vm(call: Call, vm_id: str) -> Response:
    remove_vm(call.engine, call.caller, vm_id, detach_only=bool(call.params.flag("detach_only")))
    return call.done()


@router.post("/vms/{vm_id}/start")
def start(call: Call, vm_id: str) -> Response:
    action = call.read_action()
    if action.pause or action.use_cloud_init or action.use_sysprep or action.use_initialization:
        raise Refused("A VM cannot be started paused, or with cloud-init, sysprep or other initialization.")
    host: rep.Host | None = action.host
    if action.vm is not None:
        other = sorted(action.vm.model_fields_set - _PLACING)
        if other:
            raise Refused(f"A start with settings of its own ({', '.join(other)}) is not offered: change the VM first.")
        host = host or action.vm.host or _only_host(action.vm)
    with call.engine.db.read() as session:
        host_id = resolve(session, Host, host, "host") if host is not None else None
    return call.done(action, job_id=run_vm(call.engine, call.caller, vm_id, host_id=host_id))


@router.post("/vms/{vm_id}/stop")
def stop(call: Call, vm_id: str) -> Response:
    action = call.read_action()
    return call.done(action, job_id=stop_vm(call.engine, call.caller, vm_id))


@router.post("/vms/{vm_id}/shutdown")
def shutdown(call: Call, vm_id: str) -> Response:
    action = call.read_action()
    return call.done(action, job_id=stop_vm(call.engine, call.caller, vm_id, graceful=True))


@follow.entity(rep.Vm)
def _find(session: Session, ids: Sequence[str]) -> Mapping[str, rep.Vm]:
    return {row.id: representation(row) for row in session.scalars(select(Vm).where(Vm.id.in_(ids)))}


def _joined() -> Select[Vm]:
    """With what a search may name beside the VM's own fields."""
    return select(Vm).join(Vm.cluster).join(Cluster.data_center).outerjoin(Host, Host.id == Vm.host_id)


def _shown(call: ApiCall, vm_id: str) -> rep.Vm:
    with call.engine.db.read() as session:
        return follow.expand(call, session, [representation(get_vm(session, vm_id))])[0]


def _fields(session: Session, body: rep.Vm) -> VmFields:
    for name in _NOT_OFFERED:
        if getattr(body, name):
            raise Refused(f"{name} is not offered: VM {body.name or ''} cannot have it.")
    if body.high_availability is not None and body.high_availability.enabled:
        raise Refused(f"high_availability is not offered: VM {body.name or ''} cannot have it.")
    fields: dict[str, Any] = {**named(body), **sent(body, "memory")}
    if body.cpu is not None and body.cpu.topology is not None:
        fields |= sent(body.cpu.topology, "sockets", "cores", "threads")
    fields = {key: value for key, value in fields.items() if value is not None}
    if body.os is not None:
        given = sent(body.os, "kernel", "initrd", "cmdline", os_type="type")
        fields |= {key: value or "" for key, value in given.items()}
    if body.custom_properties is not None:
        fields["custom_properties"] = {p.name or "": p.value or "" for p in body.custom_properties}
    if body.placement_policy is not None and "hosts" in body.placement_policy.model_fields_set:
        host = _only_host(body)
        fields["placement_host_id"] = resolve(session, Host, host, "host") if host else None
    return cast(VmFields, fields)


def _only_host(body: rep.Vm) -> rep.Host | None:
    hosts = (body.placement_policy.hosts if body.placement_policy else None) or []
    if len(hosts) > 1:
        raise Refused("A VM can be pinned to one host, not to several.")
    return hosts[0] if hosts else None
