from __future__ import annotations

import re

import ovirtsdk4
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ovirtsdk4 import types
from ovirtsdk4.services import VmNicsService as Nics

from isthmus.commands.caller import Refused
from isthmus.commands.macs import check_mac, free_mac
from isthmus.model import MacPool, Moment, Nic, now
from isthmus.reconcile.engine import Engine
from tests.served import Client, statements
from tests.unit.api_routes import rows


@pytest.fixture(autouse=True)
def quiet(engine: Engine) -> None:
    for noun in ("vm", "claim", "host", "sweep"):
        engine.loop.register(noun, lambda _row: [])


@pytest.fixture
def provider(engine: Engine) -> str:
    return rows.add_provider(engine)


@pytest.fixture
def red(engine: Engine, provider: str) -> str:
    """The profile of a network of an external provider."""
    return rows.add_network(engine, "red", provider)


@pytest.fixture
def lan(engine: Engine) -> str:
    """The profile of a network that is a bridge of the host."""
    return rows.add_network(engine, "lan")


@pytest.fixture
def vm(sdk: ovirtsdk4.Connection) -> str:
    made = sdk.system_service().vms_service().add(types.Vm(name="web1", cluster=types.Cluster(name="Default")))
    vm_id: str = made.id
    return vm_id


@pytest.fixture
def nics(sdk: ovirtsdk4.Connection, vm: str) -> Nics:
    return sdk.system_service().vms_service().vm_service(vm).nics_service()


def nic(name: str, profile: str | None = None, **fields: object) -> types.Nic:
    if profile:
        fields["vnic_profile"] = types.VnicProfile(id=profile)
    return types.Nic(name=name, **fields)


def pool(engine: Engine, *ranges: tuple[str, str]) -> None:
    with engine.db.write() as session:
        session.query(MacPool).one().ranges = [{"from": a, "to": b} for a, b in ranges]


def test_a_nic_keeps_what_it_was_given(nics: Nics, engine: Engine, red: str) -> None:
    pool(engine, ("02:00:00:00:00:10", "02:00:00:00:00:ff"))
    made = nics.add(nic("nic1", red))
    assert (made.mac.address, made.interface, made.plugged, made.linked) == (
        "02:00:00:00:00:10",
        types.NicInterface.VIRTIO,
        True,
        True,
    )
    assert made.vnic_profile.id == red
    other = nics.add(
        nic(
            "nic2",
            mac=types.Mac(address="02:AB:00:00:00:01"),
            interface=types.NicInterface.E1000,
            network=types.Network(name="red"),
            linked=False,
            plugged=False,
        )
    )
    seen = nics.nic_service(other.id).get()
    assert (seen.mac.address, seen.interface) == ("02:ab:00:00:00:01", types.NicInterface.E1000)
    assert (seen.linked, seen.plugged, seen.vnic_profile.id) == (False, False, red)
    assert [n.name for n in nics.list()] == ["nic1", "nic2"]
    assert rows.events(engine, 932)[0] == (
        "vNIC nic1 (02:00:00:00:00:10) was added to VM web1 with profile red of network red by admin@internal."
    )
    nics.nic_service(made.id).remove()
    assert [n.name for n in nics.list()] == ["nic2"]
    assert len(rows.events(engine, 930)) == 1


def test_what_is_not_allowed_is_refused_in_words_and_changes_nothing(nics: Nics, engine: Engine) -> None:
    rows.add_network(engine, "apart", attached=False)
    nics.add(nic("taken", mac=types.Mac(address="02:00:00:00:00:aa")))
    before = rows.counts(engine)
    for fields, words in (
        ({"name": ""}, "needs a name"),
        ({"name": "a b"}, "may stand there"),
        ({"name": "n" * 51}, "at most 50"),
        ({"name": "taken"}, "has a vNIC taken already"),
        ({"mac": types.Mac(address="02:00:00:00:00")}, "not a MAC address"),
        ({"mac": types.Mac(address="03:00:00:00:00:01")}, "multicast"),
        ({"mac": types.Mac(address="02:00:00:00:00:AA")}, "in use by vNIC taken of VM web1"),
        ({"vnic_profile": types.VnicProfile(id="none")}, "no vNIC profile none"),
        ({"vnic_profile": types.VnicProfile(name="none")}, "No network of the data center"),
        ({"network": types.Network(name="none")}, "no network 'none'"),
        ({"network": types.Network(name="apart")}, "not attached to cluster Default"),
        ({"interface": types.NicInterface.PCI_PASSTHROUGH}, "cannot be of type pci_passthrough"),
    ):
        with pytest.raises(ovirtsdk4.Error, match=words) as refused:
            nics.add(types.Nic(**{"name": "x", **fields}))
        assert refused.value.code in (400, 409)
    assert rows.counts(engine) == before
    told = rows.events(engine, 933)
    assert len(told) == 10, "a reference to nothing is no command yet"
    assert all(" could not be added to VM web1 by admin@internal: " in event for event in told)


