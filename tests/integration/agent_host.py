"""An agent under test on a host of the lab: real libvirt, real QEMU, real bridges, and a name of its own.

It listens on the host's loopback, has directories and a unit of its own, and takes VLAN 501, so that whatever was
deployed there stays as it was. A deployed agent is stopped meanwhile: two agents would both know libvirt's guests.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shlex
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc

from isthmus.hosts.deploy.bundle import agent_bundle
from isthmus.wire import PROTOCOL
from isthmus.wire import agent_pb2 as pb
from isthmus.wire.agent_pb2_grpc import AgentStub
from lab import relay
from lab.hosts import Host
from lab.lab import Lab
from tests.unit.agent.certificates import CLIENT, SERVER, Ca
from tests.waiting import wait_for

PORT = 54399
HOME = "/opt/isthmus-agent-under-test"
UNIT = "isthmus-agent-under-test"
UPLINK, VLAN = "eth1.501", 501
NAME = "under-test.host.isthmus"
PACKAGES = (
    "python3-grpcio python3-libvirt python3-pyroute2 python3-cryptography "
    "libvirt-daemon-system qemu-system-x86 qemu-utils iproute2"
)
HYPERVISOR = Path("src/isthmus/hosts/deploy/roles/isthmus_host/files/hypervisor.py")
CHECKOUT = Path(__file__).parents[2]

CONFIG = f"""
listen = "127.0.0.1"
port = {PORT}
certificate = "{HOME}/host.crt"
key = "{HOME}/host.key"
ca = "{HOME}/ca.crt"
denied = "{HOME}/denied"
state_dir = "{HOME}/state"
log_dir = "{HOME}/log"
hooks_dirs = ["{HOME}/hooks"]
mappings_file = "{HOME}/l2.ini"
"""


class AgentHost:
    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.host: Host = lab.host(name)
        self.ca = Ca()
        self.epoch = 0
        self.network = str(uuid.uuid4())
        self.bridge = f"brq{self.network[:11]}"

    # ------------------------------------------------------------------------------------------ made and unmade

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._install()
        deployed = self.sh("systemctl is-active isthmus-agent", check=False) == "active"
        if deployed:
            self.sh("systemctl stop isthmus-agent")
        process, ports = relay.start(
            self.lab.network.path(self.host.name),
            {"agent": ("127.0.0.1", PORT)},
            {"agent": 0},
            tag=self.lab.place.id,
            log=self.lab.place.logs / "agent-under-test.log",
        )
        try:
            self._connect(ports["agent"])
            self.start()
            yield
        finally:
            self.channel.close()
            process.end(5)
            self.sh(f"systemctl stop {UNIT}", check=False)
            self.sh("for vm in $(virsh list --uuid); do virsh destroy $vm; done")
            self.sh(f"ip link del {self.bridge}; ip link del office; rm -rf {HOME}", check=False)
            if deployed:
                self.sh("systemctl start isthmus-agent")

    def _install(self) -> None:
        source = f"deb [trusted=yes] http://{self.lab.state.address(1)}:8080/ ./"
        if self.sh(f"dpkg -s {PACKAGES} >/dev/null 2>&1 && echo there", check=False) != "there":
            self.sh(
                f"echo {shlex.quote(source)} > /etc/apt/sources.list.d/agent-under-test.list; apt-get update -q; "
                f"DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends {PACKAGES}; "
                "rm /etc/apt/sources.list.d/agent-under-test.list",
                timeout=900,
            )
        self.host.run(["python3", "-"], input=(CHECKOUT / HYPERVISOR).read_text(), timeout=300)
        self.sh(f"rm -rf {HOME}; mkdir -p {HOME}/code {HOME}/hooks")
        bundle = agent_bundle()
        self.put(f"{HOME}/agent.tar", bundle.data)
        self.sh(f"tar xf {HOME}/agent.tar -C {HOME}/code; cp -r {HOME}/code/isthmus/agent/openstacknet/* {HOME}/hooks/")
        pair = self.ca.sign(NAME, SERVER)
        for name, content in (("host.crt", pair.certificate), ("host.key", pair.key), ("ca.crt", self.ca.pem)):
            self.put(f"{HOME}/{name}", content)
        self.put(f"{HOME}/agent.toml", CONFIG.encode())
        mappings = "[DEFAULT]\nhost = under-test\n[linux_bridge]\nphysical_interface_mappings = red:eth1\n"
        self.put(f"{HOME}/l2.ini", mappings.encode())

    def _connect(self, port: int) -> None:
        engine = self.ca.sign("engine.isthmus", CLIENT)
        credentials = grpc.ssl_channel_credentials(self.ca.pem, engine.key, engine.certificate)
        options = [("grpc.ssl_target_name_override", NAME), ("grpc.max_reconnect_backoff_ms", 200)]
        options.append(("grpc.initial_reconnect_backoff_ms", 100))
        self.channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)
        self.stub: Any = AgentStub(self.channel)  # type: ignore[no-untyped-call]

    def start(self) -> None:
        """The agent's process, and its session."""
        self.sh(f"systemctl stop {UNIT}; systemctl reset-failed {UNIT}", check=False)
        self.sh(
            f"systemd-run --quiet --unit={UNIT} --service-type=notify --property=KillMode=process "
            f"--setenv=PYTHONPATH={HOME}/code python3 -m isthmus.agent --config {HOME}/agent.toml"
        )
        self.hello()
        wait_for(self._libvirt_answers, "the agent is connected to libvirt", 60)

    def kill(self) -> None:
        self.sh(f"systemctl kill --signal=KILL --kill-whom=main {UNIT}")

    def hello(self) -> pb.HelloReply:
        request = pb.HelloRequest(protocol=PROTOCOL, engine_version="test")
        reply: pb.HelloReply = self.stub.Hello(request, wait_for_ready=True, timeout=60)
        self.session = reply.session
        return reply

    def _libvirt_answers(self) -> bool:
        try:
            self.stub.ListVms(pb.ListVmsRequest(), timeout=20)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True

    # ---------------------------------------------------------------------------------------------- the host itself

    def sh(self, script: str, check: bool = True, timeout: float = 60) -> str:
        return self.host.run(["sh", "-c", script], check=check, timeout=timeout).stdout.strip()

    def put(self, path: str, content: bytes) -> None:
        text = base64.b64encode(content).decode("ascii")
        self.host.run(["sh", "-c", f"base64 -d > {path}"], input=text)

    def links(self) -> dict[str, dict[str, Any]]:
        return {link["ifname"]: link for link in json.loads(self.sh("ip -json link"))}

    def state_of(self, vm: str) -> str:
        return self.sh(f"virsh domstate {vm}", check=False)

    def console(self, report: pb.VmReport) -> str:
        return self.sh(f"cat {report.console}", check=False)

    # ------------------------------------------------------------------------------------------------------- orders

    def send(self, content: bytes) -> str:
        """Put a file; its name."""
        name = hashlib.sha256(content).hexdigest()
        state = self.stub.StatFile(pb.FileRef(sha256=name, size=len(content)))
        while not state.complete:
            data = content[state.present : state.present + (1 << 20)]
            chunk = pb.FileChunk(sha256=name, size=len(content), offset=state.present, data=data)
            state = self.stub.PutFile(chunk)
        return name

    def guest(self, *nics: pb.Nic, cmdline: str = "", **changes: Any) -> pb.StartOrder:
        self.epoch += 1
        values: dict[str, Any] = {
            "order": pb.Order(vm=str(uuid.uuid4()), epoch=self.epoch, session=self.session),
            "name": f"guest <{self.epoch}>",
            "memory": 192 << 20,
            "vcpus": 1,
            "kernel_sha256": self.send(Path(os.environ["GUEST_KERNEL"]).read_bytes()),
            "initrd_sha256": self.send(Path(os.environ["GUEST_INITRD"]).read_bytes()),
            "cmdline": f"console=ttyS0 panic=1 quiet {cmdline}",
            "nics": nics,
            "emulation": "auto",
            "wire_seconds": 30,
        }
        return pb.StartOrder(**{**values, **changes})

    def stop(self, vm: str, session: str = "") -> pb.VmReport:
        self.epoch += 1
        order = pb.Order(vm=vm, epoch=self.epoch, session=session or self.session)
        report: pb.VmReport = self.stub.Stop(pb.StopOrder(order=order), timeout=60)
        return report

    def port_nic(self, number: int = 1, **changes: Any) -> pb.Nic:
        port: dict[str, Any] = {
            "port_id": str(uuid.uuid4()),
            "network_id": self.network,
            "vif_type": "bridge",
            "provider_type": "OPENSTACK_NETWORK",
            "plugin_type": "LINUX_BRIDGE",
            "physical_network": "red",
            "vlan": VLAN,
        }
        return pb.Nic(**_nic(number), port=pb.ProviderPort(**{**port, **changes}))

    def bridge_nic(self, number: int = 1, bridge: str = "office") -> pb.Nic:
        return pb.Nic(**_nic(number), host_bridge=pb.HostBridge(bridge=bridge))


def _nic(number: int) -> dict[str, Any]:
    unique = uuid.uuid4()
    tail = ":".join(f"{byte:02x}" for byte in unique.bytes[:3])
    return {"id": str(unique), "name": f"nic{number}", "mac": f"56:6f:01:{tail}", "model": "virtio", "linked": True}
