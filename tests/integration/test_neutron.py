"""The Neutron provider is held to the same contract against the lab's real Neutron, and to what only a real one shows.

Needs the lab (``make lab``), whose address is in ``.lab/env`` or in the environment variable ``NEUTRON_URL``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from isthmus.providers.base import (
    Got,
    NetworkProvider,
    NewNetwork,
    NewSubnet,
    Outcome,
    PortWish,
    ProviderUnwell,
    Settings,
)
from isthmus.providers.neutron import NeutronProvider
from tests.fakes.neutron import FakeNeutron, Fault, Kind
from tests.fakes.upstream import Upstream
from tests.unit.providers.contract import ManagedContract, ProviderContract, wish

ENV = Path(__file__).parents[2] / ".lab" / "env"


def neutron_url() -> str:
    if given := os.environ.get("NEUTRON_URL"):
        return given
    assert ENV.exists(), f"no lab: {ENV} is not there; run `make lab`, or set NEUTRON_URL"
    for word in shlex.split(ENV.read_text()):
        name, _, value = word.partition("=")
        if name == "NEUTRON_URL":
            return value
    raise AssertionError(f"{ENV} names no NEUTRON_URL")


class RealBench:
    """Looks at and puts things into Neutron past our own code; at the end what was made on the bench is gone."""

    label = "red"

    def __init__(self, url: str) -> None:
        # A deployment and a project of its own: what a broken run left behind is somebody else's.
        self.project = f"bench-{uuid.uuid4().hex[:8]}"
        self.flat_label = self.project
        self.api = f"{url.rstrip('/')}/v2.0"
        self.settings = Settings("id", "lab", url, self.project, project_name=self.project, timeout=30)
        agents = self._get("agents", agent_type="Linux bridge agent")
        self.host: str = next(agent["host"] for agent in agents if agent["alive"])
        used = {network["provider:segmentation_id"] for network in self._get("networks")}
        self.vlans: Iterator[int] = (vlan for vlan in itertools.count(600) if vlan not in used)
        self._made: list[NetworkProvider] = []

    def provider(self, **changes: Any) -> NetworkProvider:
        made = NeutronProvider(dataclasses.replace(self.settings, **changes))
        self._made.append(made)
        return made

    def rows(self, network_id: str) -> list[dict[str, Any]]:
        rows = self._get("ports", network_id=network_id)
        return [row for row in rows if not row["device_owner"].startswith("network:")]

    def stranger(self, network_id: str, mac: str, device: str = "") -> dict[str, Any]:
        body = {"network_id": network_id, "mac_address": mac, "device_id": device, "project_id": self.project}
        answer = requests.post(f"{self.api}/ports", json={"port": body | {"name": "a stranger's"}}, timeout=30)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()["port"]
        return made

    def show(self, port_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = requests.get(f"{self.api}/ports/{port_id}", timeout=30).json()["port"]
        return answer

    def close(self) -> None:
        for provider in self._made:
            provider.close()
        for network in self._get("networks", project_id=self.project):
            for port in self.rows(network["id"]):
                requests.delete(f"{self.api}/ports/{port['id']}", timeout=30)
            gone = requests.delete(f"{self.api}/networks/{network['id']}", timeout=30)
            assert gone.status_code in (204, 404), gone.text

    def _get(self, collection: str, **query: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{self.api}/{collection}", params=query, timeout=30)
        assert answer.status_code == 200, answer.text
        rows: list[dict[str, Any]] = answer.json()[collection]
        return rows


@pytest.fixture(scope="module")
def url() -> str:
    return neutron_url()


@pytest.fixture
def bench(url: str) -> Iterator[RealBench]:
    made = RealBench(url)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def provider(bench: RealBench) -> NetworkProvider:
    return bench.provider()


class TestEveryType(ProviderContract):
    pass


class TestManaged(ManagedContract):
    pass


class TestRealOnly:
    def test_the_addresses_users_give(self, bench: RealBench) -> None:
        for tail in ("", "/", "/v2.0", "/v2.0/"):
            assert bench.provider(url=bench.settings.url.rstrip("/") + tail).test().ok

    def test_a_path_that_is_wrong(self, bench: RealBench) -> None:
        """The specification's bad URL, where the address has a path or a slash at its end."""
        for tail in ("/1", "/v2.01"):
            result = bench.provider(url=bench.settings.url.rstrip("/") + tail).test()
            assert (result.ok, result.problem) == (False, "not_found")
            assert result.advice

    def test_a_port_number_with_a_one_appended(self, bench: RealBench) -> None:
        result = bench.provider(url=bench.settings.url.rstrip("/") + "1").test()
        assert not result.ok
        assert result.problem in ("address", "refused")

    def test_a_subnet_gives_addresses(self, bench: RealBench) -> None:
        provider = bench.provider()
        network = provider.create_network(NewNetwork("addresses", "a", "red", next(bench.vlans)))
        provider.create_subnet(NewSubnet("s", network.id, "10.66.0.0/24"))
        outcomes, _ = provider.ensure([w := wish(network, host=bench.host)])
        got = outcomes[w.claim]
        assert isinstance(got, Got)
        assert got.port.addresses[0].startswith("10.66.0.")
        assert got.port.vif_type == "bridge"

    def test_pages_are_followed(self, bench: RealBench, monkeypatch: pytest.MonkeyPatch) -> None:
        provider = bench.provider()
        network = provider.create_network(NewNetwork("pages", "p", "red", next(bench.vlans)))
        made, _ = provider.ensure([wish(network) for _ in range(5)])
        monkeypatch.setattr("isthmus.providers.neutron.ports.PAGE", 2)
        found, calls = provider.ports()
        assert sorted(port.id for port in found) == sorted(o.port.id for o in made.values() if isinstance(o, Got))
        assert len(calls) == 3


