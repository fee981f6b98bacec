"""The provider contract as a test suite: each type is held to it, in a module of its own that inherits these classes.

``ProviderContract`` is for every type. ``ManagedContract`` is for types that make networks and ports; it runs against
a ``Bench``: the provider, and a second way to its other side, past our own code, to put strangers there and to look.
"""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterator
from typing import Any, Protocol

import pytest

from isthmus.providers.base import (
    Conflict,
    ExternalNetwork,
    Failed,
    FieldKind,
    Got,
    MacTaken,
    NetworkProvider,
    NewNetwork,
    NewSubnet,
    NotFound,
    PortWish,
    ProviderUnwell,
    RequestWrong,
    Settings,
    Stale,
)


class Bench(Protocol):
    """One type's surroundings for ``ManagedContract``."""

    settings: Settings
    host: str
    """A host that can wire."""
    label: str
    """A physical network with VLANs, another one that can be flat, and VLAN ids to use."""
    flat_label: str
    vlans: Iterator[int]

    def provider(self, **changes: Any) -> NetworkProvider:
        """A new instance, closed with the bench. ``changes`` to the settings."""

    def rows(self, network_id: str) -> list[dict[str, Any]]:
        """Every port on a network, as the other side tells it."""

    def stranger(self, network_id: str, mac: str, device: str = "") -> dict[str, Any]:
        """A port that is not ours; ``device`` for its ``device_id``."""


_macs = itertools.count(int.from_bytes(uuid.uuid4().bytes[:3]) << 16)


def new_mac() -> str:
    return "02" + "".join(f":{byte:02x}" for byte in next(_macs).to_bytes(5))


def wish(network: ExternalNetwork | str, **changes: Any) -> PortWish:
    made = PortWish(
        claim=str(uuid.uuid4()),
        generation=1,
        network=network if isinstance(network, str) else network.id,
        mac=new_mac(),
        vm=str(uuid.uuid4()),
        host="",
    )
    return dataclasses.replace(made, **changes)


class ProviderContract:
    """Every type. The class's module has a fixture ``provider``."""

    def test_it_declares_itself(self, provider: NetworkProvider) -> None:
        names = [field.name for field in provider.fields]
        assert provider.type
        assert provider.label
        assert len(names) == len(set(names))
        assert all(field.choices for field in provider.fields if field.kind is FieldKind.CHOICE)
        assert all(field.kind is FieldKind.SECRET for field in provider.fields if "password" in field.name)

    def test_owner_says_whose_and_lets_agents_bind(self, provider: NetworkProvider) -> None:
        """Rule 1: it carries the deployment; bindings look for ``compute:``."""
        assert provider.owner == f"compute:isthmus-{provider.settings.deployment}"

    def test_a_test_is_good(self, provider: NetworkProvider) -> None:
        result = provider.test()
        assert (result.ok, result.problem) == (True, "")
        assert result.message

    def test_capabilities_stay(self, provider: NetworkProvider) -> None:
        assert provider.capabilities() == provider.capabilities()

    def test_a_network_that_is_not_there(self, provider: NetworkProvider) -> None:
        nowhere = str(uuid.uuid4())
        with pytest.raises(NotFound) as caught:
            provider.network(nowhere)
        assert nowhere in str(caught.value)
        assert provider.find_network(nowhere) == []
        assert provider.subnets(nowhere) == []
        provider.delete_network(nowhere)
        provider.delete_subnet(nowhere)

    def test_every_wish_has_an_outcome(self, provider: NetworkProvider) -> None:
        """``ensure`` raises nothing: a network that is not there is that claim's failure, not to be tried again."""
        wishes = [wish(str(uuid.uuid4())) for _ in range(3)]
        outcomes, _ = provider.ensure(wishes)
        assert outcomes.keys() == {w.claim for w in wishes}
        assert all(isinstance(o, Failed) and isinstance(o.error, RequestWrong) for o in outcomes.values())

    def test_nothing_wished_is_no_call(self, provider: NetworkProvider) -> None:
        assert provider.ensure([]) == ({}, [])
        assert provider.ports(ids=[]) == ([], [])

    def test_a_port_that_is_not_there_is_released(self, provider: NetworkProvider) -> None:
        provider.release(str(uuid.uuid4()))

    def test_nobody_has_agents_of_an_unknown_host(self, provider: NetworkProvider) -> None:
        assert provider.agents(f"nowhere-{uuid.uuid4()}") == []

    def test_closing_twice(self, provider: NetworkProvider) -> None:
        provider.close()
        provider.close()


