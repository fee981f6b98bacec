"""What is seen of one host: a thread that dials its agent, follows its changes, and dials again when it is lost."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from isthmus.wire import agent_pb2 as pb

from .client import HostClient, Watch
from .errors import HostError, Unreachable, VersionMismatch

_log = logging.getLogger(__name__)

FIRST_WAIT = 0.5
LONGEST_WAIT = 15.0
"""Seconds between two dials of a host that does not answer; each wait is a random part of its limit."""
CAPABILITIES_SECONDS = 30.0
"""How old what is known of a host's capabilities may grow while it is up."""


class Listener(Protocol):
    """Told what is seen, always in the monitor's thread, one call at a time. None may wait for the monitor.

    An exception of a listener is logged, the host is dialled again and everything is told anew: what is told is
    a state, not a step, so that nothing is lost by it.
    """

    def up(self, hello: pb.HelloReply, capabilities: pb.CapabilitiesReply) -> None:
        """The agent answers. Told after each dial; another ``hello.session`` than before: rule 12."""

    def capabilities(self, capabilities: pb.CapabilitiesReply) -> None:
        """Looked at again."""

    def report(self, report: pb.VmReport) -> None:
        """One VM as it is now."""

    def snapshot(self, reports: dict[str, pb.VmReport]) -> None:
        """Every VM that the host has: one that is not in it is not there. Each was told by ``report`` already."""

    def log(self, line: pb.LogLine) -> None:
        """The agent has something to say to the admin."""

    def down(self, error: HostError) -> None:
        """The host was lost, or never found. Told again only when the reason changes."""


@dataclass
class _Position:
    """How far this agent's changes were followed."""

    session: str = ""
    token: str = ""
    snapshot: dict[str, pb.VmReport] | None = None
    """What came of a snapshot that has begun; None once it is whole, or while the stream goes on without one."""


class HostMonitor:
    def __init__(self, client: HostClient, listener: Listener) -> None:
        self.client = client
        self._listener = listener
        self._mutex = threading.Lock()
        self._stopping = False
        self._wake = threading.Event()
        self._watch: Watch | None = None
        self._position = _Position()
        self._told_down: tuple[type[HostError], str] | None = None
        self._thread = threading.Thread(target=self._run, name=f"host-monitor-{client.host_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def poke(self) -> None:
        """Dial now instead of after the present wait: the host is said to be back."""
        self._wake.set()

    def stop(self) -> None:
        """End, and close the client: calls in flight fail as ``closed``. Returns at once; see ``join``."""
        with self._mutex:
            self._stopping = True
            watch = self._watch
        self._wake.set()
        if watch is not None:
            watch.cancel()
        self.client.close()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread's end; False if it goes on (it may be dialling, which is bounded)."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # -------------------------------------------------------------------------------------------- the thread

    def _run(self) -> None:
        limit = FIRST_WAIT
        while not self._stopping:
            began = time.monotonic()
            try:
                self._follow()
            except HostError as error:
                if self._stopping:
                    return
                self._tell_down(error)
                limit = LONGEST_WAIT if isinstance(error, VersionMismatch) else limit
            except Exception:  # noqa: BLE001 - any of a listener's; logged, and all is told again
                _log.exception("host %s: what it reported could not be taken", self.client.host_id)
                self._position = _Position()
            if time.monotonic() - began > LONGEST_WAIT:
                limit = FIRST_WAIT
            self._wake.wait(random.uniform(limit / 2, limit))  # noqa: S311
            self._wake.clear()
            limit = min(limit * 2, LONGEST_WAIT)

    def _follow(self) -> None:
        hello = self.client.hello()
        capabilities = self.client.capabilities()
        looked = time.monotonic()
        if hello.session != self._position.session:
            self._position = _Position(hello.session)
        self._told_down = None
        self._listener.up(hello, capabilities)
        self._position.snapshot = None if self._position.token else {}
        watch = self.client.watch(self._position.token)
        with self._mutex:
            self._watch = watch
            if self._stopping:
                watch.cancel()
        try:
            for event in watch:
                if event.session and event.session != self._position.session:
                    raise Unreachable(
                        "another agent process answers now",
                        problem="lost",
                        host=self.client.host_id,
                        call="watch",
                    )
                self._take(event)
                if time.monotonic() - looked > CAPABILITIES_SECONDS:
                    looked = time.monotonic()
                    self._listener.capabilities(self.client.capabilities())
        finally:
            with self._mutex:
                self._watch = None
            watch.cancel()

    def _take(self, event: pb.WatchEvent) -> None:
        position = self._position
        match event.WhichOneof("what"):
            case "vm":
                if position.snapshot is not None:
                    position.snapshot[event.vm.vm] = event.vm
                self._listener.report(event.vm)
            case "snapshot_done" if not event.snapshot_done:
                # It begins, on a stream that fell behind perhaps: cut short, it must begin anew.
                position.snapshot, position.token = {}, ""
            case "snapshot_done":
                reports, position.snapshot = position.snapshot or {}, None
                self._listener.snapshot(reports)
            case "log":
                self._listener.log(event.log)
        # Only what was taken whole counts as seen: after an exception above it comes again. Nor does the middle of a
        # snapshot: a stream that goes on from there would never end it.
        if event.token and position.snapshot is None:
            position.token = event.token

    def _tell_down(self, error: HostError) -> None:
        _log.debug("host %s: %s", self.client.host_id, error)
        reason = (type(error), error.problem if isinstance(error, Unreachable) else str(error))
        if reason != self._told_down:
            self._told_down = reason
            try:
                self._listener.down(error)
            except Exception:  # noqa: BLE001 - as above
                self._told_down = None
                _log.exception("host %s: that it is down could not be taken", self.client.host_id)