@pytest.fixture
def between(bench: RealBench) -> Iterator[FakeNeutron]:
    """What stands between us and the real Neutron, and can be told to misbehave."""
    with FakeNeutron(world=Upstream(bench.settings.url)) as running:
        yield running


def until_settled(provider: NetworkProvider, wishes: list[PortWish]) -> dict[str, Outcome]:
    """Try again while the provider is not well, as its callers do."""
    ends = time.monotonic() + 60
    while True:
        outcomes, _ = provider.ensure(wishes)
        if all(isinstance(outcome, Got) for outcome in outcomes.values()):
            return outcomes
        assert time.monotonic() < ends, outcomes


def land(fault: Fault) -> None:
    for reply in fault.land():
        assert reply.status in (201, 409), reply


class TestSomethingBetween:
    """Whatever happens to the create on its way, each wish has one port of its own and the stranger is untouched."""

    @pytest.mark.parametrize(
        ("kind", "options", "afterwards"),
        [
            (Kind.DROP_REPLY, {}, None),
            (Kind.DROP_REPLY, {"hang": True}, None),
            (Kind.LATE, {}, land),
            (Kind.LATE, {"hang": True}, land),
            (Kind.HANG, {}, None),
            (Kind.RESET, {}, None),
            (Kind.DUPLICATE, {}, None),
            (Kind.ANSWER, {"status": 409, "error_type": "MacAddressInUse"}, None),
            (Kind.ANSWER, {"status": 429, "error_type": "OverLimit"}, None),
            (Kind.ANSWER, {"status": 500, "commit": True}, None),
            (Kind.ANSWER, {"status": 503, "error_type": "ServiceUnavailable"}, None),
        ],
        ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
    )
    def test_a_create_that_goes_wrong(
        self,
        bench: RealBench,
        between: FakeNeutron,
        kind: Kind,
        options: dict[str, Any],
        afterwards: Callable[[Fault], None] | None,
    ) -> None:
        provider = bench.provider(url=between.url, timeout=4)
        network = provider.create_network(NewNetwork("between", "b", "red", next(bench.vlans)))
        wishes = [wish(network, host=bench.host) for _ in range(2)]
        stranger = bench.stranger(network.id, wish(network).mac, wishes[0].vm)
        fault = between.fault("POST /v2.0/ports", kind, **options)
        until_settled(provider, wishes)
        fault.wait()
        if afterwards:
            afterwards(fault)
        rows = bench.rows(network.id)
        assert sorted(row["name"] for row in rows) == sorted([w.stamp for w in wishes] + ["a stranger's"])
        assert bench.show(stranger["id"])["revision_number"] == stranger["revision_number"]

    def test_a_network_whose_reply_is_lost_is_found(self, bench: RealBench, between: FakeNeutron) -> None:
        provider = bench.provider(url=between.url, timeout=4)
        between.fault("POST /v2.0/networks", Kind.DROP_REPLY)
        stamp = str(uuid.uuid4())
        with pytest.raises(ProviderUnwell):
            provider.create_network(NewNetwork("lost", stamp, "red", next(bench.vlans)))
        assert [network.name for network in provider.find_network(stamp)] == ["lost"]

    def test_nothing_answers(self, bench: RealBench, between: FakeNeutron) -> None:
        between.fault("*", Kind.HANG, times=99)
        began = time.monotonic()
        with contextlib.suppress(ProviderUnwell):
            bench.provider(url=between.url, timeout=1).networks()
        assert time.monotonic() - began < 3
