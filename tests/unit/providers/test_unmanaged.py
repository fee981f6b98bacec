"""The unmanaged provider is held to the contract of every type."""

import pytest

from isthmus.providers.base import NetworkProvider, NewNetwork, NewSubnet, RequestWrong, Settings
from isthmus.providers.unmanaged import UnmanagedProvider
from tests.unit.providers.contract import ProviderContract


@pytest.fixture
def provider() -> NetworkProvider:
    return UnmanagedProvider(Settings("id", "by hand", "", "d1"))


class TestUnmanaged(ProviderContract):
    def test_it_makes_no_networks(self, provider: NetworkProvider) -> None:
        assert provider.networks() == []
        with pytest.raises(RequestWrong, match="cannot create network 'n'"):
            provider.create_network(NewNetwork("n", "s"))
        with pytest.raises(RequestWrong, match="cannot create subnet 's'"):
            provider.create_subnet(NewSubnet("s", "n", "10.0.0.0/24"))
