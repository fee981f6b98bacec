"""The specification's rows (docs/acceptance.md) through the real oVirt SDK, in their order.

What a row says of dialogs is the web admin's to show; here is what it says of Isthmus, Neutron and the hosts.
"""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import ovirtsdk4 as sdk
import pytest
from ovirtsdk4 import types

from tests.e2e.flow import Flow, bridge_for, tap_of, wait_for

pytestmark = pytest.mark.timeout(900)


def unsaved(flow: Flow, url: str) -> tuple[int, str]:
    """The Test button of the Add dialog: a provider that is not saved."""
    return flow.raw(
        "POST",
        "/openstacknetworkproviders/testconnectivity",
        f"<openstack_network_provider><name>x</name><type>neutron</type><url>{url}</url></openstack_network_provider>",
    )


def saved(flow: Flow) -> str:
    """The Test button of the Edit dialog: empty when it is green, else what it says."""
    try:
        flow.providers.provider_service(flow.provider().id).test_connectivity()
    except sdk.Error as error:
        return str(error)
    return ""


@pytest.mark.parametrize("row", ["Test button functionality", "Valid URL", "Bad URL"])
def test_unsaved_provider(flow: Flow, row: str) -> None:
    before = [p.id for p in flow.providers.list()]
    url = {"Test button functionality": "", "Valid URL": flow.variables["NEUTRON_INTERNAL_URL"]}.get(
        row, flow.variables["NEUTRON_INTERNAL_URL"] + "1"
    )
    code, body = unsaved(flow, url)
    if row == "Valid URL":
        assert code == 200, body
    else:
        assert code >= 400, body
        assert "<fault>" in body
    assert [p.id for p in flow.providers.list()] == before, "a test writes nothing"


def test_saving_the_provider(flow: Flow) -> None:
    provider = flow.provider()
    assert provider.name in [p.name for p in flow.providers.list()]
    assert any(provider.name in text for text in flow.events(205))
    kept = flow.providers.provider_service(provider.id).get()
    assert kept.url == flow.variables["NEUTRON_INTERNAL_URL"]
    assert kept.external_plugin_type == "LINUX_BRIDGE"
    assert kept.agent_configuration.network_mappings == "red:eth9"
    assert kept.agent_configuration.username == flow.variables["BROKER_USER"]
    assert kept.agent_configuration.password is None, "a secret is never given back"
    assert flow.variables["BROKER_PASSWORD"] not in flow.engine_log()


def test_test_button_of_the_saved_provider(flow: Flow) -> None:
    assert saved(flow) == ""


def test_no_communication_service_stopped(flow: Flow) -> None:
    flow.lab.neutron.stop()
    try:
        assert "refuse" in saved(flow).lower()
        code, _ = unsaved(flow, flow.variables["NEUTRON_INTERNAL_URL"])
        assert code >= 400
    finally:
        flow.lab.neutron.start()
    wait_for(lambda: saved(flow) == "", "the provider is green again")


def test_no_communication_packets_dropped(flow: Flow) -> None:
    flow.lab.neutron.drop_packets()
    try:
        words = saved(flow).lower()
        assert "time" in words or "answer" in words
    finally:
        flow.lab.neutron.restore()
    wait_for(lambda: saved(flow) == "", "the provider is green again")


def test_importing_a_network(flow: Flow) -> None:
    if not flow.neutron.call("GET", "networks?name=discovered")["networks"]:
        flow.neutron.call("POST", "networks", {"network": {"name": "discovered", "tenant_id": "lab"}})
    for earlier in [n for n in flow.system.networks_service().list() if n.name == "imported"]:
        flow.system.networks_service().network_service(earlier.id).remove()
    networks = flow.providers.provider_service(flow.provider().id).networks_service()
    found = next(n for n in networks.list() if n.name == "discovered")
    center = flow.data_center()
    networks.network_service(found.id).import_(data_center=types.DataCenter(id=center.id), query={"name": "imported"})
    (network,) = [n for n in flow.system.networks_service().list() if n.name == "imported"]
    assert network.external_provider.id == flow.provider().id
    assert types.NetworkUsage.VM in network.usages
    clusters = [c for c in flow.system.clusters_service().list() if c.data_center.id == center.id]
    assert clusters
    for cluster in clusters:
        attached = flow.system.clusters_service().cluster_service(cluster.id).networks_service().list()
        (mine,) = [n for n in attached if n.id == network.id]
        assert mine.required is False
        assert set(mine.usages) <= {types.NetworkUsage.VM}
        assert mine.display is False
    with pytest.raises(sdk.Error, match="imported"):
        networks.network_service(found.id).import_(data_center=types.DataCenter(id=center.id))


def test_adding_the_network(flow: Flow) -> None:
    flow.network("red-500")
    outside = flow.outside("red-500")
    assert outside["provider:network_type"] == "vlan"
    assert outside["provider:physical_network"] == "red"
    assert outside["provider:segmentation_id"] == 500
    listed = flow.providers.provider_service(flow.provider().id).networks_service().list()
    assert "red-500" in [n.name for n in listed]
    assert any("red-500" in text for text in flow.events(942))


