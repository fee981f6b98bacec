"""Hosts: installed when that is wanted, followed by a monitor of their own, and what the monitor sees recorded."""

from __future__ import annotations

import logging
import threading

from google.protobuf import json_format
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from isthmus.hosts.errors import HostError, VersionMismatch
from isthmus.hosts.monitor import HostMonitor
from isthmus.model import Code, Host, MayRun, Severity, Vm, note, now
from isthmus.reconcile import runs
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.installations import certificate_is_due, install, renew_certificate
from isthmus.reconcile.loop import Task
from isthmus.reconcile.reports import apply_report, take_session
from isthmus.wire import agent_pb2 as wire

log = logging.getLogger(__name__)


class Monitors:
    """The monitors of this engine, one for each installed host."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._monitors: dict[str, HostMonitor] = {}

    def watch(self, host: Host) -> None:
        """See that this host is followed, at the address it has now."""
        client = self._engine.client(host)
        with self._lock:
            known = self._monitors.get(host.id)
            if known is not None and known.client is client:
                return
            monitor = HostMonitor(client, Watcher(self._engine, host.id))
            self._monitors[host.id] = monitor
        if known is not None:
            known.stop()
        monitor.start()

    def poke(self, host_id: str) -> None:
        with self._lock:
            known = self._monitors.get(host_id)
        if known is not None:
            known.poke()

    def forget(self, host_id: str) -> None:
        with self._lock:
            known = self._monitors.pop(host_id, None)
        if known is not None:
            known.stop()
        self._engine.forget_host(host_id)

    def close(self) -> None:
        with self._lock:
            monitors, self._monitors = list(self._monitors.values()), {}
        for monitor in monitors:
            monitor.stop()


def plan(engine: Engine, monitors: Monitors, host_id: str) -> list[Task]:
    with engine.db.read() as session:
        host = session.get(Host, host_id)
    if host is None:
        monitors.forget(host_id)
        return []
    if host.install_wanted > max(host.install_done, host.install_failed):
        return [Task("install", f"deploy:{host_id}", lambda: install(engine, host_id))]
    if host.install_done:
        if host.status == "connecting":
            monitors.forget(host_id)  # dialled anew, so that what it is now is told anew
        monitors.watch(host)
        if certificate_is_due(host):
            return [Task("certificate", f"deploy:{host_id}", lambda: renew_certificate(engine, host_id))]
    return []


class Watcher:
    """What a monitor sees of one host, recorded. Called in the monitor's own thread."""

    def __init__(self, engine: Engine, host_id: str) -> None:
        self._engine = engine
        self._host = host_id

    def up(self, hello: wire.HelloReply, capabilities: wire.CapabilitiesReply) -> None:
        # One transaction: whoever sees the host up sees the session that orders for it must carry (rule 12).
        with self._engine.db.write() as session:
            host = session.get(Host, self._host)
            if host is None:
                return
            if not take_session(host, hello):
                _say_not_rebooted(session, host)
                return
            _keep_capabilities(host, capabilities)
            if host.install_done < host.install_wanted:
                return  # it is being installed, or that failed: whether it is up is said when it has been
            before, host.status_reason = host.status, ""
            host.status = "maintenance" if host.wanted == "maintenance" else "up"
            if before != "up" and host.status == "up":
                first = before in ("installing", "connecting")
                note(
                    session,
                    Code.VDS_DETECTED if first else Code.VDS_RECOVER,
                    f"Host {host.name} is up" + ("" if first else " again"),
                    host=host.id,
                    cluster=host.cluster_id,
                )

    def capabilities(self, capabilities: wire.CapabilitiesReply) -> None:
        with self._engine.db.write() as session:
            host = session.get(Host, self._host)
            if host is not None:
                _keep_capabilities(host, capabilities)

    def report(self, report: wire.VmReport) -> None:
        apply_report(self._engine, self._host, report)

    def snapshot(self, reports: dict[str, wire.VmReport]) -> None:
        """Every VM the host has. One that may run there and is not among them is asked for by name; when the order
        it waits for was written for an agent that is gone, that order can never be obeyed and is replaced by a stop
        (rule 12), whose answer is the word that counts (rule 11).
        """
        engine = self._engine
        with engine.db.read() as session:
            host = session.get(Host, self._host)
            if host is None:
                return
            missing = [
                (vm, may.session)
                for vm, may in session.execute(
                    select(Vm, MayRun).join(MayRun, MayRun.vm_id == Vm.id).where(MayRun.host_id == self._host)
                ).all()
                if vm.id not in reports
            ]
        client = engine.client(host)
        for vm, ordered_for in missing:
            report = client.get_vm(vm.id)
            apply_report(engine, host.id, report)
            if report.state == wire.ABSENT and vm.order == "start" and ordered_for != host.session:
                self._stop_lost(vm.id, vm.epoch, host.name)
        with engine.db.read() as session:
            ids = session.scalars(select(MayRun.vm_id).where(MayRun.host_id == self._host)).all()
        for vm_id in ids:
            engine.wake("vm", vm_id)

    def _stop_lost(self, vm_id: str, epoch: int, host: str) -> None:
        with self._engine.db.write() as session:
            vm = session.get(Vm, vm_id, options=[selectinload(Vm.may_run)])
            if vm is None or vm.epoch != epoch or vm.wanted != "up":
                return
            runs.write_stop(
                session, vm, reason=f"host {host} or its agent was restarted and no longer has the guest", failed=True
            )

    def log(self, line: wire.LogLine) -> None:
        log.info("Host %s: %s: %s", self._host, line.level, line.text)

    def down(self, error: HostError) -> None:
        with self._engine.db.write() as session:
            host = session.get(Host, self._host)
            if host is None or host.status in ("installing", "install_failed"):
                return
            was_up = host.status == "up"
            host.status_reason = str(error)
            if host.wanted == "maintenance":
                return
            host.status = "non_operational" if isinstance(error, VersionMismatch) else "non_responsive"
            if was_up:
                note(
                    session,
                    Code.VDS_FAILURE,
                    f"Host {host.name} does not answer: {error}",
                    severity=Severity.ERROR,
                    host=host.id,
                    cluster=host.cluster_id,
                )


def _say_not_rebooted(session: Session, host: Host) -> None:
    if host.status == "non_operational":
        return
    host.status = "non_operational"
    host.status_reason = "it was confirmed as rebooted, but what ran before still answers; reboot it"
    note(
        session,
        Code.VDS_SET_NONOPERATIONAL,
        f"Host {host.name} is not used: {host.status_reason}",
        severity=Severity.ALERT,
        host=host.id,
        cluster=host.cluster_id,
    )


def _keep_capabilities(host: Host, said: wire.CapabilitiesReply) -> None:
    host.capabilities = json_format.MessageToDict(said, preserving_proto_field_name=True)
    host.memory, host.seen_at = said.memory, now()
