"""Three kinds of error, told apart, each with Neutron's own type, words and request id."""

from __future__ import annotations

import uuid

import pytest

from isthmus.providers.base import (
    Conflict,
    CredentialsWrong,
    NetworkProvider,
    NewNetwork,
    NotFound,
    ProviderError,
    ProviderUnwell,
    RequestWrong,
)
from tests.fakes.neutron import FakeNeutron, Kind

NETWORK = NewNetwork("n", "s", "red", 7)


def refused(provider: NetworkProvider) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        provider.create_network(NETWORK)
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestWrong),
        (401, CredentialsWrong),
        (403, CredentialsWrong),
        (404, NotFound),
        (405, RequestWrong),
        (408, ProviderUnwell),
        (409, Conflict),
        (412, RequestWrong),
        (413, RequestWrong),
        (429, ProviderUnwell),
        (500, ProviderUnwell),
        (501, RequestWrong),
        (502, ProviderUnwell),
        (503, ProviderUnwell),
        (504, ProviderUnwell),
    ],
)
def test_neutrons_refusals(
    neutron: FakeNeutron, provider: NetworkProvider, status: int, kind: type[ProviderError]
) -> None:
    neutron.fault("POST *", Kind.ANSWER, status=status, error_type="SomeError", message="the reason for it.")
    error = refused(provider)
    assert type(error) is kind
    assert (error.status, error.error_type) == (status, "SomeError")
    assert error.request_id
    assert error.request_id.startswith("req-")
    for part in ("'n1'", "'n'", "the reason for it", "SomeError", error.request_id):
        assert part in str(error)
    assert ".." not in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, ProviderUnwell),
        (400, ProviderUnwell),
        (401, CredentialsWrong),
        (404, ProviderUnwell),
        (409, Conflict),
        (502, ProviderUnwell),
        (503, ProviderUnwell),
    ],
)
def test_refusals_of_what_stands_between(
    neutron: FakeNeutron, provider: NetworkProvider, status: int, kind: type[ProviderError]
) -> None:
    """A proxy's page is no word of Neutron's: that a thing is wrong or gone is believed only from Neutron."""
    neutron.fault("POST *", Kind.ANSWER, status=status, page="<html>Bad Gateway</html>")
    error = refused(provider)
    assert isinstance(error, kind)
    assert not isinstance(error, NotFound)
    assert error.status == status
    assert str(status) in error.message
    assert error.advice or kind is Conflict


def test_a_proxys_404_releases_nothing(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    """Else a port would be forgotten while it is there: it would leak."""
    network = neutron.world.add_network()
    port = neutron.world.add_port(network["id"], "02:00:00:00:00:01", owner=provider.owner)
    neutron.fault("DELETE *", Kind.ANSWER, status=404, page="<html>no such host</html>")
    with pytest.raises(ProviderUnwell):
        provider.release(port["id"])
    provider.release(port["id"])
    assert neutron.ports == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>It works!</html>",
        b"null",
        b"[]",
        b'"network"',
        b"{}",
        b'{"network": null}',
        b'{"network": []}',
        b'{"network": {}}',
        b'{"network": {"id": 7}}',
        b'{"network": {"id": "a", "provider:segmentation_id": "seven"}}',
        b'{"network": {"id": "a", "name": ["n"]}}',
        b'{"network": {"id": "a"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"network": {"id": "a", "x": ' + b"[" * 100_000,
        b'{"network": {"id": "\xed\xa0\x80"}}',
    ],
    ids=lambda body: body[:40].decode("latin1") or "empty",
)
def test_bodies_that_are_not_neutrons(neutron: FakeNeutron, provider: NetworkProvider, body: bytes) -> None:
    neutron.fault("POST *", Kind.GARBAGE, body=body)
    error = refused(provider)
    assert isinstance(error, ProviderUnwell)
    assert (error.status, bool(error.request_id)) == (201, True)
    assert "as Neutron does" in error.message
    assert len(str(error)) < 1500
    assert provider.find_network("s"), "it may have been carried out: the caller looks it up"


@pytest.mark.parametrize(
    "body",
    [
        b'{"NeutronError": "in one string"}',
        b'{"NeutronError": {"type": 5}}',
        b'{"NeutronError": []}',
        b'{"error": {"message": "in Keystone\'s form", "code": 500}}',
        b'{"message": "bare"}',
        b"\x00\x01",
        b"[" * 100_000,
    ],
)
def test_errors_of_other_forms(neutron: FakeNeutron, provider: NetworkProvider, body: bytes) -> None:
    neutron.fault("POST *", Kind.ANSWER, status=500, page=body.decode("latin1"))
    assert isinstance(refused(provider), ProviderUnwell)


def test_what_neutron_says_stays_one_bounded_line(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    neutron.fault("POST *", Kind.ANSWER, status=400, error_type="A\nB", message="one\r\n\x1b[31mtwo" + "x" * 100_000)
    text = str(refused(provider))
    assert text.isprintable()
    assert len(text) < 1500
    assert "one" in text


def test_a_field_that_is_null_has_a_value(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    neutron.fault(
        "GET *", Kind.GARBAGE, body=b'{"networks": [{"id": "a", "name": null, "mtu": null, "new": {"x": 1}}]}'
    )
    (network,) = provider.networks()
    assert (network.id, network.name, network.mtu) == ("a", "", None)


def test_binding_details_may_nest(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    port = (
        '{"ports": [{"id": "p", "network_id": "n", "mac_address": "02:00:00:00:00:0A", "device_owner": "%s",'
        ' "binding:vif_type": "ovs", "binding:vif_details": {"bound_drivers": {"0": "ovs"}, "port_filter": true}}]}'
    )
    neutron.fault("GET *", Kind.GARBAGE, body=(port % provider.owner).encode())
    (found,) = provider.ports(ids=["p"])[0]
    assert found.vif_details["bound_drivers"] == {"0": "ovs"}
    assert (found.usable, found.mac) == (True, "02:00:00:00:00:0a")


def test_a_list_without_ours_being_asked_for(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    """Rule 1 holds even where filters are passed over: what is not ours is not taken for ours."""
    network = neutron.world.add_network()
    neutron.world.add_port(network["id"], "02:00:00:00:00:01")
    everything = b'{"ports": [{"id": "p", "network_id": "n", "mac_address": "m", "device_owner": "compute:nova"}]}'
    neutron.fault("GET *", Kind.GARBAGE, body=everything)
    assert provider.ports()[0] == []


def test_a_provider_without_an_address_fails_where_it_is_used(neutron: FakeNeutron) -> None:
    from isthmus.providers.base import Settings
    from isthmus.providers.neutron import NeutronProvider

    provider = NeutronProvider(Settings("i", "n", "http://127.0.0.1:96961", "d"))
    with pytest.raises(RequestWrong, match="malformed"):
        provider.network(str(uuid.uuid4()))
