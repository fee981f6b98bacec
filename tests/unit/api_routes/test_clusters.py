"""Clusters, data centers, MAC pools, plain networks and vNIC profiles, by the SDK."""

from __future__ import annotations

import ovirtsdk4
import pytest
from ovirtsdk4 import types

from isthmus.reconcile.engine import Engine
from tests.served import Client

HERE = types.DataCenter(name="Default")


def refused(code: int, words: str) -> pytest.RaisesContext[ovirtsdk4.Error]:  # type: ignore[name-defined]
    return pytest.raises(ovirtsdk4.Error, match=f"(?s){words}.*HTTP response code is {code}")


def test_a_cluster(sdk: ovirtsdk4.Connection, http: Client) -> None:
    clusters = sdk.system_service().clusters_service()
    made = clusters.add(types.Cluster(name="two", data_center=HERE, cpu=types.Cpu(type="Westmere")))
    one = clusters.cluster_service(made.id)
    assert sdk.follow_link(made.data_center).name == "Default"
    assert one.get().cpu.architecture == types.Architecture.X86_64
    assert one.update(types.Cluster(description="d")).cpu.type == "Westmere"
    one.update(one.get())
    with refused(409, "already"):
        clusters.add(types.Cluster(name="two", data_center=HERE))
    with refused(400, "data_center.id or data_center.name"):
        clusters.add(types.Cluster(name="three"))
    with refused(400, "not allowed"):
        clusters.add(types.Cluster(name="a/b", data_center=HERE))
    with refused(400, "at most 40"):
        clusters.add(types.Cluster(name="x" * 41, data_center=HERE))
    with refused(400, "architecture"):
        one.update(types.Cluster(cpu=types.Cpu(architecture=types.Architecture.PPC64)))
    other = sdk.system_service().data_centers_service().add(types.DataCenter(name="other", local=False))
    with refused(409, "stays in its data center"):
        one.update(types.Cluster(data_center=types.DataCenter(id=other.id)))
    centers = sdk.system_service().data_centers_service()
    with refused(409, "Default, two"):
        centers.data_center_service(made.data_center.id).remove()
    answer = http("POST", f"datacenters/{other.id}/clusters", "<cluster><name>four</name></cluster>")
    assert answer.status_code == 201
    assert [c.name for c in centers.data_center_service(other.id).clusters_service().list()] == ["four"]
    one.remove()
    with pytest.raises(ovirtsdk4.NotFoundError):
        one.get()


def test_a_cluster_that_is_used_stays(sdk: ovirtsdk4.Connection) -> None:
    vms = sdk.system_service().vms_service()
    vms.add(types.Vm(name="web1", cluster=types.Cluster(name="Default"), template=types.Template(name="Blank")))
    cluster = sdk.system_service().clusters_service().list()[0]
    with refused(409, "web1"):
        sdk.system_service().clusters_service().cluster_service(cluster.id).remove()


def test_data_centers_that_are_refused(sdk: ovirtsdk4.Connection, http: Client) -> None:
    centers = sdk.system_service().data_centers_service()
    for name, code, words in [
        ("Default", 409, "already"),
        ("a b", 400, "not allowed"),
        ("x" * 41, 400, "at most 40"),
        ("", 400, "needs a name"),
    ]:
        with refused(code, words):
            centers.add(types.DataCenter(name=name, local=False))
    assert http("POST", "datacenters", "<data_center/>").status_code == 400
    with refused(400, "no MAC pool"):
        centers.add(types.DataCenter(name="x", local=False, mac_pool=types.MacPool(id="none")))
    assert len(centers.list()) == 1


