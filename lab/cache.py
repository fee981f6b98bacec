"""The directory where built things stay between labs: root file systems, packages, the guest's kernel.

Each thing lies under a name that ends in a hash of what it was made from. It is made beside that name and moved
there when whole, so a command killed at any moment leaves either the thing or nothing that counts.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.progress import Progress

VARIABLE = "ISTHMUS_LAB_CACHE"
_UNFINISHED = ".new-"


def directory() -> Path:
    """Where the cache is: what the variable names, else in the caller's home, also under sudo."""
    if named := os.environ.get(VARIABLE):
        return Path(named).resolve()
    home = pwd.getpwuid(int(os.environ.get("SUDO_UID", os.getuid()))).pw_dir
    return Path(home) / ".cache" / "isthmus" / "lab"


def key(*inputs: str) -> str:
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Cache:
    path: Path

    @contextlib.contextmanager
    def locked(self, progress: Progress) -> Iterator[None]:
        """Keep other labs from filling the cache at the same time; waits for one that does."""
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with progress.step(f"waiting for another lab that fills {self.path}"):
                    fcntl.flock(handle, fcntl.LOCK_EX)
            for unfinished in self.path.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(unfinished)
            yield
        finally:
            os.close(handle)

    def place(self, kind: str, version: str) -> Path:
        return self.path / f"{kind}-{version}"

    def keep(self, kind: str, version: str, build: Callable[[Path], None]) -> Path:
        """The directory of that kind and version; `build` fills it when it is not there yet."""
        finished = self.place(kind, version)
        if not finished.exists():
            unfinished = self.path / f"{_UNFINISHED}{kind}-{version}"
            unfinished.mkdir()
            build(unfinished)
            unfinished.rename(finished)
        return finished

    def drop_others(self, kind: str, used: set[Path]) -> None:
        """Remove versions of a kind that no lab uses."""
        for path in self.path.glob(f"{kind}-*"):
            if path not in used:
                doomed = self.path / f"{_UNFINISHED}doomed-{path.name}"
                path.rename(doomed)
                shutil.rmtree(doomed)
