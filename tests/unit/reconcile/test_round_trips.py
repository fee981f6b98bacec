"""What a VM run costs at the provider, exactly: one GET of networks, one POST for each eight NICs, one GET of ports."""

from __future__ import annotations

import math
import threading

import pytest
from sqlalchemy import event

from tests.fakes.agents import wait_for
from tests.fakes.neutron import FakeNeutron, Kind
from tests.unit.reconcile.world import World

CALLS = {
    "extensions": "GET /v2.0/extensions",
    "networks": "GET /v2.0/networks",
    "create": "POST /v2.0/ports",
    "ports": "GET /v2.0/ports",
    "delete": "DELETE /v2.0/ports/*",
}


def counted(neutron: FakeNeutron) -> dict[str, int]:
    """Calls by kind; the sweep's own list of ports (by owner) is not the run's."""
    found = {name: neutron.count(line) for name, line in CALLS.items()}
    found["ports"] = neutron.count(lambda r: r.line == CALLS["ports"] and bool(r.values("id")))
    return found


@pytest.fixture
def settled(world: World) -> World:
    """After a first run: what a provider can do was asked once and is remembered."""
    first = world.add_vm("first")
    world.run(first)
    world.stop(first)
    world.wait_exact()
    world.neutron.forget()
    return world


@pytest.mark.parametrize("nics", [1, 3, 8, 10, 17])
def test_a_run(settled: World, nics: int) -> None:
    vm = settled.add_vm("vm", nics=nics)
    settled.run(vm)
    assert counted(settled.neutron) == {
        "extensions": 0,
        "networks": 1,
        "create": math.ceil(nics / 8),
        "ports": 1,
        "delete": 0,
    }
    settled.neutron.forget()
    settled.stop(vm)
    settled.wait_exact()
    assert counted(settled.neutron) == {"extensions": 0, "networks": 0, "create": 0, "ports": 0, "delete": nics}


def test_a_409_costs_a_look_up_and_one_post_for_each_that_is_missing(settled: World) -> None:
    vm = settled.add_vm("vm", nics=3)
    settled.neutron.fault("POST /v2.0/ports", Kind.ANSWER, status=409, error_type="IpAddressGenerationFailure")
    settled.run(vm)
    assert settled.neutron.count("POST /v2.0/ports") == 1 + 3
    settled.wait_exact(vm)


def test_a_start_costs_the_same_statements_however_many_vms_and_nics_there_are(settled: World) -> None:
    def cost(name: str, nics: int) -> int:
        vm, mine, seen = settled.add_vm(name, nics=nics), threading.get_ident(), []

        def count(*_: object) -> None:
            if threading.get_ident() == mine:  # the reconcilers' own are others'
                seen.append(1)

        event.listen(settled.engine.db.engine, "before_cursor_execute", count)
        try:
            settled.order_run(vm)
        finally:
            event.remove(settled.engine.db.engine, "before_cursor_execute", count)
        wait_for(lambda: settled.vm(vm).status == "up")
        return len(seen)

    first = cost("a", 1)
    for number in range(4):
        settled.run(settled.add_vm(f"more{number}", nics=2))
    assert cost("b", 1) == first
    assert cost("c", 6) == first
