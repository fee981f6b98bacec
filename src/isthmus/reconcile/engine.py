"""What a running engine is made of; handed to commands and reconcilers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from isthmus.hosts.client import HostClient
from isthmus.hosts.pki import Authority
from isthmus.model import Database, Host, Provider
from isthmus.providers import registry
from isthmus.providers.base import NetworkProvider, RequestWrong, Settings
from isthmus.reconcile.loop import Loop

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """Set by the administrator when the engine is started."""

    package_source: str = ""
    """A line for the hosts' apt sources; empty: what the host has."""
    proxy: str = ""
    """For the hosts' apt."""
    sweep_seconds: float = 60.0
    """How often each provider's ports are compared with the claims."""
    emulation: str = "auto"
    """auto: KVM where a host has it that works; qemu: never."""
    agent_polling: int = 1
    """Seconds between two looks of a host's L2 agent at its devices; Neutron's agents take whole seconds."""
    files: tuple[Path, ...] = ()
    """Directories from which users may name kernels, RAM disks and images; empty: the data directory's ``files``."""


@dataclass
class Engine:
    db: Database
    data: Path
    deployment: str
    authority: Authority
    options: Options = field(default_factory=Options)
    loop: Loop = field(default_factory=Loop)
    make_provider: Callable[[str, Settings], NetworkProvider] = registry.make
    make_client: Callable[[Host, Authority], HostClient] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _providers: dict[str, tuple[int, NetworkProvider]] = field(default_factory=dict)
    _clients: dict[str, tuple[tuple[str, int], HostClient]] = field(default_factory=dict)

    def wake(self, noun: str, row: str, delay: float = 0.0) -> None:
        self.loop.wake(noun, row, delay)

    # ------------------------------------------------------------------------------------------ providers

    def settings_of(self, row: Provider) -> Settings:
        return Settings(
            id=row.id,
            name=row.name,
            url=row.url,
            deployment=self.deployment,
            username=row.username,
            password=row.password or "",
            authentication_url=row.authentication_url,
            tenant_name=row.tenant_name,
            requires_authentication=row.requires_authentication,
            plugin_type=row.plugin_type,
        )

    def provider(self, row: Provider) -> NetworkProvider:
        """The provider of this row, made again when the row's configuration has changed since.

        :raises ProviderError: nothing can be made of that configuration.
        """
        mark = hash(self.settings_of(row))
        with self._lock:
            known = self._providers.get(row.id)
            if known and known[0] == mark:
                return known[1]
            try:
                made = self.make_provider(row.type, self.settings_of(row))
            except registry.UnknownType as error:
                raise RequestWrong(f"provider {row.name}: {error}") from error
            self._providers[row.id] = (mark, made)
        if known:
            known[1].close()
        return made

    def ask(self, row: Provider, question: Callable[[NetworkProvider], T]) -> Future[T]:
        """Ask a provider in its own lane, for a route that waits (bounded) for the answer.

        :raises isthmus.reconcile.loop.LaneFull: so much waits for it that this would only wait longer.
        """
        return self.loop.lane(f"provider:{row.id}").submit(lambda: question(self.provider(row)))

    def try_out(self, type_name: str, settings: Settings, question: Callable[[NetworkProvider], T]) -> Future[T]:
        """Ask a provider that is not saved, or whose configuration is being tried out, in a lane apart."""

        def call() -> T:
            provider = self.make_provider(type_name, settings)
            try:
                return question(provider)
            finally:
                provider.close()

        return self.loop.lane("provider:unsaved").submit(call)

    # --------------------------------------------------------------------------------------------- hosts

    def client(self, host: Host) -> HostClient:
        place = (host.address, host.agent_port)
        with self._lock:
            known = self._clients.get(host.id)
            if known and known[0] == place:
                return known[1]
            make = self.make_client or _dial
            made = make(host, self.authority)
            self._clients[host.id] = (place, made)
        if known:
            known[1].close()
        return made

    def forget_host(self, host_id: str) -> None:
        with self._lock:
            known = self._clients.pop(host_id, None)
        if known:
            known[1].close()

    def forget_provider(self, provider_id: str) -> None:
        with self._lock:
            known = self._providers.pop(provider_id, None)
        if known:
            known[1].close()

    def close(self) -> None:
        self.loop.close()
        with self._lock:
            providers = [p for _, p in self._providers.values()]
            clients = [c for _, c in self._clients.values()]
        for provider in providers:
            provider.close()
        for client in clients:
            client.close()


def _dial(host: Host, authority: Authority) -> HostClient:
    return HostClient(host.id, host.address, host.agent_port, authority)
