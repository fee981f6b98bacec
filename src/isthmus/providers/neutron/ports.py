"""Ports of a Neutron: see that each claim has its own, list ours, give them back.

The rules named here are those of the port protocol (docs/vnic-protocol.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from isthmus.providers.base import (
    Call,
    Conflict,
    CredentialsWrong,
    Failed,
    Got,
    MacTaken,
    NotFound,
    Outcome,
    Port,
    PortWish,
    ProviderError,
    ProviderUnwell,
    Stale,
)
from isthmus.providers.neutron.client import PAGE, NeutronClient, Query
from isthmus.providers.neutron.wire import ManyPorts, OnePort, WireNetwork, WirePort, names

T = TypeVar("T")

BATCH = 8
"""Ports of one POST: Neutron works a quarter of a second on each, and the whole answer must come within the limit."""
IDS = 100
"""Ids of one GET: the query stays well below what servers take for a request line (8 KiB)."""


class Ports:
    """``owner`` decides what is ours (rule 1): it goes into every list, and what comes back is held to it."""

    def __init__(self, client: NeutronClient, owner: str) -> None:
        self._client = client
        self._owner = owner

    def ensure(self, wishes: Sequence[PortWish]) -> tuple[dict[str, Outcome], list[Call]]:
        calls: list[Call] = []
        outcomes: dict[str, Outcome] = {}
        try:
            networks = self._networks(wishes, calls)
        except ProviderError as error:
            return {wish.claim: Failed(error) for wish in wishes}, calls
        ready = []
        for wish in wishes:
            if wish.network in networks:
                ready.append(wish)
            else:
                outcomes[wish.claim] = Failed(self._no_network(wish))
        attempt = _Attempt(self._client, self._owner, networks, calls)
        for batch in _batches(ready, BATCH):
            outcomes |= attempt.make(batch)
        return outcomes, calls

    def release(self, port_id: str) -> list[Call]:
        calls: list[Call] = []
        self._client.delete(f"/ports/{port_id}", f"delete port {port_id}", calls)
        return calls

    def ours(self, ids: Sequence[str] | None, vm: str | None) -> tuple[list[Port], list[Call]]:
        """By owner always (rule 1); ids and VM only narrow. No ids asked for is no port, not all of them."""
        calls: list[Call] = []
        query = [("device_owner", self._owner)]
        if vm is not None:
            query.append(("device_id", vm))
        what = "list our ports" + (f" of VM {vm}" if vm else "")
        if ids is None:
            return self._list([*query, ("limit", str(PAGE))], what, calls), calls
        found: list[Port] = []
        for some in _batches(sorted(set(ids)), IDS):
            found += self._list([*query, *(("id", port_id) for port_id in some)], what, calls)
        return found, calls

    def _list(self, query: Query, what: str, calls: list[Call]) -> list[Port]:
        return _list(self._client, self._owner, query, what, calls)

    def _networks(self, wishes: Sequence[PortWish], calls: list[Call]) -> dict[str, WireNetwork]:
        """One GET: a port is made in its network's own project, or quota and security groups come from another."""
        fields = [("fields", name) for name in ("id", "project_id", "port_security_enabled")]
        found: dict[str, WireNetwork] = {}
        for some in _batches(sorted({wish.network for wish in wishes}), IDS):
            query = [*(("id", network_id) for network_id in some), *fields]
            for network in self._client.collect(WireNetwork, "networks", query, "show the networks of NICs", calls):
                found[network.id] = network
        return found

    def _no_network(self, wish: PortWish) -> NotFound:
        return NotFound(
            f"{self._client.who} has no network {wish.network} to make a port for {wish.mac} on",
            advice="It was deleted there, or these credentials may not see it.",
        )


