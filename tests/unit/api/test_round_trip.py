"""What we write we read back, in both formats; absent, empty and set stay three things."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.api.codec import JSON, XML, Representation, Resource, decode, encode, encode_list
from isthmus.api.representations import (
    Action,
    Api,
    Boot,
    BootDevice,
    Cluster,
    Cpu,
    CpuTopology,
    CustomProperty,
    Disk,
    Event,
    Host,
    MemoryPolicy,
    Network,
    NetworkUsage,
    Nic,
    OpenStackNetworkProvider,
    OperatingSystem,
    Vlan,
    Vm,
    VmStatus,
)
from tests.unit.api.shapes import CLASSES, as_written, full, instances

PREFIX = "/ovirt-engine/api"
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("media_type", [XML, JSON])
@pytest.mark.parametrize("cls", CLASSES)
def test_every_field_comes_back(cls: type[Representation], media_type: str) -> None:
    obj = full(cls)
    assert decode(cls, encode(obj, media_type, PREFIX), media_type) == as_written(obj)


@pytest.mark.parametrize("media_type", [XML, JSON])
@pytest.mark.parametrize("cls", CLASSES)
@few
@given(data=st.data())
def test_anything_comes_back(cls: type[Representation], media_type: str, data: st.DataObject) -> None:
    obj = data.draw(instances(cls))
    read = decode(cls, encode(obj, media_type, PREFIX), media_type)
    assert read == as_written(obj)
    assert read.model_fields_set == as_written(obj).model_fields_set


@pytest.mark.parametrize("media_type", [XML, JSON])
def test_absent_empty_and_set_are_three_things(media_type: str) -> None:
    absent, empty, full_ = Vm(), Vm(custom_properties=[]), Vm(custom_properties=[CustomProperty(name="a")])
    for vm in (absent, empty, full_):
        assert decode(Vm, encode(vm, media_type, PREFIX), media_type).custom_properties == vm.custom_properties
    assert "custom_properties" not in decode(Vm, encode(absent, media_type, PREFIX), media_type).model_fields_set


@pytest.mark.parametrize("media_type", [XML, JSON])
def test_secrets_are_read_but_never_written_nor_shown(media_type: str) -> None:
    provider = OpenStackNetworkProvider(name="neutron", password="hush")
    assert b"hush" not in encode(provider, media_type, PREFIX)
    assert "hush" not in repr(provider)
    xml = "<host><root_password>hush</root_password></host>"
    body = xml if media_type == XML else '{"root_password": "hush"}'
    assert decode(Host, body.encode(), media_type).root_password == "hush"


def test_json_has_strings_for_booleans_and_integers_and_numbers_for_decimals_and_dates() -> None:
    event = decode(Event, b"<event><time>2026-01-31T12:00:00.5+01:00</time><code>30</code></event>")
    assert _json(event) == {"time": 1769857200500, "code": "30"}
    cpu = Cpu(speed=2.5, topology=CpuTopology(cores=2))
    assert _json(cpu) == {"speed": 2.5, "topology": {"cores": "2"}}
    assert _json(Nic(linked=True, plugged=False)) == {"linked": "true", "plugged": "false"}


def test_json_wraps_lists_and_links() -> None:
    vm = Vm(id="1", os=OperatingSystem(boot=Boot(devices=[BootDevice.HD])), custom_properties=[])
    document = _json(vm)
    assert document["os"] == {"boot": {"devices": {"device": ["hd"]}}}
    assert document["custom_properties"] == {"custom_property": []}
    assert {"href": f"{PREFIX}/vms/1/start", "rel": "start"} in document["actions"]["link"]
    assert {"href": f"{PREFIX}/vms/1/nics", "rel": "nics"} in document["link"]
    assert document["href"] == f"{PREFIX}/vms/1"


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_collections(count: int) -> None:
    body = b"".join(encode_list(Vm, (Vm(id=str(i)) for i in range(count)), JSON, PREFIX))
    assert [vm["id"] for vm in json.loads(body)["vm"]] == [str(i) for i in range(count)]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"memory": 5}, Vm(memory=5)),
        ({"memory": "5"}, Vm(memory=5)),
        ({"stateless": True}, Vm(stateless=True)),
        ({"stateless": "TRUE"}, Vm(stateless=True)),
        ({"stateless": 0}, Vm(stateless=False)),
        ({"nics": {}}, Vm(nics=[])),
        ({"name": None}, Vm()),
        ({"name": 5}, Vm(name="5")),
        ({"link": [{"href": "x", "rel": "y"}], "actions": {"link": []}, "href": "/x", "id": "7"}, Vm(id="7")),
    ],
)
def test_json_is_read_in_either_form(document: dict[str, Any], expected: Vm) -> None:
    assert decode(Vm, json.dumps(document).encode(), "application/json; charset=utf-8") == expected


def test_what_clients_echo_is_passed_over() -> None:
    vm = Vm(id="1", name="a", cluster=Cluster(id="c"), status=VmStatus.DOWN, nics=[Nic(id="n", expanded=True)])
    read = decode(Vm, encode(vm, XML, PREFIX))
    assert read == Vm(id="1", name="a", cluster=Cluster(id="c"), status=VmStatus.DOWN, nics=[Nic(id="n")])


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("FALSE", False), ("1", True), ("0", False), (" true\n", True)]
)
def test_booleans_in_any_case(text: str, value: bool) -> None:
    assert decode(Nic, f"<nic><linked>{text}</linked></nic>".encode()).linked is value


def test_dates_with_any_offset_or_none() -> None:
    for text in ("2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00", "1769860800000"):
        event = decode(Event, f"<event><time>{text}</time></event>".encode())
        assert event.time is not None
        assert event.time.timestamp() == 1769860800


def test_the_bytes_are_utf8_whatever_they_declare() -> None:
    body = '<?xml version="1.0" encoding="ISO-8859-1"?><vm><name>\u00fc</name></vm>'.encode()
    assert decode(Vm, body).name == "\u00fc"


def test_integers_have_32_bits_but_sizes_64() -> None:
    assert decode(Vm, b"<vm><memory>9223372036854775807</memory></vm>").memory == 2**63 - 1
    assert decode(Disk, b"<disk><provisioned_size>5000000000</provisioned_size></disk>").provisioned_size == 5 * 10**9
    assert decode(Network, b"<network><mtu>-2147483648</mtu></network>").mtu == -(2**31)


def test_tags_that_are_not_the_field_s_name() -> None:
    vm = Vm(memory_policy=MemoryPolicy(guaranteed=1), os=OperatingSystem(kernel="k", initrd="i", cmdline="c"))
    text = encode(vm, XML, PREFIX).decode()
    assert "<kernel>k</kernel>" in text
    assert "<os>" in text
    assert "<async>true</async>" in encode(Action(async_=True), XML, PREFIX).decode()
    assert encode(OpenStackNetworkProvider(id="1"), XML, PREFIX).decode().startswith("<?xml")
    assert "<openstack_network_provider " in encode(OpenStackNetworkProvider(id="1"), XML, PREFIX).decode()
    network = Network(vlan=Vlan(id=500), usages=[NetworkUsage.VM])
    assert '<vlan id="500"/>' in encode(network, XML, PREFIX).decode()


@pytest.mark.parametrize("prefix", [PREFIX, PREFIX + "/v4"])
def test_every_href_carries_the_prefix(prefix: str) -> None:
    hrefs: list[str] = []
    for cls in CLASSES:
        if issubclass(cls, Resource):
            hrefs += re.findall(r'href="([^"]*)"', encode(full(cls), XML, prefix).decode())
    assert len(hrefs) > 100
    own = re.compile(re.escape(prefix) + r"(?!/v4)(/.*)?")
    assert [href for href in hrefs if not own.fullmatch(href) and not href.startswith("href ")] == []


def test_the_root_has_a_search_link_for_each_searchable_collection() -> None:
    text = encode(Api(), XML, PREFIX).decode()
    assert f'<link href="{PREFIX}/vms" rel="vms"/>' in text
    assert f'<link href="{PREFIX}/vms?search={{query}}" rel="vms/search"/>' in text
    assert '<api href="/ovirt-engine/api">' in text


def _json(obj: Representation) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(encode(obj, JSON, PREFIX))
    return document
