"""The contract of a network provider: what each type declares, does and raises.

A provider type is one class, found by the entry point group ``isthmus.network_providers``. It declares itself
(``type``, ``label``, ``fields``) so that the API and the dialogs are drawn from the declaration, and its
methods are the few below. Callers ask for a capability (``Capabilities``, probed per provider), never for a class.

All methods are synchronous, bounded by the time limit in ``Settings.timeout``, and are called only on that
provider's own executor: a provider that hangs holds up nobody else. The contract is held by
``tests/unit/providers/contract.py``, which runs against every type.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

# --------------------------------------------------------------------------------------------------- errors


class ProviderError(Exception):
    """What the provider answered, in its own words.

    ``error_type`` and ``request_id`` are the provider's (Neutron: ``NeutronError.type`` and
    ``x-openstack-request-id``), ``status`` its HTTP status where there was an answer, ``advice`` what to do.
    """

    def __init__(
        self,
        message: str,
        *,
        error_type: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.error_type = error_type
        self.request_id = request_id
        self.status = status
        self.advice = advice

    def __str__(self) -> str:
        facts = [f for f in (self.error_type, self.request_id and f"request {self.request_id}") if f]
        text = self.message + (f" ({', '.join(facts)})" if facts else "")
        return f"{text}. {self.advice}" if self.advice else text


class RequestWrong(ProviderError):
    """The request itself is wrong: the same call will be refused again. Do not retry."""


class NotFound(RequestWrong):
    """The object named in the call does not exist at the provider."""


class Conflict(RequestWrong):
    """The provider refuses because of something it already has (Neutron: 409). ``error_type`` says what."""


class CredentialsWrong(ProviderError):
    """The provider wants other credentials. Do not retry; say so on the provider."""


class ProviderUnwell(ProviderError):
    """The provider is not well: no answer, a time-out, a reset, 429 or 5xx. Retry later.

    The call may have been carried out, or may still be: whoever made it looks the object up before making another.
    """


# ---------------------------------------------------------------------------------------------- declaration


class FieldKind(enum.StrEnum):
    TEXT = "text"
    SECRET = "secret"  # noqa: S105
    NUMBER = "number"
    CHOICE = "choice"
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Field:
    """One field of a provider's dialog. A secret is encrypted at rest and never given back."""

    name: str
    label: str
    kind: FieldKind = FieldKind.TEXT
    required: bool = False
    choices: tuple[str, ...] = ()
    group: str = "general"
    help: str = ""


@dataclass(frozen=True)
class Settings:
    """What a provider instance is made from: one row of the database, its secrets decrypted."""

    id: str
    name: str
    url: str
    deployment: str
    """Ours: ports are owned by ``compute:isthmus-<deployment>``."""
    username: str = ""
    password: str = ""
    authentication_url: str = ""
    tenant_name: str = ""
    user_domain_name: str = ""
    project_name: str = ""
    project_domain_name: str = ""
    requires_authentication: bool = False
    plugin_type: str = ""
    ca_file: str | None = None
    timeout: float = 20.0
    """Seconds that one call may take in all, connecting included."""


@dataclass(frozen=True)
class Capabilities:
    """What this provider can do, found out by asking it, not assumed from its kind."""

    bulk_ports: bool = False
    provider_attributes: bool = False
    """``provider:network_type`` and its siblings may be given and are shown."""
    port_binding: bool = False
    """Ports show ``binding:host_id`` and ``binding:vif_type``."""
    agents: bool = False
    security_groups: bool = False
    subnets: bool = False
    mtu: bool = False
    extensions: frozenset[str] = frozenset()


# -------------------------------------------------------------------------------------------------- objects


@dataclass(frozen=True)
class ExternalNetwork:
    id: str
    name: str
    project_id: str = ""
    description: str = ""
    status: str = ""
    network_type: str = ""
    physical_network: str = ""
    segmentation_id: int | None = None
    mtu: int | None = None
    shared: bool = False
    external: bool = False
    port_security: bool | None = None


@dataclass(frozen=True)
class NewNetwork:
    """A network to make. ``stamp`` is kept at the provider, so that a lost reply can be looked up by it."""

    name: str
    stamp: str
    physical_network: str = ""
    vlan_id: int | None = None
    mtu: int | None = None
    port_security: bool | None = None


@dataclass(frozen=True)
class Subnet:
    id: str
    name: str
    network_id: str
    cidr: str
    ip_version: int
    gateway: str = ""
    dns_servers: tuple[str, ...] = ()
    dhcp: bool = True


@dataclass(frozen=True)
class NewSubnet:
    name: str
    network_id: str
    cidr: str
    ip_version: int = 4
    gateway: str = ""
    """Empty: the provider chooses."""
    dns_servers: tuple[str, ...] = ()


@dataclass(frozen=True)
class PortWish:
    """A claim that wants its port: all that the provider must know of it (protocol, rules 1 to 4)."""

    claim: str
    generation: int
    network: str
    mac: str
    vm: str
    host: str
    """What goes into ``binding:host_id``."""
    security_groups: tuple[str, ...] | None = None
    """None: the provider's default. Empty: no security group."""

    @property
    def stamp(self) -> str:
        """Rule 3: written into the port by the POST that makes it."""
        return f"{self.claim}/{self.generation}"


