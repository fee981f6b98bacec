"""Attacks on the port protocol: agents' words that are not what they seem, stale, early or out of order."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from isthmus.agent import vms as agent_vms
from isthmus.agent.orders import Orders
from isthmus.agent.orders import Refused as NotObeyed
from isthmus.hosts.errors import StaleEpoch
from isthmus.model import Provider, points
from isthmus.reconcile import claims, vms
from isthmus.reconcile.hosts import Watcher
from isthmus.reconcile.reports import apply_report
from isthmus.wire import agent_pb2 as pb
from tests.fakes.agents import FakeClient, wait_for
from tests.unit.reconcile.world import World, starts

pytestmark = pytest.mark.long


def test_absent_while_the_start_is_carried_out_is_no_word(world: World) -> None:
    """Rule 11: the host has obeyed the start, its guest is not in libvirt yet. However often it is asked."""
    vm, h1 = world.add_vm(), world.hosts["h1"]
    h1.start_goes_on = threading.Event()
    world.order_run(vm, "h1")
    wait_for(lambda: bool(starts(world, "h1")))
    Watcher(world.engine, h1.id).snapshot({})
    report = FakeClient(h1).get_vm(vm)
    assert report.state == pb.ABSENT
    apply_report(world.engine, h1.id, report)
    assert world.may_run(vm) == {"h1"}
    assert world.vm(vm).wanted == "up"
    h1.start_goes_on.set()
    wait_for(lambda: world.vm(vm).status == "up")
    world.wait_exact(vm)


def test_a_stop_that_overtakes_a_start_waits_for_its_end(world: World) -> None:
    vm, h1 = world.add_vm(), world.hosts["h1"]
    h1.start_goes_on = threading.Event()
    world.order_run(vm, "h1")
    wait_for(lambda: bool(starts(world, "h1")))
    world.order_stop(vm)
    wait_for(lambda: [kind for kind, _ in h1.seen_orders].count("stop") >= 2)
    assert world.may_run(vm) == {"h1"}
    assert world.claims(vm)[0].wanted == "bound"
    h1.start_goes_on.set()
    world.wait_down(vm)
    assert not h1.domains
    world.wait_exact()


def test_the_agents_word_is_below_a_start_under_way() -> None:
    orders = Orders("s")
    orders.obey_start("vm", 5, "s")
    assert orders.word("vm") == 4
    orders.obey_stop("vm", 7, "s", 5)
    assert orders.word("vm") == 4, "the stop has overtaken it, but its guest may still appear"
    orders.start_ended("vm")
    assert orders.word("vm") == orders.floor("vm") == 7
    with pytest.raises(NotObeyed, match="epoch"):
        orders.obey_start("vm", 7, "s")
    assert orders.word("vm") == 7


def test_the_agent_says_no_wrong_word_while_it_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked, told by a late event of the run before, and told that libvirt is back: all while a start is under way."""
    going, go_on = threading.Event(), threading.Event()
    guests: dict[str, Any] = {}
    told: list[pb.VmReport] = []

    class Launch:
        nics = ()

        def __init__(self, tools: Any, order: pb.StartOrder, *_: Any) -> None:
            self.vm, self.epoch = order.order.vm, order.order.epoch

        def go(self) -> str:
            going.set()
            assert go_on.wait(30)
            raise agent_vms.Failed("no guest")

    monkeypatch.setattr(agent_vms, "Launch", Launch)
    monkeypatch.setattr(agent_vms.checks, "start", lambda order: None)
    hypervisor = SimpleNamespace(find=guests.get, all=lambda: list(guests.values()))
    tools = SimpleNamespace(hypervisor=hypervisor, runs=SimpleNamespace(of=lambda vm: [], all=list))
    orders = Orders("s")
    agent = agent_vms.Vms(tools, orders, told.append)  # type: ignore[arg-type]
    order = pb.StartOrder(order=pb.Order(vm="vm", epoch=5, session="s"))
    answer: list[pb.VmReport] = []
    start = threading.Thread(target=lambda: answer.append(agent.start(order)))
    start.start()
    assert going.wait(10)
    agent.changed("vm", "the guest was destroyed")
    agent.connected()
    wait_for(lambda: len(told) == 2)
    assert [r.floor for r in (*told, agent.report("vm"))] == [4, 4, 4]
    go_on.set()
    start.join(10)
    assert (answer[0].state, answer[0].floor) == (pb.ABSENT, 5)
    wait_for(lambda: told[-1].floor == 5)
    agent.close()


def test_an_agents_restart_leaves_its_guests_alone(world: World) -> None:
    """Its session is another, its guests are the same: a snapshot that begins is not one without guests."""
    vm, h1 = world.add_vm(), world.hosts["h1"]
    world.run(vm, "h1")
    h1.restart_agent()
    wait_for(lambda: world.rows_host("h1").session == h1.orders.session and bool(h1.watchers))
    Watcher(world.engine, h1.id).snapshot({})
    assert world.vm(vm).status == "up"
    assert vm in h1.domains
    assert "stop" not in [kind for kind, _ in h1.seen_orders]


def test_a_start_that_no_agent_can_obey_any_more_is_given_up(world: World) -> None:
    """Rule 12: it is sent with the session it was written for, not with the one that is known by now."""
    vm, h1 = world.add_vm(), world.hosts["h1"]
    world.kill()
    world.restart_without_work()
    world.order_run(vm, "h1")
    claims.make_ports(world.engine, vm, world.provider)
    h1.restart_agent()
    Watcher(world.engine, h1.id).up(FakeClient(h1).hello(), FakeClient(h1).capabilities())
    vms.send_start(world.engine, vm, world.vm(vm).epoch)
    assert not h1.domains
    assert world.vm(vm).wanted == "down"
    world.restart()
    world.wait_down(vm)
    (text,) = world.events(54)
    assert "restarted" in text
    world.wait_exact()


