"""A VM's run, as transactions: the orders that are written for hosts, and what an agent's word changes.

Everything here happens inside the caller's transaction and talks to nobody. The rules are those of the vNIC port
protocol: 5 (a run begins with no port recorded), 10 (claims rest when the VM is seen down everywhere), 11 (may-run
set), 12 (an order carries the agent's session), 13 (an epoch is obeyed once).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from isthmus.model import Claim, Code, Host, MayRun, Nic, Severity, Vm, next_change, note, now
from isthmus.model.jobs import end_job
from isthmus.model.networks import NetworkProvision


class About(TypedDict):
    vm: str
    host: str | None
    cluster: str
    correlation_id: str


@dataclass(frozen=True)
class Wiring:
    """A NIC on an external network: by whom and as what it is to be provided."""

    nic: Nic
    provision: NetworkProvision


def wiring_of(vm: Vm) -> list[Wiring]:
    """The plugged NICs that a provider serves: for each, the provision of lowest rank that exists at its provider."""
    found = []
    for nic in vm.nics:
        if not nic.plugged or nic.profile is None:
            continue
        provisions = [p for p in nic.profile.network.provided_by if p.external_id]
        if provisions:
            found.append(Wiring(nic, provisions[0]))
    return found


def write_start(session: Session, vm: Vm, host: Host, binding_host: str) -> None:
    """The start order: a new epoch, the host in the may-run set, and a claim of a new generation for each NIC.

    One transaction (the protocol's assumption), and only with the may-run set empty (rule 11), which the caller has
    checked in it.
    """
    moment = now()
    vm.epoch += 1
    vm.wanted, vm.order, vm.graceful = "up", "start", False
    vm.host_id, vm.status, vm.seen_state = host.id, "wait_for_launch", ""
    vm.ordered_at, vm.wired_at, vm.started_at = moment, None, None
    vm.stop_reason, vm.failed = "", False
    session.add(MayRun(vm_id=vm.id, host_id=host.id, epoch=vm.epoch, session=host.session))
    known = {
        (c.nic_id, c.provider_id, c.external_network_id, c.mac): c
        for c in session.scalars(select(Claim).where(Claim.vm_id == vm.id))
    }
    for wire in wiring_of(vm):
        nic, provision = wire.nic, wire.provision
        assert nic.profile is not None  # noqa: S101 - wiring_of's promise
        assert provision.external_id is not None  # noqa: S101 - wiring_of's promise
        # Rule 8: another network, another claim.
        key = (nic.id, provision.provider_id, provision.external_id, nic.mac)
        claim = known.get(key)
        if claim is None:
            claim = Claim(nic_id=key[0], provider_id=key[1], external_network_id=key[2], mac=key[3], vm_id=vm.id)
            claim.generation, claim.revision = 0, 0
            session.add(claim)
        claim.generation += 1
        claim.revision += 1
        claim.network_id = nic.profile.network_id
        claim.security_groups = nic.profile.security_groups
        claim.wanted, claim.host_id, claim.binding_host = "bound", host.id, binding_host
        # Rule 5: an id that a release or a sweep may be deleting is never used again.
        claim.port_id, claim.ready = None, False
        claim.seen_host = claim.seen_status = claim.vif_type = ""
        claim.vif_details, claim.addresses = {}, []
        claim.problem, claim.problem_final, claim.tries, claim.owed_since = "", False, 0, None


def write_stop(session: Session, vm: Vm, *, reason: str = "", failed: bool = False, graceful: bool = False) -> None:
    """A stop order for every host on which the VM may run. The claims stay until it is seen down (rule 10)."""
    vm.epoch += 1
    vm.wanted, vm.order, vm.graceful = "down", "stop", graceful
    vm.status, vm.ordered_at = "powering_down", now()
    if reason or not vm.failed:
        vm.stop_reason, vm.failed = reason, failed
    sessions = _sessions(session, vm.may_run)
    for may in vm.may_run:
        may.epoch, may.session = vm.epoch, sessions[may.host_id]


def renew_stop(session: Session, vm: Vm) -> None:
    """The stop order again under a new epoch, for the sessions that are known now (rule 12)."""
    vm.epoch += 1
    sessions = _sessions(session, vm.may_run)
    for may in vm.may_run:
        may.epoch, may.session = vm.epoch, sessions[may.host_id]


def _sessions(session: Session, may_run: Iterable[MayRun]) -> dict[str, str]:
    ids = [m.host_id for m in may_run]
    return {row.id: row.session for row in session.scalars(select(Host).where(Host.id.in_(ids)))} if ids else {}


def not_here(session: Session, vm: Vm, host_id: str, epoch: int, reason: str) -> bool:
    """The word "not here, epoch e", or a confirmed power-off under e (rule 11). Counts only for the present epoch.

    True: the host left the may-run set. The VM is down once the set is empty.
    """
    may = next((m for m in vm.may_run if m.host_id == host_id), None)
    if may is None or epoch != vm.epoch:
        return False
    vm.may_run.remove(may)
    if vm.wanted == "up" and vm.host_id == host_id:
        # The guest ended by itself, or never began: what is wanted follows what happened.
        vm.wanted = "down"
        vm.stop_reason = reason
        vm.failed = vm.started_at is None
    if not vm.may_run:
        settle_down(session, vm)
    return True


def settle_down(session: Session, vm: Vm) -> None:
    """The VM is seen down everywhere: now its claims rest (rule 10), and its job and the event say how it ended."""
    by_user = vm.order == "stop"
    never_ran = vm.started_at is None
    host_id = vm.host_id
    vm.status, vm.seen_state, vm.host_id = "down", "", None
    vm.wanted, vm.stopped_at, vm.wired_at = "down", now(), None
    release_claims(session, vm.id)
    about = About(vm=vm.id, host=host_id, cluster=vm.cluster_id, correlation_id=vm.correlation_id)
    if vm.failed and never_ran:
        text = f"VM {vm.name} could not be started: {vm.stop_reason}"
        note(session, Code.USER_FAILED_RUN_VM, text, severity=Severity.ERROR, user=vm.started_by, **about)
        end_job(session, vm.job_id, fault=text, kind="unwell")
    elif vm.failed:
        note(
            session,
            Code.VM_DOWN_ERROR,
            f"VM {vm.name} is down with an error: {vm.stop_reason}",
            severity=Severity.ERROR,
            **about,
        )
        end_job(session, vm.job_id, fault=vm.stop_reason)
    else:
        words = f"VM {vm.name} is down" + (f": {vm.stop_reason}" if vm.stop_reason else "")
        note(session, Code.VM_DOWN, words + ("" if by_user else " (the guest ended by itself)"), **about)
        end_job(session, vm.job_id, fault="" if not never_ran or by_user else words)


def release_claims(session: Session, vm_id: str) -> None:
    """The claims of this VM that want a port want none any more; each is a new generation (rules 6, 10)."""
    session.flush()
    session.execute(
        update(Claim)
        .where(Claim.vm_id == vm_id, Claim.wanted == "bound")
        .values(
            wanted="absent",
            host_id=None,
            generation=Claim.generation + 1,
            revision=Claim.revision + 1,
            ready=False,
            tries=0,
            owed_since=now(),
            change=next_change(session),
        )
        .execution_options(synchronize_session=False)
    )


def settled(session: Session, vm: Vm, host: Host | None) -> None:
    """The guest runs: the record for people."""
    vm.status, vm.seen_state = "up", "running"
    if vm.started_at is not None:
        return
    vm.started_at = now()
    # What it waited for is past; a problem from now on is one of a running guest.
    session.execute(
        update(Claim)
        .where(Claim.vm_id == vm.id, Claim.wanted == "bound", Claim.problem != "")
        .values(problem="", revision=Claim.revision + 1, change=next_change(session))
        .execution_options(synchronize_session=False)
    )
    where = host.name if host else "its host"
    note(
        session,
        Code.USER_RUN_VM,
        f"VM {vm.name} started on host {where}",
        user=vm.started_by,
        vm=vm.id,
        host=vm.host_id,
        cluster=vm.cluster_id,
        correlation_id=vm.correlation_id,
    )
    end_job(session, vm.job_id)


def end_former_job(session: Session, vm: Vm, why: str) -> None:
    """The job of an order that another order overtakes ends here, if it has not; ``why`` tells what the VM was."""
    end_job(session, vm.job_id, fault=f"Before this was done VM {vm.name} {why}", kind="conflict")
