"""A small world for the protocol's scenarios: an engine on a data directory, a misbehaving Neutron, two hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from sqlalchemy import event, select

from isthmus.commands import runs as commands
from isthmus.commands.caller import Caller
from isthmus.model import (
    Claim,
    Cluster,
    ClusterNetwork,
    Database,
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
    now,
    points,
)
from isthmus.reconcile import sweep, work
from isthmus.reconcile.engine import Engine, Options
from isthmus.start import prepare
from isthmus.wire import agent_pb2 as pb
from tests.fakes.agents import Domain, FakeClient, FakeHost, capabilities_of, wait_for
from tests.fakes.neutron import FakeNeutron

CALLER = Caller("admin@internal")
POST = "POST /v2.0/ports"
DELETE = "DELETE /v2.0/ports/*"


class Killed(BaseException):
    """The engine's process ended here."""


class World:
    def __init__(self, data: Path, neutron: FakeNeutron, first: Engine | None = None) -> None:
        """``first``: ``data`` is a copy of what this engine was prepared on; None: prepare it."""
        self.data = data
        self._first = first or prepare(data, password="secret").engine
        self.neutron = neutron
        self.neutrons = [neutron]
        self.engine = self._process()
        self.monitors: Any = None
        self._mac = 0
        with self.engine.db.write() as session:
            center = session.scalars(select(DataCenter)).one()
            cluster = session.scalars(select(Cluster)).one()
            self.center, self.cluster = center.id, cluster.id
            self.hosts = {}
            for name in ("h1", "h2"):
                host = Host(
                    name=name,
                    address=f"{name}.example",
                    cluster_id=cluster.id,
                    status="connecting",
                    install_wanted=1,
                    install_done=1,
                    capabilities=json_format.MessageToDict(capabilities_of(), preserving_proto_field_name=True),
                )
                session.add(host)
                session.flush()
                self.hosts[name] = FakeHost(host.id, name, self.deaf, self.report_up)
        self.provider = self.add_provider("neutron", neutron)
        self.network = self.add_network("net-a", 500)
        self.begin()

    # ----------------------------------------------------------------------------------------- the engine

    def _process(self) -> Engine:
        """An engine on the data, as a process has it."""
        engine = Engine(
            db=Database.at(self.data / "engine.db"),
            data=self.data,
            deployment=self._first.deployment,
            authority=self._first.authority,
            options=Options(sweep_seconds=0.4),
        )
        # A process dies here, never the machine: what is committed need not reach the disk.
        event.listen(engine.db.engine, "connect", lambda made, _: made.execute("PRAGMA synchronous=OFF"))
        engine.make_client = lambda host, _: FakeClient(self.host_of(host.id))  # type: ignore[assignment,return-value]
        engine.make_provider = self._make_provider
        return engine

    def _make_provider(self, type_name: str, settings: Any) -> Any:
        from dataclasses import replace

        from isthmus.providers import registry

        return registry.make(type_name, replace(settings, timeout=2.0))

    def begin(self) -> None:
        self.monitors = work.begin(self.engine)
        wait_for(lambda: all(self.row(Host, h.id).status == "up" for h in self.hosts.values() if h.reachable))

    def kill(self) -> None:
        """The engine's process ends; whatever its threads are doing is cut off as they next reach a point."""
        work.end(self.engine, self.monitors)
        self.engine.db.close()

    def restart(self) -> None:
        """Another process on the same data."""
        self.kill()
        points.stop_at = None
        self.engine = self._process()
        self.begin()

    def restart_without_work(self) -> None:
        """An engine on the same data whose tasks are done by the test, one by one."""
        self.engine = self._process()

    def another_engine(self) -> Engine:
        """A second process on the same data, whose tasks are done by the test."""
        return self._process()

    @contextmanager
    def killed_at(self, point: str) -> Iterator[dict[str, bool]]:
        """While the block runs the engine dies at this point, once."""
        seen = {"reached": False}
        engine, monitors = self.engine, self.monitors

        def stop(name: str) -> None:
            if name == point and not seen["reached"]:
                seen["reached"] = True
                work.end(engine, monitors)
            if seen["reached"]:
                raise Killed(point)

        points.stop_at = stop
        try:
            yield seen
        finally:
            points.stop_at = None

    # ------------------------------------------------------------------------------------------- the rows

    def row(self, kind: type[Any], row_id: str) -> Any:
        with self.engine.db.read() as session:
            return session.get_one(kind, row_id)

    def rows(self, kind: type[Any], *where: Any) -> list[Any]:
        with self.engine.db.read() as session:
            return list(session.scalars(select(kind).where(*where)))

    def vm(self, vm_id: str) -> Vm:
        return self.row(Vm, vm_id)

    def add_provider(self, name: str, neutron: FakeNeutron) -> str:
        if neutron not in self.neutrons:
            self.neutrons.append(neutron)
        with self.engine.db.write() as session:
            provider = Provider(name=name, type="neutron", url=neutron.url, plugin_type="LINUX_BRIDGE", plug_wait=60.0)
            session.add(provider)
            session.flush()
            return provider.id

    def add_network(self, name: str, vlan: int, provider: str | None = None) -> str:
        row = self.row(Provider, provider or self.provider)
        external = next(n for n in self.neutrons if n.url == row.url).world.add_network(
            name,
            **{
                "provider:network_type": "vlan",
                "provider:physical_network": "red",
                "provider:segmentation_id": vlan,
            },
        )
        with self.engine.db.write() as session:
            network = Network(name=name, data_center_id=self.center)
            session.add(network)
            session.flush()
            session.add(
                NetworkProvision(
                    network_id=network.id,
                    data_center_id=self.center,
                    provider_id=row.id,
                    external_id=external["id"],
                    network_type="vlan",
                    physical_network="red",
                    segmentation_id=vlan,
                )
            )
            session.add(ClusterNetwork(network_id=network.id, cluster_id=self.cluster))
            session.add(VnicProfile(network_id=network.id, name=name))
            return network.id

    def external(self, network_id: str) -> str:
        (provision,) = self.rows(NetworkProvision, NetworkProvision.network_id == network_id)
        return str(provision.external_id)

    def profile(self, network_id: str) -> str:
        (profile,) = self.rows(VnicProfile, VnicProfile.network_id == network_id)
        return str(profile.id)

    def add_vm(self, name: str = "vm", nics: int = 1, networks: list[str] | None = None) -> str:
        with self.engine.db.write() as session:
            vm = Vm(name=name, cluster_id=self.cluster, memory=128 << 20, created_at=now())
            session.add(vm)
            session.flush()
            for number in range(nics):
                self._mac += 1
                network = (networks or [self.network] * nics)[number]
                session.add(
                    Nic(
                        vm_id=vm.id,
                        name=f"nic{number}",
                        mac=f"56:6f:00:00:00:{self._mac:02x}",
                        profile_id=self.profile(network),
                    )
                )
            return vm.id

    def add_claims(self, vm_id: str, ids: dict[str, str]) -> None:
        """Claims of an earlier run, at rest, with these ids by MAC: ports are made in the order of their ids."""
        with self.engine.db.write() as session:
            for nic in session.scalars(select(Nic).where(Nic.vm_id == vm_id)):
                session.add(
                    Claim(
                        id=ids[nic.mac],
                        nic_id=nic.id,
                        vm_id=vm_id,
                        provider_id=self.provider,
                        network_id=self.network,
                        external_network_id=self.external(self.network),
                        mac=nic.mac,
                    )
                )

    def move_nic(self, vm_id: str, network: str) -> None:
        profile = self.profile(network)
        with self.engine.db.write() as session:
            (nic,) = session.scalars(select(Nic).where(Nic.vm_id == vm_id))
            nic.profile_id = profile

    def rows_host(self, name: str) -> Host:
        return self.row(Host, self.hosts[name].id)  # type: ignore[no-any-return]

    def plant_orphan(self, number: int = 1) -> None:
        """A port of ours that no claim knows, as a call that landed late leaves it."""
        self.neutron.world.add_port(
            self.external(self.network),
            f"56:6f:00:00:ff:{number:02x}",
            owner=f"compute:isthmus-{self.engine.deployment}",
            name="gone/1",
        )

    def hosts_forget_guests(self) -> None:
        for host in self.hosts.values():
            host.domains.clear()

    def at_rest(self, vm_id: str) -> bool:
        vm = self.vm(vm_id)
        return vm.wanted == ("up" if vm.status == "up" else "down") and (vm.status == "up" or not self.may_run(vm_id))

    # ---------------------------------------------------------------------------------------- what is done

    def host_of(self, host_id: str) -> FakeHost:
        return next(h for h in self.hosts.values() if h.id == host_id)

    def order_run(self, vm_id: str, host: str | None = None) -> str:
        return commands.run_vm(self.engine, CALLER, vm_id, host_id=self.hosts[host].id if host else None)

    def order_stop(self, vm_id: str, *, graceful: bool = False) -> str:
        return commands.stop_vm(self.engine, CALLER, vm_id, graceful=graceful)

    def run(self, vm_id: str, host: str | None = None) -> None:
        self.order_run(vm_id, host)
        wait_for(lambda: self.vm(vm_id).status == "up", "the VM runs")

    def stop(self, vm_id: str) -> None:
        self.order_stop(vm_id)
        self.wait_down(vm_id)

    def wait_down(self, vm_id: str) -> None:
        wait_for(lambda: self.vm(vm_id).status == "down" and not self.may_run(vm_id), "the VM is down")

    def may_run(self, vm_id: str) -> set[str]:
        return {self.host_of(m.host_id).name for m in self.rows(MayRun, MayRun.vm_id == vm_id)}

    def sweep(self) -> None:
        sweep.sweep(self.engine, self.provider)

    def claims(self, vm_id: str) -> list[Claim]:
        return self.rows(Claim, Claim.vm_id == vm_id)

    def events(self, code: int) -> list[str]:
        return [e.text for e in self.rows(Event, Event.code == code)]

    # ---------------------------------------------------------------------------------------- what is true

    def ours(self) -> dict[str, Any]:
        owner = f"compute:isthmus-{self.engine.deployment}"
        return {k: p for neutron in self.neutrons for k, p in neutron.ports.items() if p["device_owner"] == owner}

    def port_of(self, vm_id: str) -> str:
        (claim,) = [c for c in self.claims(vm_id) if c.wanted == "bound"]
        assert claim.port_id
        return claim.port_id

    def wait_exact(self, *running: str) -> None:
        """Until our ports are exactly those of the running VMs: nothing leaks, nothing is missing."""

        def exact() -> bool:
            recorded = {c.port_id for vm in running for c in self.claims(vm) if c.wanted == "bound"}
            return None not in recorded and set(self.ours()) == recorded

        wait_for(exact, f"exactly the ports of {len(running)} VMs are at the provider")

    def deaf(self, host: FakeHost, domain: Domain) -> str:
        """What is wrong with a guest that is about to run: properties P3 and P4."""
        vm = domain.order.order.vm
        for other in self.hosts.values():
            if other is not host and vm in other.domains and other.domains[vm].running:
                return f"VM {vm} runs on {other.name} and {host.name}"
        for nic in domain.order.nics:
            port = self.ours().get(nic.port.port_id)
            if port is None or port["binding:host_id"] != host.name or port["status"] != "ACTIVE":
                return f"VM {vm} runs deaf on {host.name}: {port}"
            if port["mac_address"] != nic.mac or port["network_id"] != nic.port.network_id:
                return f"VM {vm} runs on another NIC's port: {port}"
        return ""

    def report_up(self, port_id: str) -> None:
        for neutron in self.neutrons:
            if port_id in neutron.ports:
                neutron.world.set_status(port_id, "ACTIVE")

    def check(self) -> None:
        for host in self.hosts.values():
            assert host.violations == []
            for domain in host.domains.values():
                if domain.running:
                    assert self.deaf(host, domain) == ""

    def close(self) -> None:
        points.stop_at = None
        self.kill()


def starts(world: World, host: str) -> list[pb.StartOrder]:
    """The start orders that a host's agent was sent."""
    return [order for kind, order in world.hosts[host].seen_orders if kind == "start"]  # type: ignore[misc]
