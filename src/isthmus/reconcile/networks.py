"""Networks that are to be made at a provider, and what a call that landed late may have left there.

A provision without ``external_id`` is work. Each call that may reach the provider is counted (and committed) before it
is made; with the count above zero the provider is first asked for a network with our stamp, the provision's id, so a
lost reply or a crash makes no second network. Once a wish has ended - recorded, refused or removed - its stamp is
looked up again for a while: an earlier call may still land, and what it makes belongs to nobody.
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, joinedload

from isthmus.model import (
    Code,
    Network,
    NetworkProvision,
    Nic,
    Provider,
    Setting,
    Severity,
    VnicProfile,
    next_change,
    note,
    now,
)
from isthmus.model.jobs import Job, end_job
from isthmus.model.points import declare, reach
from isthmus.providers.base import (
    Conflict,
    CredentialsWrong,
    ExternalNetwork,
    NetworkProvider,
    NewNetwork,
    ProviderError,
    ProviderUnwell,
    RequestWrong,
)
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.loop import Task, back_off

log = logging.getLogger(__name__)

declare(
    "add-network.before-call",
    "add-network.after-call",
    "add-network.before-record",
    "add-network.after-record",
)

FIRST_LOOK = 5.0
"""Seconds from the end of a wish to the first look for what landed late."""
LATEST = timedelta(minutes=10)
"""A call whose outcome is not known may land within this time; proxies and servers have given up on it by then."""
_LATE = "late-network:"


def plan(engine: Engine, network_id: str) -> list[Task]:
    with engine.db.read() as session:
        wanted = session.scalars(
            select(NetworkProvision).where(
                NetworkProvision.network_id == network_id, NetworkProvision.external_id.is_(None)
            )
        ).all()
    return [Task(f"make {p.id}", f"provider:{p.provider_id}", partial(make, engine, p.id)) for p in wanted]


def make(engine: Engine, provision_id: str) -> float | None:
    """See that the network exists at its provider, once, and is recorded. Idempotent."""
    with engine.db.read() as session:
        provision = session.get(
            NetworkProvision,
            provision_id,
            options=[joinedload(NetworkProvision.network), joinedload(NetworkProvision.provider)],
        )
    if provision is None or provision.external_id is not None:
        return None
    try:
        made = _make(engine, provision)
    except (RequestWrong, CredentialsWrong) as refusal:
        _give_up(engine, provision, refusal)
        return None
    except ProviderUnwell as problem:
        _keep_problem(engine, provision, problem)
        return back_off(provision.attempts + 1)
    if made is None:
        return None
    reach("add-network.before-record")
    _record(engine, provision, made)
    reach("add-network.after-record")
    return None


def _make(engine: Engine, provision: NetworkProvision) -> ExternalNetwork | None:
    """Found, or made. None: somebody else works on this row, or it is gone.

    :raises ProviderError:
    """
    provider = engine.provider(provision.provider)
    if provision.attempts and (found := _found(provider, provision)):
        return found
    if not _count(engine, provision):
        return None
    network = provision.network
    wish = NewNetwork(
        name=network.name,
        stamp=provision.id,
        physical_network=provision.physical_network,
        vlan_id=network.vlan_id,
        mtu=network.mtu,
    )
    reach("add-network.before-call")
    try:
        made = provider.create_network(wish)
    except Conflict:
        # What is in the way may be the network itself, made by a call that was repeated on its way or landed late.
        found = _found(provider, provision)
        if found is None:
            raise
        return found
    reach("add-network.after-call")
    return made


def _found(provider: NetworkProvider, provision: NetworkProvision) -> ExternalNetwork | None:
    return min(provider.find_network(provision.id), key=lambda network: network.id, default=None)


def _count(engine: Engine, provision: NetworkProvision) -> bool:
    """Commit that a call may reach the provider. False: the row is no longer as it was read."""
    with engine.db.write() as session:
        changed = session.execute(
            update(NetworkProvision)
            .where(
                NetworkProvision.id == provision.id,
                NetworkProvision.external_id.is_(None),
                NetworkProvision.attempts == provision.attempts,
            )
            .values(attempts=NetworkProvision.attempts + 1, change=next_change(session))
        )
        assert isinstance(changed, CursorResult)  # noqa: S101 - what an UPDATE returns
    provision.attempts += 1
    return changed.rowcount == 1


def _record(engine: Engine, provision: NetworkProvision, made: ExternalNetwork) -> None:
    with engine.db.write() as session:
        kept = session.get(NetworkProvision, provision.id)
        if kept is None:
            watch_late(session, provision, sure=False)
        elif kept.external_id is None:
            other = imported_as(session, provision.data_center_id, provision.provider_id, made.id)
            if other is not None:
                _drop(session, kept, f"it was imported as network {other} while it was being made", "conflict")
                return
            kept.external_id = made.id
            kept.physical_network = made.physical_network or kept.physical_network
            kept.segmentation_id = made.segmentation_id
            kept.network_type = made.network_type
            watch_late(session, kept, sure=kept.attempts <= 1)
            job = session.get(Job, kept.job_id) if kept.job_id else None
            note(
                session,
                Code.NETWORK_ADD_NETWORK,
                f"Network {kept.network.name} was added by {job.user if job else 'the engine'}; provider "
                f"{kept.provider.name} made it as {made.id}.",
                user=job.user if job else "",
                correlation_id=job.correlation_id if job else "",
                data_center=kept.data_center_id,
                network=kept.network_id,
                provider=kept.provider_id,
                job=kept.job_id,
            )
            end_job(session, kept.job_id)
    engine.wake("late-network", provision.id, FIRST_LOOK)


def _give_up(engine: Engine, provision: NetworkProvision, refusal: ProviderError) -> None:
    """The provider will refuse the same call again: the network is undone here, with the provider's reason."""
    kind = (
        "conflict"
        if isinstance(refusal, Conflict)
        else "credentials"
        if isinstance(refusal, CredentialsWrong)
        else "wrong"
    )
    with engine.db.write() as session:
        kept = session.get(NetworkProvision, provision.id)
        if kept is not None and kept.external_id is None:
            _drop(session, kept, str(refusal), kind)
    engine.wake("late-network", provision.id, FIRST_LOOK)


