"""What a NIC lacks to be wired, in words (rule 14): no guest runs deaf on any of these."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isthmus.agent.l2agent import L2Agent, read
from isthmus.agent.metadata import NicRecord
from isthmus.agent.wiring.evidence import missing
from isthmus.agent.wiring.links import Link

from .test_domain import RECORD

L2 = L2Agent(host="h1", interfaces={"red": "eth1"})
BRIDGE, TAP, UPLINK = RECORD.bridge, RECORD.tap, "eth1.500"
OFFICE = replace(RECORD, kind="host-bridge", bridge="office", tap="nic1", physical_network="", vlan=0)


def links(*changes: Link | str) -> dict[str, Link]:
    """A wired NIC, with some links changed or, by name, taken away."""
    good = [
        Link("eth1", 2, up=True, carrier=True),
        Link(UPLINK, 3, kind="veth", up=True, carrier=True, forwarding=True, master=BRIDGE),
        Link(BRIDGE, 4, kind="bridge", up=True, carrier=True),
        Link(TAP, 5, kind="tun", up=True, carrier=True, forwarding=True, master=BRIDGE),
        Link("office", 6, kind="bridge", up=True),
        Link("nic1", 7, kind="tun", up=True, carrier=True, forwarding=True, master="office"),
    ]
    seen = {link.name: link for link in good}
    for change in changes:
        if isinstance(change, str):
            del seen[change]
        else:
            seen[change.name] = change
    return seen


def with_(name: str, **changes: object) -> Link:
    return replace(links()[name], **changes)  # type: ignore[arg-type]


def test_a_wired_nic_lacks_nothing() -> None:
    assert missing(links(), RECORD, L2) == ""
    assert missing(links(), OFFICE, L2) == ""


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (links(TAP), f"tap {TAP} is not there"),
        (links(BRIDGE), f"bridge {BRIDGE} is not there"),
        (links(with_(TAP, master="")), f"tap {TAP} is in no bridge, not in {BRIDGE}"),
        (links(with_(TAP, master="office")), f"tap {TAP} is in bridge office, not in {BRIDGE}"),
        (links(with_(TAP, up=False)), f"{TAP} is down"),
        (links(with_(TAP, forwarding=False)), f"bridge {BRIDGE} does not forward for tap {TAP} yet"),
        (links(with_(BRIDGE, up=False)), f"{BRIDGE} is down"),
        (links(with_(BRIDGE, kind="veth")), f"{BRIDGE} is no bridge"),
        (links(UPLINK), f"bridge {BRIDGE} has no uplink: {UPLINK} is not there"),
        (links(with_(UPLINK, master="")), f"bridge {BRIDGE} has no uplink: {UPLINK} is in no bridge"),
        (links(with_(UPLINK, master="office")), f"bridge {BRIDGE} has no uplink: {UPLINK} is in bridge office"),
        (links(with_(UPLINK, up=False)), f"the uplink {UPLINK} of bridge {BRIDGE} is down"),
        (links(with_(UPLINK, carrier=False)), f"the uplink {UPLINK} of bridge {BRIDGE} has no carrier"),
        (links(with_(UPLINK, forwarding=False)), f"bridge {BRIDGE} does not forward for its uplink {UPLINK}"),
    ],
)
def test_what_a_port_lacks(seen: dict[str, Link], says: str) -> None:
    assert missing(seen, RECORD, L2) == says


def test_a_host_without_the_mapping_says_so() -> None:
    says = missing(links(), RECORD, L2Agent(interfaces={"blue": "eth2"}))
    assert says == "this host has no interface mapped to physical network red (mapped: blue)"


def test_a_vlan_device_of_another_name_is_known_by_what_it_is() -> None:
    seen = links(
        UPLINK,
        Link(
            "vlan-red", 9, kind="vlan", up=True, carrier=True, forwarding=True, master=BRIDGE, parent="eth1", vlan=500
        ),
    )
    assert missing(seen, RECORD, L2) == ""


def test_a_flat_network_has_the_interface_itself() -> None:
    flat = replace(RECORD, vlan=0)
    assert missing(links(), flat, L2) == f"bridge {BRIDGE} has no uplink: eth1 is in no bridge"
    assert missing(links(with_("eth1", master=BRIDGE, forwarding=True)), flat, L2) == ""


def test_a_tunnel_has_any_uplink_that_is_no_tap() -> None:
    tunnel = replace(RECORD, physical_network="", vlan=0)
    assert missing(links(UPLINK), tunnel, L2) == f"bridge {BRIDGE} has no uplink yet"
    assert missing(links(UPLINK, Link("vxlan-7", 9, kind="vxlan", up=True, master=BRIDGE)), tunnel, L2) == ""


def test_a_bridge_of_the_administrators_is_used_as_it_is() -> None:
    l2 = L2Agent(bridges={"red": BRIDGE})
    assert missing(links(UPLINK), RECORD, l2) == ""


def test_the_l2_agents_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("l2") / "linuxbridge_agent.ini"
    assert read(path) == L2Agent()
    path.write_text(
        "[DEFAULT]\nhost = h1\ndebug = %(nothing)s\n[linux_bridge]\n"
        "physical_interface_mappings = red:eth1,\n red-v500:eth1.500\nbridge_mappings = green:br-green\n[agent]\nx\n"
    )
    l2 = read(path)
    assert (l2.host, l2.interfaces, l2.bridges) == (
        "h1",
        {"red": "eth1", "red-v500": "eth1.500"},
        {"green": "br-green"},
    )


def test_records_of_nics_are_told_apart() -> None:
    assert isinstance(OFFICE, NicRecord)
    assert OFFICE.kind != RECORD.kind