def test_stale_reports_change_nothing(world: World) -> None:
    vm = world.add_vm()
    world.run(vm, "h1")
    early = world.vm(vm).epoch
    world.stop(vm)
    world.run(vm, "h1")
    before = world.vm(vm)
    epoch = before.epoch
    for host, report in (
        ("h1", pb.VmReport(state=pb.PAUSED, epoch=epoch)),
        ("h1", pb.VmReport(state=pb.ABSENT, floor=early)),
        ("h1", pb.VmReport(state=pb.ABSENT, floor=epoch - 1)),
        ("h1", pb.VmReport(state=pb.CRASHED, epoch=early)),
        ("h1", pb.VmReport(state=pb.SHUTTING_DOWN, epoch=early)),
        ("h2", pb.VmReport(state=pb.ABSENT, floor=epoch)),
        ("h2", pb.VmReport(state=pb.CRASHED, epoch=epoch)),
        ("h2", pb.VmReport(state=pb.RUNNING, epoch=epoch)),
    ):
        report.vm = vm
        apply_report(world.engine, world.hosts[host].id, report)
        after = world.vm(vm)
        assert (after.status, after.seen_state, after.host_id, after.epoch, after.wanted) == (
            before.status,
            before.seen_state,
            before.host_id,
            before.epoch,
            before.wanted,
        )
    assert world.may_run(vm) == {"h1"}


def test_a_report_of_running_after_the_stop_was_written_is_too_late(world: World) -> None:
    vm, h1 = world.add_vm(), world.hosts["h1"]
    world.run(vm, "h1")
    running = FakeClient(h1).get_vm(vm)
    h1.cut_off()
    world.order_stop(vm)
    apply_report(world.engine, h1.id, running)
    assert world.vm(vm).status == "powering_down"
    h1.reachable = True
    world.wait_down(vm)
    apply_report(world.engine, h1.id, running)
    assert world.vm(vm).status == "down"


@pytest.mark.parametrize("call", ["start", "resume", "stop", "get_vm"])
def test_a_hosts_reply_that_is_lost_is_asked_for_again(world: World, call: str) -> None:
    vm, h1 = world.add_vm(), world.hosts["h1"]
    h1.lose_reply.add(call)
    if call == "get_vm":
        h1.lose_reply.add("start")
    world.run(vm, "h1")
    assert len(starts(world, "h1")) <= 3
    world.stop(vm)
    world.wait_exact()


def test_a_resume_that_comes_after_the_stop_resumes_nothing(world: World) -> None:
    """Rule 14: the stop cancels it, whether the guest is gone or the next one is here."""
    vm, h1 = world.add_vm(), world.hosts["h1"]
    world.run(vm, "h1")
    (resume,) = [order for kind, order in h1.seen_orders if kind == "resume"]
    world.stop(vm)
    with pytest.raises(StaleEpoch):
        FakeClient(h1).resume(resume)  # type: ignore[arg-type]
    held = threading.Event()
    reached = threading.Event()

    def hold(name: str) -> None:
        if name == "run.before-resume":
            reached.set()
            assert held.wait(30)

    points.stop_at = hold
    world.order_run(vm, "h1")
    assert reached.wait(10)
    with pytest.raises(StaleEpoch):
        FakeClient(h1).resume(resume)  # type: ignore[arg-type]
    assert not h1.domains[vm].running
    world.order_stop(vm)
    wait_for(lambda: vm not in h1.domains)
    held.set()
    points.stop_at = None
    world.wait_down(vm)
    world.wait_exact()


def test_a_guest_is_not_resumed_before_its_port_was_seen_ready(world: World) -> None:
    """Rule 14: bound to another host, down, gone: each is told, and the guest never runs."""
    vm, h1 = world.add_vm(), world.hosts["h1"]
    h1.on_wired = lambda port: None
    with world.engine.db.write() as session:
        session.get_one(Provider, world.provider).plug_wait = 1.0
    world.order_run(vm, "h1")
    wait_for(lambda: vm in h1.domains)
    world.wait_down(vm)
    assert "resume" not in [kind for kind, _ in h1.seen_orders]
    (text,) = world.events(54)
    assert "not ready within 1 s" in text
    assert "its status is DOWN" in text
    world.wait_exact()


def test_a_port_that_is_bound_elsewhere_is_not_ready(world: World) -> None:
    """Rule 14: ACTIVE, but on another host than the guest's."""
    vm = world.add_vm()

    def bind(host: str) -> None:
        port = world.port_of(vm)
        body = {"port": {"binding:host_id": host}}
        assert world.neutron.world.handle("PUT", f"/v2.0/ports/{port}", body=body).status == 200
        world.report_up(port)

    bound: list[str] = []

    def elsewhere(name: str) -> None:
        if name == "run.before-ready" and not bound:
            bound.append("h2")
            bind("h2")

    points.stop_at = elsewhere
    world.order_run(vm, "h1")
    wait_for(lambda: "bound to h2" in world.claims(vm)[0].problem)
    looks = world.neutron.count("GET /v2.0/ports")
    wait_for(lambda: world.neutron.count("GET /v2.0/ports") > looks + 3)
    assert "resume" not in [kind for kind, _ in world.hosts["h1"].seen_orders]
    bind("h1")
    wait_for(lambda: world.vm(vm).status == "up")
    world.wait_exact(vm)
