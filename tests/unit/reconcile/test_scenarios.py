"""The scenarios of the vNIC port protocol, by number (docs/vnic-protocol.md)."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from sqlalchemy.orm import selectinload

from isthmus.commands import runs as commands
from isthmus.commands.caller import InConflict
from isthmus.model import Vm, points
from isthmus.reconcile import claims, runs, sweep
from tests.fakes.agents import FakeClient, wait_for
from tests.fakes.neutron import Kind, Request
from tests.unit.reconcile.world import CALLER, POST, Killed, World


def first(method: str) -> Any:
    """Matches the first call of this method on ports, and no later one."""
    seen = []

    def match(request: Request) -> bool:
        if request.method == method and request.path.startswith("/v2.0/ports") and not seen:
            seen.append(request)
            return True
        return False

    return match


def test_01_a_post_whose_reply_is_lost_is_adopted(world: World) -> None:
    vm = world.add_vm()
    world.neutron.fault(POST, Kind.DROP_REPLY)
    world.run(vm)
    world.wait_exact(vm)
    assert len(world.ours()) == 1


def test_02_a_post_that_lands_after_the_stop_is_swept(world: World) -> None:
    vm = world.add_vm()
    fault = world.neutron.fault(POST, Kind.LATE, times=100)
    world.order_run(vm)
    fault.wait()
    world.stop(vm)
    (reply, *_) = fault.land()
    assert reply.status == 201
    world.wait_exact()


def test_03_a_late_post_does_not_serve_the_next_run(world: World) -> None:
    vm = world.add_vm()
    fault = world.neutron.fault(POST, Kind.LATE, times=100)
    world.order_run(vm, "h1")
    fault.wait()
    world.stop(vm)
    world.neutron.clear()
    fault.land()
    (late,) = world.ours()
    world.run(vm, "h2")
    assert world.port_of(vm) != late
    world.wait_exact(vm)


def test_04_a_delete_on_its_way_does_not_hit_the_next_run(world: World) -> None:
    vm = world.add_vm()
    world.run(vm)
    old = world.port_of(vm)
    fault = world.neutron.fault(first("DELETE"), Kind.LATE)
    world.stop(vm)
    fault.wait()
    world.run(vm)
    assert world.port_of(vm) != old
    fault.land()
    world.wait_exact(vm)
    world.check()


def test_05_a_late_201_of_an_old_generation_is_thrown_away(world: World) -> None:
    vm = world.add_vm()
    hold = world.neutron.hold(first("POST"), reply=True)
    world.order_run(vm, "h1")
    hold.wait()
    (late,) = world.ours()
    world.stop(vm)
    world.run(vm, "h2")
    hold.let_go()
    wait_for(world.engine.loop.idle, "the late answer was taken")
    assert world.port_of(vm) != late
    world.wait_exact(vm)


def test_06_a_late_post_on_the_former_network_is_swept(world: World) -> None:
    vm = world.add_vm()
    other = world.add_network("net-b", 501)
    fault = world.neutron.fault(POST, Kind.LATE, times=100)
    world.order_run(vm)
    fault.wait()
    world.stop(vm)
    world.move_nic(vm, other)
    world.neutron.clear()
    world.run(vm)
    fault.land()
    world.wait_exact(vm)
    (port,) = world.ours().values()
    assert port["network_id"] == world.external(other)


def test_07_a_strangers_mac_takes_no_other_nics_port(world: World) -> None:
    vm = world.add_vm(nics=2)
    nic0, nic1 = (n.mac for n in _nics(world, vm))
    stranger = world.neutron.world.add_port(world.external(world.network), nic0, owner="compute:nova", device_id=vm)
    # NIC 1's port is made first, and there for NIC 0 to be mistaken for its own.
    world.add_claims(vm, {nic1: "00000000-0000-4000-8000-000000000000", nic0: "ffffffff-ffff-4fff-bfff-ffffffffffff"})
    world.order_run(vm)
    world.wait_down(vm)
    (text,) = world.events(54)
    assert "nic0" in text
    assert "taken" in text
    assert nic0 in text
    assert nic1 not in text
    taken = next(c for c in world.claims(vm) if c.mac == nic0)
    assert taken.port_id is None
    world.wait_exact()
    assert world.neutron.ports[stranger["id"]]["revision_number"] == stranger["revision_number"]


@pytest.mark.long
def test_08_a_strangers_port_with_our_device_id_is_not_touched(world: World) -> None:
    vm = world.add_vm()
    world.run(vm)
    stranger = world.neutron.world.add_port(
        world.external(world.network), "02:00:00:00:00:01", owner="compute:nova", device_id=vm
    )
    for _ in range(100):
        world.sweep()
    world.stop(vm)
    world.wait_exact()
    assert world.neutron.ports[stranger["id"]] == stranger


@pytest.mark.long
def test_09_two_engines_on_one_claim_make_one_port(world: World) -> None:
    """Every interleaving of the two engines' three steps each."""
    steps = ("run.before-ports", "run.after-ports", "run.ports-recorded")
    world.kill()
    world.restart_without_work()
    other = world.another_engine()
    for number, turns in enumerate(sorted(set(itertools.permutations("AAABBB")))):
        vm = world.add_vm(f"vm{number}")
        world.order_run(vm)
        turn = threading.Condition()
        left = list(turns)
        taken: list[str] = []

        def step(name: str, left: list[str] = left, turn: threading.Condition = turn, taken: list[str] = taken) -> None:
            if name not in steps:
                return
            me = threading.current_thread().name
            with turn:
                assert turn.wait_for(lambda: not left or left[0] == me or me not in left, 10)
                if left and left[0] == me:
                    left.pop(0)
                taken.append(name)
                turn.notify_all()

        points.stop_at = step

        def converge(engine: Any, name: str, vm: str = vm) -> threading.Thread:
            def work() -> None:
                for _ in range(3):
                    claims.make_ports(engine, vm, world.provider)
                with turn:  # noqa: B023
                    left[:] = [t for t in left if t != name]  # noqa: B023
                    turn.notify_all()  # noqa: B023

            made = threading.Thread(target=work, name=name)
            made.start()
            return made

        for thread in (converge(world.engine, "A"), converge(other, "B")):
            thread.join(20)
            assert not thread.is_alive()
        points.stop_at = None
        assert len(taken) <= 30
        mine = [p for p in world.ours().values() if p["device_id"] == vm]
        (claim,) = world.claims(vm)
        assert claim.port_id in {p["id"] for p in mine}
        sweep.sweep(other, world.provider)
        assert [p["id"] for p in world.ours().values() if p["device_id"] == vm] == [claim.port_id]
    other.close()
    world.restart()


