"""Telling the person at the terminal what happens and how long it takes."""

import contextlib
import threading
import time
from collections.abc import Iterator

from rich.console import Console
from rich.status import Status


class Progress:
    """Prints a line when a step ends, with the seconds it took; on a terminal also what is going on now.

    Steps may run in several threads at once.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._running: list[str] = []
        self._status: Status | None = None

    def say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step and its end; an error passes through after it was shown which step failed."""
        began = time.monotonic()
        with self._lock:
            self._running.append(name)
            if not self._console.is_terminal:
                self._line(f"{name} ...")
            self._refresh()
        outcome = "failed"
        try:
            yield
            outcome = "done"
        finally:
            with self._lock:
                self._running.remove(name)
                self._refresh()
                self._line(f"{name}: {outcome} in {time.monotonic() - began:.1f} s")

    def _line(self, text: str) -> None:
        self._console.print(f"[{time.monotonic() - self._began:5.0f} s] {text}", markup=False, soft_wrap=True)

    def _refresh(self) -> None:
        if not self._console.is_terminal:
            return
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._running:
            self._status = self._console.status(", ".join(self._running))
            self._status.start()
