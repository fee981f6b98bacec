from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import ovirtsdk4
import paramiko
import pytest
from ovirtsdk4 import types
from ovirtsdk4.services import HostsService

from isthmus.model import Host, HostProvider, Job, Vm
from isthmus.reconcile.engine import Engine
from tests.served import Client, statements
from tests.unit.api_routes import rows
from tests.unit.hosts.test_ssh import PASSWORD, FakeHost, serving


@pytest.fixture(autouse=True)
def quiet(engine: Engine) -> None:
    for noun in ("vm", "claim", "host", "sweep"):
        engine.loop.register(noun, lambda _row: [])


@pytest.fixture
def machine(tmp_path: Path) -> FakeHost:
    home = tmp_path / "home"
    home.mkdir()
    return FakeHost(home)


@pytest.fixture
def port(machine: FakeHost) -> Iterator[int]:
    with serving(machine) as listening:
        yield listening


@pytest.fixture
def hosts(sdk: ovirtsdk4.Connection) -> HostsService:
    return sdk.system_service().hosts_service()


def new(port: int, password: str = PASSWORD, **fields: object) -> types.Host:
    ssh = types.Ssh(port=port, user=types.User(user_name="root", password=password))
    return types.Host(
        **{"name": "h1", "address": "127.0.0.1", "ssh": ssh, "cluster": types.Cluster(name="Default"), **fields}
    )


def carried(engine: Engine) -> list[tuple[str, str | None]]:
    with engine.db.read() as session:
        return [(p.provider_id, p.network_mappings) for p in session.query(HostProvider)]


def test_a_host_is_contacted_and_then_installed(
    hosts: HostsService, engine: Engine, machine: FakeHost, port: int
) -> None:
    provider = rows.add_provider(engine)
    of_provider = types.ExternalProvider(
        id=provider, properties=[types.Property(name="network_mappings", value="red:eth1,blue:eth2")]
    )
    configuration = types.ExternalNetworkProviderConfiguration(external_network_provider=of_provider)
    made = hosts.add(new(port, external_network_provider_configurations=[configuration]))
    assert (made.name, made.status) == ("h1", types.HostStatus.INSTALLING)
    assert made.ssh.fingerprint == machine.keys[0].fingerprint
    assert machine.authorized_keys == engine.authority.ssh_public_key + "\n"
    assert carried(engine) == [(provider, "red:eth1,blue:eth2")]
    (shown,) = hosts.host_service(made.id).external_network_provider_configurations_service().list()
    assert shown.external_network_provider.id == provider
    with engine.db.read() as session:
        row = session.get_one(Host, made.id)
        assert (row.install_wanted, row.install_done, row.wanted) == (1, 0, "up")
        assert session.get_one(Job, row.install_job_id or "").description == "Installing host h1"
    (event,) = rows.events(engine, 42)
    assert event.startswith("Host h1 (127.0.0.1) was added to cluster Default by admin@internal")
    assert PASSWORD not in json.dumps(rows.events(engine, 42))


def test_the_mapping_of_a_host_in_both_forms(hosts: HostsService, engine: Engine, http: Client, port: int) -> None:
    provider = rows.add_provider(engine)
    body = {
        "name": "h1",
        "address": "127.0.0.1",
        "ssh": {"port": str(port)},
        "root_password": PASSWORD,
        "external_network_provider_configurations": {
            "external_network_provider_configuration": [
                {
                    "external_network_provider": {"name": "neutron"},
                    "properties": {"property": [{"name": "network_mappings", "value": "red:eth1.500"}]},
                }
            ]
        },
    }
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    made = http("POST", "hosts", json.dumps(body), headers=headers)
    assert made.status_code == 201, made.text
    assert carried(engine) == [(provider, "red:eth1.500")]
    (shown,) = made.json()["external_network_provider_configurations"]["external_network_provider_configuration"]
    assert shown["properties"]["property"] == [{"name": "network_mappings", "value": "red:eth1.500"}]
    assert PASSWORD not in made.text
    text = http("GET", f"hosts/{made.json()['id']}").text
    assert "<value>red:eth1.500</value>" in text
    assert "password" not in text


