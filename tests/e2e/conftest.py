"""One lab for all end-to-end tests, with an engine of its own.

``ISTHMUS_LAB`` names the directory of a lab that is up and is to be used and left (for instance the checkout, after
``make lab``). Without it the lab is made here and taken down at the end.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.lab import Lab
from lab.progress import Progress
from tests.e2e.flow import Flow


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    named = os.environ.get("ISTHMUS_LAB")
    if named:
        yield Lab.up(Progress(), Path(named))
        return
    place = tmp_path_factory.mktemp("lab")
    try:
        yield Lab.up(Progress(), place)
    finally:
        Lab.down(Progress(), place)


@pytest.fixture(scope="session")
def flow(lab: Lab) -> Flow:
    return Flow(lab)
