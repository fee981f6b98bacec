"""Runs a deployment from the engine's process: starts the runner, follows its events, ends it."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from cryptography import x509

from ..pki import Authority, serial_text
from .spec import InstallFailed, InstallResult, InstallSpec, Part, Step, StepStatus
from .variables import inventory, known_hosts, secrets, ssh_arguments

LIMIT = 1800.0
"""Seconds that a deployment may take in all."""

_TAGS = {
    Part.NETWORK: ("network",),
    Part.CERTIFICATE: ("certificate",),
    Part.AGENT: ("agent",),
}


def install(
    spec: InstallSpec,
    authority: Authority,
    on_step: Callable[[Step], None],
    cancel: threading.Event | None = None,
) -> InstallResult:
    """Make the host what the spec says; blocks for a minute or two. Idempotent, and may be cut short
    anywhere.

    First contact must have been made: the engine's key lets it in. ``on_step`` is called in this thread.

    :raises SpecError: nothing was done. :raises InstallFailed: a task failed, the host was lost, ``cancel``
    was set or
        the time was up; what was done stays, and another call goes on from there.
    """
    spec.check()
    began = time.monotonic()
    hidden = secrets(spec)
    job = {
        "inventory": inventory(spec, authority),
        "known_hosts": known_hosts(spec),
        "ssh_arguments": ssh_arguments(spec, Path("{directory}/known_hosts")),
        "tags": [tag for part in sorted(spec.parts) for tag in _TAGS[part]],
    }
    end: dict[str, Any] | None = None
    running = "Start Ansible"
    with _runner() as process:
        for event in _follow(process, job, began + LIMIT, cancel or threading.Event()):
            if event["event"] == "end":
                end = event
                continue
            step = Step(
                event["name"],
                StepStatus(event["status"]),
                event["seconds"],
                event["changed"],
                _without(hidden, event["message"]),
            )
            running = step.name
            on_step(step)
    if cancel is not None and cancel.is_set():
        raise InstallFailed(running, "the installation was cancelled")
    if end is None:
        if time.monotonic() - began >= LIMIT:
            raise InstallFailed(running, f"the installation was not done within {LIMIT:g} s")
        raise InstallFailed(running, "the process that runs Ansible ended before it was done; see the engine's log")
    if end["status"] != "successful":
        raise InstallFailed(end["failure"]["step"], _without(hidden, end["failure"]["message"]))
    return _result(spec, end, time.monotonic() - began)


def _result(spec: InstallSpec, end: dict[str, Any], seconds: float) -> InstallResult:
    certificate = x509.load_pem_x509_certificate(end["certificate"].encode())
    notes = list(end["kernel"].get("notes", ()))
    if lacks := end["hypervisor"].get("lacks"):
        notes.append(f"libvirt cannot keep guests apart here as it usually does; it runs with {', '.join(lacks)}")
    given = spec.l2_agent.mappings if spec.l2_agent is not None else {}
    return InstallResult(
        serial_text(certificate.serial_number),
        certificate.not_valid_after_utc,
        end["changed"],
        round(seconds, 1),
        end["kernel"].get("mappings", dict(given)),
        tuple(notes),
    )


def _without(hidden: list[str], message: str) -> str:
    for secret in hidden:
        message = message.replace(secret, "***")
    return message


def _runner() -> subprocess.Popen[bytes]:
    """Nothing of the engine's environment goes along but what finds programs."""
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    programs = f"{Path(sys.executable).parent}:{system}"
    environment = {"PATH": programs, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
    for name in ("PYTHONPATH", "TMPDIR"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return subprocess.Popen(
        [sys.executable, "-m", "isthmus.hosts.deploy.runner"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )


def _follow(
    process: subprocess.Popen[bytes], job: dict[str, Any], until: float, cancel: threading.Event
) -> Iterator[dict[str, Any]]:
    """The runner's events, until it ends, ``cancel`` is set or it is ``until``. Then it is ended, if it
    goes on.
    """
    told, said = _pipes(process)
    try:
        told.write(json.dumps(job).encode() + b"\n")
        told.flush()
        os.set_blocking(said.fileno(), False)
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(said, selectors.EVENT_READ)
            while time.monotonic() < until and not cancel.is_set():
                if not selector.select(0.25):
                    continue
                data = os.read(said.fileno(), 1 << 16)
                if not data:
                    break
                *lines, rest = (rest + data).split(b"\n")
                yield from (json.loads(line) for line in lines)
    finally:
        _end(process, told)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the runner was started without pipes")
    return process.stdin, process.stdout


def _end(process: subprocess.Popen[bytes], told: IO[bytes]) -> None:
    """The end of its stdin tells the runner to stop and clean up; what does not within a while is killed."""
    with contextlib.suppress(BrokenPipeError):
        told.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
