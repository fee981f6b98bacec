"""The agent as one file: what a host needs of the installed package, the same bytes each time."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

_PARTS = ("__init__.py", "wire", "agent")


@dataclass(frozen=True)
class Bundle:
    data: bytes
    sha256: str


def agent_bundle() -> Bundle:
    """A tar of ``isthmus/{__init__.py,wire,agent}``, without times and owners. The same code has the same
    sum.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        root = resources.files("isthmus")
        for part in _PARTS:
            for name, file in _files(root / part, f"isthmus/{part}"):
                content = file.read_bytes()
                info = tarfile.TarInfo(name)
                info.size = len(content)
                info.mode = 0o755 if content.startswith(b"#!") else 0o644
                archive.addfile(info, io.BytesIO(content))
    data = buffer.getvalue()
    return Bundle(data, hashlib.sha256(data).hexdigest())


def _files(item: Traversable, name: str) -> Iterator[tuple[str, Traversable]]:
    if item.is_file():
        yield name, item
        return
    for child in sorted(item.iterdir(), key=lambda child: child.name):
        if child.name != "__pycache__" and not child.name.startswith("."):
            yield from _files(child, f"{name}/{child.name}")
