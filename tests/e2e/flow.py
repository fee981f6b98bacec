"""The lab driven as its user drives it: the real oVirt SDK, Neutron's own API, and a look at the hosts."""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import ovirtsdk4 as sdk
from ovirtsdk4 import types

from lab.lab import Lab

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = 60.0, every: float = 0.1) -> T:
    """What ``condition`` gives, once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(every)
    return found


class Neutron:
    """The provider's own API: what an administrator of Neutron sees."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/v2.0/{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def ports(self, **where: str) -> list[dict[str, Any]]:
        query = "&".join(f"{k}={v}" for k, v in where.items())
        return self.call("GET", f"ports?{query}")["ports"]  # type: ignore[no-any-return]

    def ours(self) -> list[dict[str, Any]]:
        return [p for p in self.ports() if p["device_owner"].startswith("compute:isthmus-")]

    def network(self, name: str) -> dict[str, Any]:
        (found,) = self.call("GET", f"networks?name={name}")["networks"]
        return found  # type: ignore[no-any-return]

    def agents(self, host: str) -> list[dict[str, Any]]:
        return self.call("GET", f"agents?host={host}")["agents"]  # type: ignore[no-any-return]

    def let_in(self, project: str) -> None:
        """Let guests of a project be reached: its default security group lets nothing in. Idempotent."""
        groups = self.call("GET", f"security-groups?project_id={project}&name=default")["security_groups"]
        for group in groups:
            for protocol in ("icmp", "tcp"):
                try:
                    self.call(
                        "POST",
                        "security-group-rules",
                        {
                            "security_group_rule": {
                                "security_group_id": group["id"],
                                "direction": "ingress",
                                "ethertype": "IPv4",
                                "protocol": protocol,
                                "tenant_id": project,
                            }
                        },
                    )
                except urllib.error.HTTPError as error:
                    assert error.code == 409  # noqa: PT017 - it is there already


