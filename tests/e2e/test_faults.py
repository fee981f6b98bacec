"""What goes wrong on a real lab: the L2 agent, the wiring, the provider, and somebody else's certificate."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import ovirtsdk4 as sdk
import pytest
from ovirtsdk4 import types

from tests.e2e.flow import Flow, bridge_for, tap_of, wait_for
from tests.e2e.proxy import proxy
from tests.fakes.neutron import FakeNeutron, Kind

pytestmark = pytest.mark.timeout(900)

POST = "POST /v2.0/ports"


@pytest.fixture(scope="module")
def network(flow: Flow) -> Any:
    found = flow.network("red-500")
    flow.ready_hosts("h1", "h2")
    return found


@pytest.fixture
def impatient(flow: Flow) -> Iterator[None]:
    """The plug wait is a setting of the provider: shorter here, so that giving up does not take a minute."""
    service = f"/openstacknetworkproviders/{flow.provider().id}"
    set_to = (
        "<openstack_network_provider><properties><property><name>plug_wait</name><value>{}</value></property>"
        "</properties></openstack_network_provider>"
    )
    assert flow.raw("PUT", service, set_to.format(12))[0] == 200
    yield
    assert flow.raw("PUT", service, set_to.format(60))[0] == 200


def last_failure(flow: Flow, vm: Any) -> str:
    return next(text for text in flow.events(54) if f"VM {vm.name} " in text)


def never_ran(flow: Flow, vm: Any, host: str) -> None:
    """Down, for a reason that names everything; the guest has not said a word; nothing is left."""
    flow.wait_down(vm)
    assert "GUEST-UP" not in flow.console(host, vm)
    text = last_failure(flow, vm)
    for word in ("nic1", host, "neutron"):
        assert word in text, text
    wait_for(lambda: not flow.neutron.ports(device_id=vm.id), "no port is left")


def test_a_stopped_l2_agent_means_no_guest(flow: Flow, network: Any, impatient: None) -> None:
    agent = flow.on("h1", "systemctl", "show", "-P", "MainPID", "neutron-linuxbridge-agent").strip()
    with flow.a_vm("deaf-1", [network], "h1") as vm:
        flow.on("h1", "kill", "-STOP", agent)
        try:
            flow.vm(vm).start()
            never_ran(flow, vm, "h1")
        finally:
            flow.on("h1", "kill", "-CONT", agent)
    flow.ready_hosts("h1")


def test_the_engine_says_up_only_of_a_guest_that_is_wired(flow: Flow, network: Any) -> None:
    with flow.a_vm("wired", [network], "h1") as vm:
        flow.run(vm)
        port = flow.port(vm)
        assert flow.bridge_of("h1", tap_of(port)) == bridge_for(flow.outside("red-500"))


@pytest.fixture(scope="module")
def spoiled(flow: Flow, network: Any) -> Iterator[FakeNeutron]:
    """The provider's address now leads through the proxy."""
    service = flow.providers.provider_service(flow.provider().id)
    straight = flow.variables["NEUTRON_INTERNAL_URL"]
    with proxy(flow) as between:
        # The proxy listens on the control network's own loopback, where the engine is.
        service.update(types.OpenStackNetworkProvider(url=between.url))
        try:
            yield between
        finally:
            between.clear()
            service.update(types.OpenStackNetworkProvider(url=straight))


def test_a_tap_off_its_bridge_means_no_guest(flow: Flow, network: Any, spoiled: FakeNeutron, impatient: None) -> None:
    """Wired, and then somebody takes the tap off, while Neutron says ACTIVE: the host's own evidence decides."""
    with flow.a_vm("deaf-2", [network], "h1") as vm:
        asked = spoiled.hold(lambda r: r.line == "GET /v2.0/ports" and bool(r.values("id")))
        flow.vm(vm).start()
        asked.wait()
        port = wait_for(lambda: (p := flow.port(vm))["status"] == "ACTIVE" and p, "Neutron says ACTIVE")
        flow.on("h1", "ip", "link", "set", tap_of(port), "nomaster")
        asked.let_go()
        never_ran(flow, vm, "h1")
        assert "bridge" in last_failure(flow, vm)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Kind.DROP_REPLY, {}),
        (Kind.DROP_REPLY, {"hang": True}),
        (Kind.ANSWER, {"status": 409, "error_type": "MacAddressInUse", "commit": True}),
        (Kind.ANSWER, {"status": 429, "error_type": "TooManyRequests"}),
        (Kind.ANSWER, {"status": 500}),
        (Kind.HANG, {}),
    ],
    ids=["reply swallowed", "reply never comes", "409", "429", "500", "hangs"],
)
def test_a_bad_answer_to_a_port_create_ends_well(
    flow: Flow, network: Any, spoiled: FakeNeutron, kind: Kind, options: dict[str, Any]
) -> None:
    with flow.a_vm("spoiled", [network], "h1") as vm:
        spoiled.fault(POST, kind, **options)
        flow.run(vm, 120)
        assert len(flow.neutron.ports(device_id=vm.id)) == 1
        spoiled.clear()
        flow.stop(vm)
        wait_for(lambda: not flow.neutron.ports(device_id=vm.id), "the port is gone")


def test_a_create_that_lands_after_the_time_limit_leaves_nothing(
    flow: Flow, network: Any, spoiled: FakeNeutron
) -> None:
    with flow.a_vm("late", [network], "h1") as vm:
        late = spoiled.fault(POST, Kind.LATE)
        flow.run(vm, 120)
        late.land()
        wait_for(lambda: len(flow.neutron.ports(device_id=vm.id)) == 1, "one port is left", 90)
        spoiled.clear()
        flow.stop(vm)
        wait_for(lambda: not flow.neutron.ports(device_id=vm.id), "the port is gone", 90)


