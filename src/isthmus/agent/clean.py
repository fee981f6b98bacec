"""What is left of VMs that are gone: taps and files of runs that nobody finished, hooks' temporary files.

Only what a run's own record names is touched, so that no device of somebody else's ever is.
"""

from __future__ import annotations

import time
from pathlib import Path

from .tools import Tools
from .vms import Vms

_AGE = 3600
"""Seconds after which no hook can still be using its file."""


def clean(tools: Tools, vms: Vms, dry_run: bool) -> list[str]:
    """What was found, in words. Idempotent. :raises LibvirtAway:"""
    items = []
    for vm, epoch in vms.leftovers():
        run = tools.runs.load(vm, epoch)
        items += [f"tap {tap} of VM {vm}" for tap in tools.wirer.leftover(run.taps)]
        items.append(f"files of VM {vm}, epoch {epoch}: {tools.runs.directory(vm, epoch)}")
        if not dry_run:
            vms.finish(vm)
    for path in _stale(tools.hooks.scratch):
        items.append(f"hook file {path}")
        if not dry_run:
            path.unlink(missing_ok=True)
    return items


def _stale(scratch: Path) -> list[Path]:
    oldest = time.time() - _AGE
    return sorted(path for path in scratch.glob("hook-*") if path.is_file() and path.stat().st_mtime < oldest)
