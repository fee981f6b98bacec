"""What the lab remembers between commands, and where it keeps things."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.process import Process

REGISTRY = Path("/run/isthmus-lab")
"""One file for each lab on this machine, so that two do not choose the same subnet."""


def owner() -> tuple[int, int]:
    """User and group of the person who called, also when sudo stands between."""
    return int(os.environ.get("SUDO_UID", os.getuid())), int(os.environ.get("SUDO_GID", os.getgid()))


@dataclass(frozen=True)
class Place:
    """The directories of one lab. A checkout has one lab; its identifier follows from the checkout's path."""

    checkout: Path

    @property
    def id(self) -> str:
        """Short enough that `<id>-h1` is a name for a network namespace and a container."""
        return "il" + hashlib.sha256(str(self.checkout.resolve()).encode()).hexdigest()[:6]

    @property
    def home(self) -> Path:
        return self.checkout / ".lab"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def env(self) -> Path:
        """Shell variables for whoever uses the lab."""
        return self.home / "env"

    @property
    def engine_data(self) -> Path:
        return self.home / "engine"

    def machine(self, name: str) -> Path:
        return self.home / "machines" / name

    def create(self) -> None:
        """Make the lab's own directory, readable by whoever called."""
        for path in (self.home, self.logs):
            path.mkdir(exist_ok=True)
            os.chown(path, *owner())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other commands that change this lab out; a killed command lets go by itself.

        :raises LabError: at once, when another command is at work.
        """
        handle = os.open(self.checkout, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LabError(f"another command is changing the lab of {self.checkout}; wait until it ends") from error
            yield
        finally:
            os.close(handle)


@dataclass
class State:
    """What `up` decided and started. Written in one move after each change, so that no reader sees half."""

    id: str
    subnet: str
    """The first three numbers of the management network, such as `10.99.0`."""
    host_password: str
    broker_password: str
    engine_password: str
    vlan_devices: bool
    """Whether this kernel makes VLAN devices; if not, hosts get ready ones from outside."""
    kvm: bool
    repository: str = ""
    guest: str = ""
    control_root: str = ""
    host_root: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    complete: bool = False
    """Everything but the engine was seen to work."""

    def address(self, host: int) -> str:
        return f"{self.subnet}.{host}"

    @classmethod
    def load(cls, place: Place) -> "State | None":
        """What was saved; None when this checkout has no lab."""
        try:
            saved: dict[str, Any] = json.loads((place.home / "state.json").read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise LabError(f"{place.home}/state.json is damaged ({error}); run 'python -m lab down'") from error
        saved["processes"] = {name: Process(**process) for name, process in saved["processes"].items()}
        try:
            return cls(**saved)
        except TypeError as error:
            raise LabError(
                f"the lab in {place.home} was made by another version ({error}); run 'python -m lab down'"
            ) from error

    def save(self, place: Place) -> None:
        write(place.home / "state.json", json.dumps(asdict(self), indent=2) + "\n", mode=0o600)


def write(path: Path, text: str, mode: int = 0o644) -> None:
    """Put a file in place in one move, owned by whoever called."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
        stream.write(text)
    os.chmod(new, mode)
    os.chown(new, *owner())
    new.replace(path)


@contextlib.contextmanager
def registry() -> Iterator[dict[str, dict[str, str]]]:
    """The machine's labs by identifier; changes are kept on leaving. Others wait meanwhile.

    A lab whose checkout has no `.lab` and that has no namespace left is forgotten.
    """
    handle = os.open("/run", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        entries: dict[str, dict[str, str]] = {}
        for file in REGISTRY.glob("*.json"):
            entry = json.loads(file.read_text())
            if (Path(entry["checkout"]) / ".lab").exists() or list(Path("/run/netns").glob(f"{file.stem}-*")):
                entries[file.stem] = entry
        yield entries
        if entries:
            REGISTRY.mkdir(exist_ok=True)
            for name, entry in entries.items():
                new = REGISTRY / f".{name}.new"
                new.write_text(json.dumps(entry))
                new.replace(REGISTRY / f"{name}.json")
        for file in REGISTRY.glob("*.json"):
            if file.stem not in entries:
                file.unlink()
        if REGISTRY.exists() and not entries:
            shutil.rmtree(REGISTRY)
    finally:
        os.close(handle)
