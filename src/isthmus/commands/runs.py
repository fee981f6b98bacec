"""Run and stop a VM, and say that a host was rebooted: what is wanted, in one transaction each."""

from __future__ import annotations

from google.protobuf import json_format
from sqlalchemy import func, select
from sqlalchemy.orm import Session, selectinload

from isthmus.commands.caller import Caller, InConflict, Missing
from isthmus.hosts.placement import BridgeNeed, Choice, HostView, Needs, Plugin, PortNeed, place
from isthmus.model import Code, Host, MayRun, Network, Nic, Provider, Vm, VnicProfile, note
from isthmus.model.jobs import start_job
from isthmus.model.points import declare, reach
from isthmus.reconcile import claims, runs
from isthmus.reconcile.engine import Engine
from isthmus.wire import agent_pb2 as wire

declare("run.before-commit", "run.after-commit", "stop.before-commit", "stop.after-commit")

_RUN = [
    selectinload(Vm.may_run),
    selectinload(Vm.nics).selectinload(Nic.profile).selectinload(VnicProfile.network).selectinload(Network.provided_by),
]


def run_vm(engine: Engine, caller: Caller, vm_id: str, *, host_id: str | None = None) -> str:
    """Order a start; the job's id. Refused, with each host's reason, when no host can wire every NIC.

    ``host_id``: this host or none.
    """
    with engine.db.write() as session:
        vm = session.get(Vm, vm_id, options=_RUN)
        if vm is None:
            raise Missing(f"There is no VM {vm_id}")
        if vm.wanted == "up":
            raise InConflict(f"VM {vm.name} is already running or being started (status {vm.status})")
        if vm.may_run:
            # Rule 11: it may still run somewhere, and would then run twice.
            names = _names(session, vm)
            raise InConflict(
                f"VM {vm.name} may still run on {names}: it is being stopped there. If that host is dead, confirm"
                " that it has been rebooted or switched off"
            )
        _wires_are_made(vm)
        host = _place(session, vm, host_id or vm.placement_host_id)
        job = start_job(session, f"Running VM {vm.name}", user=caller.user, correlation_id=caller.correlation_id)
        vm.job_id, vm.started_by, vm.correlation_id = job.id, caller.user, caller.correlation_id
        runs.write_start(session, vm, host, binding_host(host))
        note(
            session,
            Code.USER_INITIATED_RUN_VM,
            f"{caller.user} asked for VM {vm.name} to be started; host {host.name} was chosen",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
            host=host.id,
            cluster=vm.cluster_id,
            job=job.id,
        )
        reach("run.before-commit")
    reach("run.after-commit")
    engine.wake("vm", vm_id)
    return job.id


def stop_vm(engine: Engine, caller: Caller, vm_id: str, *, graceful: bool = False) -> str:
    """Order a stop; the job's id. Needs no provider: what is owed to one is paid when it answers."""
    with engine.db.write() as session:
        vm = session.get(Vm, vm_id, options=[selectinload(Vm.may_run)])
        if vm is None:
            raise Missing(f"There is no VM {vm_id}")
        if vm.wanted == "down" and (not vm.may_run or graceful or not vm.graceful):
            state = "is not running" if not vm.may_run else "is already being stopped"
            raise InConflict(f"VM {vm.name} {state}")
        verb = "Shutting down" if graceful else "Stopping"
        runs.end_former_job(session, vm, f"was stopped by {caller.user}")
        job = start_job(session, f"{verb} VM {vm.name}", user=caller.user, correlation_id=caller.correlation_id)
        vm.job_id, vm.correlation_id = job.id, caller.correlation_id
        runs.write_stop(session, vm, graceful=graceful)
        note(
            session,
            Code.USER_INITIATED_SHUTDOWN_VM if graceful else Code.USER_STOP_VM,
            f"{caller.user} {'asked for VM ' + vm.name + ' to shut down' if graceful else 'stopped VM ' + vm.name}",
            user=caller.user,
            correlation_id=caller.correlation_id,
            vm=vm.id,
            host=vm.host_id,
            cluster=vm.cluster_id,
            job=job.id,
        )
        reach("stop.before-commit")
    reach("stop.after-commit")
    engine.wake("vm", vm_id)
    return job.id