class _Attempt:
    """One ``ensure``: batches are posted one after the other until the provider turns out not to be well."""

    def __init__(self, client: NeutronClient, owner: str, networks: dict[str, WireNetwork], calls: list[Call]) -> None:
        self._client = client
        self._owner = owner
        self._networks = networks
        self._calls = calls
        self._given_up: ProviderError | None = None
        """Why nothing more is asked: the provider is unwell or wants other credentials, for every port alike."""

    def make(self, batch: Sequence[PortWish]) -> dict[str, Outcome]:
        if self._given_up:
            return {wish.claim: Failed(self._given_up) for wish in batch}
        outcomes: dict[str, Outcome] = {}
        error: ProviderError | None = None
        try:
            for wish, port in self._post(batch):
                outcomes[wish.claim] = Got(port, made=True)
        except ProviderError as refused:
            error = refused
        missing = [wish for wish in batch if wish.claim not in outcomes]
        if not missing:
            return outcomes
        # Rule 2, and the same after any answer but 201: it may have been carried out for all of them, or for some.
        error = error or self._incomplete(missing)
        try:
            found = self._look_up(missing)
        except ProviderError as trouble:
            # Whether the ports are there is not known, so the error must be one that is tried again.
            self._given_up = trouble
            return outcomes | {wish.claim: Failed(trouble) for wish in missing}
        for wish in missing:
            if wish.claim in found:
                outcomes[wish.claim] = found[wish.claim]
            elif len(batch) == 1:
                outcomes[wish.claim] = self._after(wish, error, again=True)
            elif self._given_up:
                outcomes[wish.claim] = Failed(self._given_up)
            else:
                outcomes[wish.claim] = self._single(wish, again=True)
        return outcomes

    def _single(self, wish: PortWish, *, again: bool) -> Outcome:
        """Only the claim whose MAC is taken, or whose wish is wrong, may fail: so each of a refused batch alone."""
        error: ProviderError
        try:
            for _, port in self._post([wish]):
                return Got(port, made=True)
            error = self._incomplete([wish])
        except ProviderError as refused:
            error = refused
        try:
            found = self._look_up([wish])
        except ProviderError as trouble:
            self._given_up = trouble
            return Failed(trouble)
        return found.get(wish.claim) or self._after(wish, error, again=again)

    def _after(self, wish: PortWish, error: ProviderError, *, again: bool) -> Outcome:
        """What a refusal means for a wish that has no port of ours. ``again``: it may be posted once more."""
        if isinstance(error, ProviderUnwell | CredentialsWrong):
            self._given_up = error
            return Failed(error)
        if not (isinstance(error, Conflict) and error.error_type == "MacAddressInUse"):
            return Failed(error)
        try:
            holder = self._holder(wish)
        except ProviderError as trouble:
            self._given_up = trouble
            return Failed(trouble)
        if holder is None and again:
            # Nobody holds it any more (a port of an earlier generation that was just released).
            return self._single(wish, again=False)
        return MacTaken(holder or "a port that these credentials may not see")

    # ------------------------------------------------------------------------------------------------ calls

    def _post(self, batch: Sequence[PortWish]) -> Iterator[tuple[PortWish, Port]]:
        """Make the ports in one call, atomic in Neutron's database. Yields those that are in the answer."""
        bodies = [self._body(wish) for wish in batch]
        if len(batch) == 1:
            what = f"create a port for {batch[0].mac} on network {batch[0].network}"
            answer = [self._client.post(OnePort, "/ports", {"port": bodies[0]}, what, self._calls).port]
        else:
            what = f"create {len(batch)} ports for VM {batch[0].vm}"
            answer = self._client.post(ManyPorts, "/ports", {"ports": bodies}, what, self._calls).ports
        made = {_key(port): port for port in (wire.port() for wire in answer) if port.owner == self._owner}
        for wish in batch:
            port = made.get(_wished(wish))
            if port is not None and port.stamp == wish.stamp:
                yield wish, port

    def _body(self, wish: PortWish) -> dict[str, Any]:
        network = self._networks[wish.network]
        body: dict[str, Any] = {
            "network_id": wish.network,
            "mac_address": wish.mac,
            "name": wish.stamp,  # rule 3
            "device_owner": self._owner,  # rule 1
            "device_id": wish.vm,
            "binding:host_id": wish.host,
            "admin_state_up": True,
        }
        if network.project_id:
            body["project_id"] = network.project_id
        if wish.security_groups is not None and network.port_security is not False:
            body["security_groups"] = list(wish.security_groups)
        return body

    def _look_up(self, wishes: Sequence[PortWish]) -> dict[str, Outcome]:
        """Ports of ours with a wish's network and MAC (rules 1 and 2), told apart by their stamp (rule 4). One GET.

        Filters are sets: two NICs' networks and MACs also match crosswise, so each port is matched again here.
        """
        query = [
            ("device_owner", self._owner),
            *(("network_id", network) for network in sorted({wish.network for wish in wishes})),
            *(("mac_address", mac) for mac in sorted({wish.mac.lower() for wish in wishes})),
        ]
        found = _list(self._client, self._owner, query, "look up our ports by MAC", self._calls)
        by_key = {_key(port): port for port in found}
        outcomes: dict[str, Outcome] = {}
        for wish in wishes:
            if port := by_key.get(_wished(wish)):
                outcomes[wish.claim] = Got(port, made=False) if port.stamp == wish.stamp else Stale(port)
        return outcomes

    def _holder(self, wish: PortWish) -> str | None:
        """Who has the MAC on that network, for the user who must sort it out; it is never touched."""
        query = [("network_id", wish.network), ("mac_address", wish.mac.lower()), *names(WirePort)]
        what = f"show who has {wish.mac} on network {wish.network}"
        for wire in self._client.collect(WirePort, "ports", query, what, self._calls):
            port = wire.port()
            if _key(port) == _wished(wish):
                facts = [
                    f"owner {port.owner!r}" if port.owner else "",
                    f"device {port.device_id!r}" if port.device_id else "",
                ]
                told = ", ".join(fact for fact in facts if fact)
                return f"port {port.id}" + (f" ({told})" if told else "")
        return None

    def _incomplete(self, wishes: Sequence[PortWish]) -> ProviderUnwell:
        macs = ", ".join(wish.mac for wish in wishes)
        return ProviderUnwell(f"{self._client.who} said it made the ports for {macs}, but shows none that are as asked")


def _list(client: NeutronClient, owner: str, query: Query, what: str, calls: list[Call]) -> list[Port]:
    found = client.collect(WirePort, "ports", [*query, *names(WirePort)], what, calls)
    return [port for port in (wire.port() for wire in found) if port.owner == owner]


def _key(port: Port) -> tuple[str, str]:
    return port.network_id, port.mac


def _wished(wish: PortWish) -> tuple[str, str]:
    return wish.network, wish.mac.lower()


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
