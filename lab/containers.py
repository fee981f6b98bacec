"""Containers with systemd as their first process: booted, killed, and entered.

A container's root is an overlay over a cached root file system. Overlay and whatever systemd-nspawn keeps in
/run are mounted in a mount namespace of the container's own, so they go when its processes go.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import CommandFailed, LabError
from lab.network import Network
from lab.process import Process, find, run, start, tagged
from lab.state import Place
from lab.waiting import wait_until

_MOUNT_AND_BOOT = r"""
set -e
mkdir -p /run/systemd/nspawn
mount -t tmpfs -o mode=755 lab /run/systemd/nspawn
mount -t overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
root="$2/root"
shift 2
exec systemd-nspawn --directory="$root" "$@"
"""


@dataclass(frozen=True)
class Container:
    """One container of a lab. It is known by its network namespace, whatever started it."""

    place: Place
    network: Network
    name: str
    lower: Path
    binds: tuple[str, ...] = field(default=())
    """Further options of systemd-nspawn."""

    @property
    def directory(self) -> Path:
        return self.place.machine(self.name)

    @property
    def log(self) -> Path:
        return self.place.logs / f"{self.name}.log"

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Put a file into the container before it boots."""
        target = self._prepared(path)
        target.write_text(text)
        target.chmod(mode)

    def link(self, path: str, to: str) -> None:
        """Put a symbolic link into the container before it boots."""
        target = self._prepared(path)
        target.unlink(missing_ok=True)
        target.symlink_to(to)

    def _prepared(self, path: str) -> Path:
        """Where a file of the container goes, with directories above it as the cached root has them."""
        relative = Path(path.lstrip("/"))
        for parent in reversed(relative.parents[:-1]):
            made = self.directory / "upper" / parent
            if not made.exists():
                made.mkdir()
                if (original := self.lower / parent).exists():
                    shutil.copystat(original, made)
                    shutil.chown(made, original.stat().st_uid, original.stat().st_gid)
        return self.directory / "upper" / relative

    def create(self) -> None:
        """Start with the cached root file system as it is."""
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir(parents=True)
        shutil.copystat(self.lower, self.directory / "upper")

    def boot(self) -> None:
        """Start the container; returns once its first process runs. Fine when it already does."""
        if self.leader() is not None:
            return
        self._bury()
        under_systemd = Path("/run/systemd/system").is_dir()
        environment = {"SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
        if not under_systemd:
            environment["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "0"
        options = [
            "--quiet",
            "--boot",
            f"--machine={self.network.namespace(self.name)}",
            f"--network-namespace-path={self.network.path(self.name)}",
            "--register=no",
            "--capability=all",
            "--console=pipe",
            "--link-journal=no",
            "--resolv-conf=off",
            "--timezone=off",
            "--bind=/dev/net/tun",
            *self.binds,
        ]
        if not under_systemd:
            options.append("--keep-unit")
        supervisor = start(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _MOUNT_AND_BOOT, "sh", str(self.lower),
             str(self.directory), *options],
            tag=self.place.id,
            log=self.log,
            env=environment,
        )  # fmt: skip

        def settled() -> bool:
            return not supervisor.alive or self.leader() is not None

        wait_until(settled, 60, f"container {self.name} to start", interval=0.05, hint=f"see {self.log}")
        if not supervisor.alive:
            said = self.log.read_text(errors="replace").strip().splitlines()[-3:]
            raise LabError(f"container {self.name} ended at once; {self.log} ends with: {' / '.join(said)}")

    def leader(self) -> Process | None:
        """The container's first process; None when it does not run."""
        try:
            namespace = os.stat(self.network.path(self.name)).st_ino
        except FileNotFoundError:
            return None

        def first(pid: int) -> bool:
            if os.readlink(f"/proc/{pid}/ns/net") != f"net:[{namespace}]":
                return False
            status = Path(f"/proc/{pid}/status").read_text()
            numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
            return len(numbers) == 2 and numbers[1] == "1"

        found = find(first)
        return found[0] if found else None

    def kill(self) -> None:
        """Pull the plug: every process of the container is gone on return; its disk stays as it was."""
        if (leader := self.leader()) is not None:
            leader.kill()
        self._bury()

    def _bury(self) -> None:
        """End what supervised a killed container, and anything it left in its namespace."""
        machine = f"--machine={self.network.namespace(self.name)}".encode()

        def supervises(pid: int) -> bool:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            return machine in words and tagged(pid, self.place.id)

        for process in find(supervises):
            process.kill()

    def enter(self, argv: Sequence[str], env: Mapping[str, str] | None = None) -> list[str]:
        """The command that runs `argv` in the container, as root, with a plain environment.

        :raises LabError: when the container does not run.
        """
        leader = self.leader()
        if leader is None:
            raise LabError(f"{self.name} is not running; 'python -m lab up' starts it")
        variables = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "TERM": os.environ.get("TERM", "dumb"),
            **(env or {}),
        }
        return [
            *("nsenter", "--target", str(leader.pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--root"),
            *("--wd", "env", "-i", *(f"{name}={value}" for name, value in variables.items())),
            *argv,
        ]

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the container and return what it said.

        :raises CommandFailed: on a non-zero exit code, unless `check` is off.
        """
        try:
            return run(self.enter(argv), input=input, timeout=timeout, check=check)
        except CommandFailed as error:
            raise CommandFailed([f"{self.name}:", *argv], error.code, error.output) from None
