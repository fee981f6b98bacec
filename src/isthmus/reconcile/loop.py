"""The loop that makes the world match what is wanted.

Work is level-triggered: ``wake(noun, id)`` says that a row may need work; its *planner* reads the row and returns the
tasks that can be done now, each with the *lane* it runs in. A lane is a bounded pool of threads of one outside party
(one per provider, one per host), so a party that hangs holds up its own work alone. When a task ends its row is
planned again. Nothing is remembered between the two: after a crash the rows are enough.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[str, str]


@dataclass(frozen=True)
class Task:
    """``name`` tells tasks of one row apart: one of each is under way at most.

    ``run`` returns how many seconds this task is to rest before it may be done again; None: not at all. Its row is
    planned again when they are over; the row's other tasks do not wait for them.
    """

    name: str
    lane: str
    run: Callable[[], float | None]


Planner = Callable[[str], list[Task]]


class LaneFull(Exception):
    """So much waits for this party already that more would only wait longer."""


def back_off(tries: int, *, first: float = 0.5, most: float = 30.0) -> float:
    """Seconds until the next try after ``tries`` failures in a row: doubling, with jitter against marching in step."""
    return min(most, first * 2.0 ** max(0, tries - 1)) * random.uniform(0.6, 1.0)  # noqa: S311 - not a secret


class Lane:
    """A bounded pool of threads for one outside party."""

    def __init__(self, name: str, workers: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
        self._room = threading.BoundedSemaphore(workers + waiting)

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """:raises LaneFull:"""
        if not self._room.acquire(blocking=False):
            raise LaneFull
        try:
            future = self._pool.submit(call)
        except RuntimeError:
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class Loop:
    def __init__(self, *, planners: int = 4, workers: int = 8, waiting: int = 1000) -> None:
        self._planners: dict[str, Planner] = {}
        self._workers, self._waiting = workers, waiting
        self._lanes: dict[str, Lane] = {}
        self._lock = threading.Condition()
        self._due: list[tuple[float, int, Key]] = []
        self._next: dict[Key, float] = {}
        self._count = itertools.count()
        self._planning: set[Key] = set()
        self._again: set[Key] = set()
        self._under_way: set[tuple[Key, str]] = set()
        self._failures: dict[tuple[Key, str], int] = {}
        self._resting: dict[tuple[Key, str], float] = {}
        self._pool = ThreadPoolExecutor(planners, thread_name_prefix="plan")
        self._closed = False
        self._clock = threading.Thread(target=self._run, name="loop", daemon=True)

    def register(self, noun: str, planner: Planner) -> None:
        self._planners[noun] = planner

    def start(self) -> None:
        self._clock.start()

    def close(self) -> None:
        """Ends at once; tasks under way end by themselves, and whatever they leave undone is in the rows."""
        with self._lock:
            self._closed = True
            self._lock.notify_all()
            lanes = list(self._lanes.values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for lane in lanes:
            lane.close()

    def wake(self, noun: str, row: str, delay: float = 0.0) -> None:
        """Plan this row in ``delay`` seconds, or sooner if that was asked for before. From any thread, at any time."""
        key, at = (noun, row), time.monotonic() + delay
        with self._lock:
            if self._next.get(key, at + 1) <= at:
                return
            self._next[key] = at
            heapq.heappush(self._due, (at, next(self._count), key))
            self._lock.notify_all()

    def lane(self, name: str) -> Lane:
        with self._lock:
            if name not in self._lanes:
                self._lanes[name] = Lane(name, self._workers, self._waiting)
            return self._lanes[name]

    def idle(self) -> bool:
        """Nothing is due now, planned or under way (work that waits for a later time may be left)."""
        with self._lock:
            due = bool(self._due) and self._due[0][0] <= time.monotonic()
            return not (due or self._planning or self._under_way)

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._closed and not (self._due and self._due[0][0] <= time.monotonic()):
                    self._lock.wait(max(0.0, self._due[0][0] - time.monotonic()) if self._due else None)
                if self._closed:
                    return
                at, _, key = heapq.heappop(self._due)
                if self._next.get(key) != at:
                    continue  # asked for sooner since
                del self._next[key]
                if key in self._planning:
                    self._again.add(key)
                    continue
                self._planning.add(key)
            try:
                self._pool.submit(self._plan, key)
            except RuntimeError:  # the pool was closed between the two
                return

    def _plan(self, key: Key) -> None:
        noun, row = key
        try:
            for task in self._planners[noun](row):
                self._begin(key, task)
        except Exception:
            log.exception("Planning %s %s failed; it is tried again", noun, row)
            self.wake(noun, row, 2.0)
        finally:
            with self._lock:
                self._planning.discard(key)
                again = key in self._again
                self._again.discard(key)
            if again:
                self.wake(noun, row)

    def _begin(self, key: Key, task: Task) -> None:
        mark = (key, task.name)
        with self._lock:
            if self._closed or mark in self._under_way:
                return
            rest = self._resting.get(mark, 0.0) - time.monotonic()
            if rest <= 0:
                self._resting.pop(mark, None)
                self._under_way.add(mark)
        if rest > 0:
            self.wake(*key, rest)
            return
        try:
            self.lane(task.lane).submit(lambda: self._do(key, task))
        except (LaneFull, RuntimeError):
            with self._lock:
                self._under_way.discard(mark)
            if not self._closed:
                log.warning("%s: too much is waiting; %s of %s %s is tried later", task.lane, task.name, *key)
                self.wake(*key, 5.0)

    def _do(self, key: Key, task: Task) -> None:
        mark = (key, task.name)
        delay = 0.0
        try:
            delay = task.run() or 0.0
            self._failures.pop(mark, None)
        except Exception:
            self._failures[mark] = self._failures.get(mark, 0) + 1
            delay = back_off(self._failures[mark])
            log.exception("%s of %s %s failed; tried again in %.1f s", task.name, *key, delay)
        finally:
            with self._lock:
                self._under_way.discard(mark)
                if delay > 0:
                    self._resting[mark] = time.monotonic() + delay
            self.wake(*key)
