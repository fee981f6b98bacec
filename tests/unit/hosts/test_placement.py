from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.hosts.placement import (
    OVERHEAD,
    RESERVE,
    BridgeNeed,
    Choice,
    HostView,
    Needs,
    Plugin,
    PortNeed,
    Refusal,
    obstacles,
    place,
)
from isthmus.wire import agent_pb2 as pb

GIB = 1 << 30

ABLE = HostView(
    id="1",
    name="h1",
    up=True,
    memory=8 * GIB,
    memory_free=8 * GIB,
    bridges=frozenset({"lan"}),
    interfaces=frozenset({"eth1", "eth1.500"}),
    hooks=frozenset({("before_device_create", "50_openstacknet")}),
    mappings={"red": "eth1"},
    running_units=frozenset({"neutron-linuxbridge-agent", "libvirtd"}),
    wires=frozenset({"bridge", "host-bridge"}),
)
VLAN = PortNeed("nic1", "net500", "neutron", Plugin.LINUX_BRIDGE, "vlan", "red", 500)
NEEDS = Needs(GIB, (VLAN, BridgeNeed("nic2", "lan", "lan")))


def test_an_able_host_is_chosen() -> None:
    choice = place(NEEDS, [ABLE])
    assert isinstance(choice, Choice)
    assert choice.host is ABLE


def test_without_hosts_it_says_so() -> None:
    refusal = place(NEEDS, [])
    assert isinstance(refusal, Refusal)
    assert str(refusal) == "there is no host in the cluster"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"up": False}, "the host is not up"),
        ({"up": False, "why_down": "no answer since 10:00"}, "no answer since 10:00"),
        ({"memory_free": GIB}, "1088 MiB of memory are needed and 1024 MiB are free"),
        ({"committed": 7 * GIB}, "1088 MiB of memory are needed and 768 MiB are free"),
        (
            {"bridges": frozenset(), "interfaces": ABLE.interfaces | {"lan"}},
            "NIC nic2: lan is there, but is no bridge, as network lan needs it",
        ),
        ({"wires": frozenset({"bridge"})}, "its agent cannot plug a NIC into a bridge of the host"),
        ({"wires": frozenset({"host-bridge"})}, "cannot wire ports of provider neutron"),
        ({"running_units": frozenset({"libvirtd"})}, "neutron-linuxbridge-agent, which provider neutron needs"),
        ({"hooks": frozenset()}, "the openstacknet hook (before_device_create) is not installed"),
        ({"hooks": frozenset({("after_vm_start", "50_openstacknet")})}, "is not installed"),
        ({"mappings": {"blue": "eth1"}}, "nothing is mapped to physical network red of network net500"),
        ({"mappings": {"red": "eth7"}}, "eth7, mapped to physical network red, does not exist"),
        (
            {"interfaces": frozenset({"eth1"})},
            "NIC nic1: the kernel has no 802.1q, and there is no ready device eth1.500",
        ),
    ],
)
def test_a_refusal_says_what_the_host_lacks(change: dict[str, object], words: str) -> None:
    refusal = place(NEEDS, [replace(ABLE, **change)])  # type: ignore[arg-type]
    assert isinstance(refusal, Refusal)
    assert list(refusal.reasons) == ["h1"]
    assert words in str(refusal)
    assert len(refusal.reasons["h1"]) == 1, refusal.reasons


def test_a_bridge_that_is_not_there_yet_is_no_obstacle() -> None:
    assert isinstance(place(NEEDS, [replace(ABLE, bridges=frozenset())]), Choice)


def test_a_kernel_with_802_1q_needs_no_ready_device() -> None:
    host = replace(ABLE, interfaces=frozenset({"eth1"}), vlan_8021q=True)
    assert isinstance(place(NEEDS, [host]), Choice)


def test_a_flat_network_needs_no_vlan_device() -> None:
    need = replace(VLAN, network_type="flat", vlan=None)
    host = replace(ABLE, interfaces=frozenset({"eth1"}))
    assert isinstance(place(Needs(GIB, (need,)), [host]), Choice)


