"""Attacks on the port protocol that the numbered scenarios do not make: odd orders of messages, stale words, restarts
in every state, other parties that hang or lie.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.dialects import postgresql

from isthmus.agent import vms as agent_vms
from isthmus.agent.orders import Orders
from isthmus.agent.orders import Refused as NotObeyed
from isthmus.commands import nics as nic_commands
from isthmus.commands import runs as commands
from isthmus.commands.caller import InConflict
from isthmus.hosts.errors import Refused, SessionChanged, StaleEpoch
from isthmus.model import Claim, Host, Job, MayRun, Moment, NetworkProvision, Nic, Provider, Vm, now, points
from isthmus.model.claims import record
from isthmus.model.database import ONE_WRITER
from isthmus.reconcile import claims, sweep, vms
from isthmus.reconcile.hosts import Watcher
from isthmus.reconcile.reports import apply_report
from isthmus.wire import agent_pb2 as pb
from tests.fakes.agents import FakeClient, wait_for
from tests.fakes.neutron import FakeNeutron, Kind
from tests.unit.reconcile.world import CALLER, World

POST = "POST /v2.0/ports"
DELETE = "DELETE /v2.0/ports/*"


def starts(world: World, host: str) -> list[pb.StartOrder]:
    return [order for kind, order in world.hosts[host].seen_orders if kind == "start"]  # type: ignore[misc]


# ------------------------------------------------------------------------------------ words that are not what they seem


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


# ------------------------------------------------------------------------------------------------- claims and the sweep


def test_a_record_needs_the_generation_the_port_and_the_revision(world: World) -> None:
    """Rule 6, each part of it."""
    vm = world.add_vm()
    world.run(vm)
    (claim,) = world.claims(vm)
    for change in ({"generation": claim.generation + 1}, {"port_id": "other"}, {"revision": claim.revision + 1}):
        with world.engine.db.write() as session:
            session.execute(update(Claim).where(Claim.id == claim.id).values(**change))
            assert not record(session, claim, problem="late news")
            session.rollback()
    with world.engine.db.write() as session:
        assert record(session, claim, problem="news")
        assert not record(session, claim, problem="the same news twice")
        session.rollback()


def test_a_new_run_begins_with_no_port_recorded(world: World) -> None:
    """Rule 5: the release of the run before has not come through yet."""
    vm = world.add_vm()
    world.run(vm)
    old = world.port_of(vm)
    world.neutron.fault(DELETE, Kind.ANSWER, times=10_000, status=503)
    world.stop(vm)
    world.order_run(vm)
    (claim,) = world.claims(vm)
    assert claim.port_id != old
    wait_for(lambda: world.neutron.count(DELETE) >= 2)
    assert world.vm(vm).status != "up"
    world.neutron.clear()
    wait_for(lambda: world.vm(vm).status == "up")
    assert world.port_of(vm) != old
    world.wait_exact(vm)


def test_a_late_look_of_an_old_generation_dooms_nothing(world: World) -> None:
    """Rule 4: its call finds the port of the next run, with another stamp than its own."""
    vm = world.add_vm()
    held, go_on = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name == "run.before-ports" and not held.is_set():
            held.set()
            assert go_on.wait(60)

    points.stop_at = hold
    world.order_run(vm, "h1")
    assert held.wait(10)
    world.stop(vm)
    world.run(vm, "h2")
    port = world.port_of(vm)
    looked = world.neutron.count("GET /v2.0/ports")
    go_on.set()
    wait_for(lambda: world.engine.loop.idle() and world.neutron.count("GET /v2.0/ports") > looked)
    assert set(world.ours()) == {port}
    world.check()


def test_two_providers_at_one_place_leave_each_others_ports_alone(world: World) -> None:
    """The same Neutron, entered twice: each lists the ports of the other's claims as ours (rules 1 and 7)."""
    other = world.add_provider("the-same", world.neutron)
    vm = world.add_vm()
    world.run(vm)
    port = world.port_of(vm)
    swept: list[int] = []

    def sweep_now(name: str) -> None:
        if name == "run.after-ports":
            swept.append(len(world.ours()))
            sweep.sweep(world.engine, other)

    sweep.sweep(world.engine, other)
    assert set(world.ours()) == {port}
    points.stop_at = sweep_now
    second = world.add_vm("second")
    world.run(second)
    assert swept
    world.wait_exact(vm, second)


