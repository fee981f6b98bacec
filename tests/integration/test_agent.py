"""The agent on a real host: libvirt, QEMU, the kernel's bridges, and guests whose consoles tell what they saw.

Needs a lab: the one whose directory ``ISTHMUS_LAB`` names, else the checkout's (``make lab``).
"""

from __future__ import annotations

import base64
import os
import shlex
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from isthmus.wire import agent_pb2 as pb
from lab.lab import Lab
from tests.integration.agent_host import CHECKOUT, HOME, UPLINK, AgentHost
from tests.waiting import wait_for

BOOT = 120
"""Seconds a guest may take under emulation on a machine with other work."""


@pytest.fixture(scope="module")
def host() -> Iterator[AgentHost]:
    lab = Lab.load(Path(os.environ.get("ISTHMUS_LAB", CHECKOUT)))
    for line in lab.place.env.read_text().splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        os.environ.setdefault(name, shlex.split(value)[0] if value else "")
    made = AgentHost(lab, "h2")
    with made.running():
        yield made


@pytest.fixture(autouse=True)
def no_guest_is_left(host: AgentHost) -> Iterator[None]:
    yield
    for report in host.stub.ListVms(pb.ListVmsRequest()).vms:
        host.stop(report.vm)


def told(caught: pytest.ExceptionInfo[grpc.RpcError]) -> str:
    return caught.value.details() or ""


def test_the_life_of_a_guest(host: AgentHost) -> None:
    nic = host.port_nic()
    order = host.guest(nic, cmdline="g.ip=10.77.0.1/24")
    vm, tap = order.order.vm, f"tap{nic.port.port_id}"[:14]
    report = host.stub.Start(order, timeout=120)
    assert (pb.VmState.Name(report.state), report.reason) == ("PAUSED", "")
    assert host.state_of(vm) == "paused"
    [evidence] = report.nics
    assert (evidence.wired, evidence.tap, evidence.bridge) == (True, tap, host.bridge)
    links = host.links()
    assert links[tap]["master"] == host.bridge
    assert links[UPLINK]["master"] == host.bridge
    assert "UP" in links[host.bridge]["flags"]
    assert f'dev="{tap}"' in host.sh(f"cat {HOME}/log/agent.log"), "the domain's XML is in the host's log"
    assert "hook before_device_create 50_openstacknet" in [moment.what for moment in evidence.moments]
    assert "GUEST" not in host.console(report)

    report = host.stub.Resume(order.order, timeout=60)
    assert pb.VmState.Name(report.state) == "RUNNING"
    wait_for(lambda: "GUEST-NET ip=10.77.0.1/24" in host.console(report), "the guest is up", BOOT)

    at = time.monotonic()
    report = host.stop(vm)
    assert time.monotonic() - at < 10
    assert (pb.VmState.Name(report.state), report.floor) == ("ABSENT", host.epoch)
    links = host.links()
    assert tap not in links
    assert host.bridge in links, "the bridge stays"
    assert host.sh(f"ls {HOME}/state/runs") == ""
    with pytest.raises(grpc.RpcError) as caught:
        host.stub.Start(order)
    assert told(caught).startswith("epoch: ")


def test_guests_reach_each_other_over_a_network_of_the_hosts_own(host: AgentHost) -> None:
    first = host.guest(host.bridge_nic(), cmdline="g.ip=10.78.0.1/24")
    second = host.guest(host.bridge_nic(), cmdline="g.ip=10.78.0.2/24 g.ping=10.78.0.1")
    reports = []
    for order in (first, second):
        assert pb.VmState.Name(host.stub.Start(order, timeout=120).state) == "PAUSED"
        reports.append(host.stub.Resume(order.order, timeout=60))
    wait_for(lambda: "GUEST-PING-OK 10.78.0.1" in host.console(reports[1]), "one guest reaches the other", BOOT)


