"""The installation of a host: the deployment, its steps on the job that people see, and how it ended."""

from __future__ import annotations

import logging
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from isthmus.hosts.deploy import (
    Broker,
    BrokerType,
    InstallFailed,
    InstallResult,
    InstallSpec,
    L2Agent,
    Part,
    SpecError,
    Step,
    StepStatus,
    parse_mappings,
)
from isthmus.hosts.deploy import (
    install as deploy,
)
from isthmus.hosts.pki import HOST_LIFE
from isthmus.hosts.ssh import HostKey
from isthmus.model import Code, Host, HostProvider, Severity, note, now
from isthmus.model.jobs import add_step, end_job
from isthmus.reconcile.engine import Engine

log = logging.getLogger(__name__)

RENEW_AGAIN = 3600.0
"""Seconds from a certificate that could not be renewed to the next try."""


def install(engine: Engine, host_id: str) -> float | None:
    """Install the host as its row wants it. Idempotent: cut off, it is done again from where it was."""
    with engine.db.read() as session:
        host = session.get(Host, host_id, options=[selectinload(Host.providers).selectinload(HostProvider.provider)])
        if host is None or host.install_wanted <= max(host.install_done, host.install_failed):
            return None
    try:
        spec = _spec(engine, host)
        result = deploy(spec, engine.authority, lambda step: _keep_step(engine, host, step))
    except (InstallFailed, SpecError) as error:
        _failed(engine, host, str(error))
        return None
    _installed(engine, host, result)
    engine.forget_host(host_id)
    return None


def certificate_is_due(host: Host) -> bool:
    """A third of its life or less is left: time to renew it, with weeks to spare for a host that is away."""
    return host.certificate_until is not None and host.certificate_until - now() < HOST_LIFE / 3


def renew_certificate(engine: Engine, host_id: str) -> float | None:
    """Give the host a new certificate; nothing else there is touched. Tried again until it succeeds.

    The connection there is goes on under the former one, which ends by itself; the next is made under the new one.
    """
    with engine.db.read() as session:
        host = session.get(Host, host_id, options=[selectinload(Host.providers).selectinload(HostProvider.provider)])
        if host is None or not certificate_is_due(host):
            return None
    try:
        spec = replace(_spec(engine, host), parts=frozenset({Part.CERTIFICATE}))
        result = deploy(spec, engine.authority, lambda _: None)
    except (InstallFailed, SpecError) as error:
        with engine.db.write() as session:
            note(
                session,
                Code.VDS_INSTALL_IN_PROGRESS_WARNING,
                f"The certificate of host {host.name}, which ends on {host.certificate_until:%Y-%m-%d}, could not be"
                f" renewed: {error}. It is tried again every hour",
                severity=Severity.WARNING,
                host=host.id,
                cluster=host.cluster_id,
            )
        return RENEW_AGAIN
    with engine.db.write() as session:
        row = session.get(Host, host_id)
        if row is None:
            return None
        row.certificate_serial, row.certificate_until = result.certificate_serial, result.certificate_not_after
        note(
            session,
            Code.VDS_INSTALL_IN_PROGRESS,
            f"The certificate of host {row.name} was renewed; it ends on {result.certificate_not_after:%Y-%m-%d}",
            host=row.id,
            cluster=row.cluster_id,
        )
    return None


def _spec(engine: Engine, host: Host) -> InstallSpec:
    kind, _, text = host.ssh_host_key.partition(" ")
    return InstallSpec(
        host_id=host.id,
        address=host.address,
        host_key=HostKey(kind, text, host.ssh_fingerprint),
        binding_host=host.name,
        user=host.ssh_user,
        ssh_port=host.ssh_port,
        agent_port=host.agent_port,
        package_source=engine.options.package_source,
        proxy=engine.options.proxy,
        l2_agent=_l2_agent(engine, host),
    )


def _l2_agent(engine: Engine, host: Host) -> L2Agent | None:
    if not host.providers:
        return None
    carried = host.providers[0]
    provider = carried.provider
    mappings = provider.network_mappings if carried.network_mappings is None else carried.network_mappings
    return L2Agent(
        broker=Broker(
            type=BrokerType(provider.broker_type.upper() or "RABBIT_MQ"),
            host=provider.broker_host,
            port=provider.broker_port,
            username=provider.broker_username,
            password=provider.broker_password or "",
        ),
        mappings=parse_mappings(mappings),
        plugin_type=provider.plugin_type,
        polling_interval=engine.options.agent_polling,
    )


def _keep_step(engine: Engine, seen: Host, step: Step) -> None:
    """Each task is a step of the job; what was done for it is an event."""
    if step.status is StepStatus.STARTED or step.status is StepStatus.SKIPPED:
        return
    failed = step.status is StepStatus.FAILED
    with engine.db.write() as session:
        add_step(
            session,
            seen.install_job_id,
            step.name,
            status="failed" if failed else "finished",
            seconds=step.seconds,
            message=step.message,
        )
        note(
            session,
            Code.VDS_INSTALL_IN_PROGRESS_ERROR if failed else Code.VDS_INSTALL_IN_PROGRESS,
            f"Installing host {seen.name}: {step.name}" + (f": {step.message}" if step.message else ""),
            severity=Severity.ERROR if failed else Severity.NORMAL,
            host=seen.id,
            cluster=seen.cluster_id,
            job=seen.install_job_id,
        )


def _installed(engine: Engine, seen: Host, result: InstallResult) -> None:
    with engine.db.write() as session:
        host = _still(session, seen)
        if host is None:
            return
        host.install_done = seen.install_wanted
        host.certificate_serial, host.certificate_until = result.certificate_serial, result.certificate_not_after
        host.status, host.status_reason = "connecting", ""
        words = f"Host {host.name} was installed in {result.seconds:.0f} s; {result.changed} tasks changed something"
        note(
            session,
            Code.VDS_INSTALL,
            "; ".join([words, *result.notes]),
            host=host.id,
            cluster=host.cluster_id,
            job=host.install_job_id,
        )
        end_job(session, host.install_job_id)


def _failed(engine: Engine, seen: Host, why: str) -> None:
    with engine.db.write() as session:
        host = _still(session, seen)
        if host is None:
            return
        host.install_failed = seen.install_wanted
        host.status, host.status_reason = "install_failed", why
        text = f"Host {host.name} could not be installed: {why}"
        note(
            session,
            Code.VDS_INSTALL_FAILED,
            text + ". Put right what it names and install it again: it goes on from there",
            severity=Severity.ERROR,
            host=host.id,
            cluster=host.cluster_id,
            job=host.install_job_id,
        )
        end_job(session, host.install_job_id, fault=text)


def _still(session: Session, seen: Host) -> Host | None:
    """The row, if this installation is still the one that is wanted."""
    return session.scalar(select(Host).where(Host.id == seen.id, Host.install_wanted == seen.install_wanted))