def confirm_reboot(engine: Engine, caller: Caller, host_id: str) -> int:
    """The administrator's word that a host has been rebooted or switched off: what may have run there does not.

    How many VMs were freed by it. The host's present agent, if it still answers with the same session, contradicts
    that word: no order is sent to it until it shows a new one.
    """
    with engine.db.write() as session:
        host = session.get(Host, host_id)
        if host is None:
            raise Missing(f"There is no host {host_id}")
        if host.status == "up":
            raise InConflict(
                f"Host {host.name} is up and its agent answers: it has not been switched off. Move it to maintenance,"
                " or stop its VMs, instead"
            )
        host.fenced_session, host.session = host.session or host.fenced_session, ""
        # Rule 11 and scenario 18: the word counts for the epochs of this moment, which this transaction holds still.
        vms = session.scalars(
            select(Vm).join(MayRun).where(MayRun.host_id == host_id).options(selectinload(Vm.may_run))
        ).all()
        ids = [vm.id for vm in vms]
        for vm in vms:
            runs.not_here(session, vm, host_id, vm.epoch, f"host {host.name} was rebooted or switched off")
        note(
            session,
            Code.VDS_MANUAL_FENCE_STATUS,
            f"{caller.user} confirmed that host {host.name} has been rebooted; {len(ids)} VMs may run elsewhere",
            user=caller.user,
            correlation_id=caller.correlation_id,
            host=host.id,
            cluster=host.cluster_id,
        )
    for vm_id in ids:
        claims.wake(engine, vm_id)
        engine.wake("vm", vm_id)
    engine.wake("host", host_id)
    return len(ids)


def binding_host(host: Host) -> str:
    """What ``binding:host_id`` says for this host, and its L2 agent's ``host``: set by the deployment."""
    return host.name


def _names(session: Session, vm: Vm) -> str:
    ids = [m.host_id for m in vm.may_run]
    return ", ".join(sorted(session.scalars(select(Host.name).where(Host.id.in_(ids)))))


def _wires_are_made(vm: Vm) -> None:
    for nic in vm.nics:
        if nic.plugged and nic.profile is not None:
            provided = nic.profile.network.provided_by
            if provided and not any(p.external_id for p in provided):
                raise InConflict(
                    f"NIC {nic.name} of VM {vm.name} is on network {nic.profile.network.name}, which is still being"
                    " made at its provider"
                )


def _place(session: Session, vm: Vm, pinned: str | None) -> Host:
    hosts = {h.id: h for h in session.scalars(select(Host).where(Host.cluster_id == vm.cluster_id).order_by(Host.name))}
    load = {
        host_id: (memory or 0, count)
        for host_id, memory, count in session.execute(
            select(MayRun.host_id, func.sum(Vm.memory), func.count()).join(Vm).group_by(MayRun.host_id)
        )
    }
    if pinned is not None and pinned not in hosts:
        raise InConflict(f"VM {vm.name}: the host it is to run on is not in its cluster")
    needs = Needs(
        memory=vm.memory,
        nics=_needs(session, vm),
        only=frozenset([pinned]) if pinned else None,
    )
    answer = place(needs, [_view(h, *load.get(h.id, (0, 0))) for h in hosts.values()])
    if isinstance(answer, Choice):
        return hosts[answer.host.id]
    raise InConflict(f"No host can run VM {vm.name}: {answer}")


def _needs(session: Session, vm: Vm) -> list[BridgeNeed | PortNeed]:
    providers = {p.id: p for p in session.scalars(select(Provider))}
    wired = {w.nic.id: w.provision for w in runs.wiring_of(vm)}
    needs: list[BridgeNeed | PortNeed] = []
    for nic in vm.nics:
        if not nic.plugged or nic.profile is None:
            continue
        network, provision = nic.profile.network, wired.get(nic.id)
        if provision is None:
            needs.append(BridgeNeed(nic.name, network.name, network.name))
            continue
        provider = providers[provision.provider_id]
        try:
            plugin = Plugin(provider.plugin_type)
        except ValueError:
            raise InConflict(
                f"NIC {nic.name} of VM {vm.name}: provider {provider.name} has the plug-in type"
                f" {provider.plugin_type or '(none)'}, which no host can wire; set it to one of"
                f" {', '.join(Plugin)}"
            ) from None
        needs.append(
            PortNeed(
                nic=nic.name,
                network=network.name,
                provider=provider.name,
                plugin=plugin,
                network_type=provision.network_type,
                physical_network=provision.physical_network,
                vlan=provision.segmentation_id,
            )
        )
    return needs


def _view(host: Host, committed: int, vms: int) -> HostView:
    said = json_format.ParseDict(host.capabilities, wire.CapabilitiesReply(), ignore_unknown_fields=True)
    up = host.status == "up" and bool(host.session)
    words = host.status.replace("_", " ")
    why = "" if up else f"the host is {words}" + (f" ({host.status_reason})" if host.status_reason else "")
    return HostView.seen(host.id, host.name, said, up=up, why_down=why, committed=int(committed), vms=vms)
