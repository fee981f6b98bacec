from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.neutron import FakeNeutron
from tests.unit.reconcile.world import World


@pytest.fixture
def neutron() -> Iterator[FakeNeutron]:
    with FakeNeutron(hosts=["h1", "h2"]) as made:
        yield made


@pytest.fixture
def world(tmp_path: Path, neutron: FakeNeutron) -> Iterator[World]:
    made = World(tmp_path / "engine", neutron)
    yield made
    made.close()
    made.check()
