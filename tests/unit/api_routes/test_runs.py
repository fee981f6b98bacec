"""A VM's whole life by oVirt's client, with the reconcilers at work: agents and Neutron alone are not real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ovirtsdk4
import pytest
from ovirtsdk4 import types

from isthmus.model.settings import hash_password, put
from tests.fakes.neutron import FakeNeutron
from tests.served import PASSWORD, serve, sign_in
from tests.unit.reconcile.world import World
from tests.waiting import wait_for


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FakeNeutron(hosts=["h1", "h2"]) as neutron:
        made = World(tmp_path / "data", neutron)
        yield made
        made.close()


@pytest.fixture
def system(world: World) -> Iterator[ovirtsdk4.services.SystemService]:
    with world.engine.db.write() as session:
        put(session, "admin_password", hash_password(PASSWORD))
    with serve(world.engine) as url, sign_in(world.engine, url) as connection:
        yield connection.system_service()


def test_a_vm_gets_its_port_and_gives_it_back(system: ovirtsdk4.services.SystemService, world: World) -> None:
    vms = system.vms_service()
    vm = vms.add(types.Vm(name="web1", cluster=types.Cluster(name="Default"), memory=128 << 20))
    service = vms.vm_service(vm.id)
    nics = service.nics_service()
    nic = nics.add(types.Nic(name="nic1", network=types.Network(name="net-a")))
    service.start()
    wait_for(lambda: service.get().status == types.VmStatus.UP, "the VM is up")
    (port,) = world.ours().values()
    assert (port["mac_address"], port["device_id"], port["status"]) == (nic.mac.address, vm.id, "ACTIVE")
    assert service.get().host.id in {h.id for h in world.hosts.values()}
    with pytest.raises(ovirtsdk4.Error, match="of external provider neutron"):
        nics.nic_service(nic.id).update(types.Nic(plugged=False))
    service.stop()
    wait_for(lambda: service.get().status == types.VmStatus.DOWN, "the VM is down")
    service.remove()
    wait_for(lambda: not world.ours(), "the port is given back though its VM is gone")


def test_a_vm_is_removed_while_its_provider_is_away(system: ovirtsdk4.services.SystemService, world: World) -> None:
    """What is owed is paid when the provider answers, and until then nobody gets the address."""
    vms = system.vms_service()
    vm = vms.add(types.Vm(name="web1", cluster=types.Cluster(name="Default"), memory=128 << 20))
    service = vms.vm_service(vm.id)
    nic = service.nics_service().add(types.Nic(name="nic1", network=types.Network(name="net-a")))
    service.start()
    wait_for(lambda: service.get().status == types.VmStatus.UP, "the VM is up")
    world.neutron.down()
    service.stop()
    wait_for(lambda: service.get().status == types.VmStatus.DOWN, "the VM is down")
    service.remove()
    other = vms.add(types.Vm(name="web2", cluster=types.Cluster(name="Default"), memory=128 << 20))
    again = types.Nic(name="nic1", mac=nic.mac, network=types.Network(name="net-a"))
    with pytest.raises(ovirtsdk4.Error, match="provider neutron has not given back yet"):
        vms.vm_service(other.id).nics_service().add(again)
    world.neutron.up()
    wait_for(lambda: not world.ours(), "the port is given back")
    wait_for(lambda: not [c for c in world.claims(vm.id) if c.port_id], "its claim holds it no more")
    vms.vm_service(other.id).nics_service().add(again)
