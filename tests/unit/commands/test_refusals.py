"""A command that is refused changes nothing: no row of any table but the events, which say what was tried."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from isthmus.commands import clusternetworks, clusters, datacenters, imports, macpools, networks, profiles, providers
from isthmus.commands.caller import Caller, InConflict, Missing, Refused
from isthmus.commands.nics import add_nic
from isthmus.commands.vms import add_vm
from isthmus.model import Base, Claim, DataCenter, Event, Host, HostProvider, MacPool, VnicProfile
from isthmus.providers.base import ExternalNetwork
from isthmus.reconcile.engine import Engine
from isthmus.start import prepare

ME = Caller("tester@internal", "refused-test")
BLUE = ExternalNetwork("blue-id", "blue")


@dataclass
class World:
    """Some of each noun, with uses among them."""

    engine: Engine
    center: str
    empty_center: str
    cluster: str
    pool: str
    lan: str
    """A network of ours, on which a vNIC stands."""
    blue: str
    """A provider's network, on which a vNIC stands."""
    making: str
    """A network that is still to be made at its provider."""
    spare: str
    """A network of ours that is not attached."""
    profile: str
    provider: str
    hosting: str
    """A provider that a host carries."""
    owing: str
    """A provider to which a port is owed."""


def build(engine: Engine) -> World:
    with engine.db.read() as session:
        center = session.query(DataCenter).one()
        cluster, pool = center.clusters[0].id, session.query(MacPool).one().id
        center_id = center.id
    lan = networks.add_network(engine, ME, data_center_id=center_id, name="lan")
    spare = networks.add_network(engine, ME, data_center_id=center_id, name="spare")
    clusternetworks.attach_network(engine, ME, cluster, lan)
    url = "http://127.0.0.1:1"
    provider, hosting, owing = (
        providers.add_provider(engine, ME, type="neutron", name=name, url=url) for name in ("one", "two", "three")
    )
    blue = imports.import_network(engine, ME, provider_id=provider, external=BLUE, data_center_id=center_id)
    making = networks.add_network(engine, ME, data_center_id=center_id, provider_id=provider, name="making")
    vm = add_vm(engine, ME, name="web1", cluster_id=cluster)
    add_nic(engine, ME, vm, name="nic1", network_id=lan)
    add_nic(engine, ME, vm, name="nic2", network_id=blue)
    with engine.db.write() as session:
        host = Host(name="h1", address="192.0.2.1", cluster_id=cluster)
        session.add(host)
        session.flush()
        session.add(HostProvider(host_id=host.id, provider_id=hosting))
        session.add(
            Claim(
                nic_id="n",
                vm_id="v",
                provider_id=owing,
                network_id="x",
                external_network_id="y",
                mac="02:00:00:00:00:01",
                port_id="p",
            )
        )
    with engine.db.read() as session:
        profile = session.query(VnicProfile).filter_by(network_id=lan).one().id
    empty = datacenters.add_data_center(engine, ME, name="empty")
    return World(engine, center_id, empty, cluster, pool, lan, blue, making, spare, profile, provider, hosting, owing)


