"""The VMs on this host and the orders about them: one order of a VM at a time, and a stop overtakes all others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from isthmus.wire import agent_pb2 as pb

from . import checks, ending
from .hooks import HookCancelled, HookFailed
from .hypervisor import Guest, LibvirtAway, LibvirtRefused, State, resumed
from .launch import Failed, Launch
from .metadata import NicRecord, VmRecord
from .moments import Moments
from .orders import Orders, Refused
from .tools import Tools, vm_properties, words

STARTS_AT_ONCE = 24

logger = logging.getLogger(__name__)

_STATES = {
    State.PAUSED: pb.PAUSED,
    State.RUNNING: pb.RUNNING,
    State.SHUTTING_DOWN: pb.SHUTTING_DOWN,
    State.CRASHED: pb.CRASHED,
}


class Busy(Exception):
    """Too many starts at once on this host; nothing changed, try again."""


@dataclass
class _Slot:
    """One VM's place here. ``order`` is held while an order is carried out, ``mutex`` for the moment of a decision."""

    order: threading.Lock = field(default_factory=threading.Lock)
    mutex: threading.Lock = field(default_factory=threading.Lock)
    epoch: int = 0
    """Of the start or resume that is being carried out, 0 for none."""
    cancel: threading.Event = field(default_factory=threading.Event)
    moments: Moments = field(default_factory=Moments)
    nics: tuple[NicRecord, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    reason: str = ""
    shutting_down: int = 0
    """The epoch of the guest that was asked to shut down."""


class Vms:
    """Raises, from every order: ``checks.Malformed``, ``orders.Refused``, ``hypervisor.LibvirtAway``."""

    def __init__(self, tools: Tools, orders: Orders, publish: Callable[[pb.VmReport], None]) -> None:
        """``publish`` is told of every change; it must not block."""
        self._tools = tools
        self._orders = orders
        self._publish = publish
        self._slots: dict[str, _Slot] = {}
        self._mutex = threading.Lock()
        self._starts = threading.BoundedSemaphore(STARTS_AT_ONCE)
        self._tellers = ThreadPoolExecutor(1, thread_name_prefix="tell")
        self._finishers = ThreadPoolExecutor(8, thread_name_prefix="finish")
        self._telling = threading.Lock()

    def close(self) -> None:
        """Starts that are under way end as failed, so that no half-made guest outlives the process."""
        with self._mutex:
            slots = list(self._slots.values())
        for slot in slots:
            with slot.mutex:
                slot.cancel.set()
        for pool in (self._tellers, self._finishers):
            pool.shutdown(wait=False, cancel_futures=True)

    # -------------------------------------------------------------------------------------------------- orders

    def start(self, order: pb.StartOrder) -> pb.VmReport:
        """Answers PAUSED with every NIC wired, or ABSENT with the reason. :raises Busy:"""
        checks.start(order)
        vm, epoch, session = order.order.vm, order.order.epoch, order.order.session
        self._orders.check_session(session)
        if not self._starts.acquire(blocking=False):
            raise Busy(f"busy: {STARTS_AT_ONCE} starts are under way on this host; try again")
        try:
            slot = self._slot(vm)
            with slot.order:
                guest = self._find(vm)
                with self._carrying_out(slot, vm, epoch, lambda: self._obey_start(guest, vm, epoch, session)):
                    xml = self._launch(slot, order)
                report = self.report(vm)
            if report.state == pb.ABSENT:
                self._tell(vm)
            report.domain_xml = xml or ""
            return report
        finally:
            self._starts.release()

    def resume(self, order: pb.Order) -> pb.VmReport:
        """:raises Refused: also when a look just before shows that a NIC is not wired (rule 14)."""
        checks.order(order)
        self._orders.check_session(order.session)
        slot = self._slot(order.vm)
        with slot.order:
            guest = self._find(order.vm)
            record = guest.record if guest is not None else None
            running = record.epoch if record is not None else 0

            def check() -> None:
                self._orders.check_resume(order.vm, order.epoch, order.session, running)
                if self._orders.floor(order.vm) > order.epoch:
                    raise Refused(f"stop: VM {order.vm} was told to stop after epoch {order.epoch}")

            with self._carrying_out(slot, order.vm, order.epoch, check):
                if guest is not None and record is not None and guest.state is State.PAUSED:
                    self._resume(slot, guest, record)
            return self.report(order.vm)

    def stop(self, order: pb.StopOrder) -> pb.VmReport:
        """Idempotent. Overtakes a start or resume that is under way."""
        given = order.order
        checks.order(given)
        slot = self._slot(given.vm)
        with slot.mutex:
            guest = self._find(given.vm)
            here = guest.record.epoch if guest is not None and guest.record is not None else 0
            self._orders.obey_stop(given.vm, given.epoch, given.session, max(slot.epoch, here))
            if slot.epoch:
                slot.cancel.set()
        with slot.order:
            guest = self._find(given.vm)
            if guest is not None and guest.record is not None and guest.record.epoch <= given.epoch:
                self._stop(slot, guest, guest.record, order.graceful)
            for epoch in self._unfinished(given.vm):
                ending.finish(self._tools, self._tools.runs.load(given.vm, epoch))
            return self.report(given.vm)

    # -------------------------------------------------------------------------------------------------- answers

    def report(self, vm: str) -> pb.VmReport:
        """As it is now, the evidence looked at now. :raises LibvirtAway:"""
        word = self._orders.word(vm)  # before the look: see there
        return self._report(vm, self._tools.hypervisor.find(vm), word)

    def reports(self) -> list[pb.VmReport]:
        """Every VM of ours that is here. :raises LibvirtAway:"""
        return [self._report(guest.vm, guest, 0) for guest in self._tools.hypervisor.all()]

    def leftovers(self) -> list[tuple[str, int]]:
        """Runs whose guest is gone, which nobody is at work on. :raises LibvirtAway:"""
        found = []
        for vm, epoch in self._tools.runs.all():
            slot = self._slot(vm)
            if slot.order.acquire(blocking=False):
                try:
                    if epoch in self._unfinished(vm):
                        found.append((vm, epoch))
                finally:
                    slot.order.release()
        return found

    def finish(self, vm: str) -> None:
        """See runs of this VM whose guest is gone to their end. :raises LibvirtAway:"""
        with self._slot(vm).order:
            for epoch in self._unfinished(vm):
                ending.finish(self._tools, self._tools.runs.load(vm, epoch))

    # ------------------------------------------------------------------------------------------- what libvirt says

    def changed(self, vm: str, why: str) -> None:
        """A lifecycle event, ``why`` filled when the guest ended. Does not block."""
        if why:
            slot = self._slot(vm)
            slot.reason = slot.reason or why
            self._later(self._finishers, lambda: self.finish(vm))
        self._later(self._tellers, lambda: self._tell(vm, gone=bool(why)))

    def connected(self) -> None:
        """Events may have been missed: look at everything. Does not block."""
        self._later(self._finishers, self._look_at_all)

    def _later(self, pool: ThreadPoolExecutor, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except LibvirtAway as error:
                logger.warning("put off until libvirt is back: %s", error)
            except Exception:
                logger.exception("a change that libvirt told of was not followed")
                raise

        try:
            pool.submit(guarded)
        except RuntimeError:
            logger.debug("the agent ends; a change is looked at by the next one")

    def _tell(self, vm: str, gone: bool = True) -> None:
        """Looked at and told in one go, so that what is told last was seen last.

        Not ``gone``: should the guest have ended meanwhile, that is told by the event of its end, which has the reason.
        """
        with self._telling:
            word = self._orders.word(vm)
            guest = self._tools.hypervisor.find(vm)
            if (guest is None and gone) or (guest is not None and guest.record is not None):
                self._publish(self._report(vm, guest, word))

    def _look_at_all(self) -> None:
        here = {guest.vm for guest in self._tools.hypervisor.all()}
        with self._mutex:
            known = set(self._slots)
        for vm in {*here, *known, *(vm for vm, _ in self._tools.runs.all())}:
            self._tell(vm)
            self.finish(vm)

    # ----------------------------------------------------------------------------------------------- the inside

    def _slot(self, vm: str) -> _Slot:
        with self._mutex:
            return self._slots.setdefault(vm, _Slot())

    def _find(self, vm: str) -> Guest | None:
        """:raises Refused: a domain of that id which is not ours."""
        guest = self._tools.hypervisor.find(vm)
        if guest is not None and guest.record is None:
            raise Refused(f"here: libvirt has a domain {vm} that this agent did not make; it is left alone")
        if guest is not None and guest.record is not None:
            self._orders.see(vm, guest.record.epoch)
        return guest

    def _obey_start(self, guest: Guest | None, vm: str, epoch: int, session: str) -> None:
        if guest is not None and guest.record is not None and epoch > self._orders.floor(vm):
            self._orders.check_session(session)
            raise Refused(f"here: VM {vm} is here already, under epoch {guest.record.epoch}; stop it first")
        self._orders.obey_start(vm, epoch, session)

    @contextmanager
    def _carrying_out(self, slot: _Slot, vm: str, epoch: int, decide: Callable[[], None]) -> Iterator[None]:
        """From the decision on a stop can cancel. ``decide`` raises when the order is not obeyed."""
        with slot.mutex:
            decide()
            slot.epoch, slot.cancel = epoch, threading.Event()
        try:
            yield
        finally:
            with slot.mutex:
                slot.epoch = 0
                self._orders.start_ended(vm)

    def _launch(self, slot: _Slot, order: pb.StartOrder) -> str | None:
        """The domain's document; None: not brought up, for the slot's reason."""
        vm = order.order.vm
        slot.moments, slot.reason, slot.missing, slot.shutting_down = Moments(), "", {}, 0
        for epoch in self._unfinished(vm):
            ending.finish(self._tools, self._tools.runs.load(vm, epoch))
        launch = Launch(self._tools, order, slot.cancel, slot.moments)
        try:
            xml = launch.go()
        except Failed as error:
            slot.nics, slot.missing, slot.reason = launch.nics, error.missing, str(error)
            logger.warning("VM %s, epoch %d was not started: %s", vm, order.order.epoch, error)
            return None
        slot.nics = launch.nics
        return xml

    def _resume(self, slot: _Slot, guest: Guest, record: VmRecord) -> None:
        run = self._tools.runs.load(guest.vm, record.epoch)
        if record.resumed:
            try:
                xml = self._tools.hypervisor.xml(guest.vm)
                hooks = self._tools.hooks.run_xml("before_vm_cont", xml, vm_properties(run), slot.cancel)
            except HookFailed as error:
                raise Refused(f"hook: {error}") from error
            except HookCancelled as error:
                raise Refused(f"stop: VM {guest.vm} was told to stop while it was resumed") from error
            slot.moments.hooks(hooks.runs)
        missing = self._tools.wirer.missing(record.nics)
        if any(missing.values()):
            raise Refused(f"wiring: {words(record.nics, missing)}")
        with slot.mutex:
            if slot.cancel.is_set():
                raise Refused(f"stop: VM {guest.vm} was told to stop while it was resumed")
            try:
                # Marked first: a guest that runs unmarked would be taken for one that never has.
                self._tools.hypervisor.mark(guest.vm, resumed(record))
                with slot.moments.timing("resumed"):
                    self._tools.hypervisor.resume(guest.vm)
            except LibvirtRefused as error:
                raise Refused(str(error)) from error
        point = "after_vm_cont" if record.resumed else "after_vm_start"
        try:
            xml = self._tools.hypervisor.xml(guest.vm)
            slot.moments.hooks(self._tools.hooks.run_xml(point, xml, vm_properties(run), slot.cancel).runs)
        except HookCancelled:
            logger.info("VM %s: a stop overtook the scripts at %s", guest.vm, point)

    def _stop(self, slot: _Slot, guest: Guest, record: VmRecord, graceful: bool) -> None:
        run = self._tools.runs.load(guest.vm, record.epoch)
        if graceful and guest.state is State.RUNNING:
            slot.shutting_down = record.epoch
            self._tools.hypervisor.shutdown(guest.vm)
            return
        slot.reason = "stopped by order"
        ending.kill(self._tools, run)

    def _unfinished(self, vm: str) -> list[int]:
        """Epochs of runs whose guest is gone."""
        epochs = self._tools.runs.of(vm)
        if not epochs:
            return []
        guest = self._tools.hypervisor.find(vm)
        here = guest.record.epoch if guest is not None and guest.record is not None else 0
        return [epoch for epoch in epochs if epoch != here]

    def _report(self, vm: str, guest: Guest | None, word: int) -> pb.VmReport:
        """``word``: of ``Orders.word``, asked before the guest was looked for."""
        slot = self._slot(vm)
        report = pb.VmReport(vm=vm, session=self._orders.session, moments=slot.moments.of())
        record = guest.record if guest is not None else None
        if guest is None or record is None:
            report.state, report.reason, report.floor = pb.ABSENT, slot.reason, word
            nics, missing = slot.nics, slot.missing
        else:
            self._orders.see(vm, record.epoch)
            report.state, report.epoch, report.reason = _STATES[guest.state], record.epoch, guest.reason
            if slot.shutting_down == record.epoch and guest.state is State.RUNNING:
                report.state = pb.SHUTTING_DOWN
            report.console = record.console
            nics, missing = record.nics, self._tools.wirer.missing(record.nics)
            report.floor = self._orders.floor(vm)
        for nic in nics:
            lacks = missing.get(nic.id, "") if record is not None else missing.get(nic.id) or "the guest is not here"
            report.nics.append(
                pb.NicEvidence(
                    nic=nic.id,
                    port_id=nic.port,
                    tap=nic.tap,
                    bridge=nic.bridge,
                    wired=not lacks,
                    missing=lacks,
                    moments=slot.moments.of(nic.id),
                )
            )
        return report
