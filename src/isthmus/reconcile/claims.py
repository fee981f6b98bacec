"""Claims against a provider: making the ports of a run, seeing them ready, giving them back.

Each function is one task in the provider's lane: it reads a snapshot, makes its calls, and records what was answered
by compare-and-set (rule 6). Cut off at any moment it can be done again; what a lost or late call leaves at the provider
is found by the sweep (rule 7).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.model import Claim, Code, Host, Moment, Nic, Provider, Severity, Vm, note, now
from isthmus.model.claims import record
from isthmus.model.points import declare, reach
from isthmus.providers.base import (
    Call,
    Failed,
    Got,
    MacTaken,
    Outcome,
    Port,
    PortWish,
    ProviderError,
    ProviderUnwell,
    Stale,
)
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.loop import Task, back_off

log = logging.getLogger(__name__)

declare(
    "run.before-ports",
    "run.after-ports",
    "run.ports-recorded",
    "run.before-ready",
    "run.ready-recorded",
    "stop.before-release",
    "stop.after-release",
    "stop.release-recorded",
)

READY_POLL = 0.25
"""Seconds between two looks at ports that are not ready yet."""
RELEASE_AGAIN = 1.0
"""Seconds from the first failed release to the next try."""
SWEEP_AFTER_DOUBT = 5.0
"""Seconds after which a provider is swept when a call to it may have landed unseen."""


def make_ports(engine: Engine, vm_id: str, provider_id: str) -> float | None:
    """See that each claim of this run has its port recorded. Round trips: those of ``ensure``."""
    with engine.db.read() as session:
        vm = session.get(Vm, vm_id)
        provider = session.get(Provider, provider_id)
        claims = _open_claims(session, vm_id, provider_id)
        if vm is None or provider is None or vm.wanted != "up" or not claims:
            return None
        epoch = vm.epoch
    wishes = [
        PortWish(
            claim=c.id,
            generation=c.generation,
            network=c.external_network_id,
            mac=c.mac,
            vm=c.vm_id,
            host=c.binding_host,
            security_groups=None if c.security_groups is None else tuple(c.security_groups),
        )
        for c in claims
    ]
    reach("run.before-ports")
    outcomes, calls = _ensure(engine, provider, wishes)
    reach("run.after-ports")
    doubt = False
    doomed: list[str] = []
    rest = 0.0
    with engine.db.write() as session:
        for claim in claims:
            outcome = outcomes[claim.id]
            recorded = record(session, claim, **_news(claim, outcome, provider.name))
            doubt |= not recorded or (isinstance(outcome, Failed) and isinstance(outcome.error, ProviderUnwell))
            if isinstance(outcome, Failed) and isinstance(outcome.error, ProviderUnwell):
                rest = max(rest, back_off(claim.tries + 1, most=5.0))
            if recorded and isinstance(outcome, Stale) and not _recorded(session, outcome.port.id):
                # Rule 4: decided in the statement that saw the generation current; the DELETE follows.
                doomed.append(outcome.port.id)
        keep_calls(session, claims, calls, epoch)
    reach("run.ports-recorded")
    for port_id in doomed:
        try:
            engine.provider(provider).release(port_id)
        except ProviderError as error:
            log.warning(
                "Port %s of an earlier run could not be deleted at provider %s: %s", port_id, provider.name, error
            )
            rest, doubt = max(rest, 1.0), True
    if doubt:
        engine.wake("sweep", provider_id, SWEEP_AFTER_DOUBT)
    return rest or None


def _ensure(engine: Engine, provider: Provider, wishes: list[PortWish]) -> tuple[dict[str, Outcome], list[Call]]:
    try:
        network_provider = engine.provider(provider)
    except ProviderError as error:
        return {wish.claim: Failed(error) for wish in wishes}, []
    return network_provider.ensure(wishes)


def _open_claims(session: Session, vm_id: str, provider_id: str) -> list[Claim]:
    return list(
        session.scalars(
            select(Claim)
            .where(
                Claim.vm_id == vm_id,
                Claim.provider_id == provider_id,
                Claim.wanted == "bound",
                Claim.port_id.is_(None),
                Claim.problem_final.is_(False),
            )
            .order_by(Claim.id)
        )
    )


def _recorded(session: Session, port_id: str) -> bool:
    return session.scalar(select(Claim.id).where(Claim.port_id == port_id).limit(1)) is not None


def _news(claim: Claim, outcome: Outcome, provider: str) -> dict[str, Any]:
    match outcome:
        case Got(port=port) if port.usable:
            return {"port_id": port.id, "problem": "", "tries": 0, **_seen(port)}
        case Got(port=port):
            return {
                "port_id": port.id,
                "problem": f"provider {provider} could not bind port {port.id} to host {claim.binding_host}"
                f" (binding:vif_type is {port.vif_type or 'empty'}): no live L2 agent there can carry its network",
                "problem_final": True,
                **_seen(port),
            }
        case MacTaken(holder=holder):
            words = f"MAC address {claim.mac} is taken on that network of provider {provider} by {holder}"
            return {"problem": words, "problem_final": True}
        case Stale(port=port):
            return {"problem": f"port {port.id} of an earlier run is still there; it is being deleted"}
        case Failed(error=error):
            return {
                "problem": str(error),
                "problem_final": not isinstance(error, ProviderUnwell),
                "tries": claim.tries + 1,
            }


def _seen(port: Port) -> dict[str, Any]:
    return {
        "seen_host": port.host,
        "seen_status": port.status,
        "vif_type": port.vif_type,
        "vif_details": port.vif_details,
        "addresses": list(port.addresses),
    }


def check_ready(engine: Engine, vm_id: str, provider_id: str) -> float | None:
    """Rule 14's half at the provider: one GET, made after the NICs were wired, shows each port bound to this host,
    usable and ACTIVE. Polled: a notification that is lost must not cost minutes.
    """
    with engine.db.read() as session:
        vm = session.get(Vm, vm_id)
        provider = session.get(Provider, provider_id)
        claims = [
            c
            for c in claims_of_run(session, vm_id)
            if c.provider_id == provider_id and c.port_id is not None and not c.ready
        ]
        if vm is None or provider is None or vm.wanted != "up" or vm.seen_state != "paused" or not claims:
            return None
        epoch = vm.epoch
    reach("run.before-ready")
    try:
        ports, calls = engine.provider(provider).ports(ids=[c.port_id for c in claims if c.port_id])
    except ProviderError as error:
        with engine.db.write() as session:
            for claim in claims:
                record(session, claim, problem=str(error), tries=claim.tries + 1)
        return back_off(max(c.tries for c in claims) + 1, most=5.0)
    by_id = {p.id: p for p in ports}
    news = {c.id: _readiness(c, by_id.get(c.port_id or ""), provider.name) for c in claims}
    changed = [c for c in claims if any(getattr(c, k) != v for k, v in news[c.id].items())]
    if changed:
        with engine.db.write() as session:
            for claim in changed:
                record(session, claim, **news[claim.id])
            keep_calls(session, [c for c in claims if news[c.id].get("ready")], calls, epoch)
        reach("run.ready-recorded")
    return None if all(news[c.id].get("ready") for c in claims) else READY_POLL


def _readiness(claim: Claim, port: Port | None, provider: str) -> dict[str, Any]:
    if port is None:
        words = f"port {claim.port_id} is gone: somebody deleted it at provider {provider}"
        return {"problem": words, "problem_final": True}
    ready = port.host == claim.binding_host and port.usable and port.status == "ACTIVE"
    words = ""
    if not ready:
        words = (
            f"provider {provider} has not made port {port.id} ready on host {claim.binding_host}: its status is"
            f" {port.status or 'unknown'}, bound to {port.host or 'no host'} as {port.vif_type or 'nothing'}"
        )
    return {"ready": ready, "problem": words, **_seen(port)}


def claims_of_run(session: Session, vm_id: str) -> list[Claim]:
    return list(session.scalars(select(Claim).where(Claim.vm_id == vm_id, Claim.wanted == "bound").order_by(Claim.id)))


# ------------------------------------------------------------------------------------------------ giving back


def wake(engine: Engine, vm_id: str) -> None:
    """Have the ports of a VM that is down given back; and look for what a call still under way may leave."""
    with engine.db.read() as session:
        rows = session.execute(
            select(Claim.id, Claim.provider_id, Claim.port_id).where(Claim.vm_id == vm_id, Claim.wanted == "absent")
        ).all()
    for claim_id, provider_id, port_id in rows:
        if port_id is None:
            engine.wake("sweep", provider_id, SWEEP_AFTER_DOUBT)
        else:
            engine.wake("claim", claim_id)


def plan(engine: Engine, claim_id: str) -> list[Task]:
    """A claim by itself has work when it wants no port and one is recorded."""
    with engine.db.read() as session:
        claim = session.get(Claim, claim_id)
    if claim is None or claim.wanted != "absent" or claim.port_id is None:
        return []
    return [Task("release", f"provider:{claim.provider_id}", lambda: release(engine, claim_id))]


def release(engine: Engine, claim_id: str) -> float | None:
    """Delete the port of a claim that wants none. Idempotent; retried, ever more slowly, until the provider answers."""
    with engine.db.read() as session:
        claim = session.get(Claim, claim_id)
        if claim is None or claim.wanted != "absent" or claim.port_id is None:
            return None
        provider = session.get_one(Provider, claim.provider_id)
    reach("stop.before-release")
    try:
        calls = engine.provider(provider).release(claim.port_id)
    except ProviderError as error:
        with engine.db.write() as session:
            record(session, claim, problem=str(error), tries=claim.tries + 1)
            if claim.tries == 0:
                note(
                    session,
                    Code.REMOVE_PORT_FROM_EXTERNAL_PROVIDER_FAILED,
                    f"Port {claim.port_id} could not be given back to provider {provider.name} yet: {error}."
                    " It is tried again until the provider answers",
                    severity=Severity.WARNING,
                    provider=provider.id,
                    vm=claim.vm_id,
                    network=claim.network_id,
                )
        return back_off(claim.tries + 1, first=RELEASE_AGAIN)
    reach("stop.after-release")
    with engine.db.write() as session:
        if record(
            session,
            claim,
            port_id=None,
            problem="",
            tries=0,
            owed_since=None,
            seen_host="",
            seen_status="",
            vif_type="",
        ) and not _has_its_nic(session, claim):
            session.delete(session.get_one(Claim, claim.id))
        keep_calls(session, [claim], calls, 0, what="release")
    reach("stop.release-recorded")
    return None


def _has_its_nic(session: Session, claim: Claim) -> bool:
    """False: its NIC is gone, or has moved to another network or address, and with it another claim (rule 8)."""
    nic = session.get(Nic, claim.nic_id)
    return (
        nic is not None
        and nic.mac == claim.mac
        and nic.profile is not None
        and nic.profile.network_id == claim.network_id
    )


# ---------------------------------------------------------------------------------------------------- records


def keep_calls(
    session: Session, claims: Iterable[Claim], calls: Iterable[Call], epoch: int, what: str = "call"
) -> None:
    """Put calls to the provider on the timelines of the NICs that they were made for."""
    calls = list(calls)
    for claim in claims:
        for call in calls:
            session.add(
                Moment(
                    nic_id=claim.nic_id,
                    vm_id=claim.vm_id,
                    epoch=epoch,
                    at=now(),
                    what=what,
                    text=f"{call.what} -> {call.status if call.status is not None else 'no answer'}",
                    request_id=call.request_id,
                    seconds=call.seconds,
                )
            )


def troubles(session: Session, vm: Vm) -> str:
    """Why the NICs of this run are not ready: NIC, host, provider and reason of each, in words."""
    nics = {n.id: n for n in session.scalars(select(Nic).where(Nic.vm_id == vm.id))}
    host = session.get(Host, vm.host_id) if vm.host_id else None
    words = []
    for claim in claims_of_run(session, vm.id):
        if claim.ready and not claim.problem:
            continue
        nic = nics.get(claim.nic_id)
        provider = session.get(Provider, claim.provider_id)
        reason = claim.problem or "no answer yet"
        words.append(
            f"NIC {nic.name if nic else claim.mac} on host {host.name if host else claim.binding_host},"
            f" provider {provider.name if provider else claim.provider_id}: {reason}"
        )
    return "; ".join(words)
