from __future__ import annotations

import functools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.hosts import monitor
from isthmus.providers import registry
from isthmus.reconcile import claims, loop, vms
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
def _installed() -> Iterator[None]:
    """Which provider types there are is looked up once: every world here has the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "types", functools.cache(registry.types))
        yield


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as an engine's first start leaves it."""
    data = tmp_path_factory.mktemp("first") / "engine"
    prepare(data, password="secret").engine.db.close()
    return data


@pytest.fixture
def neutron() -> Iterator[FakeNeutron]:
    with FakeNeutron(hosts=["h1", "h2"]) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, first_start: Path, neutron: FakeNeutron) -> Iterator[World]:
    data = tmp_path / "engine"
    shutil.copytree(first_start, data)
    made = World(data, neutron)
    yield made
    made.close()
    made.check()
