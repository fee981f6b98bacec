"""What the user sees: six points, each with its steps and how long they took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

WIDTH = 160
"""Of a file, in which no table need be squeezed."""


class Screen:
    """On a terminal with a spinner while a step goes on; plain lines elsewhere."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            self.console.width = WIDTH
        self.point_at = ""
        self.step_at = ""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def point(self, number: int, title: str) -> None:
        self.point_at, self.step_at = f"{number}. {title}", ""
        self.console.print(f"\n[bold]{number}. {title}[/]")

    @contextmanager
    def step(self, text: str) -> Iterator[Callable[[str], None]]:
        """A step in progress, which stays named in ``step_at`` if it fails.

        What is given shows, beside the spinner of a terminal, what goes on just now.
        """
        began, self.step_at = time.monotonic(), text
        if self.console.is_terminal:
            with self.console.status(f"{text} …") as status:
                yield lambda now: status.update(f"{text} … [dim]{now}[/]")
        else:
            self.console.print(f"   {text} …", markup=False)
            yield lambda _now: None
        self.console.print(f"   [green]ok[/]  {text} [dim]({time.monotonic() - began:.1f} s)[/]")
        self.step_at = ""

    def note(self, text: str) -> None:
        """Something seen or done on the way."""
        self.console.print(f"       {text}", markup=False)

    def table(self, *rows: tuple[str, ...]) -> None:
        """Columns under a note; the first row is the head."""
        head, *body = rows
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in head:
            table.add_column(name, overflow="fold")
        for row in body:
            table.add_row(*row)
        self.console.print(Padding(table, (0, 0, 0, 7), expand=False), soft_wrap=False)
