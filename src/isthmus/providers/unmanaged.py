"""The smallest provider, and the place to start reading: it knows nothing and promises nothing.

Its networks exist only by the name that was given to them here: for networks that somebody else wires on the hosts
(a bridge of that name). There is nobody to ask, so every list is empty, and nobody to make a port, so a NIC that
wants one is told so. What each method owes its caller is written at the contract, ``providers/base.py``.
"""

# ruff: noqa: ARG002  (it is asked everything and looks at nothing)

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from isthmus.providers.base import (
    Agent,
    Call,
    Capabilities,
    ExternalNetwork,
    Failed,
    Field,
    NetworkProvider,
    NewNetwork,
    NewSubnet,
    NotFound,
    Outcome,
    Port,
    PortWish,
    RequestWrong,
    Settings,
    Subnet,
    TestResult,
)


class UnmanagedProvider(NetworkProvider):
    type = "unmanaged"
    label = "Unmanaged"
    fields = (Field("url", "Provider URL", help="Not called; kept for whoever reads it."),)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)

    def test(self) -> TestResult:
        return TestResult(ok=True, message="An unmanaged provider is not called: there is nothing to reach.")

    def capabilities(self) -> Capabilities:
        return Capabilities()

    def networks(self) -> list[ExternalNetwork]:
        return []

    def network(self, network_id: str) -> ExternalNetwork:
        raise NotFound(f"the unmanaged provider {self.settings.name!r} knows no network {network_id!r}")

    def create_network(self, wish: NewNetwork) -> ExternalNetwork:
        self._refuse(f"create network {wish.name!r}")

    def find_network(self, stamp: str) -> list[ExternalNetwork]:
        return []

    def delete_network(self, network_id: str) -> None:
        """Nothing is there, so it is deleted."""

    def subnets(self, network_id: str | None = None) -> list[Subnet]:
        return []

    def create_subnet(self, wish: NewSubnet) -> Subnet:
        self._refuse(f"create subnet {wish.name!r}")

    def delete_subnet(self, subnet_id: str) -> None:
        """Nothing is there, so it is deleted."""

    def ensure(self, wishes: Sequence[PortWish]) -> tuple[dict[str, Outcome], list[Call]]:
        return {wish.claim: Failed(self._refusal(f"make a port for {wish.mac}")) for wish in wishes}, []

    def release(self, port_id: str) -> list[Call]:
        return []

    def ports(self, *, ids: Sequence[str] | None = None, vm: str | None = None) -> tuple[list[Port], list[Call]]:
        return [], []

    def agents(self, host: str | None = None) -> list[Agent]:
        return []

    def close(self) -> None:
        """Nothing is held."""

    def _refusal(self, what: str) -> RequestWrong:
        return RequestWrong(
            f"the unmanaged provider {self.settings.name!r} cannot {what}",
            advice="Choose a network that is on the hosts themselves, or a provider that manages networks.",
        )

    def _refuse(self, what: str) -> NoReturn:
        raise self._refusal(what)
