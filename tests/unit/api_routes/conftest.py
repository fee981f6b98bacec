"""What every test of a route starts from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ovirtsdk4
import pytest

from isthmus.reconcile.engine import Engine
from isthmus.start import prepare
from tests.served import PASSWORD, Client, serve, sign_in


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = prepare(tmp_path / "data", password=PASSWORD).engine
    made.loop.start()
    yield made
    made.close()
    made.db.close()


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    with serve(engine) as address:
        yield address


@pytest.fixture
def http(engine: Engine, url: str) -> Client:
    return Client(url, engine.authority.ca_path)


@pytest.fixture
def sdk(engine: Engine, url: str) -> Iterator[ovirtsdk4.Connection]:
    with sign_in(engine, url) as connection:
        yield connection