def test_a_port_that_cannot_be_deleted_keeps_no_other(world: World) -> None:
    world.kill()
    world.restart_without_work()
    for number in range(3):
        world.plant_orphan(number)
    with world.engine.db.read() as session:
        listed, _ = world.engine.provider(session.get_one(Provider, world.provider)).ports()
    stuck = listed[0].id
    for status in (409, 500):
        world.neutron.clear()
        world.neutron.fault(f"DELETE /v2.0/ports/{stuck}", Kind.ANSWER, times=100, status=status)
        world.sweep()
        assert set(world.ours()) == {stuck}
    world.restart()
    world.neutron.clear()
    world.wait_exact()


def test_a_claim_goes_with_its_nic_once_its_port_is_given_back(world: World) -> None:
    vm = world.add_vm(nics=2)
    other = world.add_network("net-b", 501)
    world.run(vm)
    hold = world.neutron.hold(DELETE)
    world.stop(vm)
    hold.wait(2)
    removed, moved = sorted(world.rows(Nic, Nic.vm_id == vm), key=lambda n: n.name)
    nic_commands.remove_nic(world.engine, CALLER, vm, removed.id)
    nic_commands.update_nic(world.engine, CALLER, vm, moved.id, profile_id=world.profile(other))
    assert len(world.claims(vm)) == 2
    hold.let_go()
    wait_for(lambda: world.claims(vm) == [])
    world.wait_exact()
    world.run(vm)
    (port,) = world.ours().values()
    assert port["network_id"] == world.external(other)


def test_a_sweep_reads_the_ports_before_the_claims(world: World) -> None:
    """Rule 7: a port that is made and recorded while the sweep is between its two readings is not in its list."""
    vm = world.add_vm()
    ran: list[str] = []

    def run_now(name: str) -> None:
        if name == "sweep.listed" and threading.current_thread() is threading.main_thread() and not ran:
            ran.append(name)
            world.run(vm)

    points.stop_at = run_now
    world.sweep()
    assert ran
    assert set(world.ours()) == {world.port_of(vm)}
    world.check()


def test_a_problem_that_is_past_does_not_hide_the_next(world: World) -> None:
    """What the start waited for is forgotten when the guest runs; that its port is gone is told."""
    vm, h1 = world.add_vm(), world.hosts["h1"]

    def unplug(name: str) -> None:
        if name == "run.before-resume":
            h1.wired = False

    points.stop_at = unplug
    world.order_run(vm, "h1")
    wait_for(lambda: any("tap" in c.problem for c in world.claims(vm)))
    points.stop_at = None
    h1.wired = True
    wait_for(lambda: world.vm(vm).status == "up")
    (claim,) = world.claims(vm)
    assert claim.problem == ""
    world.neutron.world.handle("DELETE", f"/v2.0/ports/{claim.port_id}")
    wait_for(lambda: world.events(11291) != [])
    world.hosts_forget_guests()


def test_a_provider_of_which_nothing_can_be_made_is_named(world: World) -> None:
    vm = world.add_vm()
    with world.engine.db.write() as session:
        session.get_one(Provider, world.provider).type = "uninstalled"
    world.restart()
    world.order_run(vm)
    world.wait_down(vm)
    (text,) = world.events(54)
    assert "uninstalled" in text
    with world.engine.db.write() as session:
        session.get_one(Provider, world.provider).type = "neutron"
    world.restart()
    world.run(vm)


# ----------------------------------------------------------------------------------------------------- runs and stops


def test_a_vm_without_nics_runs_and_stops(world: World) -> None:
    vm = world.add_vm(nics=0)
    world.neutron.fault("*", Kind.HANG, times=10_000)
    world.run(vm)
    world.stop(vm)
    world.neutron.clear()


def test_a_file_that_cannot_be_read_is_named_at_once(world: World) -> None:
    vm = world.add_vm()
    with world.engine.db.write() as session:
        session.get_one(Vm, vm).kernel = "/nonexistent/vmlinuz"
    world.order_run(vm)
    world.wait_down(vm)
    (text,) = world.events(54)
    assert "/nonexistent/vmlinuz" in text
    world.wait_exact()


def test_a_run_is_not_given_up_while_its_files_move(world: World) -> None:
    vm, h1 = world.add_vm(), world.hosts["h1"]
    kernel = world.data / "files" / "vmlinuz"
    kernel.write_bytes(b"kernel")
    with world.engine.db.write() as session:
        session.get_one(Vm, vm).kernel = str(kernel)
    h1.files_go_on = threading.Event()
    world.order_run(vm, "h1")

    def counted_from() -> datetime:
        return world.vm(vm).ordered_at or now()

    ordered = counted_from()
    wait_for(lambda: counted_from() > ordered)
    with world.engine.db.write() as session:
        session.get_one(Provider, world.provider).plug_wait = 3.0
    world.engine.wake("vm", vm)
    ordered = counted_from()
    wait_for(lambda: counted_from() > ordered + timedelta(seconds=3.5))
    assert world.vm(vm).wanted == "up"
    with world.engine.db.write() as session:
        session.get_one(Provider, world.provider).plug_wait = 60.0
    h1.files_go_on.set()
    wait_for(lambda: world.vm(vm).status == "up")


