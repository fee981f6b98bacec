"""The Neutron provider is held to the contract, against the in-process Neutron."""

from tests.unit.providers.contract import ManagedContract, ProviderContract


class TestEveryType(ProviderContract):
    pass


class TestManaged(ManagedContract):
    pass
