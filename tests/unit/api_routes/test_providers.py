"""External network providers, by the rows of the specification: testing and saving."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

import ovirtsdk4
import pytest
from ovirtsdk4 import types

from isthmus.api import openstacknetworkproviders
from isthmus.model import Event, Provider
from isthmus.reconcile.engine import Engine
from tests.fakes.neutron import FakeNeutron
from tests.served import Client
from tests.unit.api_routes.specified import as_specified, events

pytestmark = pytest.mark.usefixtures("working")


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refused(port: int = 0) -> str:
    with socket.create_server(("127.0.0.1", port)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


# ------------------------------------------------------------------------------------------------ the Test button


def test_button_before_saving(http: Client, neutron: FakeNeutron, engine: Engine) -> None:
    """Spec: Test button functionality, Valid URL, Bad URL. Nothing is written."""
    with engine.db.read() as session:
        before = session.query(Event).count()

    def press(url: str, **more: str) -> tuple[int, str]:
        extra = "".join(f"<{k}>{v}</{k}>" for k, v in more.items())
        body = f"<openstack_network_provider><type>neutron</type><url>{url}</url>{extra}</openstack_network_provider>"
        answer = http("POST", "openstacknetworkproviders/testconnectivity", body)
        assert answer.headers["Content-Type"].startswith("application/xml")
        return answer.status_code, answer.text

    status, text = press(refused())
    assert status == 400
    assert "refuses connections" in text
    status, text = press(neutron.url)
    assert status == 200, text
    assert "<status>complete</status>" in text
    status, text = press(neutron.url + "1")
    assert status == 400, text
    for url, word in [
        ("ftp://host", "http"),
        ("http://user:secret@host:9696", "user name"),
        ("http://host:9696/#x", "goes on"),
        ("nonsense", "http"),
    ]:
        status, text = press(url)
        assert status == 400
        assert word in text
        assert "secret" not in text.replace("user:secret", "")
    with engine.db.read() as session:
        assert session.query(Provider).count() == 0
        assert session.query(Event).count() == before


def test_button_of_a_saved_provider(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService, neutron: FakeNeutron
) -> None:
    """Spec: the same results in Edit; No communication to provider (the service stopped)."""
    saved.test_connectivity()
    neutron.down()
    with pytest.raises(ovirtsdk4.Error, match="refuses connections"):
        saved.test_connectivity()
    neutron.up()
    saved.test_connectivity()


def test_button_with_an_id_takes_what_is_saved(
    http: Client, saved: ovirtsdk4.services.OpenstackNetworkProviderService, neutron: FakeNeutron
) -> None:
    saved_id = saved.get().id
    path = "openstacknetworkproviders/testconnectivity"
    body = f'<openstack_network_provider id="{saved_id}"/>'
    assert http("POST", path, body).status_code == 200
    body = f'<openstack_network_provider id="{saved_id}"><url>{refused()}</url></openstack_network_provider>'
    assert http("POST", path, body).status_code == 400
    assert saved.get().url == neutron.url, "a test writes nothing"
    assert http("POST", path, '<openstack_network_provider id="none"/>').status_code == 404


def test_button_is_bounded_when_nothing_answers(http: Client, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstacknetworkproviders, "TEST_SECONDS", 0.3)
    body = f"<openstack_network_provider><url>{silent}</url></openstack_network_provider>"
    answer = http("POST", "openstacknetworkproviders/testconnectivity", body)
    assert answer.status_code == 503
    assert "says nothing" in answer.text


# ---------------------------------------------------------------------------------------------- saving and editing


def test_saving_a_provider(
    providers: ovirtsdk4.services.OpenstackNetworkProvidersService, engine: Engine, http: Client
) -> None:
    """Spec: Saving the provider, Edit provider dialog: event 205, all fields as they were saved."""
    made = providers.add(as_specified("http://neutron.example.org:9696"))
    assert [p.name for p in providers.list()] == ["neutron"]
    (event,) = events(engine, 205)
    assert event.severity == "normal"
    assert event.text == "Provider neutron was added by admin@internal."
    shown = providers.provider_service(made.id).get()
    assert shown.url == "http://neutron.example.org:9696"
    assert shown.description == "of the lab"
    assert shown.type == types.OpenStackNetworkProviderType.NEUTRON
    assert shown.external_plugin_type == "LINUX_BRIDGE"
    agent = shown.agent_configuration
    assert (agent.network_mappings, agent.address, agent.port) == ("red:eth1", "broker.example.org", 5672)
    assert (agent.broker_type, agent.username, agent.password) == (types.MessageBrokerType.QPID, "guest", None)
    assert "a secret of the broker" not in http("GET", f"openstacknetworkproviders/{made.id}").text
    for path in engine.data.glob("engine.db*"):
        assert b"a secret of the broker" not in path.read_bytes()


def test_a_password_that_is_not_sent_is_kept(
    providers: ovirtsdk4.services.OpenstackNetworkProvidersService, engine: Engine
) -> None:
    provider = as_specified("http://neutron.example.org:9696")
    provider.requires_authentication, provider.username, provider.password = True, "u", "first"
    provider.authentication_url = "http://keystone.example.org:5000"
    one = providers.provider_service(providers.add(provider).id)

    def kept() -> tuple[str | None, str | None]:
        with engine.db.read() as session:
            row = session.query(Provider).one()
            return row.password, row.broker_password

    one.update(one.get())
    assert kept() == ("first", "a secret of the broker")
    one.update(types.OpenStackNetworkProvider(password="second", description="d"))
    assert kept() == ("second", "a secret of the broker")
    assert one.get().description == "d"
    assert len(events(engine, 207)) == 1, "the first update changed nothing"


REFUSED_PROVIDERS: list[tuple[dict[str, object], str]] = [
    ({"name": "two words"}, "not allowed"),
    ({"name": "x" * 129}, "at most 128"),
    ({"name": None}, "needs a name"),
    ({"url": None}, "Provider URL"),
    ({"url": "http://" + "x" * 600}, "at most 512"),
    ({"url": "http://u:p@host"}, "user name"),
    ({"url": "file:///etc/passwd"}, "http"),
    ({"requires_authentication": True}, "password"),
    ({"agent_configuration": types.AgentConfiguration(network_mappings="red:eth1, blue:eth2")}, "label:interface"),
    ({"agent_configuration": types.AgentConfiguration(port=0)}, "between 1 and 65535"),
    ({"agent_configuration": types.AgentConfiguration(address="a b")}, "name or address"),
    ({"type": types.OpenStackNetworkProviderType.EXTERNAL}, "unmanaged"),
    ({"project_name": "x"}, "Keystone"),
    ({"properties": [types.Property(name="plug_wait", value="0")]}, "between 1 and 3600"),
    ({"properties": [types.Property(name="other", value="0")]}, "no property"),
]


def test_a_provider_that_is_refused(providers: ovirtsdk4.services.OpenstackNetworkProvidersService) -> None:
    for change, words in REFUSED_PROVIDERS:
        provider = as_specified("http://neutron.example.org:9696")
        for name, value in change.items():
            setattr(provider, name, value)
        with pytest.raises(ovirtsdk4.Error, match=re.escape(words)) as refusal:
            providers.add(provider)
        assert refusal.value.code == 400
        assert providers.list() == []


def test_names_are_unique_and_types_stay(
    providers: ovirtsdk4.services.OpenstackNetworkProvidersService, engine: Engine
) -> None:
    one = providers.add(as_specified("http://a:9696"))
    with pytest.raises(ovirtsdk4.Error, match="already") as refusal:
        providers.add(as_specified("http://b:9696"))
    assert refusal.value.code == 409
    with pytest.raises(ovirtsdk4.Error, match="stays of type"):
        providers.provider_service(one.id).update(types.OpenStackNetworkProvider(unmanaged=True))
    assert [e.severity for e in events(engine, 206) + events(engine, 208)] == ["error", "error"]
    assert "admin@internal" in events(engine, 206)[0].text


def test_an_unmanaged_provider(providers: ovirtsdk4.services.OpenstackNetworkProvidersService) -> None:
    made = providers.add(
        types.OpenStackNetworkProvider(name="plain", type=types.OpenStackNetworkProviderType.EXTERNAL, unmanaged=True)
    )
    one = providers.provider_service(made.id)
    assert one.get().unmanaged
    one.test_connectivity()
    assert one.networks_service().list() == []


def test_the_plug_wait_is_a_property(providers: ovirtsdk4.services.OpenstackNetworkProvidersService) -> None:
    one = providers.provider_service(providers.add(as_specified("http://a:9696")).id)
    assert [(p.name, p.value) for p in one.get().properties] == [("plug_wait", "60")]
    one.update(types.OpenStackNetworkProvider(properties=[types.Property(name="plug_wait", value="5.5")]))
    assert one.get().properties[0].value == "5.5"
