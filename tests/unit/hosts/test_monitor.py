from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from isthmus.hosts import monitor as monitor_module
from isthmus.hosts.client import HostClient
from isthmus.hosts.errors import HostError, Unreachable
from isthmus.hosts.monitor import HostMonitor
from isthmus.hosts.pki import Authority
from isthmus.wire import agent_pb2 as pb
from tests.unit.hosts.agents import ScriptedAgent, host_credentials, serving


class Ear:
    """Keeps what it is told; ``until`` waits for a condition on it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.threads: set[str] = set()
        self.fail_once: set[str] = set()
        self._changed = threading.Condition()

    def _tell(self, what: str) -> None:
        with self._changed:
            self.told.append(what)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()
        if what in self.fail_once:
            self.fail_once.discard(what)
            raise RuntimeError(f"cannot take {what}")

    def until(self, *expected: str) -> None:
        with self._changed:
            assert self._changed.wait_for(
                lambda: [t for t in self.told if t in expected][-len(expected) :] == list(expected), 20
            ), self.told

    def up(self, hello: pb.HelloReply, capabilities: pb.CapabilitiesReply) -> None:
        self._tell(f"up {hello.session} {capabilities.hostname}")

    def capabilities(self, capabilities: pb.CapabilitiesReply) -> None:
        self._tell(f"capabilities {capabilities.hostname}")

    def report(self, report: pb.VmReport) -> None:
        self._tell(f"report {report.vm}")

    def snapshot(self, reports: dict[str, pb.VmReport]) -> None:
        self._tell(f"snapshot {sorted(reports)}")

    def log(self, line: pb.LogLine) -> None:
        self._tell(f"log {line.text}")

    def down(self, error: HostError) -> None:
        problem = error.problem if isinstance(error, Unreachable) else type(error).__name__
        self._tell(f"down {problem}")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(monitor_module, "LONGEST_WAIT", 0.2)


@contextlib.contextmanager
def monitoring(authority: Authority, port: int, ear: Ear) -> Iterator[HostMonitor]:
    monitor = HostMonitor(HostClient("h1", "127.0.0.1", port, authority), ear)
    monitor.start()
    try:
        yield monitor
    finally:
        monitor.stop()
        assert monitor.join(10)


def vm(name: str, token: str = "") -> pb.WatchEvent:
    return pb.WatchEvent(token=token, vm=pb.VmReport(vm=name, state=pb.RUNNING))


BEGIN = pb.WatchEvent(token="1", snapshot_done=False)
DONE = pb.WatchEvent(token="1", snapshot_done=True)


def test_a_host_comes_up_with_its_snapshot_and_is_followed(authority: Authority) -> None:
    agent, ear = ScriptedAgent(), Ear()
    for event in (BEGIN, vm("a", "1"), vm("b", "1"), DONE, vm("c", "2")):
        agent.events.put(event)
    agent.events.put(pb.WatchEvent(token="3", log=pb.LogLine(text="hook failed")))
    with (
        serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port,
        monitoring(authority, port, ear),
    ):
        ear.until("up session-1 scripted", "report a", "report b", "snapshot ['a', 'b']", "report c", "log hook failed")
    assert ear.threads == {"host-monitor-h1"}


def test_a_lost_stream_goes_on_after_the_last_token(authority: Authority) -> None:
    agent, ear = ScriptedAgent(), Ear()
    agent.events.put(pb.WatchEvent(token="7", snapshot_done=True))
    with (
        serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port,
        monitoring(authority, port, ear),
    ):
        ear.until("snapshot []")
        agent.events.put(None)
        agent.watched(2)
        agent.events.put(vm("d", "8"))
        ear.until("report d")
    assert agent.tokens == ["", "7"]


def test_a_snapshot_cut_short_begins_again(authority: Authority) -> None:
    agent, ear = ScriptedAgent(), Ear()
    agent.events.put(BEGIN)
    agent.events.put(vm("a", "1"))
    with (
        serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port,
        monitoring(authority, port, ear),
    ):
        ear.until("report a")
        agent.events.put(None)
        agent.watched(2)
        for event in (BEGIN, vm("b", "1"), DONE):
            agent.events.put(event)
        ear.until("snapshot ['b']")
    assert agent.tokens == ["", ""]
    assert ear.told.count("snapshot ['b']") == 1
    assert not [told for told in ear.told if told.startswith("snapshot") and told != "snapshot ['b']"]


def test_a_watcher_that_fell_behind_gets_a_new_snapshot_in_the_same_stream(authority: Authority) -> None:
    agent, ear = ScriptedAgent(), Ear()
    for event in (BEGIN, vm("a", "1"), DONE, vm("b", "2"), pb.WatchEvent(token="9", snapshot_done=False)):
        agent.events.put(event)
    agent.events.put(vm("c", "9"))
    with (
        serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port,
        monitoring(authority, port, ear),
    ):
        ear.until("report c")
        agent.events.put(None)  # lost in the middle of it: not to be gone on from
        agent.watched(2)
        for event in (
            pb.WatchEvent(token="9", snapshot_done=False),
            vm("c", "9"),
            pb.WatchEvent(token="9", snapshot_done=True),
        ):
            agent.events.put(event)
        ear.until("snapshot ['c']")
    assert agent.tokens == ["", ""]
    assert [told for told in ear.told if told.startswith("snapshot")] == ["snapshot ['a']", "snapshot ['c']"]


def test_a_snapshot_that_begins_is_not_one_that_is_whole(authority: Authority) -> None:
    """``snapshot_done`` false: nothing was seen yet, and a stream cut short in it goes on with another snapshot."""
    agent, ear = ScriptedAgent(), Ear()
    agent.events.put(pb.WatchEvent(token="5", snapshot_done=False))
    agent.events.put(vm("a", "5"))
    with (
        serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port,
        monitoring(authority, port, ear),
    ):
        ear.until("report a")
        agent.events.put(None)
        agent.watched(2)
        for event in (
            pb.WatchEvent(token="5", snapshot_done=False),
            vm("a", "5"),
            pb.WatchEvent(token="5", snapshot_done=True),
            pb.WatchEvent(token="9", snapshot_done=False),
            vm("b", "9"),
        ):
            agent.events.put(event)
        ear.until("snapshot ['a']", "report b")
        agent.events.put(None)
        agent.watched(3)
    assert agent.tokens == ["", "", ""], "the second snapshot, of a stream that fell behind, was cut short too"
    assert [t for t in ear.told if t.startswith("snapshot")] == ["snapshot ['a']"]


def test_another_agent_process_is_told_as_another_session(authority: Authority) -> None:
    agent, ear = ScriptedAgent(), Ear()
    agent.events.put(pb.WatchEvent(token="7", session="session-1", snapshot_done=True))
    with (
        serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port,
        monitoring(authority, port, ear),
    ):
        ear.until("snapshot []")
        agent.session = "session-2"
        agent.events.put(pb.WatchEvent(token="1", session="session-2", alive=True))
        agent.watched(2)
        agent.events.put(pb.WatchEvent(token="2", session="session-2", snapshot_done=True))
        ear.until("snapshot []", "up session-2 scripted", "snapshot []")
    assert agent.tokens == ["", ""], "another session's token means nothing to this one"


def test_a_host_that_is_down_is_told_once_and_found_when_it_comes(authority: Authority) -> None:
    ear, credentials = Ear(), host_credentials(authority, "h1")
    with serving(ScriptedAgent(), credentials, authority.ca_pem) as port:
        pass
    with monitoring(authority, port, ear):
        ear.until("down refused")
        with serving(ScriptedAgent(), credentials, authority.ca_pem, port):
            ear.until("up session-1 scripted")
            assert ear.told.count("down refused") == 1
        ear.until("down refused")


def test_what_a_listener_cannot_take_is_told_again(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    agent, ear = ScriptedAgent(), Ear()
    ear.fail_once.add("report a")
    agent.events.put(pb.WatchEvent(token="1", snapshot_done=True))
    agent.events.put(vm("a", "2"))
    with (
        serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port,
        monitoring(authority, port, ear),
    ):
        agent.watched(2)
        agent.events.put(pb.WatchEvent(token="2", snapshot_done=True))
        ear.until("snapshot []", "report a", "snapshot []")
    assert agent.tokens == ["", ""], "a new snapshot, for what was missed"
    assert "cannot take report a" in caplog.text


def test_stop_is_prompt_while_waiting_and_while_watching(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "FIRST_WAIT", 60)
    monkeypatch.setattr(monitor_module, "LONGEST_WAIT", 60)
    credentials = host_credentials(authority, "h1")

    def stop_after(wait: Callable[[Ear], None], port: int) -> float:
        ear = Ear()
        with monitoring(authority, port, ear) as monitor:
            wait(ear)
            began = time.monotonic()
            monitor.stop()
            assert monitor.join(10)
            return time.monotonic() - began

    with serving(ScriptedAgent(), credentials, authority.ca_pem) as port:
        assert stop_after(lambda ear: ear.until("up session-1 scripted"), port) < 1
    assert stop_after(lambda ear: ear.until("down refused"), port) < 1


def test_poke_ends_the_wait(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "FIRST_WAIT", 60)
    ear, credentials = Ear(), host_credentials(authority, "h1")
    with serving(ScriptedAgent(), credentials, authority.ca_pem) as port:
        pass
    with monitoring(authority, port, ear) as monitor:
        ear.until("down refused")
        with serving(ScriptedAgent(), credentials, authority.ca_pem, port):
            monitor.poke()
            ear.until("up session-1 scripted")


def test_capabilities_are_looked_at_again(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_module, "CAPABILITIES_SECONDS", 0)
    agent, ear = ScriptedAgent(), Ear()
    agent.events.put(pb.WatchEvent(token="1", alive=True))
    with (
        serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port,
        monitoring(authority, port, ear),
    ):
        ear.until("up session-1 scripted", "capabilities scripted")