def _drop(session: Session, provision: NetworkProvision, why: str, kind: str) -> None:
    network, job_id = provision.network, provision.job_id
    job = session.get(Job, job_id) if job_id else None
    text = f"Network {network.name} could not be added: {why}"
    watch_late(session, provision, sure=provision.attempts <= 1)
    note(
        session,
        Code.NETWORK_ADD_NETWORK_FAILED,
        text,
        severity=Severity.ERROR,
        user=job.user if job else "",
        correlation_id=job.correlation_id if job else "",
        data_center=provision.data_center_id,
        provider=provision.provider_id,
        job=job_id,
    )
    end_job(session, job_id, fault=text, kind=kind)
    if len(network.provided_by) > 1:
        session.delete(provision)
    else:
        leave_network(session, network)
        session.delete(network)


def leave_network(session: Session, network: Network) -> None:
    """vNICs that were put on a network which goes stay, without a network."""
    of_it = select(VnicProfile.id).where(VnicProfile.network_id == network.id)
    for nic in session.scalars(select(Nic).where(Nic.profile_id.in_(of_it))):
        nic.profile = None
    session.flush()


def _keep_problem(engine: Engine, provision: NetworkProvision, problem: ProviderUnwell) -> None:
    """Show in the job why it takes so long; written once for each reason."""
    text = f"Not made yet, it is tried again: {problem}"
    log.info("Network %s: %s", provision.network.name, text)
    with engine.db.write() as session:
        job = session.get(Job, provision.job_id) if provision.job_id else None
        if job is not None and job.ended_at is None and job.steps and job.steps[0].message != text:
            job.steps[0].message = text


def imported_as(session: Session, data_center_id: str, provider_id: str, external_id: str) -> str | None:
    """The name under which a data center has this network of this provider already."""
    return session.scalar(
        select(Network.name)
        .join(NetworkProvision)
        .where(
            NetworkProvision.data_center_id == data_center_id,
            NetworkProvision.provider_id == provider_id,
            NetworkProvision.external_id == external_id,
        )
    )


# ------------------------------------------------------------------------------------------- what landed late


def watch_late(session: Session, provision: NetworkProvision, *, sure: bool) -> None:
    """From now on networks with this stamp that nobody records are deleted.

    ``sure``: the outcome of every call is known, so one look is enough (a call may have been repeated on its way).
    """
    if not provision.attempts:
        return
    until = now() if sure else now() + LATEST
    value = json.dumps({"provider": provision.provider_id, "until": until.isoformat()})
    session.merge(Setting(name=_LATE + provision.id, value=value))


def wake_late(engine: Engine) -> None:
    """After a start, and now and then: look for what landed late of every wish that is still watched."""
    with engine.db.read() as session:
        stamps = late_stamps(session)
    for stamp in stamps:
        engine.wake("late-network", stamp, FIRST_LOOK)


def late_stamps(session: Session) -> list[str]:
    names = session.scalars(select(Setting.name).where(Setting.name.startswith(_LATE)))
    return [name.removeprefix(_LATE) for name in names]


def plan_late(engine: Engine, stamp: str) -> list[Task]:
    with engine.db.read() as session:
        watched = session.get(Setting, _LATE + stamp)
    if watched is None:
        return []
    return [Task("look", f"provider:{json.loads(watched.value)['provider']}", partial(look_late, engine, stamp))]


def look_late(engine: Engine, stamp: str) -> float | None:
    """Delete what carries our stamp and is recorded nowhere. Reads the provider first, the rows second: proof."""
    with engine.db.read() as session:
        watched = session.get(Setting, _LATE + stamp)
        known = json.loads(watched.value) if watched else {}
        provider = session.get(Provider, known.get("provider", ""))
    if provider is None:
        _unwatch(engine, stamp)
        return None
    asked = now()
    try:
        found = {network.id: network for network in engine.provider(provider).find_network(stamp)}
        with engine.db.read() as session:
            recorded = set(
                session.scalars(select(NetworkProvision.external_id).where(NetworkProvision.external_id.in_(found)))
            )
            wish = session.get(NetworkProvision, stamp)
        if wish is not None and wish.external_id is None:
            return FIRST_LOOK
        for external_id in sorted(found.keys() - recorded):
            log.info(
                "Provider %s: deleting network %s (%s): made by a call of ours that landed late",
                provider.name,
                external_id,
                found[external_id].name,
            )
            try:
                engine.provider(provider).delete_network(external_id)
            except Conflict as used:
                log.warning("Provider %s: network %s stays, it is in use: %s", provider.name, external_id, used)
    except ProviderError as error:
        log.warning("Provider %s: looking for networks that landed late: %s", provider.name, error)
        return 4 * FIRST_LOOK
    if asked >= datetime.fromisoformat(known["until"]):
        _unwatch(engine, stamp)
        return None
    return 4 * FIRST_LOOK


def _unwatch(engine: Engine, stamp: str) -> None:
    with engine.db.write() as session:
        watched = session.get(Setting, _LATE + stamp)
        if watched is not None:
            session.delete(watched)
