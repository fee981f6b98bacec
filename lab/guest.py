"""The lab's guest: Debian's cloud kernel and an initramfs of busybox that reports on its console.

What a guest can be told and what it says stands at the top of `files/guest-init`.
"""

import gzip
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from lab import apt
from lab.cache import Cache, key
from lab.errors import LabError
from lab.process import run

FILES = Path(__file__).parent / "files"
_KERNEL = "linux-image-cloud-amd64"
_DRIVERS = ("virtio_pci", "virtio_net", "virtio_blk")
"""Modules the guest loads, with what they depend on; those built into the kernel are left out."""

_APPLETS = ("sh", "mount", "insmod", "cat", "cut", "tr", "echo", "ip", "ping", "sleep", "udhcpc", "poweroff")


def ensure(cache: Cache) -> Path:
    """The directory that holds `vmlinuz` and `initrd.gz`."""
    texts = [(FILES / name).read_text() for name in ("guest-init", "guest-dhcp")]
    return cache.keep("guest", key(apt.SUITE, *_DRIVERS, *_APPLETS, *texts), lambda target: _build(cache, target))


def _build(cache: Cache, target: Path) -> None:
    archive = apt.Archive(None, cache.path / "lists")
    archive.update()
    image = next((name for name in archive.depends(_KERNEL) if name.startswith("linux-image-")), None)
    if image is None:
        raise LabError(f"Debian's package {_KERNEL} names no kernel image it depends on")
    tree = target / "tree"
    for package in archive.fetch([image, "busybox-static"], target / "packages"):
        run(["dpkg-deb", "--extract", str(package), str(tree)])
    kernel = next((tree / "boot").glob("vmlinuz-*"))
    shutil.copyfile(kernel, target / "vmlinuz")
    initramfs = b"".join(_initramfs(tree))
    (target / "initrd.gz").write_bytes(gzip.compress(initramfs, mtime=0))
    shutil.rmtree(tree)
    shutil.rmtree(target / "packages")


def _initramfs(tree: Path) -> Iterator[bytes]:
    for name in ("bin", "dev", "proc", "sys", "modules"):
        yield _record(name, 0o040755)
    yield _record("bin/busybox", 0o100755, (tree / "bin/busybox").read_bytes())
    for applet in _APPLETS:
        yield _record(f"bin/{applet}", 0o120777, b"busybox")
    yield _record("init", 0o100755, (FILES / "guest-init").read_bytes())
    yield _record("dhcp", 0o100755, (FILES / "guest-dhcp").read_bytes())
    modules = next(path for path in (tree / "lib/modules").iterdir() if path.is_dir())
    order = list(_in_order(modules, _DRIVERS))
    for path in order:
        yield _record(f"modules/{path.name}", 0o100644, path.read_bytes())
    yield _record("modules/order", 0o100644, "\n".join(path.name for path in order).encode())
    yield _record("TRAILER!!!", 0)


def _in_order(modules: Path, names: Sequence[str]) -> dict[Path, None]:
    """Files of these modules and of those they say they depend on, each after what it needs."""
    found: dict[Path, None] = {}
    for name in names:
        path = next(modules.rglob(f"{name}.ko"), None)
        if path is not None and path not in found:
            said = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            needed = said[1].decode().split(",") if said and said[1] else []
            found |= _in_order(modules, needed)
            found[path] = None
    return found


def _record(name: str, mode: int, content: bytes = b"") -> bytes:
    """One member of a cpio archive in the form the kernel reads ("newc")."""
    encoded = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device (2), special device (2), length of name, checksum
    fields = (0, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08X" % value for value in fields) + encoded
    return _padded(header) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
