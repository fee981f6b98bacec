"""Hosts: add, change, remove, maintenance and back, install again.

The first contact with a host (its fingerprint; the engine's key put there) is made by the route, which waits for it;
the commands here write what came of it. Installing is the reconciler's work, told by ``install_wanted``.
"""

from __future__ import annotations

from typing import Unpack

from sqlalchemy import select, update
from sqlalchemy.orm import Session, selectinload

from isthmus.commands.audit import audited
from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.hostfields import (
    HostFields,
    Mappings,
    check_address,
    check_host_name,
    check_new,
    check_rest,
    write_providers,
)
from isthmus.hosts.ssh import HostKey
from isthmus.model import Cluster, Code, Host, HostProvider, MayRun, Severity, Vm, note
from isthmus.model.jobs import start_job
from isthmus.reconcile.engine import Engine

_RESTING = ("maintenance", "install_failed")


def check_new_host(engine: Engine, **fields: Unpack[HostFields]) -> None:
    """What can be refused before a host is contacted. :raises Refused: :raises Missing: :raises InConflict:"""
    with engine.db.read() as session:
        check_new(session, fields)


def add_host(
    engine: Engine, caller: Caller, *, host_key: HostKey, activate: bool = True, **fields: Unpack[HostFields]
) -> str:
    """After the first contact, which showed ``host_key``. It is installed, and then up if ``activate``.

    :raises Refused: :raises Missing: no such cluster or provider. :raises InConflict: name or address in use.
    """
    with engine.db.write() as session:
        cluster = check_new(session, fields)
        host = Host(
            name=fields["name"],
            description=fields.get("description", ""),
            comment=fields.get("comment", ""),
            cluster_id=cluster.id,
            address=fields["address"],
            ssh_port=fields.get("ssh_port", 22),
            ssh_user=fields.get("ssh_user", "root"),
            ssh_fingerprint=host_key.fingerprint,
            ssh_host_key=f"{host_key.type} {host_key.base64}",
            wanted="up" if activate else "maintenance",
        )
        session.add(host)
        write_providers(session, host, fields.get("providers", {}))
        session.flush()
        _order_installation(session, caller, host)
        note(
            session,
            Code.USER_ADD_VDS,
            f"Host {host.name} ({host.address}) was added to cluster {cluster.name} by {caller.user}; it is being "
            "installed.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            host=host.id,
            cluster=cluster.id,
            data_center=cluster.data_center_id,
            job=host.install_job_id,
        )
    engine.wake("host", host.id)
    return host.id


def update_host(engine: Engine, caller: Caller, host_id: str, **fields: Unpack[HostFields]) -> str:
    """Providers and mappings take effect with the next installation.

    :raises Missing: :raises Refused: :raises InConflict: name or address in use, or not in this status.
    """
    with (
        audited(
            engine,
            caller,
            Code.USER_FAILED_UPDATE_VDS,
            f"Host {host_label(engine, host_id)} could not be changed",
            host=host_id,
        ),
        engine.db.write() as session,
    ):
        host = get_host(session, host_id)
        plain = {key: value for key, value in fields.items() if key != "providers" and getattr(host, key) != value}
        wanted = fields.get("providers")
        rewired = wanted is not None and dict(wanted) != {p.provider_id: p.network_mappings for p in host.providers}
        words = [_WORDS[key] for key in plain] + (["external network providers"] if rewired else [])
        fixed = [word for word in words if word not in ("name", "description", "comment", "SSH port", "SSH user")]
        if fixed and host.status not in _RESTING:
            raise InConflict(
                f"Host {host.name} is {_status(host)}: its {', '.join(fixed)} can be changed only in maintenance. Move "
                "it to maintenance first."
            )
        if "name" in plain:
            if host.providers:
                raise InConflict(
                    f"Host {host.name} cannot be renamed: to {_providers(host)} its L2 agent is known by that name."
                )
            check_host_name(session, fields["name"], host.id)
        if "address" in plain:
            check_address(session, fields["address"], host.id)
        if "cluster_id" in plain and session.get(Cluster, fields["cluster_id"]) is None:
            raise Missing(f"There is no cluster {fields['cluster_id']}.")
        if "cluster_id" in plain:
            _check_unused(session, host, "moved to another cluster")
        check_rest(fields)
        for key, value in plain.items():
            setattr(host, key, value)
        if rewired and wanted is not None:
            write_providers(session, host, wanted)
        if words:
            note(
                session,
                Code.USER_UPDATE_VDS,
                f"Host {host.name} was changed by {caller.user}: {', '.join(words)}.",
                user=caller.user,
                correlation_id=caller.correlation_id,
                host=host.id,
                cluster=host.cluster_id,
            )
    if "address" in plain:
        engine.forget_host(host_id)
    engine.wake("host", host_id)
    return host_id


