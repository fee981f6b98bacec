"""VMs: add, change, remove. Starting and stopping are runs (``commands/runs.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.commands.audit import audited
from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_number, check_properties, check_text
from isthmus.commands.claims import give_up_claims
from isthmus.commands.disks import drop_disks
from isthmus.commands.files import check_file
from isthmus.commands.standing import check_down, get_vm, is_down, vm_label
from isthmus.model import Cluster, ClusterNetwork, Code, DiskAttachment, Host, Vm, note, now
from isthmus.reconcile.engine import Engine

MIB = 1 << 20
LEAST_MEMORY = 32 * MIB
MOST_MEMORY = 16 << 40
MOST_CPUS = 710


class VmFields(TypedDict, total=False):
    """What a user may say of a VM. Absent: left as it is, or the default of a new one."""

    name: str
    description: str
    comment: str
    cluster_id: str
    memory: int
    """Bytes; whole MiB."""
    sockets: int
    cores: int
    threads: int
    os_type: str
    kernel: str
    initrd: str
    cmdline: str
    custom_properties: dict[str, str]
    placement_host_id: str | None


ANY_TIME = frozenset({"name", "description", "comment"})
"""What may change while the VM runs; everything else is part of how it was started."""


def add_vm(engine: Engine, caller: Caller, **fields: Unpack[VmFields]) -> str:
    """:raises Refused: a value is not allowed. :raises Missing: no such cluster. :raises InConflict: name in use."""
    name = fields.get("name", "")
    with (
        audited(engine, caller, Code.USER_FAILED_ADD_VM, f"VM {name} could not be added"),
        engine.db.write() as session,
    ):
        _check_vm_name(session, name, None)
        cluster = session.get(Cluster, fields.get("cluster_id", ""))
        if cluster is None:
            raise Missing(f"There is no cluster {fields.get('cluster_id', '')}: VM {name} was not added.")
        vm = Vm(name=name, cluster_id=cluster.id, created_at=now())
        _apply(engine, session, vm, fields)
        session.add(vm)
        session.flush()
        note(
            session,
            Code.USER_ADD_VM,
            f"VM {name} was added to cluster {cluster.name} by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
            cluster=cluster.id,
            data_center=cluster.data_center_id,
        )
        return vm.id


def update_vm(engine: Engine, caller: Caller, vm_id: str, **fields: Unpack[VmFields]) -> str:
    """:raises Missing: :raises Refused: :raises InConflict: not while the VM runs, or the name is taken."""
    with (
        audited(
            engine,
            caller,
            Code.USER_FAILED_UPDATE_VM,
            f"VM {vm_label(engine, vm_id)} could not be changed",
            vm=vm_id,
        ),
        engine.db.write() as session,
    ):
        vm = get_vm(session, vm_id)
        changed = {key: value for key, value in fields.items() if getattr(vm, key) != value}
        fixed = [key for key in changed if key not in ANY_TIME]
        if fixed and not is_down(vm):
            raise InConflict(
                f"VM {vm.name} is {vm.status}: its {', '.join(_WORDS[key] for key in fixed)} can be changed only while "
                "it is down. Name, description and comment can be changed at any time."
            )
        if "cluster_id" in changed:
            _check_cluster(session, vm, fields["cluster_id"])
        if "name" in changed:
            _check_vm_name(session, fields["name"], vm.id)
        _apply(engine, session, vm, changed)
        if changed:
            note(
                session,
                Code.USER_UPDATE_VM,
                f"VM {vm.name} was changed by {caller.user}: {', '.join(_WORDS[key] for key in changed)}.",
                user=caller.user,
                correlation_id=caller.correlation_id,
                vm=vm.id,
                cluster=vm.cluster_id,
            )
    return vm_id


def remove_vm(engine: Engine, caller: Caller, vm_id: str, *, detach_only: bool = False) -> str:
    """Its vNICs go with it, and so do its disks' images, unless ``detach_only`` or another VM has them too.

    Claims outlive the VM until their ports are given back.

    :raises Missing: :raises InConflict: it runs, or a host has not yet said that it does not.
    """
    with engine.db.write() as session:
        vm = get_vm(session, vm_id)
        check_down(session, vm, "removed")
        claims = give_up_claims(session, [nic.id for nic in vm.nics])
        attachments = list(session.scalars(select(DiskAttachment).where(DiskAttachment.vm_id == vm.id)))
        images = drop_disks(engine, session, attachments, keep=detach_only)
        note(
            session,
            Code.USER_REMOVE_VM_FINISHED,
            f"VM {vm.name} was removed by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
            cluster=vm.cluster_id,
        )
        session.delete(vm)
    for image in images:
        image.unlink(missing_ok=True)
    for claim in claims:
        engine.wake("claim", claim)
    return vm_id


_WORDS = {
    "name": "name",
    "description": "description",
    "comment": "comment",
    "cluster_id": "cluster",
    "memory": "memory",
    "sockets": "CPU sockets",
    "cores": "CPU cores",
    "threads": "CPU threads",
    "os_type": "operating system",
    "kernel": "kernel",
    "initrd": "initial RAM disk",
    "cmdline": "kernel command line",
    "custom_properties": "custom properties",
    "placement_host_id": "host",
}


def _apply(engine: Engine, session: Session, vm: Vm, values: Mapping[str, Any]) -> None:
    """Check each given value and write it. :raises Refused: :raises InConflict:"""
    name = values.get("name", vm.name)
    for key in ("name", "cluster_id"):
        if key in values:
            setattr(vm, key, values[key])
    for key, limit in (("description", 255), ("comment", 4000), ("cmdline", 4000), ("os_type", 40)):
        if key in values:
            setattr(vm, key, check_text(values[key], f"{_WORDS[key]} of VM {name}", limit=limit))
    if "memory" in values:
        vm.memory = check_number(values["memory"], f"memory of VM {name} in bytes", LEAST_MEMORY, MOST_MEMORY)
        if vm.memory % MIB:
            raise Refused(f"The memory of VM {name} must be whole MiB; {vm.memory} bytes are not.")
    for key in ("sockets", "cores", "threads"):
        if key in values:
            setattr(vm, key, check_number(values[key], f"number of {_WORDS[key]} of VM {name}", 1, MOST_CPUS))
    check_number((vm.sockets or 1) * (vm.cores or 1) * (vm.threads or 1), f"number of CPUs of VM {name}", 1, MOST_CPUS)
    for key in ("kernel", "initrd"):
        if key in values:
            path = values[key]
            setattr(vm, key, check_file(engine, path, f"{_WORDS[key]} of VM {name}") if path else "")
    if (vm.initrd or vm.cmdline) and not vm.kernel:
        raise Refused(f"VM {name} has an initial RAM disk or a kernel command line, but no kernel to go with it.")
    if "custom_properties" in values:
        vm.custom_properties = check_properties(values["custom_properties"], f"VM {name}")
    if "placement_host_id" in values or "cluster_id" in values:
        host_id = values.get("placement_host_id", vm.placement_host_id)
        vm.placement_host_id = _check_placement(session, name, vm.cluster_id, host_id)


def _check_vm_name(session: Session, name: str, vm_id: str | None) -> None:
    check_name(
        name,
        "a VM",
        pattern=r"[\w.-]+",
        allowed="letters, digits and . _ - may stand there",
        limit=255,
    )
    if session.scalar(select(Vm.id).where(Vm.name == name, Vm.id != (vm_id or ""))) is not None:
        raise InConflict(f"There is a VM {name} already: choose another name.")


def _check_cluster(session: Session, vm: Vm, cluster_id: str) -> None:
    """:raises Missing: :raises InConflict: another data center, or a network of its vNICs is not in that cluster."""
    cluster = session.get(Cluster, cluster_id)
    if cluster is None:
        raise Missing(f"There is no cluster {cluster_id}.")
    if cluster.data_center_id != vm.cluster.data_center_id:
        raise InConflict(f"Cluster {cluster.name} is in another data center than VM {vm.name}.")
    there = set(session.scalars(select(ClusterNetwork.network_id).where(ClusterNetwork.cluster_id == cluster_id)))
    for nic in vm.nics:
        if nic.profile is not None and nic.profile.network_id not in there:
            raise InConflict(
                f"vNIC {nic.name} of VM {vm.name} stands on network {nic.profile.network.name}, which cluster "
                f"{cluster.name} does not have."
            )


def _check_placement(session: Session, name: str, cluster_id: str, host_id: str | None) -> str | None:
    if host_id is None:
        return None
    host = session.get(Host, host_id)
    if host is None:
        raise Refused(f"There is no host {host_id} for VM {name} to be pinned to.")
    if host.cluster_id != cluster_id:
        raise InConflict(f"Host {host.name} is not in the cluster of VM {name}.")
    return host.id
