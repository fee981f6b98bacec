"""How a member of the lab hangs on the provider network's cable.

Where the kernel has 802.1q a member simply gets the cable as `eth1`, and its agents make VLAN devices on it.
Where the kernel has not, each member has a small NIC outside it: a userspace Open vSwitch bridge `nicN` that
puts the tags on. The member sees `eth1`, which carries what is untagged, and for each prepared VLAN a ready
device `eth1.VLAN`, which the Linux bridge agent takes for its own.

    wire -- sN=wN -- [nicN] -- tN=eth1            trunk, untagged only
                            -- aN.500=eth1.500    access port of VLAN 500
"""

import array
import fcntl
import socket
import struct
from dataclasses import dataclass

PREPARED_VLANS = (500, 501)
"""The VLANs a member can use where the kernel makes no VLAN devices."""

_SIOCETHTOOL = 0x8946
_ETHTOOL_STXCSUM = 0x17


@dataclass(frozen=True)
class Member:
    name: str
    number: int
    """0 is the control container."""


def plan(member: Member, namespace: str, vlan_devices: bool) -> list[str]:
    """The `ip` commands, for the control namespace, that put a member on the wire."""
    n = member.number
    if vlan_devices:
        return [
            f"link add t{n} type veth peer name eth1 netns {namespace}",
            f"link set t{n} master wire up",
        ]
    links = [
        f"link add w{n} type veth peer name s{n}",
        f"link set w{n} up",
        f"link set s{n} master wire up",
        f"link add t{n} type veth peer name eth1 netns {namespace}",
        f"link set t{n} up",
    ]
    for vlan in PREPARED_VLANS:
        links.append(f"link add a{n}.{vlan} type veth peer name eth1.{vlan} netns {namespace}")
        links.append(f"link set a{n}.{vlan} up")
    return links


def devices(vlan_devices: bool) -> list[str]:
    """What a member's side of the wire is called there."""
    return ["eth1", *([] if vlan_devices else [f"eth1.{vlan}" for vlan in PREPARED_VLANS])]


def mappings(vlan_devices: bool) -> str:
    """A member's `physical_interface_mappings`: the ready devices are named too, else the Linux bridge agent
    would delete them together with their network."""
    ready = () if vlan_devices else PREPARED_VLANS
    return ",".join(["red:eth1", *(f"red-v{vlan}:eth1.{vlan}" for vlan in ready)])


def switch_script(members: list[Member]) -> str:
    """The commands that tell Open vSwitch about every NIC; may run again.

    A port is taken out and put in again in two calls, because one whose device was made anew is dead.
    """
    lines = ["set -e"]
    for member in members:
        n = member.number
        lines += [
            f"ovs-vsctl --may-exist add-br nic{n} -- set bridge nic{n} datapath_type=netdev fail_mode=standalone",
            *_port(n, f"w{n}", "vlan_mode=trunk"),
            *_port(n, f"t{n}", "vlan_mode=trunk trunks=0"),
        ]
        for vlan in PREPARED_VLANS:
            lines += _port(n, f"a{n}.{vlan}", f"vlan_mode=access tag={vlan}")
    return "\n".join(lines) + "\n"


def _port(number: int, device: str, settings: str) -> list[str]:
    return [
        f"ovs-vsctl --if-exists del-port nic{number} {device}",
        f"ovs-vsctl add-port nic{number} {device} -- set port {device} {settings}",
    ]


def checksum_in_software(device: str) -> None:
    """Let the kernel finish checksums before it hands packets to this device (`ethtool -K DEVICE tx off`).

    Userspace Open vSwitch passes packets on as they are, and TCP hangs on those left unfinished.
    """
    value = array.array("I", [_ETHTOOL_STXCSUM, 0])
    request = struct.pack("16sP", device.encode(), value.buffer_info()[0]).ljust(40, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
