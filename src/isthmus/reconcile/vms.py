"""What makes a VM run or stop: the planner, and the orders sent to agents.

A start goes: ports made at each provider, side by side -> the guest started paused and wired -> each port seen ready
and the host's own evidence -> resume. A stop goes: every host that may run it says "not here" -> the claims rest. A run
that is not ready within its provider's plug wait is given up: the guest is destroyed, the VM is down, and the event
says which NIC, which host, which provider and why.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session, selectinload

from isthmus.hosts.client import HostClient
from isthmus.hosts.errors import HostError, Refused, SessionChanged, StaleEpoch, Unreachable
from isthmus.model import Claim, DiskAttachment, Host, MayRun, Nic, Provider, Vm, now
from isthmus.model.claims import record
from isthmus.model.points import declare, reach
from isthmus.reconcile import claims as ports
from isthmus.reconcile import runs
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.loop import Task
from isthmus.reconcile.reports import apply_report, learn_session
from isthmus.wire import agent_pb2 as wire

log = logging.getLogger(__name__)

declare(
    "run.before-start",
    "run.after-start",
    "run.before-resume",
    "run.after-resume",
    "stop.before-stop",
    "stop.after-stop",
)

DEFAULT_WAIT = 60.0
"""Seconds for the wiring of a VM none of whose NICs is on a provider's network."""
FILES_MOVE = 2.0
"""Seconds between two records that files are on their way to the host."""
HOST_AGAIN = 1.0
"""Seconds to the next try at a host that did not answer, or does not obey yet."""
EVIDENCE_AGAIN = 0.25
"""Seconds between two looks at a guest that the host is bringing up, or does not resume yet."""
STOP_AGAIN = 0.1
"""Seconds from a stop that was refused to the one that was written instead."""
SHUTDOWN_AGAIN = 10.0
"""Seconds between two requests to a guest to shut down: its end is told by the host's changes."""


def plan(engine: Engine, vm_id: str) -> list[Task]:
    with engine.db.read() as session:
        vm = session.get(Vm, vm_id, options=[selectinload(Vm.may_run)])
        if vm is None:
            return []
        if vm.wanted == "down":
            return _plan_stop(engine, vm)
        if vm.seen_state == "running":
            return []
        claims = ports.claims_of_run(session, vm_id)
        wait = _plug_wait(session, claims)
    began = vm.wired_at or vm.ordered_at
    left = (began + timedelta(seconds=wait) - now()).total_seconds() if began else wait
    failed = any(c.problem_final for c in claims)
    if failed or left <= 0:
        _give_up(engine, vm, wait if not failed else None)
        return []
    engine.wake("vm", vm_id, left + 0.01)
    return _plan_start(engine, vm, claims)


def _plan_stop(engine: Engine, vm: Vm) -> list[Task]:
    if not vm.may_run:
        if vm.status != "down":
            with engine.db.write() as session:
                again = session.get(Vm, vm.id)
                if again and again.wanted == "down" and again.epoch == vm.epoch and not again.may_run:
                    runs.settle_down(session, again)
            ports.wake(engine, vm.id)
        return []
    return [
        Task(
            f"stop {m.host_id} {vm.epoch}",
            f"host:{m.host_id}:stop",
            lambda m=m: send_stop(engine, vm.id, m.host_id, vm.epoch),  # type: ignore[misc]
        )
        for m in vm.may_run
    ]


def _plan_start(engine: Engine, vm: Vm, claims: list[Claim]) -> list[Task]:
    epoch, host_id = vm.epoch, vm.host_id
    if host_id is None:
        return []
    missing = sorted({c.provider_id for c in claims if c.port_id is None})
    if missing:
        return [
            Task(f"ports {p} {epoch}", f"provider:{p}", lambda p=p: ports.make_ports(engine, vm.id, p))  # type: ignore[misc]
            for p in missing
        ]
    if vm.seen_state != "paused":
        return [Task(f"start {epoch}", f"host:{host_id}", lambda: send_start(engine, vm.id, epoch))]
    unready = sorted({c.provider_id for c in claims if not c.ready})
    if unready:
        return [
            Task(f"ready {p} {epoch}", f"provider:{p}", lambda p=p: ports.check_ready(engine, vm.id, p))  # type: ignore[misc]
            for p in unready
        ]
    # Apart from starts, which take long: the guests that are ready do not wait for those that are not.
    return [Task(f"resume {epoch}", f"host:{host_id}:resume", lambda: send_resume(engine, vm.id, epoch))]


