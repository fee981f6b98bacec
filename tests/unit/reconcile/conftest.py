from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isthmus.hosts import monitor
from isthmus.model import database
from isthmus.model.secrets import keyring
from isthmus.reconcile import claims, loop, vms
from isthmus.reconcile.engine import Engine
from isthmus.start import prepare
from tests.fakes.neutron import FakeNeutron
from tests.unit.reconcile.world import World


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried again is tried again soon: nothing here is far away or long in coming back."""
    for module, values in {
        claims: {"SWEEP_AFTER_DOUBT": 0.2, "READY_POLL": 0.02, "RELEASE_AGAIN": 0.1},
        loop: {"FIRST_BACK_OFF": 0.05, "PLAN_AGAIN": 0.05, "LANE_AGAIN": 0.05},
        monitor: {"FIRST_WAIT": 0.02, "LONGEST_WAIT": 0.1},
        vms: {
            "FILES_MOVE": 0.1,
            "HOST_AGAIN": 0.05,
            "EVIDENCE_AGAIN": 0.02,
            "STOP_AGAIN": 0.05,
            "SHUTDOWN_AGAIN": 0.05,
        },
    }.items():
        for name, value in values.items():
            monkeypatch.setattr(module, name, value)


@pytest.fixture(scope="session", autouse=True)
def _compiled() -> Iterator[None]:
    """Statements are compiled once, not once for each database: that is half of what these tests cost.

    SQLAlchemy keeps them by engine and dialect, so every engine here gets those of the first.
    """
    make = database.create_engine
    first: list[Any] = []

    def create_engine(url: str, **options: Any) -> Any:
        made = make(url, **options)
        if not first:
            first.append(made)
        made.dialect, made._compiled_cache = first[0].dialect, first[0]._compiled_cache
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "create_engine", create_engine)
        yield


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """An engine's first start on a data directory of which each world has a copy."""
    engine = prepare(tmp_path_factory.mktemp("first") / "engine", password="secret").engine
    engine.db.close()
    return engine


@pytest.fixture
def neutron() -> Iterator[FakeNeutron]:
    with FakeNeutron(hosts=["h1", "h2"]) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, first_start: Engine, neutron: FakeNeutron) -> Iterator[World]:
    data = tmp_path / "engine"
    shutil.copytree(first_start.data, data)
    keyring.load(data / "key")
    made = World(data, neutron, first_start)
    yield made
    made.close()
    made.check()
