"""Changes on this host as they happen: a ring of the latest for whoever watches, a snapshot where that is too short."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable, Generator, Iterator, Sequence

from isthmus.wire import agent_pb2 as pb

ALIVE_SECONDS = 3.0
RING = 2048


class Feed:
    """Publishing never waits for a watcher. Tokens are ``<session>:<number>``."""

    def __init__(self, session: str, snapshot: Callable[[], Sequence[pb.VmReport]], ring: int = RING) -> None:
        self._session = session
        self._snapshot = snapshot
        self._changed = threading.Condition()
        self._ring: collections.deque[tuple[int, pb.WatchEvent]] = collections.deque(maxlen=ring)
        self._last = 0
        self._closed = False

    def vm(self, report: pb.VmReport) -> None:
        self._publish(pb.WatchEvent(vm=report))

    def log(self, level: str, text: str, vm: str = "") -> None:
        self._publish(pb.WatchEvent(log=pb.LogLine(level=level, text=text, vm=vm)))

    def close(self) -> None:
        """End every watcher's stream."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Let watchers look whether they are still wanted."""
        with self._changed:
            self._changed.notify_all()

    def watch(
        self, token: str, wanted: Callable[[], bool], alive_seconds: float = ALIVE_SECONDS
    ) -> Iterator[pb.WatchEvent]:
        """Endless until closed or no longer ``wanted``. What the snapshot raises, this raises."""
        seen = self._number(token)
        if seen is not None:
            yield self._marked(pb.WatchEvent(alive=True), seen)
        while wanted():
            if seen is None or not self._reaches(seen):
                seen = yield from self._begin()
            events, closed = self._after(seen, alive_seconds)
            if closed:
                return
            if events is None:
                continue  # fell behind: the ring no longer reaches back to it
            yield from events
            if events:
                seen = self._number(events[-1].token) or seen
            elif wanted():
                yield self._marked(pb.WatchEvent(alive=True), seen)

    def _begin(self) -> Generator[pb.WatchEvent, None, int]:
        with self._changed:
            number = self._last
        yield self._marked(pb.WatchEvent(snapshot_done=False), number)
        for report in self._snapshot():
            yield self._marked(pb.WatchEvent(vm=report), number)
        yield self._marked(pb.WatchEvent(snapshot_done=True), number)
        return number

    def _after(self, seen: int, seconds: float) -> tuple[list[pb.WatchEvent] | None, bool]:
        with self._changed:
            if self._last == seen and not self._closed:
                self._changed.wait(seconds)
            if not self._reaches(seen):
                return None, self._closed
            return [event for number, event in self._ring if number > seen], self._closed

    def _reaches(self, seen: int) -> bool:
        with self._changed:
            oldest = self._ring[0][0] if self._ring else self._last + 1
            return oldest - 1 <= seen <= self._last

    def _number(self, token: str) -> int | None:
        session, _, number = token.rpartition(":")
        return int(number) if session == self._session and number.isascii() and number.isdigit() else None

    def _publish(self, event: pb.WatchEvent) -> None:
        with self._changed:
            self._last += 1
            self._ring.append((self._last, self._marked(event, self._last)))
            self._changed.notify_all()

    def _marked(self, event: pb.WatchEvent, number: int) -> pb.WatchEvent:
        event.token = f"{self._session}:{number}"
        event.session = self._session
        return event


class Telltale(logging.Handler):
    """Tells watchers what the log warns of: a hook that failed after the fact, a NIC that cannot be looked at."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(logging.WARNING)
        self._feed = feed

    def emit(self, record: logging.LogRecord) -> None:
        self._feed.log(record.levelname.lower(), record.getMessage()[:2000], getattr(record, "vm", ""))
