"""Does a guest run under KVM here? ``/dev/kvm`` may be there and no guest ever come up: so one is booted."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

QEMU = "qemu-system-x86_64"
_DEVICE = Path("/dev/kvm")
_SECONDS = 10
_PORT, _SAID = 0xF4, 0x10
# mov al, 0x10; out 0xf4, al; hlt; jmp $-1 : the guest says that it ran, and QEMU exits with (0x10 << 1) | 1
_BOOT_SECTOR = bytes((0xB0, _SAID, 0xE6, _PORT, 0xF4, 0xEB, 0xFD)).ljust(510, b"\0") + b"\x55\xaa"


def probe(accelerator: str = "kvm") -> str:
    """Why no guest runs under it, in words; empty when one did. Takes up to ten seconds."""
    if accelerator == "kvm" and not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"{_DEVICE} is not there or may not be used"
    with tempfile.NamedTemporaryFile() as disk:
        disk.write(_BOOT_SECTOR)
        disk.flush()
        command = [QEMU, "-accel", accelerator, "-machine", "pc", "-m", "16", "-nodefaults", "-display", "none"]
        command += ["-no-reboot", "-device", f"isa-debug-exit,iobase={_PORT:#x},iosize=1"]
        command += ["-drive", f"file={disk.name},format=raw,if=ide,snapshot=on"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except FileNotFoundError:
            return f"{QEMU} is not installed"
        except subprocess.TimeoutExpired:
            return f"a probe guest under {accelerator} did not come up within {_SECONDS} s"
    if done.returncode == (_SAID << 1 | 1):
        return ""
    said = done.stderr.strip().splitlines()
    return f"a probe guest under {accelerator} ended with {done.returncode}{f': {said[-1]}' if said else ''}"
