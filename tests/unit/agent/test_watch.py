"""The stream of changes: snapshot, going on, and what happens to a watcher that falls behind."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator

import pytest

from isthmus.agent.watch import Feed, Telltale
from isthmus.wire import agent_pb2 as pb
from tests.waiting import wait_for


def vm(name: str) -> pb.VmReport:
    return pb.VmReport(vm=name)


def take(stream: Iterator[pb.WatchEvent], number: int) -> list[str]:
    return [words(event) for event in itertools.islice(stream, number)]


def words(event: pb.WatchEvent) -> str:
    what = event.WhichOneof("what")
    if what == "vm":
        return event.vm.vm
    return f"{what} {getattr(event, what)}"


def always() -> bool:
    return True


def test_a_new_watcher_gets_a_snapshot_and_then_changes() -> None:
    feed = Feed("s", lambda: [vm("a"), vm("b")])
    stream = feed.watch("", always)
    assert take(stream, 4) == ["snapshot_done False", "a", "b", "snapshot_done True"]
    feed.vm(vm("c"))
    feed.log("warning", "text", "a")
    assert take(stream, 1) == ["c"]
    event = next(stream)
    assert (event.log.text, event.session) == ("text", "s")


def test_what_happens_during_the_snapshot_is_not_lost() -> None:
    feed = Feed("s", lambda: [vm("a")])
    stream = feed.watch("", always)
    assert take(stream, 2) == ["snapshot_done False", "a"]
    feed.vm(vm("c"))
    assert take(stream, 2) == ["snapshot_done True", "c"]


def test_a_token_goes_on_after_its_message() -> None:
    feed = Feed("s", list)
    stream = feed.watch("", always)
    take(stream, 2)
    for name in "abc":
        feed.vm(vm(name))
    token = next(stream).token
    assert take(feed.watch(token, always), 3) == ["alive True", "b", "c"]


@pytest.mark.parametrize("token", ["other:1", "s:99", "s:", "s:-1", "junk", "s:1:1"])
def test_a_token_that_is_of_no_use_brings_a_snapshot(token: str) -> None:
    feed = Feed("s", lambda: [vm("a")])
    feed.vm(vm("x"))
    stream = feed.watch(token, always, alive_seconds=0.01)
    seen = [words(event) for event in itertools.islice(stream, 4)]
    assert "snapshot_done True" in seen


def test_a_watcher_that_falls_behind_gets_a_new_snapshot() -> None:
    feed = Feed("s", lambda: [vm("now")], ring=3)
    stream = feed.watch("", always)
    take(stream, 3)
    for number in range(10):
        feed.vm(vm(str(number)))
    assert take(stream, 3) == ["snapshot_done False", "now", "snapshot_done True"]
    feed.vm(vm("next"))
    assert take(stream, 1) == ["next"]


def test_silence_is_filled() -> None:
    feed = Feed("s", list)
    stream = feed.watch("", always, alive_seconds=0.01)
    assert take(stream, 4) == ["snapshot_done False", "snapshot_done True", "alive True", "alive True"]


def test_a_watcher_ends_when_it_is_no_longer_wanted_or_the_agent_ends() -> None:
    feed = Feed("s", list)
    wanted = [True]
    ended = threading.Event()

    def watch() -> None:
        for _ in feed.watch("", lambda: wanted[0], alive_seconds=60):
            pass
        ended.set()

    thread = threading.Thread(target=watch)
    thread.start()
    wanted[0] = False

    def woken() -> bool:
        feed.wake()
        return ended.is_set()

    wait_for(woken, "the watcher ended")
    thread.join()
    stream = feed.watch("", always, alive_seconds=60)
    take(stream, 2)
    feed.close()
    assert list(stream) == []


def test_what_the_log_warns_of_is_told() -> None:
    feed = Feed("s", list)
    log = logging.getLogger("test of the telltale")
    log.addHandler(Telltale(feed))
    stream = feed.watch("", always)
    take(stream, 2)
    log.info("not told")
    log.warning("a hook failed: %s", "why", extra={"vm": "a"})
    told = next(stream).log
    assert (told.level, told.text, told.vm) == ("warning", "a hook failed: why", "a")