def test_a_network_that_another_provider_serves_too_is_wired_as_it_was_claimed(world: World) -> None:
    """The start order is written anew at each try; what it says of a NIC stays with the claim's provider."""
    other = world.add_provider("other", world.neutron)
    vm = world.add_vm()

    def serve_too(name: str) -> None:
        if name != "run.ports-recorded":
            return
        with world.engine.db.write() as session:
            session.add(
                NetworkProvision(
                    network_id=world.network,
                    data_center_id=world.center,
                    provider_id=other,
                    external_id="elsewhere",
                    physical_network="blue",
                    segmentation_id=7,
                    rank=-1,
                )
            )

    points.stop_at = serve_too
    world.order_run(vm, "h1")
    wait_for(lambda: world.vm(vm).status == "up")
    (start,) = starts(world, "h1")
    assert (start.nics[0].port.physical_network, start.nics[0].port.vlan) == ("red", 500)


def test_a_claim_owes_its_port_although_its_nic_stands_elsewhere_by_now(world: World) -> None:
    """Rule 8: another network is another claim, and each knows its own port."""
    vm = world.add_vm()
    world.run(vm)
    old = world.port_of(vm)
    world.neutron.fault(f"DELETE /v2.0/ports/{old}", Kind.ANSWER, times=10_000, status=503)
    world.stop(vm)
    world.move_nic(vm, world.add_network("net-b", 501))
    world.run(vm)
    owes, has = sorted(world.claims(vm), key=lambda c: c.wanted)
    assert (owes.wanted, owes.port_id, owes.external_network_id) == ("absent", old, world.external(world.network))
    assert has.wanted == "bound"
    assert has.id != owes.id
    world.neutron.clear()
    world.wait_exact(vm)


def test_a_shutdown_that_the_guest_ignores_gives_nothing_away(world: World) -> None:
    vm, h1 = world.add_vm(), world.hosts["h1"]
    h1.ignores_shutdown = True
    world.run(vm, "h1")
    world.order_stop(vm, graceful=True)
    wait_for(lambda: [kind for kind, _ in h1.seen_orders].count("stop") >= 2)
    assert world.vm(vm).status == "powering_down"
    assert world.may_run(vm) == {"h1"}
    assert len(world.ours()) == 1
    with pytest.raises(InConflict):
        world.order_stop(vm, graceful=True)
    world.stop(vm)
    world.wait_exact()
    assert [j.description for j in world.rows(Job, Job.ended_at.is_(None))] == []


def test_a_stop_is_not_softened_into_a_shutdown(world: World) -> None:
    vm, h1 = world.add_vm(), world.hosts["h1"]
    world.run(vm, "h1")
    h1.cut_off()
    world.order_stop(vm)
    with pytest.raises(InConflict, match="already being stopped"):
        world.order_stop(vm, graceful=True)
    h1.reachable = True
    world.wait_down(vm)


def test_a_run_that_was_given_up_is_stopped_although_it_runs_by_now(world: World) -> None:
    """Its resume was obeyed, which nobody heard before the plug wait was over."""
    vm, h1 = world.add_vm(), world.hosts["h1"]
    obeyed, go_on = threading.Event(), threading.Event()

    def hold(name: str) -> None:
        if name == "run.after-resume":
            obeyed.set()
            assert go_on.wait(30)

    points.stop_at = hold
    world.order_run(vm, "h1")
    assert obeyed.wait(10)
    seen = world.vm(vm)
    vms._give_up(world.engine, seen, 1.0)
    wait_for(lambda: vm not in h1.domains)
    go_on.set()
    points.stop_at = None
    world.wait_down(vm)
    world.wait_exact()


def test_a_database_older_than_its_hosts_is_healed(world: World) -> None:
    """Restored from a backup: its epochs are below those that the hosts have obeyed."""
    vm = world.add_vm()
    for _ in range(3):
        world.run(vm, "h1")
        world.stop(vm)
    with world.engine.db.write() as session:
        session.get_one(Vm, vm).epoch = 1
    world.order_run(vm, "h1")
    world.wait_down(vm)
    (text,) = world.events(54)
    assert "later orders" in text
    world.run(vm, "h1")
    world.wait_exact(vm)


