"""Subnets of a provider's networks: what may be asked for, and the event that is left here. They live there alone."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from isthmus.commands.caller import Caller, Refused
from isthmus.commands.checks import check_name
from isthmus.model import Code, Severity, note
from isthmus.providers.base import NewSubnet
from isthmus.reconcile.engine import Engine


def new_subnet(
    *,
    name: str,
    network_id: str,
    cidr: str,
    ip_version: str | None = None,
    gateway: str = "",
    dns_servers: Sequence[str] = (),
) -> NewSubnet:
    """:raises Refused: the name, the CIDR, the version, the gateway or a name server is not allowed."""
    check_name(name, "a subnet", pattern=r"[A-Za-z0-9_-]+", allowed="a-z, A-Z, 0-9 and _ - may stand there", limit=255)
    if not cidr:
        raise Refused(f"Subnet {name} needs a CIDR, such as 10.0.0.0/24.", "Incomplete parameters")
    try:
        block = ipaddress.ip_network(cidr)
    except ValueError as error:
        raise Refused(f"The CIDR {cidr!r} of subnet {name} is not allowed: {error}.") from None
    if ip_version and ip_version.lower().removeprefix("ip").removeprefix("v") != str(block.version):
        raise Refused(f"Subnet {name} is to be of version {ip_version}, but {cidr} is of version {block.version}.")
    for what, text in [("gateway", gateway), *(("name server", server) for server in dns_servers)]:
        if text:
            _check_address(text, what, name, block.version)
    return NewSubnet(name, network_id, str(block), block.version, gateway, tuple(dns_servers))


def note_subnet(
    engine: Engine, caller: Caller, code: Code, provider_id: str, text: str, refusal: Refused | None = None
) -> None:
    """``text`` is what was asked: "Adding subnet a to network b of provider c"."""
    words = f"{text}, asked for by {caller.user}, {f'failed: {refusal.detail}' if refusal else 'was done.'}"
    with engine.db.write() as session:
        note(
            session,
            code,
            words,
            severity=Severity.ERROR if refusal else Severity.NORMAL,
            user=caller.user,
            correlation_id=caller.correlation_id,
            provider=provider_id,
        )


def _check_address(text: str, what: str, subnet: str, version: int) -> None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise Refused(f"The {what} {text!r} of subnet {subnet} is not an IP address.") from None
    if address.version != version:
        raise Refused(f"The {what} {text} of subnet {subnet} is not of IP version {version}.")