class ManagedContract:
    """Types that make networks and ports. The class's module has a fixture ``bench``."""

    @pytest.fixture
    def managed(self, bench: Bench) -> NetworkProvider:
        return bench.provider()

    @pytest.fixture
    def network(self, bench: Bench, managed: NetworkProvider) -> ExternalNetwork:
        return managed.create_network(
            NewNetwork(f"n-{uuid.uuid4()}", str(uuid.uuid4()), bench.label, next(bench.vlans))
        )

    # ---------------------------------------------------------------------------------------------- networks

    def test_a_vlan_network(self, bench: Bench, managed: NetworkProvider) -> None:
        vlan, stamp = next(bench.vlans), str(uuid.uuid4())
        made = managed.create_network(NewNetwork("vlan and label", stamp, bench.label, vlan))
        assert (made.name, made.network_type, made.physical_network, made.segmentation_id) == (
            "vlan and label",
            "vlan",
            bench.label,
            vlan,
        )
        assert managed.network(made.id) == made
        assert made in managed.networks()
        assert managed.find_network(stamp) == [made]
        assert managed.find_network(stamp + "x") == []

    def test_a_label_alone_makes_it_flat(self, bench: Bench, managed: NetworkProvider) -> None:
        made = managed.create_network(NewNetwork("label", str(uuid.uuid4()), bench.flat_label))
        assert (made.network_type, made.physical_network) == ("flat", bench.flat_label)
        assert made.segmentation_id is None

    def test_without_a_label_the_provider_chooses(self, managed: NetworkProvider) -> None:
        made = managed.create_network(NewNetwork("neither", str(uuid.uuid4())))
        assert made.network_type

    def test_a_vlan_needs_a_label(self, managed: NetworkProvider) -> None:
        stamp = str(uuid.uuid4())
        with pytest.raises(RequestWrong, match="label"):
            managed.create_network(NewNetwork("vlan", stamp, vlan_id=7))
        assert managed.find_network(stamp) == []

    def test_a_vlan_in_use(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        stamp = str(uuid.uuid4())
        with pytest.raises(Conflict) as caught:
            managed.create_network(NewNetwork("twice", stamp, bench.label, network.segmentation_id))
        assert "'twice'" in str(caught.value)
        assert str(network.segmentation_id) in caught.value.message
        assert (caught.value.status, bool(caught.value.request_id)) == (409, True)
        assert managed.find_network(stamp) == []

    def test_a_vlan_out_of_range(self, bench: Bench, managed: NetworkProvider) -> None:
        with pytest.raises(RequestWrong) as caught:
            managed.create_network(NewNetwork("far", str(uuid.uuid4()), bench.label, 5000))
        assert "range" in caught.value.message
        assert caught.value.status == 400

    def test_an_unknown_label(self, managed: NetworkProvider) -> None:
        with pytest.raises(RequestWrong, match="purple"):
            managed.create_network(NewNetwork("unknown", str(uuid.uuid4()), "purple", 7))

    def test_deleting_a_network_twice(self, managed: NetworkProvider, network: ExternalNetwork) -> None:
        managed.delete_network(network.id)
        managed.delete_network(network.id)
        with pytest.raises(NotFound):
            managed.network(network.id)

    def test_a_network_in_use_stays(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        bench.stranger(network.id, new_mac())
        with pytest.raises(Conflict):
            managed.delete_network(network.id)
        assert managed.network(network.id) == network

    # ----------------------------------------------------------------------------------------------- subnets

    def test_a_subnet(self, managed: NetworkProvider, network: ExternalNetwork) -> None:
        made = managed.create_subnet(
            NewSubnet("s", network.id, "10.77.0.0/24", gateway="10.77.0.9", dns_servers=("10.77.0.2",))
        )
        assert (made.cidr, made.ip_version, made.gateway, made.dns_servers, made.dhcp) == (
            "10.77.0.0/24",
            4,
            "10.77.0.9",
            ("10.77.0.2",),
            True,
        )
        assert managed.subnets(network.id) == [made]
        assert made in managed.subnets()
        managed.delete_subnet(made.id)
        managed.delete_subnet(made.id)
        assert managed.subnets(network.id) == []

    def test_a_gateway_is_chosen(self, managed: NetworkProvider, network: ExternalNetwork) -> None:
        assert managed.create_subnet(NewSubnet("s", network.id, "10.78.0.0/24")).gateway

    def test_a_subnet_that_overlaps(self, managed: NetworkProvider, network: ExternalNetwork) -> None:
        managed.create_subnet(NewSubnet("s", network.id, "10.79.0.0/24"))
        with pytest.raises(RequestWrong, match="overlap"):
            managed.create_subnet(NewSubnet("t", network.id, "10.79.0.0/25"))

    def test_a_subnet_of_no_network(self, managed: NetworkProvider) -> None:
        with pytest.raises(NotFound):
            managed.create_subnet(NewSubnet("s", str(uuid.uuid4()), "10.80.0.0/24"))

    # ------------------------------------------------------------------------------------------------- ports

    def test_ports_are_made_with_their_stamp(
        self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork
    ) -> None:
        """Rules 1 and 3: owner, VM and stamp are on the port; it is bound, and usable by that host."""
        wishes = [wish(network, host=bench.host, generation=7) for _ in range(3)]
        outcomes, calls = managed.ensure(wishes)
        for wished in wishes:
            got = outcomes[wished.claim]
            assert isinstance(got, Got)
            assert got.made
            port = got.port
            assert (port.owner, port.device_id, port.stamp) == (managed.owner, wished.vm, f"{wished.claim}/7")
            assert (port.network_id, port.mac, port.host) == (network.id, wished.mac, bench.host)
            assert port.usable
        assert [call.status for call in calls] == [200, 201]
        assert all(call.request_id for call in calls)
        rows = bench.rows(network.id)
        assert {row["id"] for row in rows} == {o.port.id for o in outcomes.values() if isinstance(o, Got)}
        assert {row["project_id"] for row in rows} == {network.project_id}

    def test_a_host_without_an_agent(self, managed: NetworkProvider, network: ExternalNetwork) -> None:
        outcomes, _ = managed.ensure([w := wish(network, host="no-such-host")])
        got = outcomes[w.claim]
        assert isinstance(got, Got)
        assert not got.port.usable

    def test_asking_again_makes_nothing(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        """Scenario 1: what an earlier call made, its reply lost, is adopted."""
        wishes = [wish(network, host=bench.host) for _ in range(2)]
        first, _ = managed.ensure(wishes)
        again, _ = managed.ensure(wishes)
        for w in wishes:
            one, two = first[w.claim], again[w.claim]
            assert isinstance(one, Got)
            assert isinstance(two, Got)
            assert (one.port.id, one.made, two.made) == (two.port.id, True, False)
        assert len(bench.rows(network.id)) == 2

    def test_another_generation_is_stale(
        self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork
    ) -> None:
        """Rule 4: a port is adopted only with the stamp of the present generation."""
        old, fresh = wish(network, host=bench.host), wish(network, host=bench.host)
        first, _ = managed.ensure([old])
        new = dataclasses.replace(old, generation=2)
        again, _ = managed.ensure([new, fresh])
        got, stale = first[old.claim], again[new.claim]
        assert isinstance(got, Got)
        assert isinstance(stale, Stale)
        assert stale.port.id == got.port.id
        assert isinstance(again[fresh.claim], Got)
        managed.release(stale.port.id)
        last, _ = managed.ensure([new])
        assert isinstance(last[new.claim], Got)

    def test_a_strangers_mac(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        """Scenario 7: only the claim whose MAC is taken fails, and the stranger is not touched."""
        wishes = [wish(network, host=bench.host) for _ in range(3)]
        stranger = bench.stranger(network.id, wishes[0].mac, wishes[0].vm)
        outcomes, _ = managed.ensure(wishes)
        taken = outcomes[wishes[0].claim]
        assert isinstance(taken, MacTaken)
        assert stranger["id"] in taken.holder
        assert isinstance(outcomes[wishes[1].claim], Got)
        assert isinstance(outcomes[wishes[2].claim], Got)
        (row,) = [row for row in bench.rows(network.id) if row["id"] == stranger["id"]]
        assert row["revision_number"] == stranger["revision_number"]
        assert row["name"] == stranger["name"]

    def test_another_deployment_is_a_stranger(
        self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork
    ) -> None:
        other = bench.provider(deployment="another")
        theirs = wish(network, host=bench.host)
        other.ensure([theirs])
        ours = dataclasses.replace(theirs, claim=str(uuid.uuid4()))
        outcomes, _ = managed.ensure([ours])
        assert isinstance(outcomes[ours.claim], MacTaken)
        assert managed.ports(vm=theirs.vm)[0] == []

    def test_one_wrong_wish_fails_alone(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        good = [wish(network, host=bench.host) for _ in range(2)]
        nowhere = wish(str(uuid.uuid4()), host=bench.host)
        bad_group = wish(network, host=bench.host, security_groups=(str(uuid.uuid4()),))
        outcomes, _ = managed.ensure([good[0], nowhere, bad_group, good[1]])
        assert all(isinstance(outcomes[w.claim], Got) for w in good)
        for w in (nowhere, bad_group):
            failed = outcomes[w.claim]
            assert isinstance(failed, Failed)
            assert isinstance(failed.error, RequestWrong)
            assert (w.network if w is nowhere else (w.security_groups or [""])[0]) in str(failed.error)

    def test_security_groups(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        """Absent is the provider's default, empty is none."""
        default, none = wish(network), wish(network, security_groups=())
        managed.ensure([default, none])
        groups = {row["name"]: row["security_groups"] for row in bench.rows(network.id)}
        assert len(groups[default.stamp]) == 1
        assert groups[none.stamp] == []

    def test_security_groups_where_there_are_none(self, bench: Bench, managed: NetworkProvider) -> None:
        network = managed.create_network(
            NewNetwork("open", str(uuid.uuid4()), bench.label, next(bench.vlans), port_security=False)
        )
        assert network.port_security is False
        wishes = [wish(network, security_groups=(str(uuid.uuid4()),)), wish(network, security_groups=())]
        outcomes, _ = managed.ensure(wishes)
        assert all(isinstance(outcome, Got) for outcome in outcomes.values())

    def test_more_than_one_batch(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        wishes = [wish(network) for _ in range(10)]
        outcomes, calls = managed.ensure(wishes)
        assert all(isinstance(outcome, Got) for outcome in outcomes.values())
        assert [call.what.split()[0] for call in calls] == ["GET", "POST", "POST"]
        assert len(bench.rows(network.id)) == 10

    def test_a_mac_in_capitals(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        w = wish(network)
        loud = dataclasses.replace(w, mac=w.mac.upper())
        first, _ = managed.ensure([loud])
        again, _ = managed.ensure([loud])
        assert isinstance(first[w.claim], Got)
        assert isinstance(again[w.claim], Got)

    def test_listing_ours(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        """Rule 1: a stranger with our VM's id is not ours."""
        one, two = wish(network), wish(network)
        outcomes, _ = managed.ensure([one, two])
        stranger = bench.stranger(network.id, new_mac(), one.vm)
        ports = {claim: got.port for claim, got in outcomes.items() if isinstance(got, Got)}
        assert [p.id for p in managed.ports(vm=one.vm)[0]] == [ports[one.claim].id]
        ids = [port.id for port in ports.values()]
        assert sorted(p.id for p in managed.ports(ids=[*ids, stranger["id"]])[0]) == sorted(ids)
        everything = {p.id for p in managed.ports()[0]}
        assert everything >= set(ids)
        assert stranger["id"] not in everything
        found, calls = managed.ports(ids=[ids[0]], vm=one.vm)
        assert [p.stamp for p in found] == [one.stamp]
        assert len(calls) == 1

    def test_releasing(self, bench: Bench, managed: NetworkProvider, network: ExternalNetwork) -> None:
        outcomes, _ = managed.ensure([w := wish(network)])
        got = outcomes[w.claim]
        assert isinstance(got, Got)
        assert [call.status for call in managed.release(got.port.id)] == [204]
        assert [call.status for call in managed.release(got.port.id)] == [404]
        assert bench.rows(network.id) == []

    # ---------------------------------------------------------------------------------------------- the rest

    def test_agents(self, bench: Bench, managed: NetworkProvider) -> None:
        agents = managed.agents(bench.host)
        assert any(agent.alive and "bridge" in agent.kind for agent in agents)
        assert {agent.host for agent in agents} == {bench.host}
        assert all(agent in managed.agents() for agent in agents)

    def test_capabilities_are_probed(self, managed: NetworkProvider) -> None:
        can = managed.capabilities()
        assert can.bulk_ports
        assert can.provider_attributes
        assert can.port_binding
        assert can.agents
        assert can.subnets

    def test_after_close(self, managed: NetworkProvider, network: ExternalNetwork) -> None:
        managed.close()
        with pytest.raises(ProviderUnwell):
            managed.networks()
        w = wish(network)
        outcomes, _ = managed.ensure([w])
        failed = outcomes[w.claim]
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, ProviderUnwell)