class Flow:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.variables = lab.variables()
        self.neutron = Neutron(self.variables["NEUTRON_URL"])
        self.connection = self.connect()

    def connect(self) -> sdk.Connection:
        return sdk.Connection(
            url=self.variables["ENGINE_URL"],
            username=self.variables["ENGINE_USER"],
            password=self.variables["ENGINE_PASSWORD"],
            ca_file=self.variables["ENGINE_CA"],
            timeout=120,
        )

    def raw(self, method: str, path: str, body: str = "", kind: str = "application/xml") -> tuple[int, str]:
        """A request as the SDK cannot make it; status and body, of a refusal too."""
        login = f"{self.variables['ENGINE_USER']}:{self.variables['ENGINE_PASSWORD']}"
        request = urllib.request.Request(
            self.variables["ENGINE_URL"] + path,
            method=method,
            data=body.encode() or None,
            headers={
                "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
                "Content-Type": kind,
                "Accept": kind,
            },
        )
        trust = ssl.create_default_context(cafile=self.variables["ENGINE_CA"])
        try:
            with urllib.request.urlopen(request, timeout=120, context=trust) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    @property
    def system(self) -> Any:
        return self.connection.system_service()

    # ------------------------------------------------------------------------------------------- providers

    def provider_type(self, name: str = "neutron", **changes: Any) -> types.OpenStackNetworkProvider:
        agent = types.AgentConfiguration(
            address=self.variables["BROKER_HOST"],
            broker_type=types.MessageBrokerType.RABBIT_MQ,
            port=int(self.variables["BROKER_PORT"]),
            username=self.variables["BROKER_USER"],
            password=self.variables["BROKER_PASSWORD"],
            network_mappings="red:eth9",
        )
        fields = {
            "name": name,
            "url": self.variables["NEUTRON_INTERNAL_URL"],
            "type": types.OpenStackNetworkProviderType.NEUTRON,
            "external_plugin_type": "LINUX_BRIDGE",
            "requires_authentication": False,
            "read_only": False,
            "agent_configuration": agent,
        }
        return types.OpenStackNetworkProvider(**(fields | changes))

    @property
    def providers(self) -> Any:
        return self.system.openstack_network_providers_service()

    def provider(self, name: str = "neutron") -> Any:
        found = next((p for p in self.providers.list() if p.name == name), None)
        return found or self.providers.add(self.provider_type(name))

    def data_center(self) -> Any:
        return self.system.data_centers_service().list(search="name=Default")[0]

    def cluster(self) -> Any:
        return self.system.clusters_service().list(search="name=Default")[0]

    # -------------------------------------------------------------------------------------------- networks

    def network(self, name: str, vlan: int = 500, cidr: str = "10.50.0.0/24") -> Any:
        """The network, made at the provider through us if there is none, with a subnet, open for ICMP."""
        networks = self.system.networks_service()
        found = next((n for n in networks.list() if n.name == name), None)
        if found is None:
            found = networks.add(
                types.Network(
                    name=name,
                    data_center=types.DataCenter(id=self.data_center().id),
                    vlan=types.Vlan(id=vlan),
                    network_labels=[types.NetworkLabel(id="red")],
                    external_provider=types.OpenStackNetworkProvider(id=self.provider().id),
                )
            )
        outside = self.outside(name)
        subnets = (
            self.providers.provider_service(self.provider().id)
            .networks_service()
            .network_service(outside["id"])
            .subnets_service()
        )
        if not subnets.list():
            subnets.add(types.OpenStackSubnet(name=f"{name}-subnet", cidr=cidr, ip_version="v4"))
        self.neutron.let_in(outside["project_id"])
        return found

    def outside(self, name: str) -> dict[str, Any]:
        return self.neutron.network(name)

    def profile(self, network: Any) -> Any:
        profiles = self.system.networks_service().network_service(network.id).vnic_profiles_service().list()
        return profiles[0]

    # ----------------------------------------------------------------------------------------------- hosts

    def add_host(self, name: str, mappings: str = "", password: str | None = None) -> Any:
        """Order the installation. The host's own mapping is a property that the SDK cannot write: plain XML."""
        own = f"<property><name>network_mappings</name><value>{mappings}</value></property>" if mappings else ""
        self.raw(
            "POST",
            "/hosts",
            f"""<host>
              <name>{name}</name>
              <address>{self.lab.host(name).address}</address>
              <root_password>{password or self.variables["HOST_PASSWORD"]}</root_password>
              <cluster id="{self.cluster().id}"/>
              <external_network_provider_configurations><external_network_provider_configuration>
                <external_network_provider id="{self.provider().id}"/>
                {f"<properties>{own}</properties>" if own else ""}
              </external_network_provider_configuration></external_network_provider_configurations>
            </host>""",
        )
        return self.host(name)

    def host(self, name: str) -> Any:
        return next((h for h in self.system.hosts_service().list() if h.name == name), None)

    def ready_hosts(self, *names: str) -> None:
        """Installed, up, and their L2 agents alive in Neutron."""
        for name in names:
            if self.host(name) is None:
                self.add_host(name, mappings="red:eth1")
        for name in names:
            wait_for(lambda name=name: self._settled(name), f"host {name} is up", 600)  # type: ignore[misc]
            wait_for(
                lambda name=name: any(a["alive"] for a in self.neutron.agents(name)),  # type: ignore[misc]
                f"the L2 agent of {name} is alive in Neutron",
                120,
            )

    def _settled(self, name: str) -> bool:
        host = self.host(name)
        assert host.status != types.HostStatus.INSTALL_FAILED, self.events(host=name)
        return bool(host.status == types.HostStatus.UP)

    # ------------------------------------------------------------------------------------------------- VMs

    def add_vm(self, name: str, networks: list[Any], host: str | None = None, ping: str = "", more: str = "") -> Any:
        vms = self.system.vms_service()
        words = "console=ttyS0 panic=1 quiet g.dhcp=1 g.iv=0.2"
        policy = None
        if host:
            policy = types.VmPlacementPolicy(
                affinity=types.VmAffinity.PINNED, hosts=[types.Host(id=self.host(host).id)]
            )
        vm = vms.add(
            types.Vm(
                name=name,
                cluster=types.Cluster(id=self.cluster().id),
                template=types.Template(name="Blank"),
                memory=192 << 20,
                os=types.OperatingSystem(
                    kernel=self.variables["GUEST_KERNEL"],
                    initrd=self.variables["GUEST_INITRD"],
                    cmdline=f"{words}{' g.ping=' + ping if ping else ''} {more}".strip(),
                ),
                placement_policy=policy,
            )
        )
        nics = vms.vm_service(vm.id).nics_service()
        for number, network in enumerate(networks, 1):
            nics.add(
                types.Nic(
                    name=f"nic{number}",
                    interface=types.NicInterface.VIRTIO,
                    vnic_profile=types.VnicProfile(id=self.profile(network).id),
                )
            )
        return vm

    def vm(self, vm: Any) -> Any:
        return self.system.vms_service().vm_service(vm.id)

    def status(self, vm: Any) -> Any:
        return self.vm(vm).get().status

    def run(self, vm: Any, seconds: float = 90) -> None:
        self.vm(vm).start()
        self.wait_up(vm, seconds)

    def wait_up(self, vm: Any, seconds: float = 90) -> None:
        def up() -> bool:
            status = self.status(vm)
            assert status != types.VmStatus.DOWN, self.vm(vm).get().stop_reason
            return bool(status == types.VmStatus.UP)

        wait_for(up, f"VM {vm.name} is up", seconds)

    def stop(self, vm: Any, seconds: float = 30) -> None:
        self.vm(vm).stop()
        self.wait_down(vm, seconds)

    def wait_down(self, vm: Any, seconds: float = 90) -> None:
        wait_for(lambda: self.status(vm) == types.VmStatus.DOWN, f"VM {vm.name} is down", seconds)

    def remove_vm(self, vm: Any) -> None:
        if self.status(vm) != types.VmStatus.DOWN:
            self.stop(vm)
        self.vm(vm).remove()

    @contextmanager
    def a_vm(self, name: str, networks: list[Any], host: str | None = None, **more: str) -> Iterator[Any]:
        vm = self.add_vm(name, networks, host, **more)
        try:
            yield vm
        finally:
            self.remove_vm(vm)

    # ----------------------------------------------------------------------------------------- what is seen

    def on(self, host: str, *argv: str, check: bool = True) -> str:
        return self.lab.run(host, list(argv), check=check).stdout

    def console(self, host: str, vm: Any) -> str:
        return self.on(host, "cat", f"/var/log/isthmus-agent/console/{vm.id}.log", check=False)

    def port(self, vm: Any) -> dict[str, Any]:
        (found,) = [p for p in self.neutron.ours() if p["device_id"] == vm.id]
        return found

    def bridge_of(self, host: str, tap: str) -> str:
        """The bridge that holds a device on a host; empty when none does."""
        shown = json.loads(self.on(host, "ip", "-json", "link", "show", tap, check=False) or "[]")
        return str(shown[0].get("master", "")) if shown and shown[0] else ""

    def events(self, code: int | None = None, host: str = "") -> list[str]:
        found = self.system.events_service().list()
        return [
            e.description
            for e in found
            if (code is None or e.code == code) and (not host or host in (e.description or ""))
        ]

    def engine_log(self) -> str:
        return Path(self.lab.engine.log).read_text()


def tap_of(port: dict[str, Any]) -> str:
    return ("tap" + str(port["id"]))[:14]


def bridge_for(network: dict[str, Any]) -> str:
    return "brq" + str(network["id"])[:11]
