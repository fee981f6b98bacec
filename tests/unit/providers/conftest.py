"""A Neutron on loopback and a provider for it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from isthmus.providers.base import NetworkProvider, Settings
from isthmus.providers.neutron import NeutronProvider
from tests.fakes.neutron import FakeNeutron

LIMIT = 5.0
"""Seconds: the provider's time limit, where a test does not wait for it."""


class FakeBench:
    def __init__(self, neutron: FakeNeutron) -> None:
        self.neutron = neutron
        self.settings = Settings("id", "n1", neutron.url, "d1", timeout=LIMIT)
        self.host = "h1"
        self.label = "red"
        self.flat_label = "green"
        self.vlans: Iterator[int] = itertools.count(600)
        self._made: list[NetworkProvider] = []

    def provider(self, **changes: Any) -> NetworkProvider:
        made = NeutronProvider(dataclasses.replace(self.settings, **changes))
        self._made.append(made)
        return made

    def rows(self, network_id: str) -> list[dict[str, Any]]:
        return [port for port in self.neutron.ports.values() if port["network_id"] == network_id]

    def stranger(self, network_id: str, mac: str, device: str = "") -> dict[str, Any]:
        return dict(self.neutron.world.add_port(network_id, mac, device_id=device, name="a stranger's"))

    def close(self) -> None:
        for provider in self._made:
            provider.close()


@pytest.fixture
def neutron() -> Iterator[FakeNeutron]:
    with FakeNeutron(hosts=["h1", "h2"]) as running:
        yield running


@pytest.fixture
def bench(neutron: FakeNeutron) -> Iterator[FakeBench]:
    made = FakeBench(neutron)
    yield made
    made.close()


@pytest.fixture
def provider(bench: FakeBench) -> NetworkProvider:
    return bench.provider()
