"""The lab's networks: namespaces, the management bridge, the provider network's cable, and who is on them.

Every device lives in a namespace of the lab, none on the user's machine. Devices in the control namespace:

    mgmt      bridge with the control address; m1, m2 lead to eth0 of the hosts
    wire      bridge that stands for the cable of the provider network 'red'
    eth1 ...  the control container's own NIC on that cable, for its DHCP agent

How a member's NIC hangs on the wire is the business of `lab.nic`.
"""

import contextlib
import ctypes
import ipaddress
import os
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lab.errors import LabError
from lab.nic import Member, checksum_in_software, devices, plan
from lab.process import run
from lab.state import Place, State

NAMESPACES = Path("/run/netns")
CONTROL = "control"
HOSTS = ("h1", "h2")
MANAGEMENT = {CONTROL: 1, **{name: 11 + i for i, name in enumerate(HOSTS)}}
"""Last number of each member's management address."""

Result = TypeVar("Result")
_CLONE_NEWNET = 0x40000000


def enter(namespace: Path) -> None:
    """Move the calling thread into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open() as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))


def inside(namespace: Path, work: Callable[[], Result]) -> Result:
    """Do `work` in a network namespace, in a thread of its own; what it raises is raised here."""
    results: list[Result] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            enter(namespace)
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - carried over to the caller
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


@dataclass(frozen=True)
class Network:
    """The namespaces and devices of one lab."""

    place: Place
    state: State

    def namespace(self, member: str) -> str:
        return f"{self.place.id}-{member}"

    def path(self, member: str) -> Path:
        return NAMESPACES / self.namespace(member)

    def exists(self) -> bool:
        """Whether the namespaces are there; they are not after the machine was started anew."""
        return all(self.path(member).exists() for member in MANAGEMENT)

    def create(self) -> None:
        """Make everything; expects that nothing of it is there, and the registry to be held."""
        members = [Member(CONTROL, 0), *(Member(name, i + 1) for i, name in enumerate(HOSTS))]
        for member in members:
            run(["ip", "netns", "add", self.namespace(member.name)])
        control = self.namespace(CONTROL)
        links = ["link set lo up", *_bridge("mgmt"), *_bridge("wire")]
        links.append(f"addr add {self.state.address(MANAGEMENT[CONTROL])}/24 dev mgmt")
        for member in members:
            inner = self.namespace(member.name)
            if member.name != CONTROL:
                links.append(f"link add m{member.number} type veth peer name eth0 netns {inner}")
                links.append(f"link set m{member.number} master mgmt up")
            links += plan(member, inner, self.state.vlan_devices)
        run(["ip", "-n", control, "-batch", "-"], input="\n".join(links) + "\n")
        for member in members:
            inside(self.path(member.name), self._settle)
            up = ["lo", *devices(self.state.vlan_devices)]
            batch = "".join(f"link set {device} up\n" for device in up)
            run(["ip", "-n", self.namespace(member.name), "-batch", "-"], input=batch)
        for name in HOSTS:
            self.address_host(name)

    def address_host(self, name: str) -> None:
        address = self.state.address(MANAGEMENT[name])
        batch = f"addr replace {address}/24 dev eth0\nlink set eth0 up\n"
        run(["ip", "-n", self.namespace(name), "-batch", "-"], input=batch)

    def _settle(self) -> None:
        """No addresses of their own on the wires, and no checksums left to hardware that is not there."""
        for device in os.listdir("/proc/sys/net/ipv6/conf"):
            if device == "wire" or device.startswith("eth1"):
                Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6").write_text("1")
        for _, device in socket.if_nameindex():
            if device.startswith("eth1"):
                checksum_in_software(device)

    def clear_leftovers(self, name: str) -> None:
        """Remove what a killed host's agents left in its namespace, which outlives the host."""
        listed = run(["ip", "-n", self.namespace(name), "-o", "link"]).stdout
        devices = [line.split(": ")[1].partition("@")[0] for line in listed.splitlines()]
        ours = [d for d in devices if d.startswith(("brq", "tap", "vxlan-", "br-"))]
        batch = "".join(f"link delete {device}\n" for device in ours)
        run(["ip", "-n", self.namespace(name), "-batch", "-"], input=batch)

    def cut(self, name: str) -> None:
        """Take a host's management cable out; its provider network stays."""
        run(["ip", "-n", self.namespace(CONTROL), "link", "set", f"m{HOSTS.index(name) + 1}", "down"])

    def join(self, name: str) -> None:
        run(["ip", "-n", self.namespace(CONTROL), "link", "set", f"m{HOSTS.index(name) + 1}", "up"])

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        """A TCP connection made inside the control namespace, where nothing of ours runs."""
        connection = inside(self.path(CONTROL), lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        try:
            connection.settimeout(timeout)
            connection.connect((address, port))
        except OSError:
            connection.close()
            raise
        return connection

    def identities(self) -> set[str]:
        """How `/proc/PID/ns/net` names the lab's namespaces that exist."""
        found = set()
        for path in NAMESPACES.glob(f"{self.place.id}-*"):
            with contextlib.suppress(OSError):
                found.add(f"net:[{path.stat().st_ino}]")
        return found

    def remove(self) -> None:
        """Remove every namespace of the lab, and with them their devices; fine when there is none.

        The mount that `ip netns` makes for namespaces goes too when the last one on the machine is gone.
        """
        for path in NAMESPACES.glob(f"{self.place.id}-*"):
            run(["ip", "netns", "delete", path.name])
        if NAMESPACES.exists() and not any(NAMESPACES.iterdir()):
            # a bind mount of a directory on itself, which os.path.ismount does not notice
            mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
            for _ in range(mounts.count(str(NAMESPACES))):
                run(["umount", str(NAMESPACES)])
            NAMESPACES.rmdir()


def _bridge(name: str) -> list[str]:
    return [f"link add {name} type bridge forward_delay 0 stp_state 0", f"link set {name} up"]


def choose_subnet(taken: set[str]) -> str:
    """A /24 out of 10.99.0.0 to 10.99.99.0 that no other lab has and no route of the machine touches.

    :raises LabError: when none is free.
    """
    routes = [
        ipaddress.ip_network(line.split()[0], strict=False)
        for line in run(["ip", "-4", "-o", "route", "show", "table", "all"]).stdout.splitlines()
        if line[:1].isdigit()
    ]
    for number in range(100):
        subnet = f"10.99.{number}"
        network = ipaddress.ip_network(f"{subnet}.0/24")
        if subnet not in taken and not any(
            route.prefixlen > 0 and route.overlaps(network) for route in routes if route.version == 4
        ):
            return subnet
    raise LabError(
        "no subnet is free for the lab: each of 10.99.0.0/24 to 10.99.99.0/24 is another lab's "
        "or has a route on this machine; see 'ip route' and 'ls /run/isthmus-lab'"
    )