def _plug_wait(session: Session, claims: list[Claim]) -> float:
    ids = {c.provider_id for c in claims}
    if not ids:
        return DEFAULT_WAIT
    return max(session.scalars(select(Provider.plug_wait).where(Provider.id.in_(ids))))


def _give_up(engine: Engine, seen: Vm, waited: float | None, reason: str = "") -> None:
    with engine.db.write() as session:
        vm = session.get(Vm, seen.id)
        if vm is None or vm.epoch != seen.epoch or vm.wanted != "up" or vm.seen_state == "running":
            return
        words = reason or ports.troubles(session, vm)
        if waited is not None:
            words = f"not ready within {waited:g} s. {words or 'The host did not report its guest as wired'}"
        runs.write_stop(session, vm, reason=words, failed=True)
    engine.wake("vm", seen.id)


# ------------------------------------------------------------------------------------------------------ start


def send_start(engine: Engine, vm_id: str, epoch: int) -> float | None:
    """The start order of this epoch, sent until the agent says what became of it. Obeyed once (rule 13)."""
    with engine.db.read() as session:
        vm = session.get(Vm, vm_id, options=[selectinload(Vm.may_run)])
        if vm is None or vm.epoch != epoch or vm.order != "start" or vm.wanted != "up" or vm.host_id is None:
            return None
        host = session.get_one(Host, vm.host_id)
        may = next((m for m in vm.may_run if m.host_id == host.id), None)
        if may is None:
            return None
        order, images = _start_order(session, engine, vm, may)
    client = engine.client(host)
    try:
        _send_files(engine, client, vm, order, images)
        reach("run.before-start")
        report = client.start(order)
        reach("run.after-start")
    except StaleEpoch:
        # It was obeyed, and the reply lost: what became of it is the agent's to say.
        return _ask(engine, host, vm)
    except SessionChanged as error:
        learn_session(engine, host)
        _give_up(engine, vm, None, f"the agent of host {host.name} was restarted before it could obey: {error}")
        return None
    except Unreachable as error:
        log.warning("Host %s: the start of VM %s: %s", host.name, vm.name, error)
        return HOST_AGAIN
    except HostError as error:
        _give_up(engine, vm, None, f"host {host.name} refuses: {error}")
        return None
    except OSError as error:
        _give_up(engine, vm, None, f"a file of the VM cannot be read: {error}")
        return None
    apply_report(engine, host.id, report)
    return None


def _send_files(engine: Engine, client: HostClient, vm: Vm, order: wire.StartOrder, images: list[Path]) -> None:
    """See that the host has the files of this run, and name them in the order.

    While they move the run is not given up: the wait is counted anew. :raises OSError: :raises HostError:
    """
    told = time.monotonic()

    def moves(_present: int = 0, _size: int = 0) -> None:
        nonlocal told
        if time.monotonic() - told < FILES_MOVE:
            return
        told = time.monotonic()
        with engine.db.write() as session:
            session.execute(
                update(Vm).where(Vm.id == vm.id, Vm.epoch == vm.epoch, Vm.wanted == "up").values(ordered_at=now())
            )

    def send(path: Path) -> str:
        sha256 = client.send_file(path, moves)
        moves()
        return sha256

    if vm.kernel:
        order.kernel_sha256 = send(Path(vm.kernel))
    if vm.initrd:
        order.initrd_sha256 = send(Path(vm.initrd))
    for disk, image in zip(order.disks, images, strict=True):
        disk.sha256 = send(image)


