"""What a deployment is told, and what it tells."""

from __future__ import annotations

import datetime
import enum
import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..ssh import HostKey


class SpecError(ValueError):
    """Something that was entered cannot be deployed; names it. Nothing was done."""


class BrokerType(enum.StrEnum):
    """oVirt's names. ``QPID`` is AMQP 1.0, which Debian 12's oslo.messaging still speaks."""

    QPID = "QPID"
    RABBIT_MQ = "RABBIT_MQ"


class Part(enum.StrEnum):
    """What can be deployed alone: ``NETWORK`` after a change of mappings or broker, ``CERTIFICATE`` to
    renew it.
    """

    NETWORK = "network"
    CERTIFICATE = "certificate"
    AGENT = "agent"


@dataclass(frozen=True)
class Broker:
    """The message broker through which the L2 agent talks to its Neutron."""

    type: BrokerType
    host: str
    port: int | None = None
    """None: 5672."""
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def transport_url(self) -> str:
        """As oslo.messaging wants it. :raises SpecError: there is no host, or it is no name or address."""
        if not re.fullmatch(r"[A-Za-z0-9._:-]+", self.host):
            raise SpecError(f"the message broker's host {self.host!r} is no name or address")
        if self.port is not None and not 0 < self.port < 65536:
            raise SpecError(f"the message broker's port {self.port} is not between 1 and 65535")
        scheme = "rabbit" if self.type is BrokerType.RABBIT_MQ else "amqp"
        login = ""
        if self.username:
            quoted = [urllib.parse.quote(part, safe="") for part in (self.username, self.password)]
            login = ":".join(quoted) + "@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{login}{host}:{self.port or 5672}/"


@dataclass(frozen=True)
class L2Agent:
    """The provider's agent on the host."""

    broker: Broker
    mappings: Mapping[str, str]
    """Physical network -> interface; see ``parse_mappings``."""
    plugin_type: str = "LINUX_BRIDGE"
    tunnel_address: str = ""
    """Not empty: vxlan on, from this address of the host."""
    polling_interval: int = 1
    """Seconds between two looks of the agent at the host's devices, most of what a VM start waits for.
    Neutron takes whole seconds only, and its own default is 2."""
    report_interval: int = 5
    """Seconds between two signs of life to Neutron."""


@dataclass(frozen=True)
class InstallSpec:
    host_id: str
    address: str
    host_key: HostKey
    """Seen at first contact: no other machine is deployed."""
    binding_host: str
    """How Neutron is to call this host: goes into ``binding:host_id`` of its ports."""
    user: str = "root"
    ssh_port: int = 22
    agent_port: int = 54322
    engine_addresses: tuple[str, ...] = ()
    """From where the agent may be called; empty: from where this deployment came."""
    package_source: str = ""
    """A line for apt, for hosts that cannot reach Debian's archive; empty: the host's own."""
    proxy: str = ""
    """URL of an HTTP proxy for apt."""
    l2_agent: L2Agent | None = None
    parts: frozenset[Part] = frozenset()
    """Only these, on a host that was installed before; empty: everything."""

    def check(self) -> None:
        """:raises SpecError: names the first thing that cannot be meant."""
        if not re.fullmatch(r"[A-Za-z0-9._:-]+", self.address) or self.address.startswith("-"):
            raise SpecError(f"the host's address {self.address!r} is no name or address")
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}", self.binding_host):
            raise SpecError(f"the host's name {self.binding_host!r} has other characters than a host name may")
        if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", self.user):
            raise SpecError(f"{self.user!r} is no user name")
        for address in self.engine_addresses:
            try:
                ipaddress.ip_network(address, strict=False)
            except ValueError as error:
                raise SpecError(f"the engine's address {address!r} is no IP address: {error}") from error
        if self.package_source and not re.fullmatch(r"deb [ -z|~]+", self.package_source):
            raise SpecError(f"the package source {self.package_source!r} is no line of the form 'deb URL SUITE'")
        if self.proxy and not re.fullmatch(r"https?://[!#-z|~]+", self.proxy):
            raise SpecError(f"the proxy {self.proxy!r} is no http or https URL")
        if self.l2_agent is not None:
            self._check_l2_agent(self.l2_agent)

    def _check_l2_agent(self, l2_agent: L2Agent) -> None:
        if l2_agent.plugin_type != "LINUX_BRIDGE":
            raise SpecError(f"no L2 agent of plug-in type {l2_agent.plugin_type!r} can be installed; LINUX_BRIDGE can")
        _ = l2_agent.broker.transport_url
        parse_mappings(",".join(f"{net}:{dev}" for net, dev in l2_agent.mappings.items()))
        if l2_agent.polling_interval < 1 or l2_agent.report_interval < 1:
            raise SpecError("polling_interval and report_interval are whole seconds, at least 1")
        if l2_agent.tunnel_address:
            try:
                ipaddress.ip_address(l2_agent.tunnel_address)
            except ValueError as error:
                raise SpecError(f"the tunnel address {l2_agent.tunnel_address!r} is no IP address") from error


def parse_mappings(text: str) -> dict[str, str]:
    """``red:eth1,blue:eth2``, as a provider or a host has it. The host's own text takes the place of the
    provider's.

    :raises SpecError: not of that form, or a physical network or an interface twice.
    """
    mappings: dict[str, str] = {}
    for item in text.split(","):
        if not item.strip():
            continue
        network, colon, device = (part.strip() for part in item.partition(":"))
        if not colon or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", network):
            raise SpecError(f"the interface mapping {item.strip()!r} is not of the form NETWORK:INTERFACE")
        if not re.fullmatch(r"[A-Za-z0-9._@-]{1,15}", device) or device in (".", ".."):
            raise SpecError(f"{device!r}, mapped to {network}, is no name of a network interface")
        if network in mappings:
            raise SpecError(f"the physical network {network} is mapped twice")
        if device in mappings.values():
            raise SpecError(f"the interface {device} is mapped to two physical networks")
        mappings[network] = device
    return mappings


class StepStatus(enum.StrEnum):
    STARTED = "started"
    FINISHED = "finished"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Step:
    """One task of the deployment. Told when it starts, and again when it ends."""

    name: str
    status: StepStatus
    seconds: float = 0.0
    changed: bool = False
    message: str = ""
    """Of a failure: what the host answered."""


@dataclass(frozen=True)
class InstallResult:
    certificate_serial: str
    certificate_not_after: datetime.datetime
    changed: int
    """How many tasks changed something: none on a second run."""
    seconds: float
    mappings: Mapping[str, str]
    """What the L2 agent was given: the spec's, and those that protect ready VLAN devices."""
    notes: tuple[str, ...] = ()
    """What an admin should know: in words, for instance that the kernel has no 802.1q."""


class InstallFailed(Exception):
    """A task failed, or the host was lost. ``step`` names the task, ``message`` is the host's answer."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(f"{step}: {message}")
        self.step = step
        self.message = message
