"""What every test of a route starts from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import ovirtsdk4
import pytest

from isthmus.reconcile.engine import Engine
from isthmus.reconcile.work import begin, end
from isthmus.start import prepare
from tests.fakes.neutron import FakeNeutron
from tests.served import PASSWORD, Client, serve, sign_in
from tests.unit.api_routes.specified import as_specified


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory as a first start leaves it: made once, copied for each test."""
    path = tmp_path_factory.mktemp("first") / "data"
    made = prepare(path, password=PASSWORD).engine
    made.authority.https(["127.0.0.1"])
    made.close()
    made.db.close()
    return path


@pytest.fixture
def engine(first_start: Path, tmp_path: Path) -> Iterator[Engine]:
    shutil.copytree(first_start, tmp_path / "data")
    made = prepare(tmp_path / "data").engine
    yield made
    made.close()
    made.db.close()


@pytest.fixture
def working(engine: Engine) -> Iterator[Engine]:
    """The engine with its reconcilers at work; without this a test sees what is wanted, and nothing comes of it."""
    monitors = begin(engine)
    yield engine
    end(engine, monitors)


@pytest.fixture
def neutron() -> Iterator[FakeNeutron]:
    with FakeNeutron(hosts=["host1"]) as running:
        yield running


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    with serve(engine) as address:
        yield address


@pytest.fixture
def http(engine: Engine, url: str) -> Iterator[Client]:
    client = Client(url, engine.authority.ca_path)
    yield client
    client.session.close()


@pytest.fixture
def sdk(engine: Engine, url: str) -> Iterator[ovirtsdk4.Connection]:
    with sign_in(engine, url) as connection:
        yield connection


@pytest.fixture
def providers(sdk: ovirtsdk4.Connection) -> ovirtsdk4.services.OpenstackNetworkProvidersService:
    return sdk.system_service().openstack_network_providers_service()


@pytest.fixture
def saved(
    providers: ovirtsdk4.services.OpenstackNetworkProvidersService, neutron: FakeNeutron
) -> ovirtsdk4.services.OpenstackNetworkProviderService:
    return providers.provider_service(providers.add(as_specified(neutron.url)).id)
