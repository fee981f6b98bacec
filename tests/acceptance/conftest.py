from tests.e2e.conftest import flow, lab

__all__ = ["flow", "lab"]