def test_an_exhausted_pool_says_so(nics: Nics, engine: Engine) -> None:
    pool(engine, ("02:00:00:00:00:01", "02:00:00:00:00:02"))
    nics.add(nic("a"))
    nics.add(nic("b"))
    with pytest.raises(ovirtsdk4.Error, match="MAC pool Default has no free address left") as refused:
        nics.add(nic("c"))
    assert refused.value.code == 409
    assert [n.name for n in nics.list()] == ["a", "b"]


def test_a_running_vms_nic_on_an_external_network_stays_as_it_is(
    nics: Nics, engine: Engine, vm: str, red: str, lan: str
) -> None:
    """Row 26 of the specification."""
    made = nics.add(nic("nic1", red))
    spare = nics.add(nic("spare", red, plugged=False))
    rows.run(engine, vm, rows.add_host(engine))
    service = nics.nic_service(made.id)
    before = _all(engine)
    why = "it stands on network red of external provider neutron"
    for change in (
        nic("nic1", lan),
        types.Nic(vnic_profile=types.VnicProfile()),
        types.Nic(network=types.Network(name="lan")),
        types.Nic(plugged=False),
        types.Nic(linked=False),
        types.Nic(mac=types.Mac(address="02:00:00:00:00:77")),
        types.Nic(interface=types.NicInterface.E1000),
    ):
        with pytest.raises(ovirtsdk4.Error, match=why) as refused:
            service.update(change)
        assert refused.value.code == 409
    with pytest.raises(ovirtsdk4.Error, match=why):
        service.deactivate()
    with pytest.raises(ovirtsdk4.Error, match="hot plug is not offered"):
        nics.nic_service(spare.id).update(types.Nic(plugged=True))
    with pytest.raises(ovirtsdk4.Error, match="hot plug is not offered"):
        nics.nic_service(spare.id).activate()
    with pytest.raises(ovirtsdk4.Error, match="hot unplug is not offered"):
        service.remove()
    with pytest.raises(ovirtsdk4.Error, match="hot plug is not offered"):
        nics.add(nic("more", lan))
    assert _all(engine) == before
    assert service.update(types.Nic(name="front")).name == "front"
    nics.add(nic("later", lan, plugged=False))
    assert nics.nic_service(spare.id).update(nic("spare", lan)).vnic_profile.id == lan
    nics.nic_service(spare.id).remove()


def test_a_running_vms_other_nics_have_no_hot_plug_either(nics: Nics, engine: Engine, vm: str, lan: str) -> None:
    made = nics.add(nic("nic1", lan))
    rows.run(engine, vm, rows.add_host(engine))
    for change in (types.Nic(plugged=False), types.Nic(linked=False)):
        with pytest.raises(ovirtsdk4.Error, match="what a running guest has is not changed, hot plug is not offered"):
            nics.nic_service(made.id).update(change)


def test_another_network_or_no_vnic_gives_the_claim_up(nics: Nics, engine: Engine, vm: str, red: str, lan: str) -> None:
    """Rules 8 and 10: what is recorded stays until the port is given back, also when its vNIC is gone."""
    first, second = nics.add(nic("nic1", red)), nics.add(nic("nic2", red))
    rows.run(engine, vm, rows.add_host(engine))
    rows.end(engine, vm)
    nics.nic_service(first.id).update(types.Nic(vnic_profile=types.VnicProfile(id=lan)))
    nics.nic_service(second.id).remove()
    assert [(c.wanted, c.port_id is not None, c.owed_since is not None) for c in rows.claims(engine)] == [
        ("absent", True, True),
        ("absent", True, True),
    ]
    held = next(c.mac for c in rows.claims(engine) if c.nic_id == second.id)
    with pytest.raises(ovirtsdk4.Error, match="provider neutron has not given back yet"):
        nics.add(nic("again", mac=types.Mac(address=held)))
    with engine.db.write() as session:
        for claim in rows.claims(engine):
            session.merge(claim).port_id = None
    nics.add(nic("again", mac=types.Mac(address=held)))
    nics.nic_service(first.id).remove()
    assert [c.nic_id for c in rows.claims(engine)] == [second.id], "one that records no port goes with its vNIC"


