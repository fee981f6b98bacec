"""Attacks on the port protocol: runs and stops that cross, and what a run is made of."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from isthmus.commands.caller import InConflict
from isthmus.model import Job, Moment, NetworkProvision, Nic, Provider, Vm, now, points
from isthmus.reconcile import vms
from isthmus.reconcile.reports import apply_report
from isthmus.wire import agent_pb2 as pb
from tests.fakes.agents import wait_for
from tests.fakes.neutron import Kind
from tests.unit.reconcile.world import World, starts

pytestmark = pytest.mark.long


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