def test_a_tap_taken_off_its_bridge_is_not_resumed(host: AgentHost) -> None:
    order = host.guest(host.port_nic())
    tap = host.stub.Start(order, timeout=120).nics[0].tap
    host.sh(f"ip link set {tap} nomaster")
    with pytest.raises(grpc.RpcError) as caught:
        host.stub.Resume(order.order)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert told(caught) == f"wiring: NIC nic1: tap {tap} is in no bridge, not in {host.bridge}"
    assert host.state_of(order.order.vm) == "paused"
    host.sh(f"ip link set {tap} master {host.bridge}; ip link set {UPLINK} nomaster")
    with pytest.raises(grpc.RpcError) as caught:
        host.stub.Resume(order.order)
    assert f"has no uplink: {UPLINK} is in no bridge" in told(caught)
    host.sh(f"ip link set {UPLINK} master {host.bridge}")
    assert pb.VmState.Name(host.stub.Resume(order.order).state) == "RUNNING"


def test_a_vlan_that_the_kernel_cannot_carry_is_refused_at_once(host: AgentHost) -> None:
    capable = host.stub.Capabilities(pb.CapabilitiesRequest(), timeout=60).vlan_8021q
    order = host.guest(host.port_nic(vlan=777, network_id="77700000-7777-4777-8777-777777777777"))
    at = time.monotonic()
    report = host.stub.Start(order, timeout=120)
    if capable:
        assert pb.VmState.Name(report.state) == "PAUSED"
        host.stop(order.order.vm)
        host.sh("ip link del brq77700000-77; ip link del eth1.777")
    else:
        assert time.monotonic() - at < 15
        assert pb.VmState.Name(report.state) == "ABSENT"
        assert "eth1.777 is not there and cannot be made" in report.reason
        assert host.state_of(order.order.vm) == ""


def test_a_stop_overtakes_a_start_that_waits_for_the_l2_agent(host: AgentHost) -> None:
    tunnel = host.port_nic(physical_network="", vlan=0, network_id="99900000-9999-4999-8999-999999999999")
    order = host.guest(tunnel)
    reports: list[pb.VmReport] = []
    thread = threading.Thread(target=lambda: reports.append(host.stub.Start(order, timeout=120)))
    thread.start()
    wait_for(lambda: host.state_of(order.order.vm) == "paused", "the guest is made", BOOT)
    at = time.monotonic()
    report = host.stop(order.order.vm)
    assert time.monotonic() - at < 5
    assert pb.VmState.Name(report.state) == "ABSENT"
    thread.join()
    assert pb.VmState.Name(reports[0].state) == "ABSENT"
    assert reports[0].nics[0].missing == "bridge brq99900000-99 is not there"
    assert host.state_of(order.order.vm) == ""


def test_a_start_that_is_never_wired_leaves_nothing(host: AgentHost) -> None:
    tunnel = host.port_nic(physical_network="", vlan=0, network_id="99900000-9999-4999-8999-999999999999")
    report = host.stub.Start(host.guest(tunnel, wire_seconds=1), timeout=120)
    assert pb.VmState.Name(report.state) == "ABSENT"
    assert report.reason == "wiring: not done within 1 s: NIC nic1: bridge brq99900000-99 is not there"
    assert report.nics[0].tap not in host.links()


def test_an_agent_that_is_killed_knows_its_guests_again(host: AgentHost) -> None:
    order = host.guest(host.port_nic())
    host.stub.Start(order, timeout=120)
    host.stub.Resume(order.order)
    old = host.session
    host.kill()
    host.start()
    assert host.session != old
    [report] = host.stub.ListVms(pb.ListVmsRequest()).vms
    assert (report.vm, report.epoch, report.floor) == (order.order.vm, order.order.epoch, order.order.epoch)
    assert pb.VmState.Name(report.state) == "RUNNING"
    assert report.nics[0].wired
    assert report.nics[0].port_id == order.nics[0].port.port_id
    with pytest.raises(grpc.RpcError) as caught:
        host.stop(order.order.vm, session=old)
    assert told(caught).startswith("session: ")
    assert pb.VmState.Name(host.stop(order.order.vm).state) == "ABSENT"


