"""Attacks on the port protocol: hosts in every state, who waits for whom, and what a transaction may rely on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.dialects import postgresql

from isthmus.commands import runs as commands
from isthmus.commands.caller import InConflict
from isthmus.hosts.errors import Refused, SessionChanged, StaleEpoch
from isthmus.model import Host, MayRun, Vm
from isthmus.model.database import ONE_WRITER
from tests.fakes.agents import FakeClient, wait_for
from tests.fakes.neutron import FakeNeutron, Kind
from tests.unit.reconcile.world import CALLER, DELETE, POST, World, starts

pytestmark = pytest.mark.long


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
