"""External network providers: add, change, remove, try out."""

from __future__ import annotations

import re
from typing import Any, TypedDict, Unpack

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from isthmus.commands.audit import audited
from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.checks import check_name, check_number, check_text
from isthmus.commands.clusternetworks import listed, users_of
from isthmus.commands.networks import drop_network
from isthmus.model import Claim, Code, Host, HostProvider, Network, NetworkProvision, Provider, note
from isthmus.providers import registry
from isthmus.providers.base import RequestWrong, Settings
from isthmus.providers.neutron.address import root_of
from isthmus.reconcile.engine import Engine

NAME_LIMIT, URL_LIMIT, USER_LIMIT, SECRET_LIMIT = 128, 512, 64, 4000
BROKERS = ("qpid", "rabbit_mq")
_HALF = r"[^:,\s]{1,15}"
_MAPPINGS = re.compile(rf"(?:{_HALF}:{_HALF}(?:,{_HALF}:{_HALF})*)?")
_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(?:\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?|[0-9A-Fa-f:]+:[0-9A-Fa-f:.]*")


class ProviderFields(TypedDict, total=False):
    """Absent: left as it is, passwords too; they are never given back, so a client that changes something else cannot
    send them."""

    name: str
    description: str
    comment: str
    type: str
    url: str
    authentication_url: str
    requires_authentication: bool
    username: str
    password: str
    tenant_name: str
    plugin_type: str
    network_mappings: str
    broker_type: str
    broker_host: str
    broker_port: int | None
    broker_username: str
    broker_password: str
    read_only: bool
    auto_sync: bool
    plug_wait: float


def add_provider(engine: Engine, caller: Caller, **fields: Unpack[ProviderFields]) -> str:
    """Talks to nobody: a provider that cannot be reached now may be saved.

    :raises Refused: a value is not allowed. :raises InConflict: the name is taken.
    """
    name = fields.get("name", "")
    with (
        audited(engine, caller, Code.PROVIDER_ADDITION_FAILED, f"Provider {name} could not be added"),
        engine.db.write() as session,
    ):
        provider = made(session, fields)
        session.add(provider)
        session.flush()
        _note(session, caller, Code.PROVIDER_ADDED, provider, "added")
    engine.wake("sweep", provider.id)
    return provider.id


def update_provider(engine: Engine, caller: Caller, provider_id: str, **fields: Unpack[ProviderFields]) -> str:
    """:raises Missing: :raises Refused: :raises InConflict: the name is taken, or another type is asked for."""
    with (
        audited(
            engine,
            caller,
            Code.PROVIDER_UPDATE_FAILED,
            f"Provider {provider_label(engine, provider_id)} could not be changed",
            provider=provider_id,
        ),
        engine.db.write() as session,
    ):
        provider = get_provider(session, provider_id)
        if fields.get("type", provider.type) != provider.type:
            raise InConflict(f"Provider {provider.name} stays of type {provider.type}. Add another provider instead.")
        apply(session, provider, fields)
        if session.is_modified(provider):
            provider.healthy, provider.problem, provider.seen_at = None, "", None
            _note(session, caller, Code.PROVIDER_UPDATED, provider, "changed")
    engine.wake("sweep", provider_id)
    return provider_id


def remove_provider(engine: Engine, caller: Caller, provider_id: str) -> str:
    """The networks that it alone provides go with it; at the provider they stay.

    :raises Missing: :raises InConflict: vNICs stand on its networks, hosts carry its agent, or ports are still to be
        given back to it; they are named.
    """
    with (
        audited(
            engine,
            caller,
            Code.PROVIDER_REMOVAL_FAILED,
            f"Provider {provider_label(engine, provider_id)} could not be removed",
            provider=provider_id,
        ),
        engine.db.write() as session,
    ):
        provider = get_provider(session, provider_id)
        provisions = session.scalars(select(NetworkProvision).where(NetworkProvision.provider_id == provider.id)).all()
        _clear(session, provider, [p.network for p in provisions])
        for provision in provisions:
            if len(provision.network.provided_by) > 1:
                session.delete(provision)
            else:
                drop_network(session, caller, provision.network)
        _note(session, caller, Code.PROVIDER_REMOVED, provider, "removed")
        session.flush()
        session.delete(provider)
    engine.forget_provider(provider_id)
    return provider_id


def trial(engine: Engine, **fields: Unpack[ProviderFields]) -> tuple[str, Settings]:
    """The type and settings of a provider that is not saved, to try its connection. Writes nothing.

    ``name`` may be missing: it is often typed last.

    :raises Refused: a value is not allowed.
    """
    with engine.db.read() as session:
        provider = made(session, {**fields, "name": fields.get("name") or "unsaved"}, anew=False)
        provider.id = "unsaved"
        settings = engine.settings_of(provider)
        session.expunge_all()
    return provider.type, settings


def trial_of(engine: Engine, provider_id: str, **fields: Unpack[ProviderFields]) -> tuple[str, Settings]:
    """The same for a saved provider with other values; what is absent is taken from what is saved, secrets too.

    :raises Missing: :raises Refused:
    """
    with engine.db.read() as session:
        provider = get_provider(session, provider_id)
        if fields.get("type", provider.type) != provider.type:
            raise InConflict(f"Provider {provider.name} stays of type {provider.type}.")
        with session.no_autoflush:
            apply(session, provider, {**fields, "name": fields.get("name") or provider.name}, free_name=False)
        settings = engine.settings_of(provider)
        type_name = provider.type
        session.expunge_all()
    return type_name, settings


def get_provider(session: Session, provider_id: str) -> Provider:
    """:raises Missing:"""
    provider = session.get(Provider, provider_id)
    if provider is None:
        raise Missing(f"There is no external network provider {provider_id}.")
    return provider


def find_provider(session: Session, provider_id: str | None, name: str | None) -> Provider:
    """The one that a request refers to by id, or by name. :raises Refused:"""
    wanted = Provider.id == provider_id if provider_id else Provider.name == (name or "")
    provider = session.scalar(select(Provider).where(wanted))
    if provider is None:
        raise Refused(f"There is no external network provider {provider_id or name}.")
    return provider


def provider_label(engine: Engine, provider_id: str) -> str:
    with engine.db.read() as session:
        return session.scalar(select(Provider.name).where(Provider.id == provider_id)) or provider_id


def made(session: Session, fields: ProviderFields, *, anew: bool = True) -> Provider:
    """``anew``: to be saved, so its name must be free. :raises Refused: :raises InConflict:"""
    known = registry.types()
    if fields.get("type") not in known:
        raise Refused(
            f"Provider {fields.get('name', '')} cannot be of type {fields.get('type')!r}: "
            f"{', '.join(sorted(known))} are installed."
        )
    provider = Provider(
        type=fields["type"],
        name="",
        description="",
        comment="",
        url="",
        authentication_url="",
        requires_authentication=False,
        username="",
        tenant_name="",
        plugin_type="",
        network_mappings="",
        broker_type="",
        broker_host="",
        broker_username="",
        read_only=False,
        auto_sync=False,
        plug_wait=60.0,
    )
    apply(session, provider, fields, free_name=anew)
    return provider


def apply(session: Session, provider: Provider, fields: ProviderFields, *, free_name: bool = True) -> None:
    """Check and set. :raises Refused: :raises InConflict:"""
    if fields.get("name", provider.name) != provider.name or not provider.name:
        name = check_name(
            fields.get("name", ""),
            "a provider",
            pattern=r"[A-Za-z0-9_-]+",
            allowed="a-z, A-Z, 0-9 and _ - may stand there",
            limit=NAME_LIMIT,
        )
        if free_name and session.scalar(select(Provider.id).where(Provider.name == name)) is not None:
            raise InConflict(f"There is a provider {name} already: choose another name.")
        provider.name = name
    for key, value in fields.items():
        if key not in ("name", "type"):
            checked = _CHECKS[key](value) if key in _CHECKS else value
            if getattr(provider, key) != checked:
                setattr(provider, key, checked)
    _check_whole(provider)


def _check_whole(provider: Provider) -> None:
    """What must go together. :raises Refused:"""
    declared = {field.name: field for field in registry.types()[provider.type].fields}
    missing = [f.label for f in declared.values() if f.required and not getattr(provider, f.name, True)]
    if missing:
        raise Refused(f"Provider {provider.name} needs: {', '.join(missing)}.", "Incomplete parameters")
    if provider.requires_authentication:
        needed = {
            "user name": provider.username,
            "password": provider.password,
            "authentication URL": provider.authentication_url,
        }
        missing = [word for word, value in needed.items() if not value]
        if missing:
            raise Refused(
                f"Provider {provider.name} requires authentication, so it needs its {', '.join(missing)} too.",
                "Incomplete parameters",
            )


def _clear(session: Session, provider: Provider, networks: list[Network]) -> None:
    """What is at rest goes. :raises InConflict:"""
    used = [(network.name, users) for network in networks if (users := users_of(session, network.id))]
    if used:
        words = "; ".join(f"network {name} by {users}" for name, users in used)
        raise InConflict(f"Networks of provider {provider.name} are used: {words}. Move or remove those first.")
    hosts = session.scalars(
        select(Host.name)
        .join(HostProvider, HostProvider.host_id == Host.id)
        .where(HostProvider.provider_id == provider.id)
        .order_by(Host.name)
    ).all()
    if hosts:
        raise InConflict(
            f"Hosts carry the agent of provider {provider.name}: {listed(hosts)}. Remove them, or the provider from "
            "them, first."
        )
    resting = (Claim.provider_id == provider.id) & (Claim.wanted == "absent") & Claim.port_id.is_(None)
    owed = session.scalar(select(func.count()).select_from(Claim).where(Claim.provider_id == provider.id, ~resting))
    if owed:
        raise InConflict(
            f"{owed} ports at provider {provider.name} are still to be given back. Its removal is possible when it has "
            "answered."
        )
    session.execute(delete(Claim).where(resting))


def _url(value: str) -> str:
    """:raises Refused: not http or https, with a user, a query or a fragment in it, or otherwise malformed."""
    if len(value) > URL_LIMIT:
        raise Refused(f"The URL of a provider has at most {URL_LIMIT} characters, not {len(value)}.")
    if not value:
        return ""
    try:
        root_of(value)
    except RequestWrong as wrong:
        raise Refused(str(wrong), "Invalid value") from None
    return value.strip()


def _mappings(value: str) -> str:
    if not _MAPPINGS.fullmatch(value):
        raise Refused(
            f"The network mappings {value!r} are not of the form label:interface,label:interface, each of 1 to 15 "
            "characters without blanks."
        )
    return value


def _host(value: str) -> str:
    if value and (len(value) > 255 or not _HOST.fullmatch(value)):
        raise Refused(f"{value!r} is not a host's name or address.")
    return value


def _port(value: int | None) -> int | None:
    return None if value is None else check_number(value, "port of the message broker", 1, 65535)


def _broker(value: str) -> str:
    if value and value not in BROKERS:
        raise Refused(f"The message broker is one of {', '.join(BROKERS)}, not {value!r}.")
    return value


def _plugin(value: str) -> str:
    """The presets are known by any writing of their names; what else a user enters stays as it is."""
    plain = re.sub(r"[\s_-]+", "_", value.strip()).upper()
    return plain if plain in ("LINUX_BRIDGE", "OPEN_VSWITCH") else check_text(value.strip(), "plugin type", limit=40)


def _plug_wait(value: float) -> float:
    if not 1.0 <= value <= 3600.0:
        raise Refused(f"The plug wait must be between 1 and 3600 seconds, not {value:g}.")
    return value


def _secret(value: str) -> str | None:
    """Empty: none any more."""
    return check_text(value, "password", limit=SECRET_LIMIT) or None


_CHECKS: dict[str, Any] = {
    "description": lambda value: check_text(value, "description"),
    "comment": lambda value: check_text(value, "comment"),
    "url": _url,
    "authentication_url": _url,
    "username": lambda value: check_text(value, "user name", limit=USER_LIMIT),
    "password": _secret,
    "tenant_name": lambda value: check_text(value, "tenant name", limit=128),
    "plugin_type": _plugin,
    "network_mappings": _mappings,
    "broker_type": _broker,
    "broker_host": _host,
    "broker_port": _port,
    "broker_username": lambda value: check_text(value, "broker's user name", limit=USER_LIMIT),
    "broker_password": _secret,
    "plug_wait": _plug_wait,
}


def _note(session: Session, caller: Caller, code: Code, provider: Provider, what: str) -> None:
    note(
        session,
        code,
        f"Provider {provider.name} was {what} by {caller.user}.",
        user=caller.user,
        correlation_id=caller.correlation_id,
        provider=provider.id,
    )
