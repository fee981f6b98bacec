"""Scripts of the host's administrator at points of a VM's life, as VDSM runs them.

The contract: ``<hooks_dir>/<point>/*``, executable regular files, in order of name; ``_hook_domxml`` or
``_hook_json`` in the environment names a temporary file that a script rewrites in place; the environment carries the
device's custom properties, over them the VM's, over them ``vmId``. Exit 0: fine; 1: failed, the next script runs; 2:
failed and no further script runs. A failure at a ``before_*`` point fails the operation, except ``before_vm_destroy``
and ``before_vm_set_ticket``. Beyond VDSM: a time limit for each script, and no property may change how programs are
found or loaded.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HOOK_MODULES = Path(__file__).parent / "hook"
"""Holds ``hooking.py``, which the scripts import."""

FORGIVEN = frozenset({"before_vm_destroy", "before_vm_set_ticket"})
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# fmt: off
_DENIED_NAMES = frozenset((
    "PATH", "IFS", "ENV", "BASH_ENV", "SHELL", "SHELLOPTS", "BASHOPTS", "CDPATH", "PS4", "GLOBIGNORE", "HOME",
    "USER", "LOGNAME", "PWD", "OLDPWD", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LOCPATH", "NLSPATH",
    "HOSTALIASES", "RES_OPTIONS",
))
_DENIED_PREFIXES = (
    "LD_", "LC_", "PYTHON", "PERL", "RUBY", "NODE_", "JAVA_", "BASH_FUNC_", "GCONV_", "MALLOC_", "GLIBC_",
    "SSL_", "OPENSSL_", "GIT_", "DBUS_", "SYSTEMD_", "NOTIFY_", "LIBVIRT_", "_HOOK_",
)
# fmt: on
_OUTPUT_LIMIT = 16 << 10
_POLL = 0.05

logger = logging.getLogger(__name__)


class HookFailed(Exception):
    """A script at a ``before_*`` point failed: names point, script, exit code and what it said."""


class HookCancelled(Exception):
    """Whoever asked no longer wants the point to run to its end; the running script was killed."""


@dataclass(frozen=True)
class Run:
    """One script that ran."""

    point: str
    script: str
    code: int
    started: float
    seconds: float
    said: str


@dataclass
class Outcome:
    data: str
    runs: list[Run] = field(default_factory=list)


@dataclass(frozen=True)
class Properties:
    """What the environment carries: ``fixed`` (said by the agent), the device's and the VM's custom properties."""

    vm: str = ""
    device: Mapping[str, str] = field(default_factory=dict)
    custom: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, str] = field(default_factory=dict)


def denied(name: str) -> bool:
    """May no custom property set this variable?"""
    upper = name.upper()
    return not _NAME.fullmatch(name) or upper in _DENIED_NAMES or upper.startswith(_DENIED_PREFIXES)


class Hooks:
    def __init__(self, dirs: Sequence[Path], seconds: float, scratch: Path) -> None:
        self._dirs = tuple(dirs)
        self._seconds = seconds
        self.scratch = scratch

    def scripts(self, point: str) -> list[Path]:
        """In the order in which they run: by name, then by directory."""
        found = [path for directory in self._dirs for path in _executables(directory / point)]
        return sorted(found, key=lambda path: path.name)

    def installed(self) -> list[Path]:
        """Every script of every point."""
        points = {entry.name for directory in self._dirs if directory.is_dir() for entry in directory.iterdir()}
        return [script for point in sorted(points) for script in self.scripts(point)]

    def run_xml(self, point: str, xml: str, properties: Properties, cancel: threading.Event | None = None) -> Outcome:
        """:raises HookFailed: at a ``before_*`` point that is not forgiven. :raises HookCancelled:"""
        return self._run(point, "_hook_domxml", xml, properties, cancel)

    def run_json(self, point: str, text: str) -> Outcome:
        """:raises HookFailed: at a ``before_*`` point that is not forgiven."""
        return self._run(point, "_hook_json", text, Properties(), None)

    def _run(
        self, point: str, variable: str, data: str, properties: Properties, cancel: threading.Event | None
    ) -> Outcome:
        outcome = Outcome(data)
        scripts = self.scripts(point)
        if not scripts:
            return outcome
        failed: list[str] = []
        self.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(prefix="hook-", dir=self.scratch)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(data)
            environment = _environment(properties)
            environment[variable] = name
            for script in scripts:
                run = self._script(point, script, environment, cancel)
                outcome.runs.append(run)
                if run.code:
                    failed.append(f"{point} script {script.name} {_ended(run.code, self._seconds)}{_quoted(run.said)}")
                    logger.warning("VM %s: %s", properties.vm or "-", failed[-1], extra={"vm": properties.vm})
                if run.code == 2 or run.code < 0:
                    break
            if failed and point.startswith("before_") and point not in FORGIVEN:
                raise HookFailed("; ".join(failed))
            outcome.data = Path(name).read_text("utf-8")
        except UnicodeDecodeError as error:
            raise HookFailed(f"the {point} scripts left something that is not UTF-8: {error}") from error
        finally:
            Path(name).unlink(missing_ok=True)
        return outcome

    def _script(self, point: str, script: Path, environment: Mapping[str, str], cancel: threading.Event | None) -> Run:
        started, clock = time.time(), time.monotonic()
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    [str(script)],
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                return Run(point, script.name, 1, started, time.monotonic() - clock, f"cannot be run: {error.strerror}")
            code = self._wait(process, clock, cancel)
            output.seek(0)
            said = output.read(_OUTPUT_LIMIT).decode("utf-8", "replace").strip()
        if said:
            logger.info("%s script %s said: %s", point, script.name, said)
        return Run(point, script.name, code, started, time.monotonic() - clock, said)

    def _wait(self, process: subprocess.Popen[bytes], clock: float, cancel: threading.Event | None) -> int:
        while True:
            try:
                return process.wait(_POLL)
            except subprocess.TimeoutExpired:
                cancelled = cancel is not None and cancel.is_set()
                if not cancelled and time.monotonic() - clock <= self._seconds:
                    continue
                os.killpg(process.pid, signal.SIGKILL)  # not waited for yet, so the group is still the script's
                process.wait()
                if cancelled:
                    raise HookCancelled(f"{process.args!r} was killed") from None
                return -signal.SIGKILL


def _executables(directory: Path) -> list[Path]:
    try:
        entries = list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = []
    for entry in entries:
        try:
            mode = entry.stat().st_mode
        except FileNotFoundError:
            continue  # a dangling link
        if stat.S_ISREG(mode) and mode & 0o111:
            found.append(entry)
    return found


def _environment(properties: Properties) -> dict[str, str]:
    environment = {"PATH": _PATH, "LANG": "C.UTF-8", "PYTHONPATH": str(HOOK_MODULES), "PYTHONDONTWRITEBYTECODE": "1"}
    for source in (properties.device, properties.custom):
        for name, value in source.items():
            if denied(name) or name in properties.fixed:
                logger.warning("VM %s: the custom property %r is not given to hooks", properties.vm, name[:80])
            else:
                environment[name] = value
    environment.update(properties.fixed)
    if properties.vm:
        environment["vmId"] = properties.vm
    return environment


def _ended(code: int, seconds: float) -> str:
    if code == -signal.SIGKILL:
        return f"took longer than {seconds:g} s and was killed"
    return f"exited with {code}" if code > 0 else f"was ended by signal {-code}"


def _quoted(said: str) -> str:
    return f": {said.splitlines()[-1][:500]}" if said else ""
