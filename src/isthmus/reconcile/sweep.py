"""The sweep: what the provider has of ours against what the claims say (rule 7), and rows that nobody woke.

It deletes only with proof. The ports are read first, the claims second: a port made between the two is not in the
list, a claim that recorded one in between keeps it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from isthmus.model import Claim, Code, Host, NetworkProvision, Provider, Severity, Vm, note
from isthmus.model.claims import record
from isthmus.model.points import declare, reach
from isthmus.providers.base import CredentialsWrong, NetworkProvider, Port, ProviderError
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.loop import Task

log = logging.getLogger(__name__)

declare("sweep.listed", "sweep.before-delete", "sweep.after-delete")


@dataclass(frozen=True)
class Finding:
    """One port of ours at a provider. ``kept`` false: nothing holds it, and the sweep deletes it."""

    port: Port
    kept: bool
    why: str


def judge(session: Session, ports: list[Port]) -> list[Finding]:
    """Rule 7, for ports that were listed before this transaction began.

    Every provider's claims count: two of our providers may be one and the same place, and see each other's ports.
    """
    claims = session.scalars(select(Claim)).all()
    recorded = {c.port_id: c for c in claims if c.port_id}
    wanting = {(c.external_network_id, c.mac, f"{c.id}/{c.generation}"): c for c in claims if c.wanted != "absent"}
    found = []
    for port in ports:
        if port.id in recorded:
            found.append(Finding(port, True, f"recorded by claim {recorded[port.id].id}"))
        elif (port.network_id, port.mac, port.stamp) in wanting:
            claim = wanting[port.network_id, port.mac, port.stamp]
            found.append(Finding(port, True, f"made for claim {claim.id}, about to be recorded"))
        else:
            found.append(Finding(port, False, "no claim records it, and none that wants a port could have made it"))
    return found


def plan(engine: Engine, provider_id: str) -> list[Task]:
    with engine.db.read() as session:
        if session.get(Provider, provider_id) is None:
            return []
    engine.wake("sweep", provider_id, engine.options.sweep_seconds)
    return [Task("sweep", f"provider:{provider_id}", lambda: sweep(engine, provider_id))]


def sweep(engine: Engine, provider_id: str) -> float | None:
    """Delete what nothing holds, and notice ports that somebody else deleted. Idempotent."""
    with engine.db.read() as session:
        provider = session.get(Provider, provider_id)
    if provider is None:
        return None
    try:
        network_provider = engine.provider(provider)
        ports, _ = network_provider.ports()
        reach("sweep.listed")
        with engine.db.read() as session:
            findings = judge(session, ports)
        for finding in findings:
            if not finding.kept:
                log.info("Provider %s: deleting port %s: %s", provider.name, finding.port.id, finding.why)
                reach("sweep.before-delete")
                _delete(network_provider, provider, finding.port)
                reach("sweep.after-delete")
        _notice_missing(engine, provider, {p.id for p in ports})
    except ProviderError as error:
        log.warning("Provider %s could not be swept: %s", provider.name, error)
    return engine.options.sweep_seconds / 2


def _delete(network_provider: NetworkProvider, provider: Provider, port: Port) -> None:
    """One that the provider does not let go must not keep the others: it is found again by the next sweep."""
    try:
        network_provider.release(port.id)
    except ProviderError as error:
        if error.status is None or isinstance(error, CredentialsWrong):
            raise
        log.warning("Provider %s does not delete port %s: %s", provider.name, port.id, error)


def _notice_missing(engine: Engine, provider: Provider, present: set[str]) -> None:
    """A running VM's port that is gone was deleted by somebody else (scenario 22): say so, once, by name."""
    with engine.db.read() as session:
        missing = [
            c
            for c in session.scalars(
                select(Claim).where(Claim.provider_id == provider.id, Claim.wanted == "bound", Claim.ready)
            )
            if c.port_id not in present and not c.problem
        ]
    if not missing:
        return
    # Not in a list made before the claims were read is no proof: ask for each by its id.
    found, _ = engine.provider(provider).ports(ids=[c.port_id for c in missing if c.port_id])
    gone = [c for c in missing if c.port_id not in {p.id for p in found}]
    with engine.db.write() as session:
        for claim in gone:
            words = f"port {claim.port_id} was deleted at provider {provider.name} by somebody else"
            vm = session.get(Vm, claim.vm_id)
            if vm is not None and record(session, claim, problem=words, seen_status="", seen_host=""):
                note(
                    session,
                    Code.VNICS_OUT_OF_SYNC_ON_NETWORK_UPDATE,
                    f"VM {vm.name}, NIC with MAC {claim.mac}: {words}; the NIC is cut off until the VM is started anew",
                    severity=Severity.ALERT,
                    vm=vm.id,
                    provider=provider.id,
                    network=claim.network_id,
                )


def wake_unfinished(engine: Engine) -> None:
    """Wake every row that is not at rest: after a start of the engine, and now and then for what nobody woke."""
    with engine.db.read() as session:
        vms = session.scalars(
            select(Vm.id).where(
                or_(Vm.wanted == "up", Vm.status != "down"), ~((Vm.wanted == "up") & (Vm.seen_state == "running"))
            )
        ).all()
        claims = session.scalars(select(Claim.id).where(Claim.wanted == "absent", Claim.port_id.is_not(None))).all()
        networks = session.scalars(
            select(NetworkProvision.network_id).where(NetworkProvision.external_id.is_(None))
        ).all()
        hosts = session.scalars(select(Host.id)).all()
        providers = session.scalars(select(Provider.id)).all()
    for noun, ids in (("vm", vms), ("claim", claims), ("network", networks), ("host", hosts), ("sweep", providers)):
        for row in ids:
            engine.wake(noun, row)
