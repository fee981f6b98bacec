"""Attacks on the port protocol: claims, the sweep, and providers that lie."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import update

from isthmus.commands import nics as nic_commands
from isthmus.model import Claim, Nic, Provider, points
from isthmus.model.claims import record
from isthmus.reconcile import sweep
from tests.fakes.agents import wait_for
from tests.fakes.neutron import Kind
from tests.unit.reconcile.world import CALLER, DELETE, World

pytestmark = pytest.mark.long


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