def test_an_agent_that_is_killed_between_start_and_resume(host: AgentHost) -> None:
    """The guest stays paused: nobody but a resume of its epoch, under the new session, lets it run."""
    order = host.guest(host.port_nic())
    host.stub.Start(order, timeout=120)
    host.kill()
    host.start()
    with pytest.raises(grpc.RpcError) as caught:
        host.stub.Resume(order.order)
    assert told(caught).startswith("session: ")
    again = pb.Order(vm=order.order.vm, epoch=order.order.epoch, session=host.session)
    assert pb.VmState.Name(host.stub.Resume(again).state) == "RUNNING"


def test_a_restart_of_libvirt_is_survived(host: AgentHost) -> None:
    order = host.guest(host.bridge_nic())
    host.stub.Start(order, timeout=120)
    host.stub.Resume(order.order)
    host.sh("systemctl restart libvirtd", timeout=120)
    wait_for(host._libvirt_answers, "the agent is connected again", 60)
    [report] = host.stub.ListVms(pb.ListVmsRequest()).vms
    assert pb.VmState.Name(report.state) == "RUNNING"
    stream = host.stub.Watch(pb.WatchRequest(), timeout=60)
    next(event for event in stream if event.snapshot_done)
    host.sh(f"virsh suspend {order.order.vm}")
    states = (pb.VmState.Name(event.vm.state) for event in stream if event.WhichOneof("what") == "vm")
    assert "PAUSED" in states, "and is told of changes again"
    stream.cancel()
    assert pb.VmState.Name(host.stop(order.order.vm).state) == "ABSENT"


def test_a_guest_that_powers_off_is_told_and_its_start_is_not_obeyed_again(host: AgentHost) -> None:
    stream = host.stub.Watch(pb.WatchRequest(), timeout=BOOT + 60)
    next(event for event in stream if event.snapshot_done)
    order = host.guest(host.bridge_nic(), cmdline="g.ip=10.79.0.1/24 g.ping=10.79.0.1 g.off=1")
    host.stub.Start(order, timeout=120)
    host.stub.Resume(order.order)
    vms = (event.vm for event in stream if event.WhichOneof("what") == "vm")
    report = next(vm for vm in vms if vm.vm == order.order.vm and vm.state == pb.ABSENT)
    stream.cancel()
    assert (report.reason, report.floor) == ("the guest shut down", order.order.epoch)
    with pytest.raises(grpc.RpcError) as caught:
        host.stub.Start(order)
    assert told(caught).startswith("epoch: ")
    wait_for(lambda: host.sh(f"ls {HOME}/state/runs") == "", "the run was finished")


def test_a_disk_is_as_it_was_sent_in_every_run(host: AgentHost) -> None:
    image = b"as it was sent" + bytes(1 << 20)
    name = host.send(image)
    disk = pb.Disk(id="d15c0000-0000-4000-8000-000000000001", sha256=name, format="raw", interface="virtio")
    order = host.guest(disks=[disk])
    report = host.stub.Start(order, timeout=120)
    assert (pb.VmState.Name(report.state), report.reason) == ("PAUSED", "")
    path = host.sh(f"virsh domblklist {order.order.vm} | awk '/vda/ {{print $2}}'")
    assert path.startswith(f"{HOME}/state/runs/")
    host.stop(order.order.vm)
    assert host.sh(f"sha256sum {HOME}/state/files/{name}").split()[0] == name
    evil = host.sh("qemu-img create -q -f qcow2 -F raw -b /etc/shadow /tmp/evil.qcow2 1M && base64 -w0 /tmp/evil.qcow2")
    bad = pb.Disk(id=disk.id, sha256=host.send(base64.b64decode(evil)), format="qcow2", interface="virtio")
    report = host.stub.Start(host.guest(disks=[bad]), timeout=120)
    assert report.reason == f"disk {disk.id}: its image refers to another file, which is not allowed"


def test_what_a_killed_start_left_is_cleaned(host: AgentHost) -> None:
    order = host.guest(host.port_nic())
    tap = host.stub.Start(order, timeout=120).nics[0].tap
    host.kill()
    host.sh(f"virsh destroy {order.order.vm}; ip tuntap add dev {tap} mode tap")
    host.start()
    wait_for(lambda: tap not in host.links(), "the leftover tap is gone")
    assert list(host.stub.Clean(pb.CleanRequest(dry_run=True)).items) == []