def _ask(engine: Engine, host: Host, vm: Vm) -> float | None:
    try:
        report = engine.client(host).get_vm(vm.id)
    except HostError as error:
        log.warning("Host %s does not say how VM %s is: %s", host.name, vm.name, error)
        return HOST_AGAIN
    if report.floor > vm.epoch:
        _give_up(engine, vm, None, f"host {host.name} has obeyed later orders (epoch {report.floor}) than this one")
        return None
    apply_report(engine, host.id, report)
    return EVIDENCE_AGAIN


def _start_order(session: Session, engine: Engine, vm: Vm, may: MayRun) -> tuple[wire.StartOrder, list[Path]]:
    """The order, but for the sums of its files, which are known when they were sent; the disks' images in its order."""
    images: list[Path] = []
    order = wire.StartOrder(
        order=wire.Order(vm=vm.id, epoch=vm.epoch, session=may.session),
        name=vm.name,
        memory=vm.memory,
        vcpus=vm.sockets * vm.cores * vm.threads,
        sockets=vm.sockets,
        cores=vm.cores,
        threads=vm.threads,
        cmdline=vm.cmdline,
        custom_properties=vm.custom_properties,
        emulation=engine.options.emulation,
        wire_seconds=int(_plug_wait(session, ports.claims_of_run(session, vm.id))),
    )
    attached = (
        select(DiskAttachment).where(DiskAttachment.vm_id == vm.id, DiskAttachment.active).order_by(DiskAttachment.id)
    )
    for attachment in session.scalars(attached.options(selectinload(DiskAttachment.disk))):
        disk = attachment.disk
        images.append(Path(disk.path))
        order.disks.append(
            wire.Disk(
                id=disk.id,
                format=disk.format,
                interface=attachment.interface,
                bootable=attachment.bootable,
                size=disk.size,
                read_only=attachment.read_only,
            )
        )
    order.nics.extend(_nics(session, vm))
    return order, images


def _nics(session: Session, vm: Vm) -> list[wire.Nic]:
    claims = {c.nic_id: c for c in ports.claims_of_run(session, vm.id)}
    providers = {p.id: p for p in session.scalars(select(Provider))}
    found = []
    for nic in session.scalars(select(Nic).where(Nic.vm_id == vm.id, Nic.plugged).order_by(Nic.name)):
        made = wire.Nic(id=nic.id, name=nic.name, mac=nic.mac, model=nic.interface, linked=nic.linked)
        claim = claims.get(nic.id)
        if claim is not None:
            provider = providers[claim.provider_id]
            # Another provider may have come to serve the network since the claim was made.
            provided = nic.profile.network.provided_by if nic.profile else []
            provision = next((p for p in provided if p.provider_id == claim.provider_id), None)
            made.port.CopyFrom(
                wire.ProviderPort(
                    port_id=claim.port_id or "",
                    network_id=claim.external_network_id,
                    vif_type=claim.vif_type,
                    vif_details=json.dumps(claim.vif_details),
                    provider_type="OPENSTACK_NETWORK",
                    plugin_type=provider.plugin_type,
                    security_groups=",".join(claim.security_groups or []),
                    claim=claim.id,
                    generation=claim.generation,
                    physical_network=provision.physical_network if provision else "",
                    vlan=(provision.segmentation_id if provision else None) or 0,
                )
            )
        elif nic.profile is not None:
            made.host_bridge.bridge = nic.profile.network.name
        for name, value in (nic.profile.custom_properties if nic.profile else {}).items():
            made.custom_properties[name] = value
        found.append(made)
    return found


# ----------------------------------------------------------------------------------------------------- resume