def test_a_hanging_provider_delays_nobody_else(flow: Flow, network: Any, spoiled: FakeNeutron) -> None:
    """A VM of the hanging provider stops in two seconds; lists are as fast; another provider's VM starts."""
    other = next((p for p in flow.providers.list() if p.name == "other"), None) or flow.providers.add(
        flow.provider_type("other")
    )
    center = flow.data_center()
    found = next((n for n in flow.system.networks_service().list() if n.name == "elsewhere"), None)
    if found is None:
        outside = flow.neutron.call(
            "POST",
            "networks",
            {
                "network": {
                    "name": "elsewhere",
                    "tenant_id": "lab",
                    "provider:network_type": "flat",
                    "provider:physical_network": "red",
                }
            },
        )["network"]
        flow.providers.provider_service(other.id).networks_service().network_service(outside["id"]).import_(
            data_center=types.DataCenter(id=center.id)
        )
        found = next(n for n in flow.system.networks_service().list() if n.name == "elsewhere")
    with flow.a_vm("hung", [network], "h1") as hung, flow.a_vm("free", [found], "h2") as free:
        flow.run(hung)
        fault = spoiled.fault("*", Kind.HANG, times=100_000)
        began = time.monotonic()
        flow.system.vms_service().list()
        assert time.monotonic() - began < 2
        began = time.monotonic()
        flow.stop(hung, 10)
        assert time.monotonic() - began < 2
        flow.run(free)
        assert len(flow.neutron.ports(device_id=hung.id)) == 1, "it is owed"
        spoiled.clear()
        fault.land()
        wait_for(lambda: not flow.neutron.ports(device_id=hung.id), "what was owed is paid", 60)


def test_another_hosts_certificate_is_not_accepted(flow: Flow, network: Any) -> None:
    """h1 shows h2's certificate and key: the engine does not talk to it, and says why."""
    pki = "/etc/isthmus-agent/pki"
    kept = {name: flow.on("h1", "cat", f"{pki}/{name}") for name in ("host.crt", "host.key")}
    try:
        for name in kept:
            flow.lab.run("h1", ["tee", f"{pki}/{name}"], input=flow.on("h2", "cat", f"{pki}/{name}"))
        flow.on("h1", "systemctl", "restart", "isthmus-agent")
        wait_for(lambda: flow.host("h1").status == types.HostStatus.NON_RESPONSIVE, "h1 is not trusted", 60)
        wait_for(lambda: "certificate" in (flow.host("h1").status_detail or ""), "it is said why")
    finally:
        for name, text in kept.items():
            flow.lab.run("h1", ["tee", f"{pki}/{name}"], input=text)
        flow.on("h1", "systemctl", "restart", "isthmus-agent")
    wait_for(lambda: flow.host("h1").status == types.HostStatus.UP, "h1 is trusted again", 60)


def test_an_agent_restarted_knows_its_guests(flow: Flow, network: Any) -> None:
    with flow.a_vm("kept", [network], "h1") as vm:
        flow.run(vm)
        flow.on("h1", "systemctl", "restart", "isthmus-agent")
        wait_for(lambda: flow.host("h1").status == types.HostStatus.UP, "h1 is up")
        assert flow.status(vm) == types.VmStatus.UP
        flow.stop(vm)
        assert vm.id not in flow.on("h1", "virsh", "list", "--uuid")


def test_a_dead_hosts_vms_run_elsewhere_after_the_administrators_word(flow: Flow, network: Any) -> None:
    with flow.a_vm("saved", [network]) as vm:
        flow.run(vm)
        first = flow.vm(vm).get().host.id
        name = next(n for n in ("h1", "h2") if flow.host(n).id == first)
        flow.lab.host(name).power_off()
        try:
            wait_for(lambda: flow.host(name).status == types.HostStatus.NON_RESPONSIVE, "the host is lost", 90)
            flow.vm(vm).stop()
            with pytest.raises(sdk.Error, match=name):
                flow.vm(vm).start()
            flow.system.hosts_service().host_service(first).fence(fence_type="manual")
            flow.wait_down(vm)
            flow.run(vm)
            assert flow.vm(vm).get().host.id != first
        finally:
            flow.lab.host(name).boot()
        flow.ready_hosts(name)
        assert flow.status(vm) == types.VmStatus.UP
        assert vm.id not in flow.on(name, "virsh", "list", "--uuid")


def test_a_host_without_the_hook_is_not_considered(flow: Flow, network: Any) -> None:
    """Placement: a host whose agent cannot wire every NIC is no choice, and the refusal says so for each."""
    hook = flow.on("h1", "find", "/usr/libexec/isthmus/hooks/before_device_create", "-name", "*openstacknet*").strip()
    flow.on("h1", "mv", hook, "/root/hook")
    flow.on("h1", "systemctl", "restart", "isthmus-agent")
    try:
        with flow.a_vm("nowhere", [network], "h1") as vm:

            def refusal() -> str:
                try:
                    flow.vm(vm).start()
                except sdk.Error as error:
                    return str(error)
                flow.stop(vm)
                return ""

            text = wait_for(lambda: (said := refusal()) and "openstacknet" in said and said, "it is refused", 60)
            assert "h1" in text
    finally:
        flow.on("h1", "mv", "/root/hook", hook)
        flow.on("h1", "systemctl", "restart", "isthmus-agent")
    flow.ready_hosts("h1")
