"""The Neutron provider is held to the contract, against the in-process Neutron."""

from isthmus.providers.base import NetworkProvider
from tests.fakes.neutron import FakeNeutron
from tests.unit.providers.contract import ManagedContract, ProviderContract


class TestEveryType(ProviderContract):
    pass


class TestManaged(ManagedContract):
    pass


def test_extensions_are_asked_for_once(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    provider.capabilities()
    provider.capabilities()
    provider.agents("h1")
    assert neutron.count("GET /v2.0/extensions") == 1


def test_a_neutron_without_agents_is_not_asked_for_them(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    neutron.world.extensions.remove("agent")
    assert provider.agents() == []
    assert neutron.count("GET /v2.0/agents") == 0
