"""What this host is and can do, seen now. What the kernel can do is tried, in a namespace of its own, not assumed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import socket
import subprocess
import threading
import uuid
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from isthmus.wire import agent_pb2 as pb

from . import kvm, l2agent
from .config import Config
from .hooks import HookFailed, Hooks
from .hypervisor import Hypervisor, LibvirtAway
from .wiring import links

_TRY_SECONDS = 10
_KVM_SECONDS = 15
_UNITS = ("libvirtd", "isthmus-agent")
_VLAN = "ip link add probe0 type veth peer name probe1 && ip link add link probe0 name probe0.5 type vlan id 5"
_ZONES = "iptables -t raw -A PREROUTING -i probe0 -j CT --zone 5"

logger = logging.getLogger(__name__)


class Host:
    """Slow facts (KVM, VLANs, conntrack zones) are found once a process, in the background."""

    def __init__(self, config: Config, hypervisor: Hypervisor, hooks: Hooks) -> None:
        self._config = config
        self._hypervisor = hypervisor
        self._hooks = hooks
        self._probed = threading.Event()
        self._kvm_reason = "not probed yet"
        self._vlan = False
        self._zones = False

    def probe(self) -> None:
        """Find the slow facts. Called once, on a thread of its own."""
        self._vlan = _tried(_VLAN)
        self._zones = _tried(_ZONES)
        self._kvm_reason = "switched off by the agent's settings" if self._config.emulation == "qemu" else kvm.probe()
        self._probed.set()
        logger.info("KVM: %s; VLANs: %s; zones: %s", self._kvm_reason or "works", self._vlan, self._zones)
        try:
            self._hypervisor.versions()  # libvirt asks QEMU what it can: better now than with the first guest
        except LibvirtAway as error:
            logger.info("not asked for versions: %s", error)

    def domain_type(self, emulation: str) -> str:
        """libvirt's word for how an order of this ``emulation`` runs here."""
        if emulation == "qemu" or self._config.emulation == "qemu":
            return "qemu"
        self._probed.wait(_KVM_SECONDS)
        return "qemu" if self._kvm_reason else "kvm"

    def capabilities(self) -> pb.CapabilitiesReply:
        """What cannot be found out is left empty; it never fails as a whole."""
        self._probed.wait(_KVM_SECONDS)
        reply = pb.CapabilitiesReply(
            hostname=socket.gethostname(),
            kernel=platform.release(),
            cpus=len(os.sched_getaffinity(0)),
            kvm=not self._kvm_reason,
            kvm_reason=self._kvm_reason,
            vlan_8021q=self._vlan,
            conntrack_zones=self._zones,
            cpu_model=_cpu_model(),
        )
        release = platform.freedesktop_os_release()
        reply.os_name, reply.os_version = release.get("NAME", ""), release.get("VERSION_ID", "")
        reply.memory, reply.memory_free = _memory()
        try:
            reply.libvirt_version, reply.qemu_version = self._hypervisor.versions()
        except LibvirtAway as error:
            logger.warning("capabilities without libvirt's: %s", error)
        _network(reply)
        self._hooks_and_wires(reply)
        self._hook_facts(reply)
        return reply

    def _hooks_and_wires(self, reply: pb.CapabilitiesReply) -> None:
        for script in self._hooks.installed():
            digest = hashlib.sha256(script.read_bytes()).hexdigest()
            reply.hooks.append(pb.Hook(point=script.parent.name, name=script.name, sha256=digest))
        try:
            l2 = l2agent.read(self._config.mappings_file)
        except l2agent.MappingsUnreadable as error:
            logger.warning("capabilities without the L2 agent's: %s", error)
            l2 = l2agent.L2Agent()
        reply.mappings.update(l2.mappings)
        reply.l2_host = l2.host
        for unit in (*_UNITS, self._config.l2_unit):
            reply.units.append(pb.Unit(name=unit, active=_active(unit)))
        reply.wires.append("host-bridge")
        openstacknet = any(hook.point == "before_device_create" and "openstacknet" in hook.name for hook in reply.hooks)
        if openstacknet and l2.mappings:
            reply.wires.append("bridge")

    def _hook_facts(self, reply: pb.CapabilitiesReply) -> None:
        before: dict[str, Any] = json_format.MessageToDict(reply, preserving_proto_field_name=True)
        try:
            after: Any = json.loads(self._hooks.run_json("after_get_caps", json.dumps(before)).data)
        except (HookFailed, json.JSONDecodeError) as error:
            logger.warning("after_get_caps: %s", error)
            return
        if isinstance(after, dict):
            reply.hook_facts.update({str(k): json.dumps(v) for k, v in after.items() if k not in before})


def host_uuid() -> str:
    """The machine id as a UUID: the hardware's is the same in every container of one machine."""
    return str(uuid.UUID(Path("/etc/machine-id").read_text("ascii").strip()))


def boot_id() -> str:
    """The kernel's, and when PID 1 began: a host in a container boots anew under a kernel that goes on."""
    kernel = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    began = Path("/proc/1/stat").read_text("ascii").rpartition(")")[2].split()[19]  # starttime, proc(5)
    return f"{kernel}-{began}"


def _tried(command: str) -> bool:
    """Did it work in a network namespace that is gone afterwards?"""
    try:
        done = subprocess.run(
            ["unshare", "--net", "sh", "-c", command], capture_output=True, text=True, timeout=_TRY_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.info("tried in vain: %s: %s", command, error)
        return False
    return done.returncode == 0


def _active(unit: str) -> bool:
    try:
        done = subprocess.run(["systemctl", "is-active", "--quiet", unit], timeout=_TRY_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.info("systemctl says nothing of %s: %s", unit, error)
        return False
    return done.returncode == 0


def _memory() -> tuple[int, int]:
    lines = (line.split() for line in Path("/proc/meminfo").read_text("ascii").splitlines())
    facts = {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}
    return facts.get("MemTotal", 0), facts.get("MemAvailable", 0)


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _network(reply: pb.CapabilitiesReply) -> None:
    with links.opened() as kernel:
        seen, addresses = kernel.all(), kernel.addresses()
    reply.bridges.extend(sorted(link.name for link in seen.values() if link.kind == "bridge"))
    for link in sorted(seen.values(), key=lambda link: link.index):
        reply.interfaces.append(
            pb.Interface(
                name=link.name,
                mac=link.mac,
                kind=link.kind,
                up=link.up,
                mtu=link.mtu,
                addresses=addresses.get(link.name, []),
                master=link.master,
                vlan=link.vlan,
                parent=link.parent,
            )
        )