@pytest.fixture(scope="module")
def world(first_start: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests that change nothing: that they do not is what they say."""
    path = tmp_path_factory.mktemp("refusals") / "data"
    shutil.copytree(first_start, path)
    engine = prepare(path).engine
    yield build(engine)
    engine.close()
    engine.db.close()


def snapshot(engine: Engine) -> dict[str, list[Any]]:
    with engine.db.read() as session:
        return {
            table.name: sorted(map(repr, session.execute(select(table))))
            for table in Base.metadata.sorted_tables
            if table.name not in ("event", "change")
        }


Attempt = Callable[[World], object]
Case = tuple[str, Attempt, type[Refused], str, int | None]
"""What it is, the attempt, how it is refused, a word of the reason, the code of its event."""


def case(name: str, attempt: Attempt, kind: type[Refused], word: str, code: int | None = None) -> Any:
    return pytest.param(attempt, kind, word, code, id=name)


CASES = [
    # data centers
    case("dc-name-taken", lambda w: datacenters.add_data_center(w.engine, ME, name="Default"), InConflict, "Default"),
    case("dc-name", lambda w: datacenters.add_data_center(w.engine, ME, name="a/b"), Refused, "not allowed"),
    case(
        "dc-pool",
        lambda w: datacenters.update_data_center(w.engine, ME, w.center, description="x", mac_pool_id="none"),
        Refused,
        "no MAC pool",
    ),
    case(
        "dc-text",
        lambda w: datacenters.update_data_center(w.engine, ME, w.center, name="new", description="\x00"),
        Refused,
        "control",
    ),
    case("dc-missing", lambda w: datacenters.update_data_center(w.engine, ME, "none"), Missing, "none"),
    case("dc-used", lambda w: datacenters.remove_data_center(w.engine, ME, w.center), InConflict, "clusters: Default"),
    case("dc-remove-missing", lambda w: datacenters.remove_data_center(w.engine, ME, "none"), Missing, "none"),
    # clusters
    case(
        "cluster-taken",
        lambda w: clusters.add_cluster(w.engine, ME, name="Default", data_center_id=w.center),
        InConflict,
        "already",
    ),
    case("cluster-nowhere", lambda w: clusters.add_cluster(w.engine, ME, name="x"), Refused, "no data center"),
    case(
        "cluster-moves",
        lambda w: clusters.update_cluster(w.engine, ME, w.cluster, name="new", data_center_id=w.empty_center),
        InConflict,
        "stays",
    ),
    case(
        "cluster-cpu",
        lambda w: clusters.update_cluster(w.engine, ME, w.cluster, name="new", cpu_architecture="s390x"),
        Refused,
        "s390x",
    ),
    case("cluster-used", lambda w: clusters.remove_cluster(w.engine, ME, w.cluster), InConflict, "h1"),
    case("cluster-missing", lambda w: clusters.remove_cluster(w.engine, ME, "none"), Missing, "none"),
    # networks of a cluster
    case(
        "attach-twice",
        lambda w: clusternetworks.attach_network(w.engine, ME, w.cluster, w.lan),
        InConflict,
        "already",
    ),
    case(
        "attach-nothing",
        lambda w: clusternetworks.attach_network(w.engine, ME, w.cluster, "none"),
        Refused,
        "no network",
    ),
    case(
        "attach-nowhere", lambda w: clusternetworks.attach_network(w.engine, ME, "none", w.spare), Missing, "no cluster"
    ),
    case(
        "external-required",
        lambda w: clusternetworks.update_attachment(w.engine, ME, w.cluster, w.blue, required=True),
        Refused,
        "required",
    ),
    case(
        "external-role",
        lambda w: clusternetworks.update_attachment(w.engine, ME, w.cluster, w.blue, migration=True),
        Refused,
        "migration",
    ),
    case("detach-used", lambda w: clusternetworks.detach_network(w.engine, ME, w.cluster, w.lan), InConflict, "nic1"),
    case(
        "detach-absent",
        lambda w: clusternetworks.detach_network(w.engine, ME, w.cluster, w.spare),
        Missing,
        "no network",
    ),
    # MAC pools
    case(
        "pool-taken",
        lambda w: macpools.add_mac_pool(w.engine, ME, name="Default", ranges=[("02:00:00:00:00:00",) * 2]),
        InConflict,
        "already",
    ),
    case("pool-empty", lambda w: macpools.add_mac_pool(w.engine, ME, name="x"), Refused, "range"),
    case(
        "pool-range",
        lambda w: macpools.update_mac_pool(w.engine, ME, w.pool, name="x", ranges=[("z", "z")]),
        Refused,
        "MAC",
    ),
    case("pool-default", lambda w: macpools.remove_mac_pool(w.engine, ME, w.pool), InConflict, "default"),
    case("pool-missing", lambda w: macpools.remove_mac_pool(w.engine, ME, "none"), Missing, "none"),
    # networks
    case(
        "network-taken",
        lambda w: networks.add_network(w.engine, ME, data_center_id=w.center, name="lan"),
        InConflict,
        "lan",
        943,
    ),
    case(
        "network-vlan",
        lambda w: networks.add_network(w.engine, ME, data_center_id=w.center, name="x", vlan_id=4095),
        Refused,
        "4094",
        943,
    ),
    case(
        "network-nowhere",
        lambda w: networks.add_network(w.engine, ME, data_center_id="none", name="x"),
        Refused,
        "no data center",
        943,
    ),
    case(
        "network-provider",
        lambda w: networks.add_network(w.engine, ME, data_center_id=w.center, name="x", provider_id="none"),
        Refused,
        "no external network provider",
        943,
    ),
    case(
        "network-unlabelled",
        lambda w: networks.add_network(
            w.engine, ME, data_center_id=w.center, name="x", provider_id=w.provider, vlan_id=5
        ),
        Refused,
        "label",
        943,
    ),
    case(
        "network-fixed",
        lambda w: networks.update_network(w.engine, ME, w.blue, name="new", vlan_id=5),
        InConflict,
        "VLAN",
        11144,
    ),
    case(
        "network-used-usage",
        lambda w: networks.update_network(w.engine, ME, w.lan, name="new", vm_network=False),
        InConflict,
        "nic1",
        11144,
    ),
    case("network-mtu", lambda w: networks.update_network(w.engine, ME, w.lan, name="n", mtu=1), Refused, "MTU", 11144),
    case("network-used", lambda w: networks.remove_network(w.engine, ME, w.lan), InConflict, "nic1", 9441),
    case("network-gone", lambda w: networks.remove_network(w.engine, ME, "none"), Missing, "none", 9441),
    # import
    case(
        "import-twice",
        lambda w: imports.import_network(
            w.engine, ME, provider_id=w.provider, external=BLUE, data_center_id=w.center, name="x"
        ),
        InConflict,
        "as network blue",
        10921,
    ),
    case(
        "import-name",
        lambda w: imports.import_network(
            w.engine, ME, provider_id=w.hosting, external=BLUE, data_center_id=w.center, name="lan"
        ),
        InConflict,
        "already",
        10921,
    ),
    case(
        "import-provider",
        lambda w: imports.import_network(w.engine, ME, provider_id="none", external=BLUE, data_center_id=w.center),
        Missing,
        "none",
        10921,
    ),
    # vNIC profiles
    case(
        "profile-taken",
        lambda w: profiles.add_profile(w.engine, ME, network_id=w.lan, name="lan"),
        InConflict,
        "already",
        1123,
    ),
    case("profile-nowhere", lambda w: profiles.add_profile(w.engine, ME, name="x"), Refused, "no network", 1123),
    case(
        "mirroring",
        lambda w: profiles.add_profile(w.engine, ME, network_id=w.blue, name="x", port_mirroring=True),
        Refused,
        "provided by one",
        1123,
    ),
    case(
        "profile-groups",
        lambda w: profiles.update_profile(
            w.engine, ME, w.profile, name="new", custom_properties={"SecurityGroups": "web"}
        ),
        Refused,
        "SecurityGroups",
        1125,
    ),
    case("profile-used", lambda w: profiles.remove_profile(w.engine, ME, w.profile), InConflict, "nic1", 1127),
    # providers
    case(
        "provider-taken",
        lambda w: providers.add_provider(w.engine, ME, type="neutron", name="one", url="http://a"),
        InConflict,
        "already",
        206,
    ),
    case(
        "provider-type",
        lambda w: providers.add_provider(w.engine, ME, type="other", name="x", url="http://a"),
        Refused,
        "installed",
        206,
    ),
    case(
        "provider-url",
        lambda w: providers.add_provider(w.engine, ME, type="neutron", name="x", url="gopher://a"),
        Refused,
        "http",
        206,
    ),
    case(
        "provider-half",
        lambda w: providers.update_provider(w.engine, ME, w.provider, description="new", requires_authentication=True),
        Refused,
        "password",
        208,
    ),
    case(
        "provider-mapping",
        lambda w: providers.update_provider(w.engine, ME, w.provider, description="new", network_mappings="red"),
        Refused,
        "label:interface",
        208,
    ),
    case("provider-used", lambda w: providers.remove_provider(w.engine, ME, w.provider), InConflict, "nic2", 210),
    case("provider-carried", lambda w: providers.remove_provider(w.engine, ME, w.hosting), InConflict, "h1", 210),
    case("provider-owed", lambda w: providers.remove_provider(w.engine, ME, w.owing), InConflict, "1 ports", 210),
    case("provider-missing", lambda w: providers.remove_provider(w.engine, ME, "none"), Missing, "none", 210),
]


@pytest.mark.parametrize(("attempt", "kind", "word", "code"), CASES)
def test_a_refusal_changes_nothing(
    world: World, attempt: Attempt, kind: type[Refused], word: str, code: int | None
) -> None:
    before = snapshot(world.engine)
    with world.engine.db.read() as session:
        last = session.query(func.max(Event.id)).scalar()
    with pytest.raises(Refused) as refusal:
        attempt(world)
    assert type(refusal.value) is kind, refusal.value.detail
    assert word in refusal.value.detail
    assert snapshot(world.engine) == before
    with world.engine.db.read() as session:
        said = session.query(Event).filter(Event.id > last).all()
    assert [event.code for event in said] == ([code] if code else [])
    for event in said:
        assert event.severity == "error"
        assert ME.user in event.text
        assert event.correlation_id == ME.correlation_id


def test_trying_a_provider_out_changes_nothing(world: World) -> None:
    before = snapshot(world.engine)
    type_name, settings = providers.trial(world.engine, type="neutron", url="http://a")
    assert (type_name, settings.url, settings.id) == ("neutron", "http://a", "unsaved")
    _, settings = providers.trial_of(world.engine, world.provider, url="http://b", password="p")
    assert (settings.url, settings.password, settings.name) == ("http://b", "p", "one")
    assert snapshot(world.engine) == before
    with world.engine.db.read() as session:
        assert providers.get_provider(session, world.provider).url == "http://127.0.0.1:1"


def test_claims_at_rest_do_not_hold_a_provider(engine: Engine) -> None:
    """A claim whose port was given back says nothing any more."""
    world = build(engine)
    with world.engine.db.write() as session:
        for claim in session.query(Claim):
            claim.port_id = None
    providers.remove_provider(world.engine, ME, world.owing)
    with world.engine.db.read() as session:
        assert session.query(Claim).count() == 0