def test_a_host_that_is_not_let_in_or_not_there_changes_nothing(
    hosts: HostsService, engine: Engine, machine: FakeHost, port: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        closed = nobody.getsockname()[1]
    key = paramiko.ECDSAKey.generate()
    other = types.Ssh(port=port, fingerprint=key.fingerprint, user=types.User(user_name="root", password=PASSWORD))
    before = rows.counts(engine)
    for wanted, code, words in (
        (new(port, "wrong"), 400, "does not accept the password of root"),
        (new(closed), 503, "refuses the connection"),
        (new(port, ssh=other), 400, "shows the key"),
        (new(port, address="no-such-host.invalid"), 503, "is not known"),
        (new(port, ssh=types.Ssh(port=port)), 400, "root_password is missing"),
        (
            new(port, ssh=types.Ssh(port=port, authentication_method=types.SshAuthenticationMethod.PUBLICKEY)),
            400,
            "does not accept the engine's SSH key",
        ),
    ):
        with pytest.raises(ovirtsdk4.Error, match=words) as refused:
            hosts.add(wanted)
        assert refused.value.code == code
    machine.os_release = 'ID=fedora\nVERSION_ID="40"\nPRETTY_NAME="Fedora 40"\n'
    with pytest.raises(ovirtsdk4.Error, match="runs Fedora 40"):
        hosts.add(new(port))
    assert rows.counts(engine) == before
    assert machine.authorized_keys == ""
    told = rows.events(engine, 104)
    assert len(told) == 7
    assert told[0].startswith("Host h1 could not be added by admin@internal: ")


def test_what_is_wrong_is_refused_before_the_host_is_contacted(hosts: HostsService, engine: Engine) -> None:
    rows.add_host(engine, "taken", status="maintenance")
    linux, other = rows.add_provider(engine), rows.add_provider(engine, "ovs", "OPEN_VSWITCH")

    def carrying(provider: str, mapping: str = "red:eth1", name: str = "network_mappings") -> list[object]:
        reference = types.ExternalProvider(id=provider, properties=[types.Property(name=name, value=mapping)])
        return [types.ExternalNetworkProviderConfiguration(external_network_provider=reference)]

    for fields, words in (
        ({"name": ""}, "needs a name"),
        ({"name": "a b"}, "may stand there"),
        ({"name": "taken"}, "already"),
        ({"address": ""}, "needs an address"),
        ({"address": "-x"}, "is not the address of a host"),
        ({"address": "1.2.3.4.5"}, "is not the address of a host"),
        ({"address": "h;reboot"}, "is not the address of a host"),
        ({"address": "taken.example"}, "Host taken has the address"),
        ({"cluster": types.Cluster(name="nowhere")}, "no cluster named"),
        ({"ssh": types.Ssh(port=0)}, "SSH port"),
        ({"ssh": types.Ssh(user=types.User(user_name="-o x"))}, "not the name of a user"),
        ({"external_network_provider_configurations": carrying("none")}, "no external network provider none"),
        ({"external_network_provider_configurations": carrying(other)}, "OPEN_VSWITCH"),
        ({"external_network_provider_configurations": carrying(linux, "red")}, "network mappings 'red'"),
        ({"external_network_provider_configurations": carrying(linux, "a:b, c:d")}, "network mappings"),
        ({"external_network_provider_configurations": carrying(linux, "x", "other")}, "other are not known"),
        ({"external_network_provider_configurations": carrying(linux) * 2}, "named twice"),
    ):
        with pytest.raises(ovirtsdk4.Error, match=words) as refused:
            hosts.add(new(1, **fields))
        assert refused.value.code in (400, 404, 409)
    assert rows.counts(engine)["host"] == 1
    assert engine.loop.idle()


def test_maintenance_and_back(hosts: HostsService, sdk: ovirtsdk4.Connection, engine: Engine) -> None:
    host = rows.add_host(engine)
    service = hosts.host_service(host)
    vm = sdk.system_service().vms_service().add(types.Vm(name="web1", cluster=types.Cluster(name="Default")))
    rows.run(engine, vm.id, host)
    assert (service.get().summary.active, service.get().summary.total) == (1, 1)
    with pytest.raises(ovirtsdk4.Error, match="while VMs run there, or may: web1") as refused:
        service.deactivate()
    assert refused.value.code == 409
    assert service.get().status == types.HostStatus.UP
    with pytest.raises(ovirtsdk4.Error, match="nothing to activate"):
        service.activate()
    rows.end(engine, vm.id)
    service.deactivate()
    service.deactivate()
    assert service.get().status == types.HostStatus.MAINTENANCE
    assert len(rows.events(engine, 15)) == 1
    service.activate()
    assert service.get().status == types.HostStatus.CONNECTING
    assert len(rows.events(engine, 16)) == 1


def test_a_host_is_changed_and_removed_in_maintenance(
    hosts: HostsService, sdk: ovirtsdk4.Connection, engine: Engine
) -> None:
    host = rows.add_host(engine)
    service = hosts.host_service(host)
    assert service.update(types.Host(comment="in the cellar")).comment == "in the cellar"
    with pytest.raises(ovirtsdk4.Error, match="its address can be changed only in maintenance"):
        service.update(types.Host(address="h9.example"))
    with pytest.raises(ovirtsdk4.Error, match="can be removed only in maintenance"):
        service.remove()
    service.deactivate()
    assert service.update(types.Host(address="h9.example", name="h9")).name == "h9"
    vm = (
        sdk.system_service()
        .vms_service()
        .add(
            types.Vm(
                name="web1",
                cluster=types.Cluster(name="Default"),
                placement_policy=types.VmPlacementPolicy(hosts=[types.Host(name="h9")]),
            )
        )
    )
    with pytest.raises(ovirtsdk4.Error, match="pinned to it: web1"):
        service.remove()
    sdk.system_service().vms_service().vm_service(vm.id).remove()
    service.remove()
    assert hosts.list() == []
    assert "abc" in engine.authority.denied(), "its certificate is not accepted any more"


def test_a_dead_hosts_vms_are_free_once_it_was_rebooted(
    hosts: HostsService, sdk: ovirtsdk4.Connection, engine: Engine
) -> None:
    host = rows.add_host(engine)
    service = hosts.host_service(host)
    vm = sdk.system_service().vms_service().add(types.Vm(name="web1", cluster=types.Cluster(name="Default")))
    rows.run(engine, vm.id, host)
    with pytest.raises(ovirtsdk4.Error, match="up and its agent answers"):
        service.fence(fence_type="manual")
    with engine.db.write() as session:
        session.get_one(Host, host).status = "non_responsive"
    with pytest.raises(ovirtsdk4.Error, match="there is no power management"):
        service.fence(fence_type="restart")
    service.fence(fence_type="manual")
    with engine.db.read() as session:
        assert session.get_one(Vm, vm.id).status == "down"
    assert len(rows.events(engine, 494)) == 1


def test_a_failed_installation_is_done_again(hosts: HostsService, engine: Engine, machine: FakeHost, port: int) -> None:
    made = hosts.add(new(port))
    service = hosts.host_service(made.id)
    with pytest.raises(ovirtsdk4.Error, match="installed again only in maintenance"):
        service.install(root_password=PASSWORD)
    with engine.db.write() as session:
        session.get_one(Host, made.id).status = "install_failed"
    with pytest.raises(ovirtsdk4.Error, match="is not installed"):
        service.activate()
    with pytest.raises(ovirtsdk4.Error, match="does not accept the password"):
        service.install(root_password="wrong")
    assert service.get().status == types.HostStatus.INSTALL_FAILED
    service.install()  # with the key that the first contact left there
    with engine.db.read() as session:
        row = session.get_one(Host, made.id)
        assert (row.status, row.install_wanted) == ("installing", 2)
    with engine.db.write() as session:
        session.get_one(Host, made.id).status = "install_failed"
    machine.keys = [paramiko.ECDSAKey.generate()]
    with pytest.raises(ovirtsdk4.Error, match="shows the key"):
        service.install()
    fingerprint = machine.keys[0].fingerprint
    service.install(ssh=types.Ssh(fingerprint=fingerprint))
    assert service.get().ssh.fingerprint == fingerprint


def test_what_the_agent_said_is_shown(hosts: HostsService, engine: Engine) -> None:
    service = hosts.host_service(rows.add_host(engine))
    seen = service.get()
    assert (seen.memory, seen.cpu.topology.cores, seen.cpu.name) == (8 << 30, 4, "A processor")
    assert (seen.os.type, seen.os.version.major, seen.libvirt_version.full_version) == ("Debian GNU/Linux", 12, "9.0.0")
    first, second = service.nics_service().list()
    assert (first.name, first.ip.address, first.ip.netmask) == ("eth0", "10.0.0.2", "255.255.255.0")
    assert first.ipv6.address == "fe80::1"
    assert (second.name, second.vlan.id, second.base_interface) == ("eth1.500", 500, "eth1")
    assert service.nics_service().nic_service(second.id).get().mac.address == "02:00:00:00:00:02"


def test_a_list_costs_the_same_number_of_statements_however_long(
    hosts: HostsService, engine: Engine, http: Client
) -> None:
    seen = []
    for number in range(4):
        rows.add_host(engine, f"h{number}")
        if number in (0, 3):
            with statements(engine) as these:
                answer = http("GET", "hosts?follow=nics")
                assert answer.text.count("<host ") >= number + 1
            seen.append([s for s in these if "FROM setting" not in s and "FROM token" not in s])
    assert [len(s) for s in seen] == [4, 4]  # hosts, what they carry, how loaded they are; their NICs
    assert [h.name for h in hosts.list(search="name=h2 and cluster=Default")] == ["h2"]