def test_mac_pools(sdk: ovirtsdk4.Connection) -> None:
    pools = sdk.system_service().mac_pools_service()
    (default,) = pools.list()
    assert default.default_pool
    with refused(409, "default"):
        pools.mac_pool_service(default.id).remove()
    made = pools.add(types.MacPool(name="lab", ranges=[types.Range(from_="02:00:00:00:00:00", to="02:00:00:00:00:FF")]))
    assert (made.ranges[0].from_, made.ranges[0].to) == ("02:00:00:00:00:00", "02:00:00:00:00:ff")
    centers = sdk.system_service().data_centers_service()
    center = centers.add(types.DataCenter(name="north", local=False, mac_pool=types.MacPool(id=made.id)))
    with refused(409, "north"):
        pools.mac_pool_service(made.id).remove()
    centers.data_center_service(center.id).remove()
    for ranges, words in [
        ([("02:00:00:00:00:05", "02:00:00:00:00:01")], "ends before"),
        ([("02:00:00:00:00:00", "02:00:00:00:00:05"), ("02:00:00:00:00:05", "02:00:00:00:00:09")], "overlap"),
        ([("01:00:00:00:00:00", "01:00:00:00:00:05")], "multicast"),
        ([("nonsense", "02:00:00:00:00:05")], "not a MAC"),
        ([], "at least one range"),
    ]:
        with refused(400, words):
            pools.add(types.MacPool(name="bad", ranges=[types.Range(from_=a, to=b) for a, b in ranges]))
    with refused(400, "duplicates"):
        pools.mac_pool_service(made.id).update(types.MacPool(allow_duplicates=True))
    pools.mac_pool_service(made.id).remove()
    assert [p.name for p in pools.list()] == ["Default"]


def test_a_network_of_ours(sdk: ovirtsdk4.Connection, engine: Engine) -> None:
    networks = sdk.system_service().networks_service()
    made = networks.add(
        types.Network(name="lan", data_center=HERE, vlan=types.Vlan(id=7), mtu=9000, usages=[types.NetworkUsage.VM])
    )
    one = networks.network_service(made.id)
    assert (made.vlan.id, made.mtu, made.external_provider) == (7, 9000, None)
    assert [p.name for p in one.vnic_profiles_service().list()] == ["lan"]
    changed = one.update(types.Network(mtu=0, vlan=types.Vlan(id=8), comment="c"))
    assert (changed.vlan.id, changed.mtu, changed.comment) == (8, 0, "c")
    one.update(one.get())
    labels = one.network_labels_service()
    labels.add(types.NetworkLabel(id="red"))
    assert [label.id for label in labels.list()] == ["red"]
    with refused(409, "has the label red already"):
        labels.add(types.NetworkLabel(id="blue"))
    labels.label_service("red").remove()
    assert labels.list() == []
    for change, code, words in [
        ({"name": "lan"}, 409, "already"),
        ({"name": "much-too-long-name"}, 400, "at most 15"),
        ({"name": "two words"}, 400, "bridge of that name"),
        ({"name": "bond0"}, 400, "bond"),
        ({"mtu": 67}, 400, "MTU"),
        ({"vlan": types.Vlan(id=4095)}, 400, "VLAN"),
        ({"external_provider_physical_network": types.Network(name="red")}, 400, "external provider"),
    ]:
        wanted = types.Network(name="other", data_center=HERE)
        for key, value in change.items():
            setattr(wanted, key, value)
        with refused(code, words):
            networks.add(wanted)
    center = sdk.system_service().data_centers_service().list()[0]
    theirs = sdk.system_service().data_centers_service().data_center_service(center.id).networks_service()
    assert [n.id for n in theirs.list()] == [made.id]
    second = theirs.add(types.Network(name="second", profile_required=False))
    assert networks.network_service(second.id).vnic_profiles_service().list() == []
    theirs.network_service(second.id).remove()
    one.remove()
    assert networks.list() == []


def test_a_network_in_a_cluster(sdk: ovirtsdk4.Connection) -> None:
    networks = sdk.system_service().networks_service()
    made = networks.add(types.Network(name="lan", data_center=HERE))
    clusters = sdk.system_service().clusters_service()
    cluster = clusters.list()[0]
    theirs = clusters.cluster_service(cluster.id).networks_service()
    attached = theirs.add(types.Network(name="lan"))
    assert (attached.id, attached.required) == (made.id, True)
    assert attached.href == f"/ovirt-engine/api/clusters/{cluster.id}/networks/{made.id}"
    with refused(409, "attached to cluster Default already"):
        theirs.add(types.Network(id=made.id))
    with refused(400, "named by id"):
        theirs.add(types.Network(name="none"))
    one = theirs.network_service(made.id)
    changed = one.update(types.Network(required=False, usages=[types.NetworkUsage.VM, types.NetworkUsage.MIGRATION]))
    assert changed.required is False
    assert changed.usages == [types.NetworkUsage.VM, types.NetworkUsage.MIGRATION]
    second = networks.add(types.Network(name="second", data_center=HERE))
    theirs.add(types.Network(id=second.id, required=False, usages=[types.NetworkUsage.MIGRATION]))
    assert types.NetworkUsage.MIGRATION not in one.get().usages, "a cluster has one of each role"
    profile = networks.network_service(made.id).vnic_profiles_service().list()[0]
    vms = sdk.system_service().vms_service()
    vm = vms.add(types.Vm(name="web1", cluster=types.Cluster(id=cluster.id), template=types.Template(name="Blank")))
    nics = vms.vm_service(vm.id).nics_service()
    nic = nics.add(types.Nic(name="nic1", vnic_profile=types.VnicProfile(id=profile.id)))
    with refused(409, "vNIC nic1 of VM web1"):
        one.remove()
    with refused(409, "must stay a VM network"):
        networks.network_service(made.id).update(types.Network(usages=[]))
    with refused(409, "vNIC nic1 of VM web1"):
        sdk.system_service().vnic_profiles_service().profile_service(profile.id).remove()
    nics.nic_service(nic.id).remove()
    one.remove()
    assert [n.name for n in theirs.list()] == ["second"]


