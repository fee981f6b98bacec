"""Points 4 to 6: two VMs start, get their addresses from Neutron, reach each other over VLAN 500, and stop."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ovirtsdk4 import types

from quickstart import network
from quickstart.screen import Screen
from quickstart.site import QuickstartError, Site, wait_for

START_SECONDS = 180
STOP_SECONDS = 60
GUEST_SECONDS = 90


@dataclass
class Guest:
    """A VM of the quick start, the host it is pinned to, and its port."""

    vm: Any
    host: str
    port: str = ""
    address: str = ""

    @property
    def name(self) -> str:
        return str(self.vm.name)

    @property
    def tap(self) -> str:
        """What Neutron's agents look for: a device's name has 15 characters at most, and they take 14."""
        return f"tap{self.port}"[:14]


def add(site: Site, screen: Screen, name: str, host: str, ping: str) -> Guest:
    """A VM that boots a kernel directly, with a vNIC on the network. That of an earlier run is replaced.

    ``ping`` is for the lab's guest: an address, or ``neighbours`` for whoever it hears of.
    """
    vms = site.system.vms_service()
    for old in vms.list(search=f"name={name}"):
        with screen.step(f"removing VM {name} of an earlier run"):
            _stop(site, old)
            vms.vm_service(old.id).remove()
    there = next(n for n in site.system.networks_service().list() if n.name == network.NAME)
    profile = site.system.networks_service().network_service(there.id).vnic_profiles_service().list()[0]
    with screen.step(f"adding VM {name}, pinned to {host}, with a vNIC on {network.NAME}"):
        vm = vms.add(
            types.Vm(
                name=name,
                cluster=types.Cluster(name="Default"),
                template=types.Template(name="Blank"),
                memory=192 << 20,
                os=types.OperatingSystem(
                    kernel=site.variables["GUEST_KERNEL"],
                    initrd=site.variables["GUEST_INITRD"],
                    cmdline=f"console=ttyS0 quiet g.dhcp=1 g.ping={ping}",
                ),
                placement_policy=types.VmPlacementPolicy(
                    affinity=types.VmAffinity.PINNED, hosts=[types.Host(name=host)]
                ),
            )
        )
        vms.vm_service(vm.id).nics_service().add(
            types.Nic(
                name="nic1",
                interface=types.NicInterface.VIRTIO,
                vnic_profile=types.VnicProfile(id=profile.id),
            )
        )
    return Guest(vm, host)


def start(site: Site, screen: Screen, guest: Guest) -> None:
    """Start a VM and learn what Neutron gave it. It is up when its NIC is known to be wired."""
    service = site.system.vms_service().vm_service(guest.vm.id)

    def is_up() -> bool:
        vm = service.get()
        if vm.status == types.VmStatus.DOWN:
            raise QuickstartError(f"VM {guest.name} did not start: {vm.stop_reason}")
        return bool(vm.status == types.VmStatus.UP)

    with screen.step(f"starting VM {guest.name}"):
        service.start()
        wait_for(is_up, f"VM {guest.name} is up", START_SECONDS)
    (port,) = site.neutron.get("ports", device_id=guest.vm.id)
    guest.port, guest.address = port["id"], port["fixed_ips"][0]["ip_address"]


def show_wiring(site: Site, screen: Screen, guests: list[Guest]) -> None:
    """The ports as Neutron has them, and the devices as the hosts have them."""
    rows = []
    for guest in guests:
        (port,) = site.neutron.get("ports", id=guest.port)
        if port["status"] != "ACTIVE":
            raise QuickstartError(f"port {guest.port} of VM {guest.name} is {port['status']}")
        rows.append((guest.name, port["id"], port["status"], port["binding:host_id"], guest.address))
    screen.note("Neutron's ports:")
    screen.table(("VM", "port", "status", "host", "address"), *rows)
    screen.note("on the hosts:")
    screen.table(("host", "bridge", "its devices"), *(_wiring(site, guest) for guest in guests))


def _bridge(site: Site) -> str:
    return "brq" + str(site.neutron.get("networks", name=network.NAME)[0]["id"])[:11]


def _devices(site: Site, host: str) -> list[str]:
    """Those on the network's bridge of a host. :raises QuickstartError: there is no such bridge."""
    listed = site.on(host, "ip", "-o", "link", "show", "master", _bridge(site))
    return [line.split(": ")[1].partition("@")[0] for line in listed.splitlines()]


def _wiring(site: Site, guest: Guest) -> tuple[str, ...]:
    devices = _devices(site, guest.host)
    if guest.tap not in devices:
        raise QuickstartError(f"{guest.tap} of VM {guest.name} is not on {_bridge(site)} of {guest.host}")
    return guest.host, _bridge(site), " ".join(sorted(devices))


def show_pings(site: Site, screen: Screen, guests: list[Guest]) -> None:
    """What the guests say on their consoles."""
    for guest, other in zip(guests, reversed(guests), strict=True):
        for what, pattern in (
            ("has got its address by DHCP", rf"GUEST-NET ip={re.escape(guest.address)}/.*"),
            (f"reaches {other.address}", rf"GUEST-PING-OK {re.escape(other.address)} .*"),
        ):
            with screen.step(f"VM {guest.name} {what}"):
                said = wait_for(
                    lambda guest=guest, pattern=pattern: re.search(pattern, _console(site, guest)),  # type: ignore[misc]
                    f"the console of VM {guest.name} says {pattern}",
                    GUEST_SECONDS,
                )
            screen.note(f"console: {said.group().strip()}")


def _console(site: Site, guest: Guest) -> str:
    return site.on(guest.host, "cat", f"/var/log/isthmus-agent/console/{guest.vm.id}.log")


def show_tag(site: Site, screen: Screen, guests: list[Guest]) -> None:
    """The cable between the hosts, looked at from outside both."""
    listen = ("timeout", "30", "tcpdump", "-i", "wire", "-c", "4", "-e", "-nn", "-l")
    between = " and ".join(f"host {guest.address}" for guest in guests)
    with screen.step(f"listening on the cable between the hosts for pings with 802.1Q tag {network.VLAN}"):
        frames = site.on("control", *listen, f"vlan {network.VLAN} and icmp and {between}").splitlines()
    for frame in frames:
        screen.note(frame.partition(" ")[2])


def stop(site: Site, screen: Screen, guests: list[Guest]) -> None:
    for guest in guests:
        with screen.step(f"stopping VM {guest.name}"):
            _stop(site, guest.vm)
    with screen.step("waiting until Neutron has no port of theirs"):
        wait_for(
            lambda: not any(site.neutron.get("ports", device_id=guest.vm.id) for guest in guests),
            "the ports are gone",
            STOP_SECONDS,
        )
    screen.note("on the hosts:")
    screen.table(
        ("host", "bridge", "its devices"),
        *((guest.host, _bridge(site), " ".join(sorted(_devices(site, guest.host)))) for guest in guests),
    )


def _stop(site: Site, vm: Any) -> None:
    service = site.system.vms_service().vm_service(vm.id)
    if service.get().status != types.VmStatus.DOWN:
        service.stop()
        wait_for(lambda: service.get().status == types.VmStatus.DOWN, f"VM {vm.name} is down", STOP_SECONDS)