def test_a_tunnel_needs_a_host_that_tunnels() -> None:
    need = replace(VLAN, network_type="vxlan", physical_network="", vlan=None)
    assert "no vxlan tunnels" in str(place(Needs(GIB, (need,)), [ABLE]))
    able = replace(ABLE, tunnel_types=frozenset({"vxlan"}))
    assert isinstance(place(Needs(GIB, (need,)), [able]), Choice)


def test_each_host_has_its_own_reasons() -> None:
    other = replace(ABLE, id="2", name="h2", up=False, why_down="in maintenance")
    refusal = place(NEEDS, [replace(ABLE, hooks=frozenset()), other])
    assert str(refusal) == ("h1: the openstacknet hook (before_device_create) is not installed; h2: in maintenance")


def test_the_same_lack_of_two_nics_is_said_once() -> None:
    needs = Needs(GIB, (VLAN, replace(VLAN, nic="nic3")))
    refusal = place(needs, [replace(ABLE, hooks=frozenset())])
    assert isinstance(refusal, Refusal)
    assert len(refusal.reasons["h1"]) == 1


def test_a_host_from_what_its_agent_reports() -> None:
    said = pb.CapabilitiesReply(
        memory=8 * GIB,
        memory_free=8 * GIB,
        bridges=["lan"],
        interfaces=[pb.Interface(name="eth1"), pb.Interface(name="eth1.500")],
        hooks=[pb.Hook(point="before_device_create", name="50_openstacknet")],
        mappings={"red": "eth1"},
        units=[
            pb.Unit(name="neutron-linuxbridge-agent.service", active=True),
            pb.Unit(name="libvirtd", active=True),
            pb.Unit(name="neutron-openvswitch-agent", active=False),
        ],
        wires=["bridge", "host-bridge"],
    )
    assert HostView.seen("1", "h1", said, up=True) == ABLE


hosts_strategy = st.lists(
    st.builds(
        replace,
        st.just(ABLE),
        id=st.uuids().map(str),
        name=st.uuids().map(str),
        up=st.booleans(),
        memory=st.integers(1, 16).map(lambda g: g * GIB),
        memory_free=st.integers(0, 16).map(lambda g: g * GIB),
        committed=st.integers(0, 16).map(lambda g: g * GIB),
        vms=st.integers(0, 5),
        hooks=st.sampled_from([ABLE.hooks, frozenset()]),
        mappings=st.sampled_from([{"red": "eth1"}, {"red": "eth2"}, {}]),
        interfaces=st.sampled_from([ABLE.interfaces, frozenset({"eth1"}), frozenset()]),
        vlan_8021q=st.booleans(),
    ),
    max_size=6,
)


@given(hosts=hosts_strategy, memory=st.integers(1, 8).map(lambda g: g * GIB), order=st.randoms())
def test_a_choice_fits_and_is_the_least_loaded_and_a_refusal_names_everyone(
    hosts: list[HostView], memory: int, order: object
) -> None:
    needs = replace(NEEDS, memory=memory)
    outcome = place(needs, hosts)
    fit = [host for host in hosts if not list(obstacles(needs, host))]
    if isinstance(outcome, Refusal):
        assert not fit
        assert set(outcome.reasons) == {host.name for host in hosts}
        assert all(outcome.reasons.values())
        return
    chosen = outcome.host
    assert chosen.up
    assert memory + OVERHEAD <= chosen.memory_free
    assert chosen.committed + memory + OVERHEAD + RESERVE <= chosen.memory
    assert chosen.mappings == {"red": "eth1"}
    assert all(chosen.committed / chosen.memory <= host.committed / host.memory for host in fit)
    assert {chosen.id, *(host.id for host in outcome.others)} == {host.id for host in fit}
    shuffled = list(hosts)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert place(needs, shuffled) == outcome


@given(hosts=hosts_strategy)
def test_pins_and_failures_are_kept(hosts: list[HostView]) -> None:
    first = place(NEEDS, hosts)
    if isinstance(first, Refusal):
        return
    pinned = place(replace(NEEDS, only=frozenset({first.host.id})), hosts)
    assert isinstance(pinned, Choice)
    assert (pinned.host, pinned.others) == (first.host, ())
    elsewhere = place(replace(NEEDS, avoid=frozenset({first.host.id})), hosts)
    if first.others:
        assert isinstance(elsewhere, Choice)
        assert elsewhere.host == first.others[0]
    else:
        assert "has just failed" in str(elsewhere)
