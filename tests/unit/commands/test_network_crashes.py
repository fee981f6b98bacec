"""A network added at a provider, or imported: killed at every named point, and with a provider that misbehaves.

Whatever happens, in the end the network is there and its provider has exactly the one that is recorded, or it is gone
and its provider has none of it.
"""

from __future__ import annotations

import dataclasses
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from isthmus.commands.caller import Caller, InConflict
from isthmus.commands.imports import import_network
from isthmus.commands.networks import add_network, remove_network
from isthmus.commands.providers import add_provider
from isthmus.model import DataCenter, Event, Job, Network, NetworkProvision, points
from isthmus.providers import registry
from isthmus.providers.base import ExternalNetwork, NetworkProvider, Settings
from isthmus.reconcile import networks
from isthmus.reconcile.engine import Engine
from isthmus.reconcile.work import begin, end
from isthmus.start import prepare
from tests.fakes.neutron import FakeNeutron, Kind
from tests.waiting import wait_for

pytestmark = pytest.mark.long

ME = Caller("tester@internal", "crash-test")
ADDING = sorted(name for name in points.NAMES if name.startswith("add-network."))
IMPORTING = sorted(name for name in points.NAMES if name.startswith("import."))


class Killed(BaseException):
    """What is left of a process that was killed: nothing more of it runs."""


def impatient(type_name: str, settings: Settings) -> NetworkProvider:
    return registry.make(type_name, dataclasses.replace(settings, timeout=0.5))


