"""Order: the agent's own tests change a host of the lab, so they come after those that begin with a bare one."""

from __future__ import annotations

import pytest

LAST = "test_agent.py"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == LAST)  # stable: the rest stays as it was