def test_moments_are_kept_once(world: World) -> None:
    vm = world.add_vm()
    world.run(vm, "h1")
    (nic,) = world.rows(Nic, Nic.vm_id == vm)
    told = [pb.Moment(what="plugged", at=1700000000.25, text="tap0 into brq0")]
    with world.engine.db.write() as session:
        session.get_one(Vm, vm).status = "powering_down"
    for state in (pb.RUNNING, pb.SHUTTING_DOWN, pb.RUNNING):
        report = pb.VmReport(vm=vm, state=state, epoch=world.vm(vm).epoch)
        report.nics.append(pb.NicEvidence(nic=nic.id, wired=True, moments=told))
        apply_report(world.engine, world.hosts["h1"].id, report)
    assert len(world.rows(Moment, Moment.what == "plugged")) == 1


# ---------------------------------------------------------------------------------------------------------- the hosts


def test_a_host_said_to_be_rebooted_that_was_not_is_not_used(world: World) -> None:
    """Scenario 16 with a lie in it: only its agent was restarted, the guest of before still runs."""
    vm, h1 = world.add_vm(), world.hosts["h1"]
    world.run(vm, "h1")
    h1.cut_off()
    wait_for(lambda: world.rows_host("h1").status == "non_responsive")
    commands.confirm_reboot(world.engine, CALLER, h1.id)
    world.wait_down(vm)
    for _ in range(2):
        h1.reachable = True
        wait_for(lambda: world.rows_host("h1").status == "non_operational")
        assert world.rows_host("h1").session == ""
        with pytest.raises(InConflict, match="rebooted"):
            world.order_run(vm, "h1")
        h1.cut_off()
        h1.restart_agent()
        wait_for(lambda: world.rows_host("h1").status == "non_responsive")
    h1.power_off()
    h1.power_on()
    wait_for(lambda: world.rows_host("h1").status == "up")
    world.run(vm, "h1")


def test_a_confirmed_reboot_frees_a_vm_that_is_being_stopped(world: World) -> None:
    vm, h1 = world.add_vm(), world.hosts["h1"]
    world.run(vm, "h1")
    h1.power_off()
    wait_for(lambda: world.rows_host("h1").status == "non_responsive")
    world.order_stop(vm)
    with pytest.raises(InConflict, match="h1"):
        world.order_run(vm, "h2")
    assert len(world.ours()) == 1, "it may still run, and so needs its port"
    assert commands.confirm_reboot(world.engine, CALLER, h1.id) == 1
    world.wait_down(vm)
    world.wait_exact()
    world.run(vm, "h2")
    assert commands.confirm_reboot(world.engine, CALLER, h1.id) == 0
    assert world.vm(vm).status == "up"


def test_a_host_that_is_up_was_not_rebooted(world: World) -> None:
    vm, h1 = world.add_vm(), world.hosts["h1"]
    world.run(vm, "h1")
    with pytest.raises(InConflict, match="is up"):
        commands.confirm_reboot(world.engine, CALLER, h1.id)
    assert world.may_run(vm) == {"h1"}


def test_a_host_that_is_being_installed_is_not_up(world: World) -> None:
    h1 = world.hosts["h1"]
    with world.engine.db.write() as session:
        host = session.get_one(Host, h1.id)
        host.install_wanted, host.status = host.install_wanted + 1, "installing"
    h1.restart_agent()
    wait_for(lambda: world.rows_host("h1").session == h1.orders.session)
    assert world.rows_host("h1").status == "installing"


# ----------------------------------------------------------------------------------------------- who waits for whom


@pytest.fixture
def second_neutron() -> Iterator[FakeNeutron]:
    with FakeNeutron(hosts=["h1", "h2"]) as made:
        yield made


def test_a_provider_that_hangs_delays_no_other(world: World, second_neutron: FakeNeutron) -> None:
    other = world.add_provider("other", second_neutron)
    network = world.add_network("net-o", 502, other)
    fault = world.neutron.fault("*", Kind.HANG, times=10_000)
    waiting = [world.add_vm(f"waits{n}") for n in range(20)]
    for vm in waiting:
        world.order_run(vm)
    fault.wait(8)
    vm = world.add_vm("runs", networks=[network])
    world.run(vm)
    world.stop(vm)
    assert all(world.vm(w).status == "wait_for_launch" for w in waiting)
    for w in waiting:
        world.order_stop(w)
    for w in waiting:
        world.wait_down(w)
    world.neutron.clear()
    world.wait_exact()


