"""A misbehaving proxy between the engine and the real Neutron, inside the lab's control network."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyroute2 import netns

from lab.network import CONTROL
from tests.e2e.flow import Flow
from tests.fakes.neutron import FakeNeutron
from tests.fakes.upstream import Upstream


@contextmanager
def proxy(flow: Flow) -> Iterator[FakeNeutron]:
    """Its ``url`` is one that the engine can reach; what it is not told to spoil goes to Neutron and back."""
    made = FakeNeutron(world=Upstream(flow.variables["NEUTRON_INTERNAL_URL"]))
    path = Path(flow.lab.network.path(CONTROL))
    failed: list[BaseException] = []

    def up() -> None:
        # A thread's network namespace is its own, and threads that it starts inherit it: the server's are inside.
        try:
            netns.setns(str(path))
            made.up()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            failed.append(error)

    thread = threading.Thread(target=up)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    try:
        yield made
    finally:
        made.down()
