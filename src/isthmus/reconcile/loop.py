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
import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

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


FIRST_BACK_OFF = 0.5
"""Seconds."""
PLAN_AGAIN = 2.0
"""Seconds from a plan that failed to the next."""
LANE_AGAIN = 5.0
"""Seconds after which a task is offered again to a lane that was full."""


def back_off(tries: int, *, first: float | None = None, most: float = 30.0) -> float:
    """Seconds until the next try after ``tries`` failures in a row: doubling, with jitter against marching in step."""
    return min(most, (FIRST_BACK_OFF if first is None else first) * 2.0 ** max(0, tries - 1)) * random.uniform(0.6, 1.0)  # noqa: S311 - not a secret


class Lane:
    """A bounded pool of threads for one outside party.

    The standard library's pool is not used because the end of a process waits for its threads, and so for a party
    that hangs.
    """

    def __init__(self, name: str, workers: int, waiting: int | None = None) -> None:
        """``waiting``: how many calls may wait for a worker; None: any number."""
        self._name, self._workers = name, workers
        self._room = None if waiting is None else threading.BoundedSemaphore(workers + waiting)
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0
        self._closed = False

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """:raises LaneFull: :raises RuntimeError: the lane is closed."""
        if self._room is not None and not self._room.acquire(blocking=False):
            raise LaneFull
        future: Future[T] = Future()
        if self._room is not None:
            future.add_done_callback(lambda _, room=self._room: room.release())  # type: ignore[misc]
        with self._lock:
            if self._closed:
                future.cancel()
                raise RuntimeError(f"{self._name} is closed")
            self._calls.put((future, call))
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._workers:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}_{self._threads}", daemon=True).start()
        return future

    def close(self) -> None:
        """What waits is cancelled, what is under way ends by itself."""
        with self._lock:
            self._closed = True
            waiting = []
            while not self._calls.empty():
                waiting.append(self._calls.get())
            for _ in range(self._threads):
                self._calls.put(None)
        for item in waiting:
            if item is not None:
                item[0].cancel()

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 - whoever asked is told
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del item, future, call
            with self._lock:
                self._idle += 1


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
        self._failures: dict[Key, dict[str, int]] = {}
        self._resting: dict[Key, dict[str, float]] = {}
        self._pool = Lane("plan", planners)
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
        self._pool.close()
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
                self._pool.submit(partial(self._plan, key))
            except RuntimeError:  # the pool was closed between the two
                return

    def _plan(self, key: Key) -> None:
        noun, row = key
        try:
            tasks = self._planners[noun](row)
            self._forget(key, {task.name for task in tasks})
            for task in tasks:
                self._begin(key, task)
        except Exception:
            log.exception("Planning %s %s failed; it is tried again", noun, row)
            self.wake(noun, row, PLAN_AGAIN)
        finally:
            with self._lock:
                self._planning.discard(key)
                again = key in self._again
                self._again.discard(key)
            if again:
                self.wake(noun, row)

    def _forget(self, key: Key, planned: set[str]) -> None:
        """A task that is no longer to be done has no rest to keep."""
        with self._lock:
            for kept in (self._resting, self._failures):
                names = kept.get(key, {})
                for name in [n for n in names if n not in planned and (key, n) not in self._under_way]:
                    del names[name]
                if not names:
                    kept.pop(key, None)

    def _begin(self, key: Key, task: Task) -> None:
        mark = (key, task.name)
        with self._lock:
            if self._closed or mark in self._under_way:
                return
            rest = self._resting.get(key, {}).get(task.name, 0.0) - time.monotonic()
            if rest <= 0:
                self._resting.get(key, {}).pop(task.name, None)
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
                self.wake(*key, LANE_AGAIN)

    def _do(self, key: Key, task: Task) -> None:
        delay, failed = 0.0, False
        try:
            delay = task.run() or 0.0
        except Exception:
            failed = True
            log.exception("%s of %s %s failed", task.name, *key)
        finally:
            with self._lock:
                if failed:
                    tries = self._failures.setdefault(key, {})
                    tries[task.name] = tries.get(task.name, 0) + 1
                    delay = back_off(tries[task.name])
                else:
                    self._failures.get(key, {}).pop(task.name, None)
                self._under_way.discard((key, task.name))
                if delay > 0:
                    self._resting.setdefault(key, {})[task.name] = time.monotonic() + delay
            self.wake(*key)
