"""Bad input gets a fault that says what and why; nothing is changed, and no traceback is in the log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ovirtsdk4 as sdk
import pytest

from tests.e2e.flow import Flow

pytestmark = pytest.mark.timeout(300)

LAUGHS = '<!DOCTYPE n [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><network><name>&b;</name></network>'
FILE = '<!DOCTYPE n [<!ENTITY a SYSTEM "file:///etc/passwd">]><network><name>&a;</name></network>'


@pytest.fixture(autouse=True)
def unchanged(flow: Flow) -> Iterator[None]:
    flow.network("red-500")
    before, log = picture(flow), len(flow.engine_log())
    yield
    assert picture(flow) == before
    assert "Traceback" not in flow.engine_log()[log:]


def picture(flow: Flow) -> Any:
    system = flow.system
    return (
        sorted(n.name for n in system.networks_service().list()),
        sorted(h.name for h in system.hosts_service().list()),
        sorted(v.name for v in system.vms_service().list()),
        sorted((p.name, p.url) for p in flow.providers.list()),
        sorted(n["id"] for n in flow.neutron.call("GET", "networks")["networks"]),
    )


def network(flow: Flow, name: str, vlan: int) -> str:
    return (
        f'<network><name>{name}</name><data_center id="{flow.data_center().id}"/><vlan id="{vlan}"/>'
        f'<network_labels><network_label id="red"/></network_labels>'
        f'<external_provider id="{flow.provider().id}"/></network>'
    )


def refused(answer: tuple[int, str], *words: str) -> None:
    code, body = answer
    assert 400 <= code < 500, body
    assert "<fault>" in body
    assert "Traceback" not in body
    for word in words:
        assert word in body, body


def test_a_duplicate_name(flow: Flow) -> None:
    refused(flow.raw("POST", "/networks", network(flow, "red-500", 502)), "red-500")


def test_a_vlan_out_of_range(flow: Flow) -> None:
    refused(flow.raw("POST", "/networks", network(flow, "wide", 4095)), "4095")


def test_a_vlan_that_is_taken_at_the_provider(flow: Flow) -> None:
    refused(flow.raw("POST", "/networks", network(flow, "again", 500)), "500", "VlanIdInUse", "req-")


def test_an_unknown_network(flow: Flow) -> None:
    nowhere = "00000000-0000-0000-0000-000000000001"
    body = f'<vnic_profile><name>p</name><network id="{nowhere}"/></vnic_profile>'
    refused(flow.raw("POST", "/vnicprofiles", body), nowhere)
    code, _ = flow.raw("GET", f"/networks/{nowhere}")
    assert code == 404


def test_an_unknown_network_at_the_provider(flow: Flow) -> None:
    path = f"/openstacknetworkproviders/{flow.provider().id}/networks/{'0' * 8}-0000-0000-0000-{'0' * 12}/import"
    refused(flow.raw("POST", path, f'<action><data_center id="{flow.data_center().id}"/></action>'))


@pytest.mark.parametrize(
    "url", ["http://", "ftp://x", "http://user:pw@h/", "nonsense", "http://h:999999/", "http://h/#f"]
)
def test_a_malformed_url(flow: Flow, url: str) -> None:
    body = (
        f"<openstack_network_provider><name>bad</name><type>neutron</type><url>{url}</url></openstack_network_provider>"
    )
    refused(flow.raw("POST", "/openstacknetworkproviders", body))


@pytest.mark.parametrize(
    "body", ["<network><name>x</network>", "", "not xml", "<network><nonsense/></network>", LAUGHS, FILE]
)
def test_malformed_and_hostile_xml(flow: Flow, body: str) -> None:
    refused(flow.raw("POST", "/networks", body or "<"))


def test_a_hosts_wrong_password(flow: Flow) -> None:
    body = (
        f"<host><name>nobody</name><address>{flow.lab.host('h2').address}</address><root_password>wrong</root_password>"
        f'<cluster id="{flow.cluster().id}"/></host>'
    )
    if flow.host("h2") is not None:
        # The address is taken by h2 itself: the refusal comes before the password is tried.
        refused(flow.raw("POST", "/hosts", body), "h2")
    else:
        refused(flow.raw("POST", "/hosts", body), "password")


def test_a_kernel_outside_the_allowed_directories(flow: Flow) -> None:
    body = (
        f'<vm><name>thief</name><cluster id="{flow.cluster().id}"/><template><name>Blank</name></template>'
        "<os><kernel>/etc/shadow</kernel></os></vm>"
    )
    refused(flow.raw("POST", "/vms", body), "/etc/shadow")


def test_a_hostile_name(flow: Flow) -> None:
    body = f'<vm><name>&lt;script&gt;$(reboot)</name><cluster id="{flow.cluster().id}"/></vm>'
    refused(flow.raw("POST", "/vms", body))


def test_a_wrong_password_of_the_administrator(flow: Flow) -> None:
    connection = sdk.Connection(
        url=flow.variables["ENGINE_URL"],
        username=flow.variables["ENGINE_USER"],
        password="wrong",
        ca_file=flow.variables["ENGINE_CA"],
    )
    with pytest.raises(sdk.AuthError):
        connection.system_service().get()
