"""A provider's networks and subnets, by the rows of the specification: discovered, imported, added there."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ovirtsdk4
import pytest
from ovirtsdk4 import types

from isthmus.api import waiting
from isthmus.model import NetworkProvision
from isthmus.reconcile.engine import Engine
from tests.fakes.neutron import FakeNeutron, Kind
from tests.served import Client
from tests.unit.api_routes.specified import as_specified, events
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("working")


def test_networks_are_discovered_live(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService, neutron: FakeNeutron
) -> None:
    assert saved.networks_service().list() == []
    made = neutron.world.add_network("blue")
    (shown,) = saved.networks_service().list()
    assert (shown.id, shown.name) == (made["id"], "blue")
    assert shown.href.endswith(f"/networks/{made['id']}")
    assert saved.networks_service().network_service(made["id"]).get().name == "blue"
    with pytest.raises(ovirtsdk4.NotFoundError):
        saved.networks_service().network_service("none").get()
    neutron.world.add_network("azure")
    assert [n.name for n in saved.networks_service().list()] == ["azure", "blue"]
    assert len(saved.networks_service().list(max=1)) == 1


def test_a_provider_that_is_down_is_said_to_be(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService, neutron: FakeNeutron, monkeypatch: pytest.MonkeyPatch
) -> None:
    neutron.fault("GET /v2.0/networks", Kind.ANSWER, status=500)
    with pytest.raises(ovirtsdk4.Error, match="Provider 'neutron'") as refusal:
        saved.networks_service().list()
    assert refusal.value.code == 503
    monkeypatch.setattr(waiting, "ANSWER_SECONDS", 0.3)
    fault = neutron.fault("GET /v2.0/networks", Kind.HANG)
    with pytest.raises(ovirtsdk4.Error, match="has not answered within") as refusal:
        saved.networks_service().list()
    assert refusal.value.code == 503
    fault.land()


def test_import_a_network(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService,
    sdk: ovirtsdk4.Connection,
    neutron: FakeNeutron,
    engine: Engine,
) -> None:
    """Spec: Importing a network. The name as entered, a VM network, in all clusters, not required, no roles."""
    clusters = sdk.system_service().clusters_service()
    clusters.add(types.Cluster(name="second", data_center=types.DataCenter(name="Default")))
    external = neutron.world.add_network("blue")
    theirs = saved.networks_service().network_service(external["id"])
    theirs.import_(data_center=types.DataCenter(name="Default"), query={"name": "as entered"})
    networks = sdk.system_service().networks_service()
    (network,) = networks.list(search='name="as entered"')
    assert network.usages == [types.NetworkUsage.VM]
    assert network.external_provider.id == saved.get().id
    assert (network.mtu, network.vlan) == (0, None)
    for cluster in clusters.list():
        (attached,) = clusters.cluster_service(cluster.id).networks_service().list()
        assert attached.id == network.id
        assert attached.required is False
        assert attached.display is False
        assert attached.usages == [types.NetworkUsage.VM]
    (profile,) = networks.network_service(network.id).vnic_profiles_service().list()
    assert profile.name == "as entered"
    (event,) = events(engine, 10920)
    assert "as entered" in event.text
    assert "admin@internal" in event.text

    with pytest.raises(ovirtsdk4.Error, match="already: as network as entered") as refusal:
        theirs.import_(data_center=types.DataCenter(name="Default"))
    assert refusal.value.code == 409
    assert len(networks.list()) == 1
    assert len(events(engine, 10921)) == 1

    other = sdk.system_service().data_centers_service().add(types.DataCenter(name="other", local=False))
    theirs.import_(data_center=types.DataCenter(id=other.id))
    assert [n.name for n in networks.list()] == ["as entered", "blue"], "without a name, the provider's"


def test_imports_that_are_refused(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService, neutron: FakeNeutron, http: Client
) -> None:
    external = neutron.world.add_network("blue")["id"]
    path = f"openstacknetworkproviders/{saved.get().id}/networks/"
    here = "<action><data_center><name>Default</name></data_center></action>"
    for target, body, status in [
        (f"{external}/import", "<action/>", 400),
        (f"{external}/import", "<action><data_center><name>none</name></data_center></action>", 400),
        ("none/import", here, 404),
        (f"{external}/import?name=bond7", here, 400),
        (f"{external}/import?name={'x' * 256}", here, 400),
        (f"{external}/import?name=a%0Ab", here, 400),
    ]:
        answer = http("POST", path + target, body)
        assert answer.status_code == status, (target, answer.text)
    assert "<network " not in http("GET", "networks").text


def test_add_the_network_on_the_provider(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService,
    sdk: ovirtsdk4.Connection,
    neutron: FakeNeutron,
    engine: Engine,
) -> None:
    """Spec: Adding the network: VLAN 500, label red; seen on Neutron's API and in the provider's list."""
    networks = sdk.system_service().networks_service()
    made = networks.add(
        types.Network(
            name="web tier",
            data_center=types.DataCenter(name="Default"),
            vlan=types.Vlan(id=500),
            network_labels=[types.NetworkLabel(id="red")],
            external_provider=types.OpenStackNetworkProvider(id=saved.get().id),
        )
    )
    (theirs,) = neutron.networks.values()
    assert theirs["name"] == "web tier"
    assert theirs["provider:network_type"] == "vlan"
    assert (theirs["provider:physical_network"], theirs["provider:segmentation_id"]) == ("red", 500)
    (listed,) = saved.networks_service().list()
    assert (listed.id, listed.name) == (theirs["id"], "web tier")
    assert made.vlan.id == 500
    assert made.status == types.NetworkStatus.OPERATIONAL
    one = networks.network_service(made.id)
    assert [label.id for label in one.network_labels_service().list()] == ["red"]
    (event,) = events(engine, 942)
    assert "web tier" in event.text
    assert "admin@internal" in event.text
    with engine.db.read() as session:
        provision = session.query(NetworkProvision).one()
    assert provision.external_id == theirs["id"]
    job = sdk.system_service().jobs_service().job_service(provision.job_id).get(follow="steps")
    assert job.status == types.JobStatus.FINISHED
    assert [step.status for step in job.steps] == [types.StepStatus.FINISHED]


@pytest.mark.parametrize("label", ["name", "id"])
def test_the_label_may_be_the_physical_network(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService,
    sdk: ovirtsdk4.Connection,
    neutron: FakeNeutron,
    label: str,
) -> None:
    networks = sdk.system_service().networks_service()
    center = types.DataCenter(name="Default")
    carrier = networks.add(types.Network(name="red", data_center=center))
    physical = types.Network(name="red") if label == "name" else types.Network(id=carrier.id)
    networks.add(
        types.Network(
            name="flat or tagged",
            data_center=center,
            vlan=types.Vlan(id=7),
            external_provider_physical_network=physical,
            external_provider=types.OpenStackNetworkProvider(name="neutron"),
        )
    )
    (theirs,) = neutron.networks.values()
    assert (theirs["provider:physical_network"], theirs["provider:segmentation_id"]) == ("red", 7)


def test_a_refusal_of_the_provider_is_the_fault_and_the_row_is_gone(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService,
    sdk: ovirtsdk4.Connection,
    neutron: FakeNeutron,
    engine: Engine,
) -> None:
    networks = sdk.system_service().networks_service()

    def add(name: str, vlan: int, label: str) -> None:
        networks.add(
            types.Network(
                name=name,
                data_center=types.DataCenter(name="Default"),
                vlan=types.Vlan(id=vlan),
                network_labels=[types.NetworkLabel(id=label)],
                external_provider=types.OpenStackNetworkProvider(id=saved.get().id),
            )
        )

    add("first", 500, "red")
    with pytest.raises(ovirtsdk4.Error, match=r"VlanIdInUse|in use") as refusal:
        add("second", 500, "red")
    assert refusal.value.code == 409
    with pytest.raises(ovirtsdk4.Error, match="neutron") as refusal:
        add("third", 500, "unknown")
    assert refusal.value.code == 400
    assert [n.name for n in networks.list()] == ["first"]
    assert len(neutron.networks) == 1
    assert len(events(engine, 943)) == 2
    assert all("admin@internal" in (e.user or "") for e in events(engine, 943))


def test_a_time_out_answers_202_and_goes_on(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService,
    sdk: ovirtsdk4.Connection,
    neutron: FakeNeutron,
    http: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "JOB_SECONDS", 0.2)
    hold = neutron.hold("POST /v2.0/networks")
    body = (
        "<network><name>slow</name><data_center><name>Default</name></data_center>"
        "<external_provider><name>neutron</name></external_provider></network>"
    )
    answer = http("POST", "networks", body)
    assert answer.status_code == 202
    assert "<creation_status>in_progress</creation_status>" in answer.text
    (job,) = re.findall(r'<link href="([^"]*)" rel="creation_status"/>', answer.text)
    assert answer.text.count("creation_status") == 3
    network = sdk.system_service().networks_service().list()[0]
    assert network.status == types.NetworkStatus.NON_OPERATIONAL
    assert "<status>started</status>" in http("GET", job).text
    hold.let_go()
    wait_for(lambda: "<status>finished</status>" in http("GET", job).text, "the job has ended")
    assert "creation_status" not in http("GET", answer.headers["Location"]).text
    assert len(neutron.networks) == 1


REFUSED_NETWORKS: list[tuple[dict[str, object], str]] = [
    ({"vlan": types.Vlan(id=4095)}, "between 0 and 4094"),
    ({"network_labels": []}, "no label"),
    ({"mtu": 1500}, "MTU"),
    ({"usages": []}, "VM network"),
    ({"stp": True}, "STP"),
    ({"port_isolation": True}, "isolation"),
    ({"network_labels": [types.NetworkLabel(id="a"), types.NetworkLabel(id="b")]}, "one label"),
    ({"name": "bond0"}, "bond"),
    ({"name": ""}, "needs a name"),
    ({"data_center": types.DataCenter(name="none")}, "no data center"),
    ({"external_provider": types.OpenStackNetworkProvider(name="none")}, "no external network provider"),
]


def test_a_network_that_is_refused_never_reaches_the_provider(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService, sdk: ovirtsdk4.Connection, neutron: FakeNeutron
) -> None:
    assert saved.get().name == "neutron"
    networks = sdk.system_service().networks_service()
    for change, words in REFUSED_NETWORKS:
        wanted = types.Network(
            name="web",
            data_center=types.DataCenter(name="Default"),
            vlan=types.Vlan(id=500),
            network_labels=[types.NetworkLabel(id="red")],
            external_provider=types.OpenStackNetworkProvider(name="neutron"),
        )
        for name, value in change.items():
            setattr(wanted, name, value)
        with pytest.raises(ovirtsdk4.Error, match=re.escape(words)):
            networks.add(wanted)
        assert networks.list() == []
    assert neutron.count("POST *") == 0


def test_a_hanging_provider_holds_up_nobody_else(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService,
    sdk: ovirtsdk4.Connection,
    neutron: FakeNeutron,
    http: Client,
) -> None:
    """While more requests than any pool has threads wait for it, everything else answers."""
    hold = neutron.hold("GET /v2.0/networks")
    path = f"openstacknetworkproviders/{saved.get().id}/networks"
    headers = {"Authorization": f"Bearer {sdk.authenticate()}"}
    with FakeNeutron() as other, ThreadPoolExecutor(60) as pool:
        waiting_for_it = [pool.submit(Client(http.url, Path(http.ca)), "GET", path, headers=headers) for _ in range(60)]
        hold.wait(8)
        assert http("GET", "vms").status_code == 200
        assert http("GET", "networks").status_code == 200
        second = sdk.system_service().openstack_network_providers_service()
        provider = as_specified(other.url)
        provider.name = "other"
        one = second.provider_service(second.add(provider).id)
        one.test_connectivity()
        assert one.networks_service().list() == []
        assert not any(answer.done() for answer in waiting_for_it)
        hold.let_go()
        assert {answer.result().status_code for answer in waiting_for_it} == {200}


def test_a_read_only_provider_gets_no_networks(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService, sdk: ovirtsdk4.Connection
) -> None:
    saved.update(types.OpenStackNetworkProvider(read_only=True))
    with pytest.raises(ovirtsdk4.Error, match="read-only"):
        sdk.system_service().networks_service().add(
            types.Network(
                name="web",
                data_center=types.DataCenter(name="Default"),
                external_provider=types.OpenStackNetworkProvider(name="neutron"),
            )
        )


def test_what_the_provider_decides_is_not_changed_here(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService, sdk: ovirtsdk4.Connection
) -> None:
    networks = sdk.system_service().networks_service()
    made = networks.add(
        types.Network(
            name="web",
            data_center=types.DataCenter(name="Default"),
            vlan=types.Vlan(id=500),
            network_labels=[types.NetworkLabel(id="red")],
            external_provider=types.OpenStackNetworkProvider(name="neutron"),
        )
    )
    one = networks.network_service(made.id)
    one.update(one.get())
    renamed = one.update(types.Network(name="renamed", description="d", vlan=types.Vlan(id=500), mtu=0))
    assert (renamed.name, renamed.description) == ("renamed", "d")
    for change in (
        types.Network(vlan=types.Vlan(id=501)),
        types.Network(mtu=1400),
        types.Network(usages=[]),
        types.Network(network_labels=[types.NetworkLabel(id="blue")]),
    ):
        with pytest.raises(ovirtsdk4.Error, match="provider neutron decides") as refusal:
            one.update(change)
        assert refusal.value.code == 409
    with pytest.raises(ovirtsdk4.Error, match="decides"):
        one.network_labels_service().label_service("red").remove()


def test_removing_a_provider_takes_its_networks_here_only(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService,
    sdk: ovirtsdk4.Connection,
    neutron: FakeNeutron,
    engine: Engine,
) -> None:
    external = neutron.world.add_network("blue")
    saved.networks_service().network_service(external["id"]).import_(data_center=types.DataCenter(name="Default"))
    networks = sdk.system_service().networks_service()
    network = networks.list()[0]
    profile = networks.network_service(network.id).vnic_profiles_service().list()[0]
    vms = sdk.system_service().vms_service()
    vm = vms.add(types.Vm(name="web1", cluster=types.Cluster(name="Default"), template=types.Template(name="Blank")))
    nics = vms.vm_service(vm.id).nics_service()
    nic = nics.add(types.Nic(name="nic1", vnic_profile=types.VnicProfile(id=profile.id)))
    for remove in (saved.remove, networks.network_service(network.id).remove):
        with pytest.raises(ovirtsdk4.Error, match="vNIC nic1 of VM web1") as refusal:
            remove()
        assert refusal.value.code == 409
    nics.nic_service(nic.id).remove()
    saved.remove()
    assert networks.list() == []
    assert list(neutron.networks) == [external["id"]]
    assert len(events(engine, 209)) == 1
    assert len(events(engine, 210)) == 1
    assert len(events(engine, 944)) == 1


# -------------------------------------------------------------------------------------------------------- subnets


def test_subnets(
    saved: ovirtsdk4.services.OpenstackNetworkProviderService, neutron: FakeNeutron, engine: Engine
) -> None:
    external = neutron.world.add_network("blue")["id"]
    subnets = saved.networks_service().network_service(external).subnets_service()
    made = subnets.add(
        types.OpenStackSubnet(
            name="web", cidr="10.5.0.0/24", ip_version="v4", gateway="10.5.0.1", dns_servers=["10.5.0.2"]
        )
    )
    assert (made.cidr, made.ip_version, made.gateway) == ("10.5.0.0/24", "v4", "10.5.0.1")
    assert [s.id for s in subnets.list()] == [made.id]
    assert subnets.subnet_service(made.id).get().dns_servers == ["10.5.0.2"]
    for wrong, words in [
        (types.OpenStackSubnet(name="x", cidr="10.5.0.1/24"), "host bits"),
        (types.OpenStackSubnet(name="x", cidr="10.6.0.0/24", ip_version="v6"), "version"),
        (types.OpenStackSubnet(name="x", cidr="10.6.0.0/24", gateway="fd00::1"), "version"),
        (types.OpenStackSubnet(name="x"), "CIDR"),
        (types.OpenStackSubnet(cidr="10.6.0.0/24"), "name"),
    ]:
        with pytest.raises(ovirtsdk4.Error, match=words):
            subnets.add(wrong)
    subnets.subnet_service(made.id).remove()
    assert subnets.list() == []
    with pytest.raises(ovirtsdk4.NotFoundError):
        subnets.subnet_service(made.id).get()
    assert [len(events(engine, code)) for code in (1140, 1142)] == [1, 1]
    neutron.fault("POST /v2.0/subnets", Kind.ANSWER, status=409, error_type="Quota", message="no more subnets")
    with pytest.raises(ovirtsdk4.Error, match="no more subnets") as refusal:
        subnets.add(types.OpenStackSubnet(name="x", cidr="10.6.0.0/24"))
    assert refusal.value.code == 409
    assert events(engine, 1143)[0].severity == "error"
