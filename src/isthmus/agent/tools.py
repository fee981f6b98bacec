"""What a VM's life on this host is made with, and the few words and properties that its stages share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .files import Files
from .hooks import Hooks, Properties
from .hypervisor import Hypervisor
from .metadata import NicRecord
from .runs import Run, Runs
from .wiring.wirer import Wirer


@dataclass(frozen=True)
class Tools:
    hypervisor: Hypervisor
    wirer: Wirer
    hooks: Hooks
    files: Files
    runs: Runs
    console_dir: Path
    domain_type: Callable[[str], str]
    """The order's emulation to libvirt's domain type."""


def vm_properties(run: Run) -> Properties:
    return Properties(vm=run.vm, custom=run.custom)


def nic_properties(run: Run, nic: str) -> Properties:
    return Properties(vm=run.vm, device=run.devices.get(nic, {}), custom=run.custom, fixed=run.fixed.get(nic, {}))


def words(nics: Sequence[NicRecord], missing: Mapping[str, str]) -> str:
    """What the NICs lack, each by its name; empty when nothing."""
    return "; ".join(f"NIC {nic.name or nic.id}: {missing[nic.id]}" for nic in nics if missing.get(nic.id))
