"""What this machine can do, and whether it has room for a lab."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lab import apt
from lab.cache import Cache
from lab.errors import LabError
from lab.process import run
from lab.progress import Progress

GIB = 1 << 30
MEMORY = 3 * GIB
"""For Neutron and two hosts with a guest each."""
DISK_FOR_CACHE = 6 * GIB
DISK_FOR_LAB = 2 * GIB

_PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
_KEYRING_PACKAGE = "debian-archive-keyring"
_BRIDGE_SETTINGS = Path("/proc/sys/net/bridge")


def install_programs(progress: Progress) -> None:
    """Put on the machine what boots containers, if it lacks any of it; nothing else is ever installed there."""
    if shutil.which("apt-get") is None:
        raise LabError("the lab needs a machine with Debian's apt; this one has no apt-get")
    missing = [package for program, package in _PROGRAMS.items() if shutil.which(program) is None]
    if not Path(apt.KEYRING).exists():
        missing.append(_KEYRING_PACKAGE)
    if missing:
        with progress.step(f"installing on this machine: {', '.join(missing)}"):
            apt.install_on_machine(missing)


def check_room(cache: Path, cache_is_full: bool, home: Path) -> None:
    """Refuse before anything is begun that would not fit.

    :raises LabError: naming what is short, how much is there and how much it takes.
    """
    available = memory_available()
    if available < MEMORY:
        raise LabError(
            f"{available / GIB:.1f} GiB of memory are available and the lab takes {MEMORY / GIB:.0f}; "
            "end other programs or run it on a larger machine"
        )
    places = [(home, DISK_FOR_LAB, "the lab")]
    if not cache_is_full:
        places.append((cache, DISK_FOR_CACHE, "its cache (ISTHMUS_LAB_CACHE names another place)"))
    needed: dict[int, int] = {}
    for path, size, what in places:
        there = next(p for p in [path, *path.parents] if p.exists())
        device = there.stat().st_dev
        needed[device] = needed.get(device, 0) + size
        free = shutil.disk_usage(there).free
        if free < needed[device]:
            raise LabError(
                f"{there} has {free / GIB:.1f} GiB free and {what} takes {needed[device] / GIB:.0f}; make room there"
            )
    if not Path("/dev/net/tun").exists():
        raise LabError("/dev/net/tun is not there: the kernel lacks tun, without which no guest has a NIC")


def memory_available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise LabError("/proc/meminfo does not say how much memory is available")


def has_vlan_devices() -> bool:
    """Whether this kernel makes 802.1Q devices, tried in a namespace that goes at once."""
    attempt = ["unshare", "--net", "ip", "link", "add", "link", "lo", "name", "probe", "type", "vlan", "id", "5"]
    return run(attempt, check=False).returncode == 0


def load_bridge_filter() -> None:
    """Let hosts filter what crosses their bridges (br_netfilter), and leave the machine's own bridges as they were.

    The kernel turns that filter on everywhere when the module is loaded; outside the lab it is turned off again.
    """
    if _BRIDGE_SETTINGS.exists() or shutil.which("modprobe") is None:
        return
    if run(["modprobe", "br_netfilter"], check=False).returncode == 0:
        for name in ("iptables", "ip6tables", "arptables"):
            (_BRIDGE_SETTINGS / f"bridge-nf-call-{name}").write_text("0")


def kvm_works(cache: Cache, tools: Path, guest: Path) -> bool:
    """Whether a guest comes up under KVM here. Tried once for each start of the machine, by booting one.

    :param tools: a root file system that has QEMU.
    :param guest: directory of the lab's guest.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = cache.path / "kvm.json"
    if known.exists() and (said := json.loads(known.read_text())).get("boot") == boot:
        return bool(said["works"])
    works = "GUEST-UP" in boot_guest(tools, guest, "kvm", seconds=8)
    new = known.with_suffix(".new")
    new.write_text(json.dumps({"boot": boot, "works": works}))
    new.replace(known)
    return works


def boot_guest(tools: Path, guest: Path, accelerator: str, seconds: int) -> str:
    """What a guest says on its console within that time."""
    script = (
        'mount --bind /dev "$1/dev" && mount --bind "$2" "$1/mnt" && shift 2 && root="$1" && shift && '
        'exec chroot "$root" "$@"'
    )
    emulator: Sequence[str] = (
        *("qemu-system-x86_64", "-accel", accelerator, "-m", "256", "-nographic", "-no-reboot", "-nodefaults"),
        *("-serial", "stdio", "-kernel", "/mnt/vmlinuz", "-initrd", "/mnt/initrd.gz"),
        *("-append", "console=ttyS0 panic=-1 quiet g.ping=127.0.0.1 g.off=1"),
    )
    isolated = ("unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child")
    argv = [
        *(*isolated, "timeout", "--signal=KILL", str(seconds)),
        *("sh", "-c", script, "sh", str(tools), str(guest), str(tools), *emulator),
    ]
    return run(argv, check=False, timeout=seconds + 20).stdout
