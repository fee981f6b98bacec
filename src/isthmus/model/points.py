"""Named points at which a test may stop the process: the places where a crash would hurt most.

``reach(name)`` does nothing unless a test asked for that point: in process by ``stop_at``, for a whole engine by the
environment (``ISTHMUS_KILL_AT=name``), in which case the process is killed with SIGKILL, as a power cut would.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

NAMES: set[str] = set()
stop_at: Callable[[str], None] | None = None


def declare(*names: str) -> None:
    """Make points known, so that a test can go through all there are."""
    NAMES.update(names)


def reach(name: str) -> None:
    if name not in NAMES:
        raise KeyError(f"point {name} was not declared")
    if stop_at is not None:
        stop_at(name)
    if os.environ.get("ISTHMUS_KILL_AT") == name:
        os.kill(os.getpid(), signal.SIGKILL)
