"""What was done for a VM and for each of its NICs, when, and how long it took: told in every report of that run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from isthmus.wire import agent_pb2 as pb

from .hooks import Run

_LIMIT = 200


class Moments:
    """Of one run; ``nic`` empty means the VM itself. Lost with the agent's process."""

    def __init__(self) -> None:
        self._kept: dict[str, list[pb.Moment]] = {}

    def of(self, nic: str = "") -> Sequence[pb.Moment]:
        return tuple(self._kept.get(nic, ()))

    def add(self, what: str, nic: str = "", *, at: float | None = None, seconds: float = 0, text: str = "") -> None:
        kept = self._kept.setdefault(nic, [])
        if len(kept) < _LIMIT:
            kept.append(pb.Moment(what=what, at=time.time() if at is None else at, seconds=seconds, text=text))

    def hooks(self, runs: Sequence[Run], nic: str = "") -> None:
        for run in runs:
            text = f"exit {run.code}{f': {run.said[-500:]}' if run.said else ''}"
            self.add(f"hook {run.point} {run.script}", nic, at=run.started, seconds=run.seconds, text=text)

    @contextmanager
    def timing(self, what: str, nic: str = "") -> Iterator[None]:
        """Kept only when it ends well."""
        at, clock = time.time(), time.monotonic()
        yield
        self.add(what, nic, at=at, seconds=time.monotonic() - clock)