@dataclass(frozen=True)
class Port:
    id: str
    network_id: str
    mac: str
    owner: str
    device_id: str
    stamp: str
    host: str = ""
    status: str = ""
    vif_type: str = ""
    vif_details: dict[str, Any] = field(default_factory=dict)
    revision: int | None = None
    addresses: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Can a host wire it? Neutron answers 2xx with these two when no live agent could bind the port."""
        return self.vif_type not in ("", "binding_failed", "unbound")


@dataclass(frozen=True)
class Call:
    """One call to the provider, for the NIC's timeline: what was asked, how it was answered, how long it took."""

    what: str
    status: int | None
    request_id: str | None
    seconds: float


@dataclass(frozen=True)
class Got:
    """The port exists with this claim's own stamp: made by this call, or by an earlier one whose reply was lost."""

    port: Port
    made: bool


@dataclass(frozen=True)
class Stale:
    """A port of ours with that network and MAC exists, with the stamp of another generation (rule 4)."""

    port: Port


@dataclass(frozen=True)
class MacTaken:
    """The MAC is in use on that network by a port not ours (rule 2). ``holder`` names it where it may be seen."""

    holder: str


@dataclass(frozen=True)
class Failed:
    """This claim's port could not be made. A ``ProviderUnwell`` is worth another try, the other kinds are not."""

    error: ProviderError


Outcome = Got | Stale | MacTaken | Failed


@dataclass(frozen=True)
class Agent:
    """An L2 or DHCP agent as the provider sees it."""

    host: str
    kind: str
    alive: bool
    configuration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Reach:
    """Can a host wire a network? ``reason`` says why not, in words for a user."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True)
class TestResult:
    """A connection that was tried. If not ok: ``problem`` in a word, ``message`` what was seen, ``advice`` what to do.

    Problems: refused, timeout, not_found, not_provider, authentication, tls, unresolved, address, error.
    """

    ok: bool
    problem: str = ""
    message: str = ""
    advice: str = ""


# ------------------------------------------------------------------------------------------------ the class


class NetworkProvider(ABC):
    """One external network provider. Made from ``Settings``; holds its own pooled client; ``close()`` ends it."""

    type: ClassVar[str]
    label: ClassVar[str]
    fields: ClassVar[tuple[Field, ...]]
    plugin_types: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def owner(self) -> str:
        """Rule 1: this decides what is ours. It must start with ``compute:``: bindings and agents look for that."""
        return f"compute:isthmus-{self.settings.deployment}"

    @abstractmethod
    def test(self) -> TestResult:
        """Try the connection and say plainly what was found. Raises nothing of the provider's."""

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """Asked once and remembered. :raises ProviderError:"""

    @abstractmethod
    def networks(self) -> list[ExternalNetwork]:
        """Every network that these credentials may see. :raises ProviderError:"""

    @abstractmethod
    def network(self, network_id: str) -> ExternalNetwork:
        """:raises NotFound: :raises ProviderError:"""

    @abstractmethod
    def create_network(self, wish: NewNetwork) -> ExternalNetwork:
        """Make a network. Not idempotent: after a ``ProviderUnwell`` ask ``find_network`` first.

        :raises RequestWrong: for instance a VLAN out of range, or in use (``Conflict``).
        """

    @abstractmethod
    def find_network(self, stamp: str) -> list[ExternalNetwork]:
        """The networks made with this stamp; more than one if a lost call landed late. :raises ProviderError:"""

    @abstractmethod
    def delete_network(self, network_id: str) -> None:
        """Idempotent: a network that is not there is deleted. :raises Conflict: while it has ports of others."""

    @abstractmethod
    def subnets(self, network_id: str | None = None) -> list[Subnet]:
        """:raises ProviderError:"""

    @abstractmethod
    def create_subnet(self, wish: NewSubnet) -> Subnet:
        """:raises RequestWrong: :raises ProviderError:"""

    @abstractmethod
    def delete_subnet(self, subnet_id: str) -> None:
        """Idempotent. :raises Conflict: while addresses of it are in use. :raises ProviderError:"""

    @abstractmethod
    def ensure(self, wishes: Sequence[PortWish]) -> tuple[dict[str, Outcome], list[Call]]:
        """See that each wish has its port: one outcome per claim id, and the calls made.

        Round trips: one GET of networks (project of each), one POST for each eight wishes; after any answer but
        201 each wish of that call is looked up by owner, network and MAC (rule 2) and the missing ones are
        posted singly. Idempotent by stamp and MAC. Raises nothing: what went wrong is each claim's ``Failed``.
        """

    @abstractmethod
    def release(self, port_id: str) -> list[Call]:
        """Delete a port. Idempotent: one that is not there is released. :raises ProviderError:"""

    @abstractmethod
    def ports(self, *, ids: Sequence[str] | None = None, vm: str | None = None) -> tuple[list[Port], list[Call]]:
        """Ports of ours (rule 1: by owner, always; ``vm`` only narrows), or by id. One paged GET.

        :raises ProviderError:
        """

    @abstractmethod
    def agents(self, host: str | None = None) -> list[Agent]:
        """Empty where the provider has no agents to show. :raises ProviderError:"""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. Calls in flight end with an error."""
