"""What an agent's word changes. Every reply and every watched change of a VM ends here."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from isthmus.hosts.errors import HostError
from isthmus.model import Host, Moment, Vm, now
from isthmus.reconcile import claims, runs
from isthmus.reconcile.engine import Engine
from isthmus.wire import agent_pb2 as wire

log = logging.getLogger(__name__)


def apply_report(engine: Engine, host_id: str, report: wire.VmReport) -> None:
    """Record what host ``host_id`` says of a VM. Idempotent; words of another epoch change nothing (rules 11, 13)."""
    with engine.db.read() as session:
        known = session.get(Vm, report.vm, options=[selectinload(Vm.may_run)])
        if known is None or not _tells_something(known, host_id, report):
            return
    with engine.db.write() as session:
        vm = session.get(Vm, report.vm, options=[selectinload(Vm.may_run)])
        if vm is None or not any(m.host_id == host_id for m in vm.may_run):
            return
        if report.state == wire.ABSENT:
            # "Not here, epoch e": nothing under e will run there, for e is obeyed once (rule 13).
            runs.not_here(session, vm, host_id, report.floor, report.reason)
        elif report.state == wire.CRASHED:
            if report.epoch == vm.epoch and vm.wanted == "up":
                runs.write_stop(session, vm, reason=report.reason or "the guest crashed", failed=True)
        elif report.epoch == vm.epoch and vm.order == "start" and vm.host_id == host_id:
            _seen_here(vm, report)
            if report.state == wire.RUNNING:
                runs.settled(session, vm, session.get(Host, host_id))
            _keep_moments(session, vm, report)
        down = vm.status == "down"
    engine.wake("vm", report.vm)
    if down:
        claims.wake(engine, report.vm)


def _tells_something(vm: Vm, host_id: str, report: wire.VmReport) -> bool:
    if not any(m.host_id == host_id for m in vm.may_run):
        return False
    if report.state == wire.ABSENT:
        return bool(report.floor == vm.epoch)
    if report.epoch != vm.epoch or vm.order != "start":
        return False
    if report.state == wire.CRASHED:
        return vm.wanted == "up"
    if report.state == wire.RUNNING:
        return vm.status != "up"
    if report.state == wire.PAUSED:
        return vm.seen_state != "paused" and all(n.wired for n in report.nics)
    return report.state == wire.SHUTTING_DOWN and vm.status != "powering_down"


def _seen_here(vm: Vm, report: wire.VmReport) -> None:
    if report.state == wire.PAUSED and vm.seen_state == "":
        vm.seen_state, vm.status, vm.wired_at = "paused", "powering_up", now()
    elif report.state == wire.SHUTTING_DOWN:
        vm.status = "powering_down"


def _keep_moments(session: Session, vm: Vm, report: wire.VmReport) -> None:
    """Each once: every report of a run tells all that was done for it."""
    known = {
        (m.nic_id, m.what, m.text, m.at)
        for m in session.scalars(select(Moment).where(Moment.vm_id == vm.id, Moment.epoch == vm.epoch))
    }
    for nic in report.nics:
        for moment in nic.moments:
            at = datetime.fromtimestamp(moment.at, UTC) if moment.at else now()
            if (nic.nic, moment.what, moment.text, at) in known:
                continue
            session.add(
                Moment(
                    nic_id=nic.nic,
                    vm_id=vm.id,
                    epoch=vm.epoch,
                    at=at,
                    what=moment.what,
                    text=moment.text,
                    seconds=moment.seconds,
                )
            )


def learn_session(engine: Engine, host: Host) -> None:
    """Ask the agent for its session and keep it (rule 12). Not reached: the next try asks again."""
    try:
        hello = engine.client(host).hello()
    except HostError as error:
        log.warning("Host %s does not say its session: %s", host.name, error)
        return
    keep_session(engine, host.id, hello)


def keep_session(engine: Engine, host_id: str, hello: wire.HelloReply) -> bool:
    """False: the host was said to be powered off, and the agent or the boot of before still answers: nothing may be
    ordered.
    """
    with engine.db.write() as session:
        host = session.get(Host, host_id)
        return host is not None and take_session(host, hello)


def take_session(host: Host, hello: wire.HelloReply) -> bool:
    """As ``keep_session``, inside the caller's transaction."""
    if host.fenced_session and (hello.session == host.fenced_session or hello.boot_id == host.boot_id != ""):
        # Another agent process of the same boot is no proof either: its guests live on when an agent is restarted.
        return False
    host.fenced_session = ""
    host.session, host.boot_id = hello.session, hello.boot_id
    return True