def test_the_end_comes_at_once_whatever_hangs(world: World) -> None:
    vms_ = [world.add_vm(f"vm{n}") for n in range(4)]
    h1 = world.hosts["h1"]
    h1.start_goes_on = threading.Event()
    world.order_run(vms_[0], "h1")
    wait_for(lambda: bool(starts(world, "h1")))
    fault = world.neutron.fault("*", Kind.HANG, times=10_000)
    for vm in vms_[1:]:
        world.order_run(vm)
    fault.wait(3)
    began = time.monotonic()
    world.kill()
    assert time.monotonic() - began < 5
    h1.start_goes_on.set()
    h1.start_goes_on = None
    world.neutron.clear()
    world.restart()
    for vm in vms_:
        wait_for(lambda vm=vm: world.vm(vm).status == "up")  # type: ignore[misc]
    world.wait_exact(*vms_)


def test_an_engine_goes_on_from_every_state(world: World) -> None:
    """Killed with one VM in each state; the next process sees each to where it was wanted."""
    h1, h2 = world.hosts["h1"], world.hosts["h2"]
    runs_, ports, deaf, stops, owes = (world.add_vm(n) for n in ("runs", "ports", "deaf", "stops", "owes"))
    world.run(runs_, "h1")
    world.run(stops, "h2")
    world.run(owes, "h1")
    world.neutron.fault(DELETE, Kind.HANG, times=10_000)
    world.stop(owes)
    report_up, h1.on_wired = h1.on_wired, lambda port: None
    world.order_run(deaf, "h1")
    wait_for(lambda: world.vm(deaf).seen_state == "paused")
    held = world.neutron.fault(POST, Kind.HANG, times=10_000)
    world.order_run(ports, "h1")
    held.wait()
    h2.cut_off()
    world.order_stop(stops)
    world.kill()
    world.neutron.clear()
    h1.on_wired = report_up
    (claim,) = world.claims(deaf)
    assert claim.port_id is not None
    world.report_up(claim.port_id)
    h2.reachable = True
    world.restart()
    for vm in (runs_, ports, deaf):
        wait_for(lambda vm=vm: world.vm(vm).status == "up")  # type: ignore[misc]
    for vm in (stops, owes):
        world.wait_down(vm)
    world.wait_exact(runs_, ports, deaf)


# ----------------------------------------------------------------------------------------------------- the database


def test_a_writer_is_alone_on_every_database(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two orders at once must not both see that the VM is down: what SQLite's BEGIN IMMEDIATE does, a lock does
    elsewhere, before anything is read.
    """
    assert "FOR UPDATE" in str(ONE_WRITER.compile(dialect=postgresql.dialect()))
    db = world.another_engine().db
    seen: list[str] = []
    event.listen(db.engine, "before_cursor_execute", lambda *a: None if "BEGIN" in a[2] else seen.append(a[2]))
    monkeypatch.setattr(db.engine.dialect, "name", "another")
    with db.write() as session:
        session.get(Vm, "none")
    assert "FROM change" in seen[0]
    assert "FROM vm" in seen[1]
    db.close()


def test_two_runs_at_once_make_one_order(world: World) -> None:
    vm = world.add_vm()
    world.kill()
    world.restart_without_work()
    engines = [world.engine, world.another_engine()]
    at_once, outcomes = threading.Barrier(2), []

    def order(engine: Any, host: str) -> None:
        at_once.wait(10)
        try:
            commands.run_vm(engine, CALLER, vm, host_id=world.hosts[host].id)
            outcomes.append("ordered")
        except InConflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=order, args=pair) for pair in zip(engines, ("h1", "h2"), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcomes) == ["ordered", "refused"]
    assert len(world.rows(MayRun, MayRun.vm_id == vm)) == 1
    engines[1].db.close()
    world.restart()
    wait_for(lambda: world.vm(vm).status == "up")


def test_replays_of_every_order_change_nothing(world: World) -> None:
    """Each order that a host ever saw, again and to the wrong host, while the VM runs on the other one."""
    vm, h1, h2 = world.add_vm(), world.hosts["h1"], world.hosts["h2"]
    world.run(vm, "h1")
    world.stop(vm)
    world.run(vm, "h2")
    for kind, order in list(h1.seen_orders) + list(h2.seen_orders):
        for host in (h1, h2):
            client = FakeClient(host)
            if host is h2 and kind == "resume":
                continue  # of the guest that runs: a continuation
            if kind == "stop":
                try:
                    client.stop(order)  # type: ignore[arg-type]
                except (SessionChanged, StaleEpoch):
                    continue
            else:
                with pytest.raises(Refused):
                    (client.start if kind == "start" else client.resume)(order)  # type: ignore[operator]
    assert vm not in h1.domains
    assert h2.domains[vm].running
    assert world.vm(vm).status == "up"
