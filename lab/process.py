"""Processes: run to the end, started to stay, found again, and ended by identity."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import CommandFailed, LabError

TAG = "ISTHMUS_LAB_PROCESS"
"""Environment variable that marks whatever the lab leaves running with the lab's identifier."""


def run(
    argv: Sequence[str],
    *,
    input: str | None = None,
    timeout: float = 60,
    check: bool = True,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program and return what it said; dies with us, so that a killed `lab up` leaves nothing behind.

    :raises CommandFailed: on a non-zero exit code, unless `check` is off.
    :raises LabError: when it takes longer than `timeout` seconds or cannot be started.
    """
    try:
        done = subprocess.run(
            ["setpriv", "--pdeathsig", "KILL", "--", *argv],
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if env is None else {**os.environ, **env},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"'{' '.join(argv)}' did not end within {timeout:.0f} s") from error
    except OSError as error:
        raise LabError(f"'{' '.join(argv)}' could not be started: {error}") from error
    if check and done.returncode != 0:
        raise CommandFailed(list(argv), done.returncode, done.stdout + done.stderr)
    return done


@dataclass(frozen=True)
class Process:
    """A process by its number and the moment it started, which no later process shares."""

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The live process of that number; None when there is none, or only its corpse."""
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        return Process.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this very process; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError), _pidfd(self.pid) as handle:
            if self.alive:
                signal.pidfd_send_signal(handle, number)

    def end(self, patience: float) -> bool:
        """Ask the process to end, kill it after `patience` seconds; False when it had to be killed."""
        from lab.waiting import wait_until

        self.send(signal.SIGTERM)
        with contextlib.suppress(LabError):
            wait_until(lambda: not self.alive, patience, f"process {self.pid} to end")
            return True
        self.kill()
        return False

    def kill(self) -> None:
        """Kill the process and wait until it is gone."""
        from lab.waiting import wait_until

        self.send(signal.SIGKILL)
        wait_until(lambda: not self.alive, 20, f"process {self.pid} to die")


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)


def start(
    argv: Sequence[str],
    *,
    tag: str,
    log: Path,
    env: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> Process:
    """Start a program that stays after us, in a session of its own; its output is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {}), TAG: tag},
            pass_fds=pass_fds,
            cwd=cwd,
        )
    _children.append(child)
    process = Process.of(child.pid)
    if process is None:
        raise LabError(f"'{argv[0]}' ended at once with {child.wait()}; see {log}")
    return process


_children: list[subprocess.Popen[bytes]] = []
"""Kept so that the interpreter neither warns about nor waits for programs meant to outlive it."""


def everyone() -> Iterator[int]:
    """The number of every process on the machine but our own and those above us."""
    ours = set(_ancestors(os.getpid()))
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) not in ours:
            yield int(entry)


def find(belongs: Callable[[int], bool]) -> list[Process]:
    """Processes for which `belongs` holds; one that ends while being looked at is left out."""
    found = []
    for pid in everyone():
        process = Process.of(pid)
        with contextlib.suppress(OSError):
            if process is not None and belongs(pid):
                found.append(process)
    return found


def tagged(pid: int, tag: str) -> bool:
    """Whether `start` gave this process, or one above it, that tag."""
    return f"{TAG}={tag}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        try:
            status = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return
        pid = int(status.rpartition(")")[2].split()[1])
