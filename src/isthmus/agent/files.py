"""Kernels, initial RAM disks and disk images, kept by the SHA-256 of what is in them.

A file arrives in chunks, each at the offset where the last one ended; it has its final name only once its sum was
checked. Goes on after an agent's restart where it was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK_LIMIT = 8 << 20
_READ = 1 << 20


class WrongOffset(Exception):
    """A chunk that does not begin where the file ends: says how much is here."""


class WrongSum(Exception):
    """The whole file is here and is not what was announced; it was thrown away."""


class NoRoom(Exception):
    """The host's disk has no room for the file."""


class WrongChunk(ValueError):
    """The chunk cannot be part of the file that it announces."""


@dataclass(frozen=True)
class State:
    present: int
    complete: bool


class Files:
    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / "files"
        self._mutex = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._sums: dict[str, tuple[int, Any]] = {}

    def path(self, sha256: str) -> Path:
        return self._root / sha256

    def stat(self, sha256: str) -> State:
        """``sha256`` was checked to be one."""
        whole = _size(self.path(sha256))
        if whole is not None:
            return State(whole, True)
        return State(_size(self._part(sha256)) or 0, False)

    def put(self, sha256: str, size: int, offset: int, data: bytes) -> State:
        """Append a chunk; the one that makes the file ``size`` long completes it.

        :raises WrongOffset: :raises WrongSum: :raises NoRoom: :raises WrongChunk:
        """
        if len(data) > CHUNK_LIMIT:
            raise WrongChunk(f"data: {len(data)} bytes, at most {CHUNK_LIMIT} are taken in one chunk")
        if offset + len(data) > size or (not data and size):
            raise WrongChunk(f"data: {len(data)} bytes at offset {offset} of a file of {size}")
        with self._lock(sha256):
            state = self.stat(sha256)
            if state.complete:
                return state
            if offset != state.present:
                raise WrongOffset(f"offset: {offset} was sent, but {state.present} bytes of {sha256} are here")
            present = self._append(sha256, size, offset, data)
            if present < size:
                return State(present, False)
            return self._complete(sha256, size)

    def _append(self, sha256: str, size: int, offset: int, data: bytes) -> int:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o711)
        if offset == 0 and shutil.disk_usage(self._root).free < size:
            raise NoRoom(f"{size} bytes for {sha256} are more than is free under {self._root}")
        hashed, running = self._sums.pop(sha256, (0, hashlib.sha256()))
        part = self._part(sha256)
        if hashed != offset:
            running = _sum(part) if offset else hashlib.sha256()
        try:
            with part.open("ab") as file:
                file.write(data)
        except OSError as error:
            os.truncate(part, offset)
            raise NoRoom(f"{sha256} cannot be written under {self._root}: {error.strerror}") from error
        running.update(data)
        self._sums[sha256] = (offset + len(data), running)
        return offset + len(data)

    def _complete(self, sha256: str, size: int) -> State:
        _, running = self._sums.pop(sha256)
        part = self._part(sha256)
        if running.hexdigest() != sha256:
            part.unlink()
            raise WrongSum(f"sum: the {size} bytes sent as {sha256} have the sum {running.hexdigest()}; send them anew")
        part.chmod(0o644)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(self.path(sha256))
        return State(size, True)

    def _part(self, sha256: str) -> Path:
        return self._root / f"{sha256}.part"

    def _lock(self, sha256: str) -> threading.Lock:
        with self._mutex:
            return self._locks.setdefault(sha256, threading.Lock())


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _sum(path: Path) -> Any:
    running = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ):
            running.update(block)
    return running
