"""What other nouns would have brought about, written as rows: networks of a provider, hosts that are up, runs."""

from __future__ import annotations

from google.protobuf import json_format
from sqlalchemy import func, select

from isthmus.model import (
    Claim,
    Cluster,
    ClusterNetwork,
    DataCenter,
    Event,
    Host,
    MayRun,
    Network,
    NetworkProvision,
    Nic,
    Provider,
    Vm,
    VnicProfile,
)
from isthmus.reconcile import runs
from isthmus.reconcile.engine import Engine
from isthmus.wire import agent_pb2 as wire


def add_provider(engine: Engine, name: str = "neutron", plugin_type: str = "LINUX_BRIDGE") -> str:
    with engine.db.write() as session:
        row = Provider(name=name, type="neutron", url="http://127.0.0.1:1", plugin_type=plugin_type)
        session.add(row)
    return row.id


def add_network(engine: Engine, name: str, provider_id: str | None = None, *, attached: bool = True) -> str:
    """A network with a profile of its name; the profile's id."""
    with engine.db.write() as session:
        center = session.scalars(select(DataCenter).where(DataCenter.name == "Default")).one()
        network = Network(name=name, data_center_id=center.id)
        session.add(network)
        session.flush()
        profile = VnicProfile(name=name, network_id=network.id)
        session.add(profile)
        if attached:
            cluster = session.scalars(select(Cluster).where(Cluster.name == "Default")).one()
            session.add(ClusterNetwork(cluster_id=cluster.id, network_id=network.id))
        if provider_id:
            session.add(
                NetworkProvision(
                    network_id=network.id,
                    data_center_id=center.id,
                    provider_id=provider_id,
                    external_id=f"external-{name}",
                    network_type="vlan",
                    physical_network="red",
                )
            )
    return profile.id


def add_host(engine: Engine, name: str = "h1", *, status: str = "up", provider_id: str | None = None) -> str:
    said = wire.CapabilitiesReply(
        hostname=name,
        os_name="Debian GNU/Linux",
        os_version="12.5",
        libvirt_version="9.0.0",
        cpus=4,
        cpu_model="A processor",
        memory=8 << 30,
        memory_free=7 << 30,
        bridges=["lan"],
        wires=["bridge", "host-bridge"],
        vlan_8021q=True,
        mappings={"red": "eth1"},
        units=[wire.Unit(name="neutron-linuxbridge-agent.service", active=True)],
        hooks=[wire.Hook(point="before_device_create", name="openstacknet")],
        interfaces=[
            wire.Interface(name="eth1.500", mac="02:00:00:00:00:02", up=True, mtu=1500, vlan=500, parent="eth1"),
            wire.Interface(
                name="eth0", mac="02:00:00:00:00:01", up=True, mtu=1500, addresses=["10.0.0.2/24", "fe80::1/64"]
            ),
        ],
    )
    with engine.db.write() as session:
        cluster = session.scalars(select(Cluster).where(Cluster.name == "Default")).one()
        row = Host(
            name=name,
            address=f"{name}.example",
            cluster_id=cluster.id,
            status=status,
            session="session-1",
            install_wanted=1,
            install_done=1,
            certificate_serial="abc",
            capabilities=json_format.MessageToDict(said, preserving_proto_field_name=True),
        )
        session.add(row)
    return row.id


def run(engine: Engine, vm_id: str, host_id: str, *, addresses: tuple[str, ...] = ()) -> None:
    """As if it had been started there, had got its ports and come up."""
    with engine.db.write() as session:
        vm, host = session.get_one(Vm, vm_id), session.get_one(Host, host_id)
        runs.write_start(session, vm, host, host.name)
        runs.settled(session, vm, host)
        session.flush()
        for claim in session.scalars(select(Claim).where(Claim.vm_id == vm_id)):
            claim.port_id, claim.addresses = f"port-of-{claim.mac}", list(addresses)


def end(engine: Engine, vm_id: str) -> None:
    """As if its host had said that it is gone."""
    with engine.db.write() as session:
        vm = session.get_one(Vm, vm_id)
        runs.not_here(session, vm, vm.may_run[0].host_id, vm.epoch, "")


def events(engine: Engine, code: int) -> list[str]:
    with engine.db.read() as session:
        return list(session.scalars(select(Event.text).where(Event.code == code).order_by(Event.id)))


def counts(engine: Engine) -> dict[str, int]:
    """Rows of everything that a refusal must leave alone."""
    with engine.db.read() as session:
        return {
            kind.__tablename__: session.scalar(select(func.count()).select_from(kind)) or 0
            for kind in (Vm, Nic, Claim, Host, MayRun)
        }


def claims(engine: Engine) -> list[Claim]:
    with engine.db.read() as session:
        return list(session.scalars(select(Claim).order_by(Claim.id)))