def remove_host(engine: Engine, caller: Caller, host_id: str) -> str:
    """Its certificate is not accepted from now on. Nothing is uninstalled there.

    :raises Missing: :raises InConflict: not in maintenance, a VM may run there, or one is pinned to it.
    """
    with (
        audited(
            engine,
            caller,
            Code.USER_FAILED_REMOVE_VDS,
            f"Host {host_label(engine, host_id)} could not be removed",
            host=host_id,
        ),
        engine.db.write() as session,
    ):
        host = get_host(session, host_id)
        if host.status not in _RESTING:
            raise InConflict(
                f"Host {host.name} is {_status(host)}: it can be removed only in maintenance. Move it to maintenance "
                "first."
            )
        _check_unused(session, host, "removed")
        session.execute(update(Vm).where(Vm.host_id == host.id).values(host_id=None))
        serial = host.certificate_serial
        note(
            session,
            Code.USER_REMOVE_VDS,
            f"Host {host.name} ({host.address}) was removed by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            host=host.id,
            cluster=host.cluster_id,
        )
        session.delete(host)
    if serial:
        engine.authority.deny(serial)
    engine.forget_host(host_id)
    engine.wake("host", host_id)
    return host_id


def activate_host(engine: Engine, caller: Caller, host_id: str) -> str:
    """:raises Missing: :raises InConflict: it is up, or was never installed."""
    with engine.db.write() as session:
        host = get_host(session, host_id)
        if host.status not in ("maintenance", "preparing_for_maintenance", "non_operational", "install_failed"):
            raise InConflict(f"Host {host.name} is {_status(host)}: there is nothing to activate.")
        if host.install_done < host.install_wanted:
            raise InConflict(f"Host {host.name} is not installed ({_status(host)}). Install it again first.")
        host.wanted, host.status, host.status_reason = "up", "connecting", ""
        note(
            session,
            Code.VDS_ACTIVATE,
            f"Host {host.name} was activated by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            host=host.id,
            cluster=host.cluster_id,
        )
    engine.wake("host", host_id)
    return host_id


def deactivate_host(engine: Engine, caller: Caller, host_id: str) -> str:
    """To maintenance; idempotent. :raises Missing: :raises InConflict: being installed, or VMs may run there."""
    with engine.db.write() as session:
        host = get_host(session, host_id)
        if host.status == "maintenance":
            return host_id
        if host.status == "installing":
            raise InConflict(f"Host {host.name} is being installed. Wait until that has ended.")
        names = _vms_on(session, host)
        if names:
            raise InConflict(
                f"Host {host.name} cannot be moved to maintenance while VMs run there, or may: {', '.join(names)}. "
                "Stop them first; migration is not offered."
            )
        host.wanted, host.status, host.status_reason = "maintenance", "maintenance", ""
        note(
            session,
            Code.VDS_MAINTENANCE,
            f"Host {host.name} was moved to maintenance by {caller.user}.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            host=host.id,
            cluster=host.cluster_id,
        )
    engine.wake("host", host_id)
    return host_id


def check_install(engine: Engine, host_id: str) -> Host:
    """What can be refused before a host is contacted. :raises Missing: :raises InConflict:"""
    with engine.db.read() as session:
        return _check_install(session, host_id)