class House:
    """One data directory, and the engines that follow each other on it."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data = data
        self._monkeypatch = monkeypatch
        self._end: Callable[[], None] = lambda: None
        self.engine = self.start()

    def start(self) -> Engine:
        engine = prepare(self.data).engine
        engine.make_provider = impatient
        monitors = begin(engine)

        def stop() -> None:
            end(engine, monitors)
            engine.db.close()

        self.engine, self._end = engine, stop
        return engine

    def stop(self) -> None:
        self._end()

    def kill_at(self, name: str) -> threading.Event:
        """From this point on nothing of the present engine gets any further."""
        dead = threading.Event()
        engine = self.engine

        def stop_at(point: str) -> None:
            if point == name or dead.is_set():
                engine.loop.close()
                dead.set()
                raise Killed(point)

        self._monkeypatch.setattr(points, "stop_at", stop_at)
        return dead

    def restart(self) -> None:
        self.stop()
        self._monkeypatch.setattr(points, "stop_at", None)
        self.start()

    def center(self) -> str:
        with self.engine.db.read() as session:
            return session.query(DataCenter).one().id

    def recorded(self) -> list[str | None]:
        with self.engine.db.read() as session:
            return [p.external_id for p in session.query(NetworkProvision)]

    def at_rest(self) -> bool:
        return None not in self.recorded()

    def events(self, code: int) -> list[Event]:
        with self.engine.db.read() as session:
            return session.query(Event).filter_by(code=code).all()

    def job(self) -> Job:
        with self.engine.db.read() as session:
            return session.query(Job).one()


@pytest.fixture
def house(first_start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setattr(networks, "FIRST_LOOK", 0.05)
    monkeypatch.setattr(networks, "back_off", lambda tries: 0.05)
    shutil.copytree(first_start, tmp_path / "data")
    built = House(tmp_path / "data", monkeypatch)
    yield built
    built.stop()


@pytest.fixture
def provider(house: House, neutron: FakeNeutron) -> str:
    return add_provider(house.engine, ME, type="neutron", name="neutron", url=neutron.url)


def add(house: House, provider: str, *, tagged: bool = True) -> str:
    wanted: dict[str, object] = {"vlan_id": 500, "physical_network": "red"} if tagged else {}
    return add_network(
        house.engine,
        ME,
        data_center_id=house.center(),
        provider_id=provider,
        name="web",
        **wanted,  # type: ignore[arg-type]
    )


def agree(house: House, neutron: FakeNeutron) -> bool:
    """Nothing is under way, and the provider has what is recorded, all of it and no more."""
    return house.at_rest() and sorted(str(i) for i in house.recorded()) == sorted(neutron.networks)


# --------------------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize("point", ADDING)
def test_killed_while_adding(house: House, provider: str, neutron: FakeNeutron, point: str) -> None:
    dead = house.kill_at(point)
    try:
        add(house, provider)
    except Killed:
        assert point in ("add-network.before-commit", "add-network.after-commit")
    assert dead.wait(30), f"{point} was not reached"
    house.restart()
    wait_for(lambda: agree(house, neutron), "what is recorded and what the provider has agree")
    if point == "add-network.before-commit":
        assert house.recorded() == []
        assert neutron.count("POST *") == 0
        add(house, provider)
        wait_for(lambda: agree(house, neutron) and house.recorded(), "it can be added anew")
    assert len(neutron.networks) == 1
    assert neutron.count("POST /v2.0/networks") == 1
    assert len(house.events(942)) == 1
    assert house.job().status == "finished"


@pytest.mark.parametrize("point", ["add-network.before-call", "add-network.before-record", "add-network.after-record"])
@pytest.mark.parametrize("kind", [Kind.DROP_REPLY, Kind.LATE, Kind.RESET])
def test_killed_while_the_provider_misbehaves(
    house: House, provider: str, neutron: FakeNeutron, point: str, kind: Kind
) -> None:
    fault = neutron.fault("POST /v2.0/networks", kind)
    dead = house.kill_at(point)
    add(house, provider, tagged=False)
    assert dead.wait(30), f"{point} was not reached"
    fault.land()
    house.restart()
    wait_for(lambda: agree(house, neutron) and house.recorded(), "what is recorded and what the provider has agree")
    assert len(house.events(942)) == 1


@pytest.mark.parametrize("point", IMPORTING)
def test_killed_while_importing(house: House, provider: str, neutron: FakeNeutron, point: str) -> None:
    theirs = neutron.world.add_network("blue")
    external = ExternalNetwork(theirs["id"], "blue")
    house.kill_at(point)
    with pytest.raises(Killed):
        import_network(
            house.engine, ME, provider_id=provider, external=external, data_center_id=house.center(), name="b"
        )
    house.restart()
    assert house.recorded() == ([] if point == "import.before-commit" else [theirs["id"]])
    with house.engine.db.read() as session:
        for network in session.query(Network):
            assert [len(network.clusters), len(network.profiles)] == [1, 1]
    assert list(neutron.networks) == [theirs["id"]]
    assert len(house.events(10920)) == len(house.recorded())


def test_every_point_is_tested() -> None:
    assert ADDING == [
        "add-network.after-call",
        "add-network.after-commit",
        "add-network.after-record",
        "add-network.before-call",
        "add-network.before-commit",
        "add-network.before-record",
    ]
    assert IMPORTING == ["import.after-commit", "import.before-commit"]


# -------------------------------------------------------------------------------------------------- misbehaviour


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Kind.DROP_REPLY, {}),
        (Kind.DROP_REPLY, {"hang": True}),
        (Kind.LATE, {}),
        (Kind.LATE, {"hang": True}),
        (Kind.HANG, {}),
        (Kind.RESET, {}),
        (Kind.GARBAGE, {}),
        (Kind.DUPLICATE, {}),
        (Kind.ANSWER, {"status": 429}),
        (Kind.ANSWER, {"status": 500}),
        (Kind.ANSWER, {"status": 503, "commit": True}),
        (Kind.ANSWER, {"status": 409, "commit": True}),
    ],
    ids=str,
)
def test_a_provider_that_misbehaves_has_one_network_in_the_end(
    house: House, provider: str, neutron: FakeNeutron, kind: Kind, options: dict[str, bool], tagged: bool
) -> None:
    fault = neutron.fault("POST /v2.0/networks", kind, **options)
    add(house, provider, tagged=tagged)
    fault.wait()
    wait_for(lambda: house.at_rest(), "the network is recorded")
    fault.land()
    wait_for(lambda: agree(house, neutron), "what is recorded and what the provider has agree")
    assert len(neutron.networks) == 1
    assert house.job().status == "finished"


@pytest.mark.parametrize(
    ("status", "error_type", "kind"),
    [(409, "VlanIdInUse", "conflict"), (400, "BadRequest", "wrong"), (401, "Unauthorized", "credentials")],
)
def test_a_refusal_undoes_the_network(
    house: House, provider: str, neutron: FakeNeutron, status: int, error_type: str, kind: str
) -> None:
    neutron.fault("POST /v2.0/networks", Kind.ANSWER, status=status, error_type=error_type, message="no such luck")
    add(house, provider)
    wait_for(lambda: house.recorded() == [], "the network is gone")
    assert neutron.networks == {}
    assert (house.job().status, house.job().fault_kind) == ("failed", kind)
    (event,) = house.events(943)
    assert "web" in event.text
    assert "neutron" in event.text
    assert (event.user, event.correlation_id) == (ME.user, ME.correlation_id)
    with house.engine.db.read() as session:
        assert session.query(Network).count() == 0
    add(house, provider)
    wait_for(lambda: agree(house, neutron) and house.recorded(), "the same name can be added again")


def test_a_call_that_lands_after_the_refusal_is_undone(house: House, provider: str, neutron: FakeNeutron) -> None:
    late = neutron.fault("POST /v2.0/networks", Kind.LATE)
    neutron.fault("POST /v2.0/networks", Kind.ANSWER, status=400, error_type="BadRequest", message="no")
    add(house, provider, tagged=False)
    wait_for(lambda: house.recorded() == [], "the network is gone")
    late.land()
    wait_for(lambda: neutron.networks == {}, "what landed late is gone too")


def test_a_network_that_is_removed_while_it_is_being_made(house: House, provider: str, neutron: FakeNeutron) -> None:
    stranger = neutron.world.add_network("a stranger's")["id"]
    late = neutron.fault("POST /v2.0/networks", Kind.LATE, hang=True)
    network = add(house, provider, tagged=False)
    late.wait()
    remove_network(house.engine, ME, network)
    late.land()
    wait_for(lambda: list(neutron.networks) == [stranger], "what landed late is gone, and nothing else")
    assert house.recorded() == []
    assert house.job().status == "failed"


def test_what_landed_late_and_is_used_stays(house: House, provider: str, neutron: FakeNeutron) -> None:
    """Delete only with proof; and a network on which somebody has ports is not ours alone any more."""
    late = neutron.fault("POST /v2.0/networks", Kind.LATE)
    add(house, provider, tagged=False)
    wait_for(lambda: house.at_rest(), "the network is recorded")
    kept = house.recorded()[0]
    tried = neutron.fault("DELETE /v2.0/networks/*", Kind.ANSWER, status=409, error_type="NetworkInUse", times=1000)
    late.land()
    tried.wait(2)
    assert kept in neutron.networks
    assert len(neutron.networks) == 2


def test_what_is_left_over_is_not_imported(house: House, provider: str, neutron: FakeNeutron) -> None:
    """It would be deleted under its user."""
    late = neutron.fault("POST /v2.0/networks", Kind.LATE)
    add(house, provider, tagged=False)
    wait_for(lambda: house.at_rest(), "the network is recorded")
    hold = neutron.hold("GET /v2.0/networks")
    late.land()
    (left,) = [n for n in neutron.networks.values() if n["id"] not in house.recorded()]
    external = ExternalNetwork(left["id"], left["name"], description=left["description"])
    with pytest.raises(InConflict, match="given up"):
        import_network(
            house.engine, ME, provider_id=provider, external=external, data_center_id=house.center(), name="other"
        )
    hold.let_go()
    wait_for(lambda: agree(house, neutron), "what landed late is gone")