def send_resume(engine: Engine, vm_id: str, epoch: int) -> float | None:
    """Rule 14: the ports were seen ready; the agent looks at its own evidence once more before it resumes."""
    with engine.db.read() as session:
        vm = session.get(Vm, vm_id, options=[selectinload(Vm.may_run)])
        if vm is None or vm.epoch != epoch or vm.wanted != "up" or vm.seen_state != "paused" or vm.host_id is None:
            return None
        if not all(c.ready for c in ports.claims_of_run(session, vm_id)):
            return None
        host = session.get_one(Host, vm.host_id)
    client = engine.client(host)
    try:
        reach("run.before-resume")
        # Not an order of its own (rule 12 guards orders that were written for another session): it goes to whoever
        # holds the guest of this epoch now.
        report = client.resume(wire.Order(vm=vm_id, epoch=epoch, session=host.session))
        reach("run.after-resume")
    except SessionChanged:
        learn_session(engine, host)
        return STOP_AGAIN
    except Refused as error:
        _keep_evidence(engine, host, vm_id, epoch, str(error))
        return EVIDENCE_AGAIN
    except HostError as error:
        log.warning("Host %s: the resume of VM %s: %s", host.name, vm.name, error)
        return HOST_AGAIN
    apply_report(engine, host.id, report)
    return None


def _keep_evidence(engine: Engine, host: Host, vm_id: str, epoch: int, words: str) -> None:
    """The host does not resume a guest that is deaf: keep, for each NIC, what it misses."""
    try:
        report = engine.client(host).get_vm(vm_id)
    except HostError as error:
        log.warning("Host %s does not say how VM %s is: %s", host.name, vm_id, error)
        return
    missing = {n.nic: n.missing for n in report.nics if not n.wired}
    with engine.db.write() as session:
        vm = session.get(Vm, vm_id)
        for claim in ports.claims_of_run(session, vm_id) if vm is not None and vm.epoch == epoch else []:
            reason = missing.get(claim.nic_id)
            if reason or not missing:
                record(session, claim, problem=f"host {host.name}: {reason or words}")
    if report.state == wire.ABSENT:
        apply_report(engine, host.id, report)


# ------------------------------------------------------------------------------------------------------- stop


def send_stop(engine: Engine, vm_id: str, host_id: str, epoch: int) -> float | None:
    """The stop order of this epoch, sent until this host says "not here". Needs no provider."""
    with engine.db.read() as session:
        vm = session.get(Vm, vm_id, options=[selectinload(Vm.may_run)])
        may = next((m for m in vm.may_run if m.host_id == host_id), None) if vm else None
        if vm is None or may is None or vm.epoch != epoch or vm.wanted != "down":
            return None
        host = session.get_one(Host, host_id)
        order, graceful = wire.Order(vm=vm_id, epoch=epoch, session=may.session), vm.graceful
    if vm.order != "stop":
        # It came to rest without a stop order (its guest ended on another host of a set): write one.
        _renew(engine, vm_id, epoch)
        return None
    try:
        reach("stop.before-stop")
        report = engine.client(host).stop(wire.StopOrder(order=order, graceful=graceful))
        reach("stop.after-stop")
    except SessionChanged:
        learn_session(engine, host)
        _renew(engine, vm_id, epoch)
        return STOP_AGAIN
    except StaleEpoch:
        _renew(engine, vm_id, epoch)
        return STOP_AGAIN
    except HostError as error:
        log.warning("Host %s: the stop of VM %s: %s", host.name, vm.name, error)
        return HOST_AGAIN
    apply_report(engine, host.id, report)
    if report.state == wire.ABSENT and report.floor > epoch:
        # The host has obeyed orders that this database, restored from a backup, knows nothing of.
        _renew(engine, vm_id, epoch, above=report.floor)
    return SHUTDOWN_AGAIN if graceful else HOST_AGAIN


def _renew(engine: Engine, vm_id: str, epoch: int, *, above: int = 0) -> None:
    with engine.db.write() as session:
        vm = session.get(Vm, vm_id)
        if vm is not None and vm.epoch == epoch and vm.wanted == "down":
            vm.order, vm.epoch = "stop", max(vm.epoch, above)
            runs.renew_stop(session, vm)
    engine.wake("vm", vm_id)
