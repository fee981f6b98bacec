"""A provider as the specification has it, for the tests of providers and of their networks."""

from __future__ import annotations

from ovirtsdk4 import types

from isthmus.model import Event
from isthmus.reconcile.engine import Engine


def events(engine: Engine, code: int) -> list[Event]:
    with engine.db.read() as session:
        return session.query(Event).filter_by(code=code).order_by(Event.id).all()


def as_specified(url: str) -> types.OpenStackNetworkProvider:
    return types.OpenStackNetworkProvider(
        name="neutron",
        description="of the lab",
        type=types.OpenStackNetworkProviderType.NEUTRON,
        url=url,
        requires_authentication=False,
        external_plugin_type="Linux Bridge",
        agent_configuration=types.AgentConfiguration(
            network_mappings="red:eth1",
            broker_type=types.MessageBrokerType.QPID,
            address="broker.example.org",
            port=5672,
            username="guest",
            password="a secret of the broker",
        ),
    )