def test_adding_a_host_with_the_provider(flow: Flow) -> None:
    """Its interface is not the provider's default one: the host's own mapping is what its agent gets."""
    threads = [threading.Thread(target=flow.ready_hosts, args=(name,)) for name in ("h1", "h2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("h1", "h2"):
        assert flow.host(name).status == types.HostStatus.UP
        (agent,) = [a for a in flow.neutron.agents(name) if a["binary"] == "neutron-linuxbridge-agent"]
        assert agent["alive"]
        assert agent["configurations"]["interface_mappings"]["red"] == "eth1"
        assert flow.on(name, "systemctl", "is-active", "neutron-linuxbridge-agent").strip() == "active"
        assert flow.on(name, "systemctl", "is-enabled", "isthmus-agent").strip() == "enabled"
        assert "openstacknet" in flow.on(name, "find", "/usr/libexec", "-path", "*before_device_create*")


def test_installing_a_host_again_changes_nothing(flow: Flow) -> None:
    service = flow.system.hosts_service().host_service(flow.host("h2").id)
    service.deactivate()
    wait_for(lambda: flow.host("h2").status == types.HostStatus.MAINTENANCE, "h2 is in maintenance")
    service.install(root_password=flow.variables["HOST_PASSWORD"])
    wait_for(lambda: flow.host("h2").status == types.HostStatus.UP, "h2 is up again", 300)
    text = next(t for t in flow.events(504) if "h2" in t)
    assert re.search(r"\b0 tasks changed", text), text


@pytest.fixture(scope="module")
def vms(flow: Flow) -> Any:
    made: dict[str, Any] = {}
    yield made
    for vm in made.values():
        flow.remove_vm(vm)


def test_adding_a_vnic(flow: Flow, vms: dict[str, Any]) -> None:
    network = flow.network("red-500")
    vms["one"] = flow.add_vm("one", [network], host="h1")
    (nic,) = flow.vm(vms["one"]).nics_service().list()
    profile = flow.system.vnic_profiles_service().profile_service(nic.vnic_profile.id)
    assert profile.get().network.id == network.id
    with pytest.raises(sdk.Error, match=r"(?i)mirror"):
        profile.update(types.VnicProfile(port_mirroring=True))


def test_running_the_vms(flow: Flow, vms: dict[str, Any]) -> None:
    flow.run(vms["one"])
    first = flow.port(vms["one"])["fixed_ips"][0]["ip_address"]
    vms["two"] = flow.add_vm("two", [flow.network("red-500")], host="h2", ping=first)
    flow.run(vms["two"])
    bridge = bridge_for(flow.outside("red-500"))
    for name, host in (("one", "h1"), ("two", "h2")):
        port = flow.port(vms[name])
        assert port["status"] == "ACTIVE"
        assert port["binding:host_id"] == host
        assert flow.bridge_of(host, tap_of(port)) == bridge
        log = flow.on(host, "cat", "/var/log/isthmus-agent/agent.log")
        assert tap_of(port) in log
        assert "<interface" in log
    console = wait_for(
        lambda: (text := flow.console("h2", vms["two"])) and "GUEST-PING-OK" in text and text, "the guests ping", 90
    )
    assert re.search(rf"GUEST-PING-OK {re.escape(first)}", console)
    assert re.search(r"GUEST-NET ip=10\.50\.0\.\d+", console)


def test_the_wire_carries_the_tag(flow: Flow, vms: dict[str, Any]) -> None:
    seen = flow.lab.run(
        "control",
        ["timeout", "20", "tcpdump", "-c", "2", "-e", "-n", "-i", "wire", "vlan", "500", "and", "icmp"],
        timeout=40,
        check=False,
    )
    assert "vlan 500" in seen.stdout, seen.stderr


def test_vnic_of_a_running_vm(flow: Flow, vms: dict[str, Any]) -> None:
    """Neither its network nor its plug can be changed; the reason says why."""
    nics = flow.vm(vms["one"]).nics_service()
    (nic,) = nics.list()
    other = flow.profile(flow.network("red-501", 501, "10.51.0.0/24"))
    with pytest.raises(sdk.Error, match=r"(?i)Stop the VM first"):
        nics.nic_service(nic.id).update(types.Nic(vnic_profile=types.VnicProfile(id=other.id)))
    with pytest.raises(sdk.Error, match=r"(?i)Stop the VM first"):
        nics.nic_service(nic.id).update(types.Nic(plugged=False))
    assert nics.nic_service(nic.id).get().vnic_profile.id == nic.vnic_profile.id


def test_the_nics_timeline(flow: Flow, vms: dict[str, Any]) -> None:
    (nic,) = flow.vm(vms["one"]).nics_service().list()
    code, body = flow.raw("GET", f"/vms/{vms['one'].id}/nics/{nic.id}/timeline", kind="application/json")
    assert code == 200
    moments = json.loads(body)["moment"]
    assert any("req-" in json.dumps(m) for m in moments), "each call has the provider's request id"


def test_stopping_the_vms(flow: Flow, vms: dict[str, Any]) -> None:
    bridge = bridge_for(flow.outside("red-500"))
    taps = {name: tap_of(flow.port(vms[name])) for name in ("one", "two")}
    for name, host in (("one", "h1"), ("two", "h2")):
        flow.stop(vms[name])
        wait_for(lambda name=name: not flow.neutron.ports(device_id=vms[name].id), "the port is gone")  # type: ignore[misc]
        assert flow.on(host, "ip", "-br", "link", "show", bridge)
        assert flow.bridge_of(host, taps[name]) == ""
