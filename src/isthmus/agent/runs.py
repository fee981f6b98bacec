"""What belongs to one run of a VM on this host: its overlay disks, and what hooks need once the domain is gone.

``<state_dir>/runs/<vm>/<epoch>/``. Written before the domain is made and removed after it ended, so that a run
directory without its domain is what an agent that died in between left to finish.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isthmus.wire import agent_pb2 as pb

_IMAGE_SECONDS = 60


class DiskUnusable(Exception):
    """The image cannot be given to a guest: says which disk and why."""


@dataclass(frozen=True)
class Run:
    vm: str
    epoch: int
    custom: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Per NIC id, its custom properties."""
    fixed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Per NIC id, what the agent says about it to hooks."""
    interfaces: Mapping[str, str] = field(default_factory=dict)
    """Per NIC id, the device's XML."""
    taps: tuple[str, ...] = ()
    domain_xml: str = ""


class Runs:
    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / "runs"

    def directory(self, vm: str, epoch: int) -> Path:
        return self._root / vm / str(epoch)

    def save(self, run: Run) -> None:
        """Whole or not at all. :raises OSError:"""
        directory = self.directory(run.vm, run.epoch)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o711)
        directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        temporary = directory / "run.json.new"
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(run), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(directory / "run.json")

    def load(self, vm: str, epoch: int) -> Run:
        """What is known of it: a run whose record is lost has only its name."""
        try:
            values: dict[str, Any] = json.loads((self.directory(vm, epoch) / "run.json").read_text("utf-8"))
            return Run(**{**values, "taps": tuple(values["taps"])})
        except (FileNotFoundError, json.JSONDecodeError, TypeError, KeyError):
            return Run(vm, epoch)

    def of(self, vm: str) -> list[int]:
        """Epochs of the runs that were not finished."""
        return sorted(int(path.name) for path in _directories(self._root / vm) if path.name.isdigit())

    def all(self) -> Iterator[tuple[str, int]]:
        for path in _directories(self._root):
            for epoch in self.of(path.name):
                yield path.name, epoch

    def remove(self, vm: str, epoch: int) -> None:
        shutil.rmtree(self.directory(vm, epoch), ignore_errors=True)
        try:
            (self._root / vm).rmdir()
        except OSError:
            return  # another run's directory is in it, or it is gone

    def disk(self, run: Run, disk: pb.Disk, image: Path) -> Path:
        """The path that the guest gets. :raises DiskUnusable:"""
        _check_image(disk, image)
        if disk.read_only:
            return image
        overlay = self.directory(run.vm, run.epoch) / f"{disk.id}.qcow2"
        size = [str(disk.size)] if disk.size else []
        _qemu_img(disk, ["create", "-q", "-f", "qcow2", "-F", disk.format, "-b", str(image), str(overlay), *size])
        return overlay


def _check_image(disk: pb.Disk, image: Path) -> None:
    """An image must not name other files of the host as its own content."""
    facts: dict[str, Any] = json.loads(_qemu_img(disk, ["info", "--output=json", "-f", disk.format, str(image)]))
    details: dict[str, Any] = facts.get("format-specific", {}).get("data", {})
    if facts.get("backing-filename") or details.get("data-file"):
        raise DiskUnusable(f"disk {disk.id}: its image refers to another file, which is not allowed")
    if disk.size and disk.size < facts["virtual-size"]:
        raise DiskUnusable(f"disk {disk.id}: {disk.size} bytes are wanted, its image has {facts['virtual-size']}")


def _qemu_img(disk: pb.Disk, arguments: list[str]) -> str:
    try:
        done = subprocess.run(
            ["qemu-img", *arguments], capture_output=True, text=True, timeout=_IMAGE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DiskUnusable(f"disk {disk.id}: qemu-img {arguments[0]}: {error}") from error
    if done.returncode:
        raise DiskUnusable(f"disk {disk.id}: qemu-img {arguments[0]} says: {done.stderr.strip()[-500:]}")
    return done.stdout


def _directories(path: Path) -> list[Path]:
    try:
        return sorted(entry for entry in path.iterdir() if entry.is_dir())
    except FileNotFoundError:
        return []
