"""The package repository that the lab serves to its hosts, which have no way out."""

import email.utils
import hashlib
from collections.abc import Iterable
from pathlib import Path

from lab import apt
from lab.cache import Cache, key
from lab.process import run
from lab.state import write

PACKAGES = (
    "bridge-utils",
    "ca-certificates",
    "conntrack",
    "ebtables",
    "ethtool",
    "ipset",
    "iproute2",
    "iptables",
    "iputils-ping",
    "libvirt-clients",
    "libvirt-daemon-driver-qemu",
    "libvirt-daemon-system",
    "neutron-linuxbridge-agent",
    "nftables",
    "openssl",
    "procps",
    "python3-cryptography",
    "python3-grpcio",
    "python3-libvirt",
    "python3-os-vif",
    "python3-protobuf",
    "python3-pyroute2",
    "qemu-system-x86",
    "qemu-utils",
    "tcpdump",
)
"""What hosts may install; everything these need, beyond a bare host, comes along. Add here, then run `lab up`."""

_STAMP = "made-of"
_FORM = "2"
"""Changes when the files beside the packages do."""


def repository(cache: Cache) -> Path:
    return cache.path / "repository"


def ensure(cache: Cache, host_root: Path) -> Path:
    """The flat repository, filled with what is missing; hosts of a running lab see it at once.

    Safe to end at any moment: packages come one by one, then the index in one move, then the stamp.
    """
    target = repository(cache)
    stamp = target / _STAMP
    wanted = key(_FORM, host_root.name, *PACKAGES)
    if stamp.exists() and stamp.read_text() == wanted:
        return target
    target.mkdir(exist_ok=True)
    archive = apt.Archive(host_root, cache.path / "lists")
    archive.update()
    archive.download(PACKAGES, target)
    files = [target / name for name in archive.closure(PACKAGES)]
    write(target / "Packages", index(files))
    write(target / "Release", _release((target / "Packages").read_bytes()))
    for path in target.glob("*.deb"):
        if path not in files:
            path.unlink()
    write(stamp, wanted)
    return target


def index(files: Iterable[Path]) -> str:
    """The text of a flat repository's `Packages` for these files."""
    return "\n".join(_entry(path) for path in sorted(files))


def _release(packages: bytes) -> str:
    digest = hashlib.sha256(packages).hexdigest()
    date = email.utils.formatdate(usegmt=True)
    return (
        f"Origin: Isthmus lab\nSuite: {apt.SUITE}\nArchitectures: amd64\nDate: {date}\n"
        f"SHA256:\n {digest} {len(packages)} Packages\n"
    )


def _entry(path: Path) -> str:
    control = run(["dpkg-deb", "--field", str(path)]).stdout
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    # apt asks for the name percent-encoded, and epochs are written as %3a in the name itself
    return f"{control}Filename: ./{path.name}\nSize: {len(content)}\nSHA256: {digest}\n"
