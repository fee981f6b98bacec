"""The loop: nothing that was woken is lost, nobody waits for another's lane."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from isthmus.reconcile.loop import Lane, LaneFull, Loop, Task, back_off
from tests.fakes.agents import wait_for


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(workers=2, waiting=3)
    yield made
    made.close()


def test_a_lane_that_hangs_delays_no_other(loop: Loop) -> None:
    go, done = threading.Event(), threading.Event()

    def hang() -> None:
        go.wait(30)

    loop.register("slow", lambda _: [Task("wait", "provider:a", hang)])
    loop.register("fast", lambda _: [] if done.is_set() else [Task("do", "provider:b", done.set)])
    loop.start()
    for number in range(20):
        loop.wake("slow", str(number))
    loop.wake("fast", "x")
    assert done.wait(5)
    go.set()


def test_a_wake_while_planning_plans_again(loop: Loop) -> None:
    planning, go = threading.Event(), threading.Event()
    plans: list[int] = []

    def plan(_: str) -> list[Task]:
        plans.append(1)
        planning.set()
        go.wait(30)
        return []

    loop.register("row", plan)
    loop.start()
    loop.wake("row", "x")
    assert planning.wait(5)
    loop.wake("row", "x")
    go.set()
    wait_for(lambda: len(plans) == 2)


def test_one_task_of_a_row_is_under_way_at_most(loop: Loop) -> None:
    now, most, runs = [0], [0], [0]
    lock = threading.Lock()

    def run() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            runs[0] += 1
        with lock:
            now[0] -= 1

    loop.register("row", lambda _: [Task("t", "lane", run)] if runs[0] < 50 else [])
    loop.start()
    for _ in range(50):
        loop.wake("row", "x")
    wait_for(lambda: runs[0] >= 50)
    assert most[0] == 1


def test_a_task_that_rests_holds_up_no_other_of_its_row(loop: Loop) -> None:
    rested, others = [0], [0]

    def rest() -> float:
        rested[0] += 1
        return 30.0

    def other() -> None:
        others[0] += 1

    loop.register("row", lambda _: [Task("rest", "a", rest), *([Task("other", "b", other)] if others[0] < 10 else [])])
    loop.start()
    loop.wake("row", "x")
    wait_for(lambda: others[0] == 10)
    assert rested[0] == 1


def test_a_task_that_fails_is_tried_again(loop: Loop) -> None:
    tries = [0]

    def run() -> None:
        tries[0] += 1
        if tries[0] < 2:
            raise ValueError("once")

    loop.register("row", lambda _: [Task("t", "lane", run)] if tries[0] < 2 else [])
    loop.start()
    loop.wake("row", "x")
    wait_for(lambda: tries[0] == 2)


def test_a_plan_that_fails_is_made_again(loop: Loop) -> None:
    plans = [0]

    def plan(_: str) -> list[Task]:
        plans[0] += 1
        if plans[0] == 1:
            raise ValueError("once")
        return []

    loop.register("row", plan)
    loop.start()
    loop.wake("row", "x")
    wait_for(lambda: plans[0] == 2)


def test_sooner_wins_and_later_is_kept(loop: Loop) -> None:
    plans: list[str] = []
    loop.register("row", lambda row: plans.append(row) or [])  # type: ignore[func-returns-value]
    loop.start()
    loop.wake("row", "x", 30.0)
    loop.wake("row", "x", 0.05)
    loop.wake("row", "y", 0.1)
    wait_for(lambda: plans == ["x", "y"])


def test_a_full_lane_says_so() -> None:
    lane, go = Lane("l", 1, 1), threading.Event()
    for _ in range(2):
        lane.submit(lambda: go.wait(30))
    with pytest.raises(LaneFull):
        lane.submit(lambda: None)
    go.set()
    lane.close()


def test_back_off_grows_and_is_bounded() -> None:
    for tries in range(200):
        assert 0 < back_off(tries, first=0.5, most=30.0) <= 30.0
    assert back_off(50) > back_off(1)


def test_the_end_of_the_process_waits_for_nobody() -> None:
    """Neither for a task nor for a plan that hangs; what waits for a worker is never begun."""
    program = """
import threading
from isthmus.reconcile.loop import Loop, Task

loop, hangs = Loop(workers=1), threading.Event()

def hang():
    hangs.set()
    threading.Event().wait()

loop.register("task", lambda _: [Task("hang", "party", hang)])
loop.register("plan", lambda _: threading.Event().wait())
loop.start()
loop.wake("plan", "x")
for number in range(3):
    loop.wake("task", str(number))
assert hangs.wait(10)
waiting = loop.lane("party").submit(print)
loop.close()
assert waiting.cancelled()
print("closed", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "closed\n"
    assert done.stderr == ""


def test_a_closed_lane_takes_nothing_and_tells_what_waited() -> None:
    lane, go = Lane("l", 1), threading.Event()
    begun, waiting = lane.submit(lambda: go.wait(30)), lane.submit(lambda: None)
    wait_for(begun.running)
    lane.close()
    assert waiting.cancelled()
    with pytest.raises(RuntimeError, match="closed"):
        lane.submit(lambda: None)
    go.set()
    assert begun.result(10)


def test_a_lane_works_with_as_many_threads_as_it_may() -> None:
    lane, together = Lane("l", 3), threading.Barrier(3)
    assert {f.result(10) for f in [lane.submit(lambda: together.wait(10)) for _ in range(3)]} == {0, 1, 2}
    assert [f.result(10) for f in [lane.submit(lambda n=n: n) for n in range(50)]] == list(range(50))  # type: ignore[misc]
    lane.close()


def test_what_is_no_longer_to_be_done_is_forgotten(loop: Loop) -> None:
    """Names of tasks carry epochs: without this each would leave its rest behind for ever."""
    rounds = [0]

    def run() -> float:
        rounds[0] += 1
        if rounds[0] == 2:
            raise ValueError("once")
        return 30.0

    loop.register("row", lambda _: [Task(f"t {rounds[0]}", "lane", run)] if rounds[0] < 5 else [])
    loop.start()
    loop.wake("row", "x")
    wait_for(lambda: rounds[0] == 5 and loop.idle())
    assert not loop._resting
    assert not loop._failures