def install_host(
    engine: Engine,
    caller: Caller,
    host_id: str,
    *,
    host_key: HostKey,
    activate: bool = True,
    providers: Mappings | None = None,
) -> str:
    """Install it (again), from where a failed installation ended, after a contact that showed ``host_key``. The
    job's id. Without ``providers`` it keeps those it has.

    :raises Missing: :raises Refused: :raises InConflict: not in maintenance, nor failed before.
    """
    with engine.db.write() as session:
        host = _check_install(session, host_id)
        if providers is not None:
            write_providers(session, host, providers)
        host.wanted = "up" if activate else "maintenance"
        host.ssh_fingerprint, host.ssh_host_key = host_key.fingerprint, f"{host_key.type} {host_key.base64}"
        job = _order_installation(session, caller, host)
        note(
            session,
            Code.VDS_INSTALL_IN_PROGRESS,
            f"{caller.user} asked for host {host.name} to be installed again.",
            user=caller.user,
            correlation_id=caller.correlation_id,
            host=host.id,
            cluster=host.cluster_id,
            job=job,
        )
    engine.wake("host", host_id)
    return job


def note_host_refused(engine: Engine, caller: Caller, name: str, refusal: Refused) -> None:
    """The event of a host that was not added, whoever refused it: a command here, or the host itself."""
    with engine.db.write() as session:
        note(
            session,
            Code.USER_FAILED_ADD_VDS,
            f"Host {name} could not be added by {caller.user}: {refusal.detail}",
            severity=Severity.ERROR,
            user=caller.user,
            correlation_id=caller.correlation_id,
        )


def get_host(session: Session, host_id: str) -> Host:
    """:raises Missing:"""
    host = session.get(Host, host_id, options=[selectinload(Host.providers).selectinload(HostProvider.provider)])
    if host is None:
        raise Missing(f"There is no host {host_id}.")
    return host


def host_label(engine: Engine, host_id: str) -> str:
    """Its name, for the event of a refusal; the id if there is no such host."""
    with engine.db.read() as session:
        return session.scalar(select(Host.name).where(Host.id == host_id)) or host_id


_WORDS = {
    "name": "name",
    "description": "description",
    "comment": "comment",
    "cluster_id": "cluster",
    "address": "address",
    "ssh_port": "SSH port",
    "ssh_user": "SSH user",
}


def _order_installation(session: Session, caller: Caller, host: Host) -> str:
    job = start_job(session, f"Installing host {host.name}", user=caller.user, correlation_id=caller.correlation_id)
    host.install_wanted = (host.install_wanted or 0) + 1
    host.install_job_id = job.id
    host.status, host.status_reason = "installing", ""
    return job.id


def _check_install(session: Session, host_id: str) -> Host:
    host = get_host(session, host_id)
    if host.status not in _RESTING:
        raise InConflict(
            f"Host {host.name} is {_status(host)}: it can be installed again only in maintenance, or after an "
            "installation that failed."
        )
    names = _vms_on(session, host)
    if names:
        raise InConflict(f"Host {host.name} cannot be installed while VMs may run there: {', '.join(names)}.")
    return host


def _vms_on(session: Session, host: Host) -> list[str]:
    """Rule 11's word for it: the VMs whose may-run set holds the host."""
    on = select(Vm.name).join(MayRun, MayRun.vm_id == Vm.id).where(MayRun.host_id == host.id).order_by(Vm.name)
    return list(session.scalars(on))


def _check_unused(session: Session, host: Host, what: str) -> None:
    names = _vms_on(session, host)
    if names:
        raise InConflict(
            f"Host {host.name} cannot be {what} while VMs run there, or may: {', '.join(names)}. If the host is dead, "
            "confirm that it has been rebooted."
        )
    pinned = list(session.scalars(select(Vm.name).where(Vm.placement_host_id == host.id).order_by(Vm.name)))
    if pinned:
        raise InConflict(f"Host {host.name} cannot be {what} while VMs are pinned to it: {', '.join(pinned)}.")


def _providers(host: Host) -> str:
    return ", ".join(row.provider.name for row in host.providers)


def _status(host: Host) -> str:
    return host.status.replace("_", " ")