def test_10_a_sweep_between_post_and_record_keeps_the_port(world: World) -> None:
    vm = world.add_vm()
    swept = []

    def sweep_now(name: str) -> None:
        if name == "run.after-ports" and not swept:
            swept.append(set(world.ours()))
            world.sweep()
            assert set(world.ours()) == swept[0]

    points.stop_at = sweep_now
    world.run(vm)
    assert swept
    assert {world.port_of(vm)} == swept[0]


def test_13_a_vm_stops_while_its_provider_hangs(world: World) -> None:
    vm = world.add_vm()
    world.run(vm)
    fault = world.neutron.fault("*", Kind.HANG, times=10_000)
    world.stop(vm)
    assert len(world.ours()) == 1
    world.neutron.clear()
    fault.land()
    world.wait_exact()


def test_14_a_kill_between_down_and_release_loses_nothing(world: World) -> None:
    vm = world.add_vm()
    world.run(vm)
    with world.killed_at("stop.before-release") as seen:
        world.order_stop(vm)
        wait_for(lambda: seen["reached"])
    assert len(world.ours()) == 1
    world.restart()
    world.wait_exact()


def test_15_a_start_never_confirmed_blocks_the_next_until_its_host_answers(world: World) -> None:
    vm = world.add_vm()
    h1, h2 = world.hosts["h1"], world.hosts["h2"]
    held = threading.Event()

    def cut_off(name: str) -> None:
        if name == "run.before-start":
            h1.reachable = False
            held.set()

    points.stop_at = cut_off
    world.order_run(vm, "h1")
    assert held.wait(10)
    points.stop_at = None
    replayed = _start_order(world, vm)
    world.order_stop(vm)
    with pytest.raises(InConflict, match="h1"):
        world.order_run(vm, "h2")
    assert world.may_run(vm) == {"h1"}
    h1.reachable = True
    world.wait_down(vm)
    world.run(vm, "h2")
    with pytest.raises(Exception, match="epoch"):
        FakeClient(h1).start(replayed)
    assert not h1.domains
    assert vm in h2.domains


