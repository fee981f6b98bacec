"""Commands are tested on an engine whose reconcilers are at work where the test says so."""

from __future__ import annotations

from tests.unit.api_routes.conftest import engine, first_start, neutron, working

__all__ = ["engine", "first_start", "neutron", "working"]