def test_addresses_are_reported_while_it_runs(
    nics: Nics, sdk: ovirtsdk4.Connection, engine: Engine, vm: str, red: str
) -> None:
    made = nics.add(nic("nic1", red))
    rows.run(engine, vm, rows.add_host(engine), addresses=("10.5.0.9", "2001:db8::9"))
    (device,) = nics.nic_service(made.id).get().reported_devices
    assert [(ip.address, ip.version) for ip in device.ips] == [
        ("10.5.0.9", types.IpVersion.V4),
        ("2001:db8::9", types.IpVersion.V6),
    ]
    devices = sdk.system_service().vms_service().vm_service(vm).reported_devices_service()
    assert [d.mac.address for d in devices.list()] == [made.mac.address]
    assert devices.reported_device_service(device.id).get().ips[0].address == "10.5.0.9"
    rows.end(engine, vm)
    assert devices.list() == []


def test_timeline_in_both_forms(nics: Nics, engine: Engine, http: Client, vm: str, red: str) -> None:
    made = nics.add(nic("nic1", red))
    with engine.db.write() as session:
        for number, what in enumerate(("call", "hook", "resume")):
            session.add(Moment(nic_id=made.id, vm_id=vm, epoch=1, at=now(), what=what, text=f"{number}", seconds=0.5))
            session.flush()
    path = f"vms/{vm}/nics/{made.id}/timeline"
    assert path in http("GET", f"vms/{vm}/nics/{made.id}").text
    shown = http("GET", path, headers={"Accept": "application/json"}).json()
    assert [(m["what"], m["text"], m["seconds"]) for m in shown["moment"]] == [
        ("call", "0", 0.5),
        ("hook", "1", 0.5),
        ("resume", "2", 0.5),
    ]
    text = http("GET", f"{path}?max=1").text
    assert "<what>resume</what>" in text
    assert "<what>call</what>" not in text


def test_a_list_costs_the_same_number_of_statements_however_long(
    nics: Nics, engine: Engine, http: Client, vm: str, red: str
) -> None:
    seen = []
    for number in range(6):
        nics.add(nic(f"nic{number}", red))
        if number in (0, 5):
            with statements(engine) as these:
                assert http("GET", f"vms/{vm}/nics").text.count("<nic ") == number + 1
            seen.append([s for s in these if "FROM setting" not in s and "FROM token" not in s])
    assert [len(s) for s in seen] == [4, 4]  # the VM, its NICs, their profiles, their claims


def test_missing_ones_are_not_found(nics: Nics, sdk: ovirtsdk4.Connection) -> None:
    with pytest.raises(ovirtsdk4.NotFoundError):
        nics.nic_service("none").get()
    with pytest.raises(ovirtsdk4.NotFoundError):
        sdk.system_service().vms_service().vm_service("none").nics_service().list()


def _all(engine: Engine) -> list[tuple[object, ...]]:
    with engine.db.read() as session:
        return [
            (n.name, n.mac, n.interface, n.plugged, n.linked, n.profile_id)
            for n in session.query(Nic).order_by(Nic.name)
        ]


# ------------------------------------------------------------------------------------------------- the rules

octet = st.integers(0, 255)
macs = st.lists(octet, min_size=6, max_size=6).map(lambda o: ":".join(f"{x:02x}" for x in o))


@st.composite
def near_ranges(draw: st.DrawFn) -> list[dict[str, str]]:
    found = []
    for _ in range(draw(st.integers(1, 3))):
        first = (
            draw(st.integers(0, 2**48 - 1))
            if draw(st.booleans())
            else draw(st.integers(0x00FFFFFFFFF0, 0x010000000010))
        )
        last = min(first + draw(st.integers(0, 40)), 2**48 - 1)
        found.append({"from": text(first), "to": text(last)})
    return found


def text(value: int) -> str:
    return ":".join(f"{value:012x}"[i : i + 2] for i in range(0, 12, 2))


def number(mac: str) -> int:
    return int(mac.replace(":", ""), 16)


@given(near_ranges(), st.data())
def test_the_next_address_is_free_in_range_and_unicast(ranges: list[dict[str, str]], data: st.DataObject) -> None:
    every = [
        n for r in ranges for n in range(int(r["from"].replace(":", ""), 16), int(r["to"].replace(":", ""), 16) + 1)
    ]
    usable = [text(n) for n in every if not (n >> 40) & 1 and n]
    taken = data.draw(st.sets(st.sampled_from(usable))) if usable else set()
    left = [mac for mac in usable if mac not in taken]
    found = free_mac(ranges, taken)
    assert found == (left[0] if left else None)
    if found is not None:
        assert check_mac(found.upper()) == found


@given(macs)
def test_only_unicast_addresses_are_taken(mac: str) -> None:
    good = not int(mac[:2], 16) & 1 and mac != "00:00:00:00:00:00"
    if good:
        assert check_mac(mac.upper()) == mac
    else:
        with pytest.raises(Refused):
            check_mac(mac)


@given(st.text(max_size=20))
def test_other_texts_are_no_addresses(words: str) -> None:
    if not re.fullmatch(r"\s*[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}\s*", words):
        with pytest.raises(Refused, match="not a MAC address"):
            check_mac(words)