def test_16_a_fenced_host_that_returns_refuses_old_orders(world: World) -> None:
    vm = world.add_vm()
    h1 = world.hosts["h1"]
    world.run(vm, "h1")
    (start,) = [o for kind, o in h1.seen_orders if kind == "start"]
    h1.power_off()
    wait_for(lambda: world.row(type(world.rows_host("h1")), h1.id).status == "non_responsive")
    commands.confirm_reboot(world.engine, CALLER, h1.id)
    world.wait_down(vm)
    world.run(vm, "h2")
    h1.power_on()
    wait_for(lambda: world.rows_host("h1").status == "up", seconds=30)
    with pytest.raises(Exception, match="session"):
        FakeClient(h1).start(start)
    assert not h1.domains
    world.check()


def test_17_a_stop_of_the_old_session_is_rewritten(world: World) -> None:
    vm = world.add_vm()
    world.run(vm, "h1")
    h1 = world.hosts["h1"]
    h1.reachable = False
    h1.restart_agent()
    before = world.vm(vm).epoch
    world.order_stop(vm)
    h1.reachable = True
    world.wait_down(vm)
    assert world.vm(vm).epoch > before + 1
    assert not h1.domains
    world.wait_exact()


def test_18_a_fencing_result_of_an_older_epoch_changes_nothing(world: World) -> None:
    vm = world.add_vm()
    world.run(vm, "h1")
    h1 = world.hosts["h1"]
    fenced_under = world.vm(vm).epoch
    world.stop(vm)
    world.run(vm, "h1")
    with world.engine.db.write() as session:
        row = session.get_one(Vm, vm, options=[selectinload(Vm.may_run)])
        assert not runs.not_here(session, row, h1.id, fenced_under, "fenced")
    assert world.may_run(vm) == {"h1"}
    assert world.vm(vm).status == "up"


def test_19_a_guest_that_ended_is_not_revived_by_its_start(world: World) -> None:
    vm = world.add_vm()
    world.run(vm, "h1")
    h1 = world.hosts["h1"]
    (start,) = [o for kind, o in h1.seen_orders if kind == "start"]
    h1.guest_ends(vm)
    world.wait_down(vm)
    world.run(vm, "h2")
    with pytest.raises(Exception, match="epoch"):
        FakeClient(h1).start(start)
    assert not h1.domains
    world.wait_exact(vm)


def test_22_an_admins_delete_of_a_running_vms_port_is_named(world: World) -> None:
    vm = world.add_vm()
    world.run(vm)
    port = world.port_of(vm)
    reply = world.neutron.world.handle("DELETE", f"/v2.0/ports/{port}")
    assert reply.status == 204
    wait_for(lambda: world.events(11291) != [])
    (text,) = world.events(11291)
    assert port in text
    assert "vm" in text
    world.hosts_forget_guests()


@pytest.mark.long
@pytest.mark.parametrize("point", sorted(n for n in points.NAMES if n.startswith(("run.", "stop.", "sweep."))))
def test_a_kill_at_any_point_leaves_nothing_behind(world: World, point: str) -> None:
    """Killed on the way of a run or of a stop: after a restart the operation is finished or undone."""
    vm = world.add_vm(nics=2)
    stranger = world.neutron.world.add_port(
        world.external(world.network), "02:00:00:00:00:02", owner="compute:nova", device_id=vm
    )
    if point.startswith("sweep."):
        world.plant_orphan()
    with world.killed_at(point) as seen:
        try:
            world.order_run(vm)
            wait_for(lambda: seen["reached"] or world.vm(vm).status == "up")
            if not seen["reached"]:
                world.order_stop(vm)
        except Killed:
            pass
        wait_for(lambda: seen["reached"])
    world.restart()
    wait_for(lambda: world.vm(vm).status in ("up", "down") and world.at_rest(vm))
    if world.vm(vm).status == "up":
        world.wait_exact(vm)
        world.check()
        world.stop(vm)
    world.wait_exact()
    world.run(vm)
    world.wait_exact(vm)
    assert world.neutron.ports[stranger["id"]] == stranger


def _nics(world: World, vm: str) -> list[Any]:
    from isthmus.model import Nic

    return sorted(world.rows(Nic, Nic.vm_id == vm), key=lambda n: n.name)


def _start_order(world: World, vm_id: str) -> Any:
    from isthmus.wire import agent_pb2 as pb

    row = world.vm(vm_id)
    return pb.StartOrder(order=pb.Order(vm=vm_id, epoch=row.epoch, session=world.hosts["h1"].orders.session))