def test_vnic_profiles(sdk: ovirtsdk4.Connection, http: Client) -> None:
    networks = sdk.system_service().networks_service()
    network = networks.add(types.Network(name="lan", data_center=HERE))
    profiles = sdk.system_service().vnic_profiles_service()
    group = "11111111-2222-3333-4444-555555555555"
    made = profiles.add(
        types.VnicProfile(
            name="web",
            network=types.Network(id=network.id),
            custom_properties=[types.CustomProperty(name="SecurityGroups", value=group)],
        )
    )
    one = profiles.profile_service(made.id)
    assert [(p.name, p.value) for p in one.get().custom_properties] == [("SecurityGroups", group)]
    assert one.update(types.VnicProfile(description="d")).custom_properties[0].value == group
    assert one.update(types.VnicProfile(custom_properties=[])).custom_properties == []
    second = networks.add(types.Network(name="second", data_center=HERE))
    for change, code, words in [
        ({"name": "lan"}, 409, "already"),
        ({"name": "a b"}, 400, "not allowed"),
        ({"name": "x" * 51}, 400, "at most 50"),
        ({"port_mirroring": True}, 400, "do not mirror"),
        ({"pass_through": types.VnicPassThrough(mode=types.VnicPassThroughMode.ENABLED)}, 400, "passed through"),
        ({"network_filter": types.NetworkFilter(id="x")}, 400, "filters"),
        ({"custom_properties": [types.CustomProperty(name="SecurityGroups", value="web")]}, 400, "ids of security"),
        ({"custom_properties": [types.CustomProperty(name="a-b", value="x")]}, 400, "custom property"),
        ({"network": types.Network(id=second.id)}, 409, "stays on network lan"),
    ]:
        wanted = types.VnicProfile()
        for key, value in change.items():
            setattr(wanted, key, value)
        with refused(code, words):
            one.update(wanted)
    answer = http("POST", "vnicprofiles", "<vnic_profile><name>x</name></vnic_profile>")
    assert answer.status_code == 400
    assert "network.id" in answer.text
    one.remove()
    assert {p.name for p in profiles.list()} == {"lan", "second"}


def test_port_mirroring_on_an_external_network_is_refused(sdk: ovirtsdk4.Connection, engine: Engine) -> None:
    """Spec: Adding a vNIC: "port mirroring" is disabled."""
    from isthmus.commands.caller import Caller
    from isthmus.commands.imports import import_network
    from isthmus.commands.providers import add_provider
    from isthmus.providers.base import ExternalNetwork

    me = Caller("tester@internal")
    provider = add_provider(engine, me, type="unmanaged", name="outside")
    center = sdk.system_service().data_centers_service().list()[0].id
    external = ExternalNetwork("1", "blue")
    import_network(engine, me, provider_id=provider, external=external, data_center_id=center)
    profiles = sdk.system_service().vnic_profiles_service()
    (profile,) = profiles.list()
    with refused(400, "network blue is provided by outside"):
        profiles.profile_service(profile.id).update(types.VnicProfile(port_mirroring=True))
    networks = sdk.system_service().clusters_service()
    cluster = networks.list()[0]
    attached = networks.cluster_service(cluster.id).networks_service().network_service(profile.network.id)
    for change in (
        types.Network(required=True),
        types.Network(display=True),
        types.Network(usages=[types.NetworkUsage.VM, types.NetworkUsage.MIGRATION]),
    ):
        with refused(400, "provided by outside: in a cluster it cannot be"):
            attached.update(change)
