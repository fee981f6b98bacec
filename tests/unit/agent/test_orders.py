"""Rules 11 to 13: which orders are obeyed, whatever order they arrive in and however often."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from isthmus.agent.orders import Orders, Refused

VM = "vm"


def test_a_start_epoch_is_obeyed_once() -> None:
    orders = Orders("s")
    orders.obey_start(VM, 5, "s")
    with pytest.raises(Refused, match=r"^epoch: .*epoch 5 was obeyed"):
        orders.obey_start(VM, 5, "s")


def test_a_start_below_a_stop_is_refused() -> None:
    orders = Orders("s")
    orders.obey_stop(VM, 6, "s", running=0)
    with pytest.raises(Refused, match=r"^epoch: "):
        orders.obey_start(VM, 5, "s")
    with pytest.raises(Refused, match=r"^epoch: "):
        orders.obey_start(VM, 6, "s")
    orders.obey_start(VM, 7, "s")


@pytest.mark.parametrize("session", ["", "of another process"])
def test_another_session_is_refused(session: str) -> None:
    orders = Orders()
    obeyed: list[Callable[[], None]] = [
        lambda: orders.obey_start(VM, 1, session),
        lambda: orders.obey_stop(VM, 1, session, running=0),
        lambda: orders.check_resume(VM, 1, session, running=1),
    ]
    for obey in obeyed:
        with pytest.raises(Refused, match=r"^session: "):
            obey()
    assert orders.floor(VM) == 0, "a refused order changes nothing"


def test_a_stop_written_for_an_earlier_run_is_refused() -> None:
    orders = Orders("s")
    orders.obey_start(VM, 8, "s")
    with pytest.raises(Refused, match="guest of VM vm is of epoch 8"):
        orders.obey_stop(VM, 7, "s", running=8)


def test_a_stop_is_idempotent() -> None:
    orders = Orders("s")
    for _ in range(3):
        orders.obey_stop(VM, 4, "s", running=0)
    assert orders.floor(VM) == 4


def test_a_resume_is_for_the_guest_that_is_here() -> None:
    orders = Orders("s")
    orders.check_resume(VM, 3, "s", running=3)
    for epoch, running in ((3, 0), (3, 4), (4, 3)):
        with pytest.raises(Refused, match=r"^epoch: "):
            orders.check_resume(VM, epoch, "s", running)


@given(st.lists(st.integers(1, 20), max_size=30))
def test_the_floor_never_sinks(epochs: list[int]) -> None:
    orders = Orders("s")
    highest = 0
    for epoch in epochs:
        orders.see(VM, epoch)
        highest = max(highest, epoch)
        assert orders.floor(VM) == highest


def test_not_here_is_not_said_under_the_epoch_of_a_start_that_is_under_way() -> None:
    """Rule 11: its guest may appear at any moment, also when a stop has overtaken it."""
    orders = Orders("s")
    orders.obey_stop(VM, 3, "s", running=0)
    orders.obey_start(VM, 5, "s")
    assert orders.word(VM) == 4
    orders.obey_stop(VM, 6, "s", running=5)
    assert orders.word(VM) == 4
    orders.start_ended(VM)
    assert orders.word(VM) == 6


class TwoHosts(RuleBasedStateMachine):
    """Orders reach any host late, twice, or never; guests end by themselves; agents restart and lose their floors."""

    written = Bundle("written")

    @initialize()
    def begin(self) -> None:
        self.agents = [Orders(), Orders()]
        self.guests = [0, 0]
        self.epoch = 0
        self.may_run: set[int] = set()
        self.wanted_on: int | None = None
        self.obeyed: list[tuple[int, str]] = []

    @rule(target=written, host=st.integers(0, 1))
    def run(self, host: int) -> tuple[str, int, int, tuple[str, str]]:
        if self.may_run:
            return ("nothing", 0, 0, ("", ""))  # rule 11: the start elsewhere needs the set empty
        self.epoch += 1
        self.may_run, self.wanted_on = {host}, host
        return ("start", host, self.epoch, self.sessions())

    @rule(target=written)
    def stop(self) -> tuple[str, int, int, tuple[str, str]]:
        self.epoch += 1
        self.wanted_on = None
        return ("stop", 0, self.epoch, self.sessions())

    def sessions(self) -> tuple[str, str]:
        return (self.agents[0].session, self.agents[1].session)

    @rule(order=written, host=st.integers(0, 1))
    def deliver(self, order: tuple[str, int, int, tuple[str, str]], host: int) -> None:
        self.carry_out(order, host)

    @rule(order=consumes(written), host=st.integers(0, 1))
    def deliver_for_the_last_time(self, order: tuple[str, int, int, tuple[str, str]], host: int) -> None:
        self.carry_out(order, host)

    def carry_out(self, order: tuple[str, int, int, tuple[str, str]], host: int) -> None:
        kind, target, epoch, sessions = order
        agent = self.agents[host]
        try:
            if kind == "start" and target == host and not self.guests[host]:
                agent.obey_start(VM, epoch, sessions[host])
                self.guests[host] = epoch
                self.obeyed.append((epoch, agent.session))
            elif kind == "stop":
                agent.obey_stop(VM, epoch, sessions[host], running=self.guests[host])
                self.guests[host] = 0
        except Refused:
            return

    @rule(host=st.integers(0, 1))
    def guest_ends_by_itself(self, host: int) -> None:
        self.guests[host] = 0

    @rule(host=st.integers(0, 1))
    def agent_restarts(self, host: int) -> None:
        self.agents[host] = Orders()
        if self.guests[host]:
            self.agents[host].see(VM, self.guests[host])

    @rule(host=st.integers(0, 1))
    def host_says_not_here(self, host: int) -> None:
        if self.wanted_on is None and not self.guests[host] and self.agents[host].floor(VM) == self.epoch:
            self.may_run.discard(host)

    @invariant()
    def never_two_guests(self) -> None:
        assert not all(self.guests)

    @invariant()
    def no_epoch_twice(self) -> None:
        assert len({epoch for epoch, _ in self.obeyed}) == len(self.obeyed)


TestTwoHosts = TwoHosts.TestCase
