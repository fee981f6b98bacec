"""``ensure``: its round trips, counted; and that nothing that happens to a call makes a port too many or too few."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.providers.base import (
    Conflict,
    CredentialsWrong,
    Failed,
    Got,
    MacTaken,
    NetworkProvider,
    Outcome,
    PortWish,
    ProviderUnwell,
    Settings,
    Stale,
)
from isthmus.providers.neutron import NeutronProvider
from tests.fakes.neutron import FakeNeutron, Fault, Kind, Row
from tests.unit.providers.conftest import FakeBench
from tests.unit.providers.contract import new_mac, wish


@pytest.fixture
def network(neutron: FakeNeutron) -> str:
    network_id: str = neutron.world.add_network(project="theirs")["id"]
    return network_id


def lines(neutron: FakeNeutron) -> list[str]:
    return [request.line for request in neutron.requests]


def all_got(outcomes: dict[str, Outcome]) -> bool:
    return all(isinstance(outcome, Got) for outcome in outcomes.values())


def stamps(neutron: FakeNeutron) -> list[str]:
    return sorted(port["name"] for port in neutron.ports.values())


class TestRoundTrips:
    @pytest.mark.parametrize(("nics", "posts"), [(1, 1), (3, 1), (8, 1), (9, 2), (10, 2), (17, 3)])
    def test_making_ports(
        self, neutron: FakeNeutron, provider: NetworkProvider, network: str, nics: int, posts: int
    ) -> None:
        other = neutron.world.add_network("other")["id"]
        outcomes, calls = provider.ensure([wish(other if i % 2 else network, host="h1") for i in range(nics)])
        assert all_got(outcomes)
        assert lines(neutron) == ["GET /v2.0/networks"] + ["POST /v2.0/ports"] * posts
        assert [call.what for call in calls] == ["GET /networks"] + ["POST /ports"] * posts
        assert all(call.seconds > 0 and call.request_id for call in calls)

    def test_the_networks_are_asked_for_by_id_and_field(
        self, neutron: FakeNeutron, provider: NetworkProvider, network: str
    ) -> None:
        other = neutron.world.add_network("other")["id"]
        provider.ensure([wish(network), wish(other), wish(network)])
        asked = neutron.requests[0]
        assert asked.values("id") == sorted([network, other])
        assert asked.values("fields") == ["id", "project_id", "port_security_enabled"]

    def test_what_a_port_is_made_of(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        """Rules 1 and 3; the network's own project, or its quota and security groups would be another's."""
        w = wish(network, host="h1", generation=3)
        provider.ensure([w])
        assert neutron.requests[1].body == {
            "port": {
                "network_id": network,
                "project_id": "theirs",
                "mac_address": w.mac,
                "name": f"{w.claim}/3",
                "device_owner": provider.owner,
                "device_id": w.vm,
                "binding:host_id": "h1",
                "admin_state_up": True,
            }
        }

    def test_looking_at_ports(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        outcomes, _ = provider.ensure([wish(network) for _ in range(8)])
        neutron.forget()
        ids = [outcome.port.id for outcome in outcomes.values() if isinstance(outcome, Got)]
        found, calls = provider.ports(ids=ids)
        assert len(found) == 8
        assert lines(neutron) == ["GET /v2.0/ports"]
        (asked,) = neutron.requests
        assert asked.values("device_owner") == [provider.owner]
        assert sorted(asked.values("id")) == sorted(ids)
        assert "binding:vif_type" in asked.values("fields")
        assert "security_groups" not in asked.values("fields")
        assert len(calls) == 1

    def test_every_list_of_ports_is_by_owner(
        self, neutron: FakeNeutron, provider: NetworkProvider, network: str
    ) -> None:
        w = wish(network)
        provider.ensure([w])
        provider.ensure([dataclasses.replace(w, generation=2)])
        provider.ports()
        provider.ports(vm="vm")
        asked = [request for request in neutron.requests if request.line == "GET /v2.0/ports"]
        assert len(asked) == 3
        assert all(request.values("device_owner") == [provider.owner] for request in asked)

    def test_a_lost_reply_costs_one_look(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        neutron.fault("POST *", Kind.DROP_REPLY)
        outcomes, calls = provider.ensure([wish(network) for _ in range(8)])
        assert all_got(outcomes)
        assert lines(neutron) == ["GET /v2.0/networks", "POST /v2.0/ports", "GET /v2.0/ports"]
        assert [call.status for call in calls] == [200, None, 200]

    def test_one_taken_mac_among_eight(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        """Rule 2: each alone, and a second look only for the one that is refused."""
        wishes = [wish(network) for _ in range(8)]
        neutron.world.add_port(network, wishes[3].mac)
        outcomes, _ = provider.ensure(wishes)
        assert sum(isinstance(outcome, Got) for outcome in outcomes.values()) == 7
        assert isinstance(outcomes[wishes[3].claim], MacTaken)
        assert neutron.count("POST /v2.0/ports") == 1 + 8
        assert neutron.count("GET /v2.0/ports") == 1 + 2

    def test_a_provider_that_is_not_well_is_not_asked_for_each_nic(
        self, neutron: FakeNeutron, provider: NetworkProvider, network: str
    ) -> None:
        neutron.fault("POST *", Kind.ANSWER, times=99, status=503)
        outcomes, _ = provider.ensure([wish(network) for _ in range(20)])
        assert all(isinstance(o, Failed) and isinstance(o.error, ProviderUnwell) for o in outcomes.values())
        assert len(outcomes) == 20
        assert neutron.count("POST *") == 2

    def test_a_provider_that_hangs_costs_two_limits(self, neutron: FakeNeutron, bench: FakeBench, network: str) -> None:
        provider = bench.provider(timeout=0.5)
        neutron.fault("* /v2.0/ports", Kind.HANG, times=99)
        began = time.monotonic()
        outcomes, _ = provider.ensure([wish(network) for _ in range(20)])
        assert time.monotonic() - began < 3
        assert all(isinstance(o, Failed) and isinstance(o.error, ProviderUnwell) for o in outcomes.values())
        assert lines(neutron) == ["GET /v2.0/networks", "POST /v2.0/ports", "GET /v2.0/ports"]

    def test_wrong_credentials_are_tried_once(
        self, neutron: FakeNeutron, provider: NetworkProvider, network: str
    ) -> None:
        neutron.fault("*", Kind.ANSWER, times=99, status=401)
        outcomes, _ = provider.ensure([wish(network) for _ in range(3)])
        assert all(isinstance(o, Failed) and isinstance(o.error, CredentialsWrong) for o in outcomes.values())
        assert neutron.count() == 1


class TestOutcomes:
    def test_a_full_network(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        """Not every 409 is a MAC."""
        neutron.world.add_subnet(network, "10.0.0.0/30", gateway_ip="10.0.0.1")
        first, second = wish(network), wish(network)
        outcomes, _ = provider.ensure([first, second])
        assert isinstance(outcomes[first.claim], Got)
        failed = outcomes[second.claim]
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, Conflict)
        assert failed.error.error_type == "IpAddressGenerationFailure"

    def test_a_mac_that_is_free_again(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        """The old generation's port was released between the refusal and the look: nobody has the MAC, so again."""
        w = wish(network)
        old = neutron.world.add_port(network, w.mac, owner=provider.owner, name=f"{w.claim}/0")
        held = neutron.hold("POST /v2.0/ports", reply=True)
        done: list[dict[str, Outcome]] = []
        making = threading.Thread(target=lambda: done.append(provider.ensure([w])[0]))
        making.start()
        held.wait()
        neutron.world.handle("DELETE", f"/v2.0/ports/{old['id']}")
        held.let_go()
        making.join()
        assert isinstance(done[0][w.claim], Got)
        assert stamps(neutron) == [w.stamp]

    def test_a_mac_taken_by_what_we_may_not_see(
        self, neutron: FakeNeutron, provider: NetworkProvider, network: str
    ) -> None:
        neutron.fault("POST *", Kind.ANSWER, times=9, status=409, error_type="MacAddressInUse")
        outcomes, _ = provider.ensure([w := wish(network)])
        taken = outcomes[w.claim]
        assert isinstance(taken, MacTaken)
        assert "may not see" in taken.holder
        assert neutron.count("POST *") == 2

    def test_two_nics_on_two_networks_are_not_mixed_up(self, neutron: FakeNeutron, provider: NetworkProvider) -> None:
        """Repeated filters match crosswise: NIC 0's MAC on NIC 1's network is another claim's port."""
        one, two = (neutron.world.add_network(name)["id"] for name in "ab")
        first, second = wish(one), wish(two)
        crossed = wish(two, mac=first.mac)
        provider.ensure([crossed])
        neutron.fault("POST *", Kind.DROP_REPLY)
        outcomes, _ = provider.ensure([first, second])
        got = [outcomes[w.claim] for w in (first, second)]
        assert [o.port.stamp for o in got if isinstance(o, Got)] == [first.stamp, second.stamp]

    def test_a_201_with_ports_missing(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        neutron.fault("POST *", Kind.GARBAGE, body=b'{"ports": []}')
        outcomes, _ = provider.ensure([wish(network), wish(network)])
        assert all_got(outcomes)

    def test_a_201_with_somebody_elses_port(
        self, neutron: FakeNeutron, provider: NetworkProvider, network: str
    ) -> None:
        w = wish(network)
        port = '{"port": {"id": "x", "network_id": "%s", "mac_address": "%s", "device_owner": "compute:nova"}}'
        neutron.fault("POST *", Kind.GARBAGE, body=(port % (network, w.mac)).encode())
        outcomes, _ = provider.ensure([w])
        got = outcomes[w.claim]
        assert isinstance(got, Got)
        assert got.port.id in neutron.ports

    def test_the_look_up_fails_too(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        """Then whether the port is there is not known: worth another try, whatever the POST was told."""
        neutron.fault("POST *", Kind.ANSWER, status=400)
        neutron.fault("GET /v2.0/ports", Kind.RESET)
        outcomes, _ = provider.ensure([w := wish(network)])
        failed = outcomes[w.claim]
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, ProviderUnwell)

    def test_pages(self, neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
        neutron.world.page_limit = 2
        neutron.world.address = "http://neutron.internal.test:9696"  # what Neutron calls itself behind a proxy
        wishes = [wish(network) for _ in range(7)]
        provider.ensure(wishes)
        neutron.forget()
        found, calls = provider.ports()
        assert sorted(port.stamp for port in found) == sorted(w.stamp for w in wishes)
        assert len(calls) == 4

    def test_a_list_that_changes_while_it_is_read(
        self, neutron: FakeNeutron, provider: NetworkProvider, network: str
    ) -> None:
        neutron.world.page_limit = 2
        provider.ensure([wish(network) for _ in range(5)])
        neutron.fault(lambda r: bool(r.values("marker")), Kind.ANSWER, status=404, error_type="PortNotFound")
        with pytest.raises(ProviderUnwell, match="changed while it was read"):
            provider.ports()

    def test_pages_without_end(
        self, neutron: FakeNeutron, provider: NetworkProvider, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("isthmus.providers.neutron.client.MOST_PAGES", 3)
        here = neutron.world.add_network()["id"]
        page = '{"networks": [{"id": "%s"}], "networks_links": [{"rel": "next", "href": "/?marker=%s"}]}'
        neutron.fault("GET *", Kind.GARBAGE, times=99, body=(page % (here, here)).encode())
        with pytest.raises(ProviderUnwell, match="no end of pages"):
            provider.networks()
        assert neutron.count() == 3


# ------------------------------------------------------------------------------------------ whatever happens

_FAULTS = st.one_of(
    st.sampled_from(
        [
            (Kind.DROP_REPLY, {}),
            (Kind.LATE, {}),
            (Kind.RESET, {}),
            (Kind.DUPLICATE, {}),
            (Kind.GARBAGE, {}),
            (Kind.PARTIAL, {"keep": 1}),
            (Kind.ANSWER, {"status": 409, "error_type": "MacAddressInUse"}),
            (Kind.ANSWER, {"status": 409, "error_type": "MacAddressInUse", "commit": True}),
            (Kind.ANSWER, {"status": 429}),
            (Kind.ANSWER, {"status": 500, "commit": True}),
            (Kind.ANSWER, {"status": 500}),
            (Kind.ANSWER, {"status": 404, "page": "<html>not here</html>"}),
            (Kind.ANSWER, {"status": 401}),
            (Kind.ANSWER, {"status": 400}),
        ]
    )
)


def bulk(request: Any) -> bool:
    return request.line == "POST /v2.0/ports" and isinstance(request.body, dict) and "ports" in request.body


def fit(neutron: FakeNeutron, kind: Kind, options: dict[str, Any], on: str) -> Fault:
    if kind is Kind.PARTIAL:
        return neutron.fault(bulk, kind, **options)
    return neutron.fault(on, kind, **options)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[FakeNeutron, NetworkProvider]]:
    with FakeNeutron(hosts=["h1"]) as neutron:
        provider = NeutronProvider(Settings("id", "n1", neutron.url, "d1", timeout=20))
        yield neutron, provider
        provider.close()


@given(
    nics=st.integers(1, 10),
    networks=st.integers(1, 2),
    strangers=st.integers(0, 2),
    stale=st.sets(st.integers(0, 9), max_size=2),
    faults=st.lists(st.tuples(_FAULTS, st.sampled_from(["POST /v2.0/ports", "GET /v2.0/ports", "GET *"])), max_size=5),
    lands=st.integers(0, 4),
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_faults_end_in_one_port_each(
    shared: tuple[FakeNeutron, NetworkProvider],
    nics: int,
    networks: int,
    strangers: int,
    stale: set[int],
    faults: list[tuple[tuple[Kind, dict[str, Any]], str]],
    lands: int,
) -> None:
    """Scenarios 1 and 7, and the protocol's rules 1 to 4, under any faults: late calls land after ``lands`` tries."""
    neutron, provider = shared
    neutron.clear()
    world = neutron.world
    world.networks.clear()
    world.ports.clear()
    ids = [world.add_network(f"n{i}")["id"] for i in range(networks)]
    wishes = [wish(ids[i % networks], host="h1") for i in range(nics)]
    theirs: list[Row] = [dict(world.add_port(ids[0], new_mac(), device_id=wishes[0].vm)) for _ in range(strangers)]
    for i in stale:
        if i < nics:
            old = dataclasses.replace(wishes[i], generation=0)
            world.add_port(old.network, old.mac, owner=provider.owner, name=old.stamp, device_id=old.vm)

    made = [fit(neutron, kind, options, on) for (kind, options), on in faults]
    outcomes: dict[str, Outcome] = {}
    for attempt in range(40):
        if attempt == lands:
            for fault in made:
                fault.land()
        outcomes, _ = provider.ensure(wishes)
        assert outcomes.keys() == {w.claim for w in wishes}
        for outcome in outcomes.values():
            if isinstance(outcome, Stale):  # rule 4: of ours, and in no claim
                try_release(provider, outcome.port.id)
        if attempt >= lands and all_got(outcomes):
            break
    for fault in made:
        fault.land()

    assert all_got(outcomes), outcomes
    ours = {port["id"]: port for port in neutron.ports.values() if port["device_owner"] == provider.owner}
    assert sorted(port["name"] for port in ours.values()) == sorted(w.stamp for w in wishes)
    for w in wishes:
        got = outcomes[w.claim]
        assert isinstance(got, Got)
        row = ours[got.port.id]
        assert (row["name"], row["network_id"], row["mac_address"]) == (w.stamp, w.network, w.mac)
    for stranger in theirs:
        assert neutron.ports[stranger["id"]] == stranger


def try_release(provider: NetworkProvider, port_id: str) -> None:
    try:
        provider.release(port_id)
    except (ProviderUnwell, CredentialsWrong):
        return


def test_the_property_is_about_something(neutron: FakeNeutron, provider: NetworkProvider, network: str) -> None:
    """A late bulk call that lands after its ports were made singly does nothing: it is atomic, its MACs are taken."""
    fault = neutron.fault("POST *", Kind.LATE)
    wishes: list[PortWish] = [wish(network) for _ in range(3)]
    outcomes, _ = provider.ensure(wishes)
    assert all_got(outcomes)
    (reply,) = fault.land()
    assert reply.status == 409
    assert len(neutron.ports) == 3
