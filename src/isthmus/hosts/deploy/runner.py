"""The process in which Ansible runs: a job as JSON on stdin, events as lines of JSON on stdout.

A process of its own, because Ansible forks, which an engine with threads and gRPC must not. When stdin ends
before the job is done, the engine is gone or wants it no more: Ansible is ended. What is written for it,
secrets included, lies in a directory that only this user can enter and that is removed before this process
ends, however it ends; what a killed one left is removed by the next.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import ansible_runner

from .bundle import agent_bundle

_PREFIX = "isthmus-deploy-"
_ROLE = Path(__file__).parent
_MESSAGE_LIMIT = 4000

_CONFIGURATION = """\
[defaults]
forks = 1
gathering = explicit
host_key_checking = True
timeout = 30
retry_files_enabled = False
display_skipped_hosts = True
interpreter_python = /usr/bin/python3
remote_tmp = /tmp/.isthmus-deploy-${{USER}}
local_tmp = {directory}/tmp
home = {directory}/ansible

[ssh_connection]
pipelining = True
ssh_args = {ssh_arguments}
control_path_dir = {directory}/c
control_path = %%(directory)s/%%%%C
"""


def main() -> None:
    events = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever else is printed belongs to the log
    os.umask(0o077)
    job = json.loads(sys.stdin.readline())
    abandoned = threading.Event()
    threading.Thread(target=_wait_for_the_end, args=(abandoned,), daemon=True).start()
    with _private_directory() as directory:
        _emit(events, _deploy(job, directory, events, abandoned))


def _wait_for_the_end(abandoned: threading.Event) -> None:
    while sys.stdin.readline():
        continue
    abandoned.set()


def _deploy(job: dict[str, Any], directory: Path, events: TextIO, abandoned: threading.Event) -> dict[str, Any]:
    """:returns: the last event: how it ended, and what was found out on the way."""
    bundle = agent_bundle()
    (directory / "known_hosts").write_text(job["known_hosts"])
    (directory / "ansible.cfg").write_text(
        _CONFIGURATION.format(
            directory=directory, ssh_arguments=job["ssh_arguments"].format(directory=directory)
        ).replace("%%", "%")
    )
    inventory = job["inventory"]
    inventory["all"]["hosts"]["host"] |= {
        "isthmus_bundle": base64.b64encode(bundle.data).decode(),
        "isthmus_bundle_sha256": bundle.sha256,
    }
    reporter = _Reporter(events)
    run = ansible_runner.run(
        private_data_dir=str(directory),
        project_dir=str(_ROLE),
        roles_path=str(_ROLE / "roles"),
        playbook="host.yml",
        inventory=inventory,
        tags=",".join(job["tags"]) or None,
        envvars={"ANSIBLE_CONFIG": str(directory / "ansible.cfg"), "HOME": str(directory)},
        settings={"idle_timeout": 900, "pexpect_timeout": 1, "suppress_ansible_output": True},
        event_handler=reporter.take,
        cancel_callback=abandoned.is_set,
        quiet=True,
    )
    if run.status != "successful" and reporter.failure is None:
        reporter.failure = {"step": "Run Ansible", "message": _tail(run.stdout)}
    return {
        "event": "end",
        "status": "canceled" if abandoned.is_set() else run.status,
        "failure": reporter.failure,
        "changed": reporter.changed,
        "certificate": reporter.certificate,
        "kernel": reporter.kernel,
        "hypervisor": reporter.hypervisor,
    }


class _Reporter:
    """Turns Ansible's events into ours, and keeps what some tasks found out."""

    def __init__(self, events: TextIO) -> None:
        self._events = events
        self._began = time.monotonic()
        self.changed = 0
        self.failure: dict[str, str] | None = None
        self.certificate = ""
        self.kernel: dict[str, Any] = {}
        self.hypervisor: dict[str, Any] = {}

    def take(self, event: dict[str, Any]) -> bool:
        """:returns: False: the event is not to be kept on disk."""
        data = event.get("event_data", {})
        name = re.sub(r"^.* : ", "", data.get("task", ""))
        result = data.get("res") or {}
        match event["event"]:
            case "playbook_on_task_start":
                self._began = time.monotonic()
                self._step(name, "started")
            case "runner_on_ok":
                self._keep(name, result)
                self._step(name, "finished", changed=bool(result.get("changed")))
            case "runner_on_skipped":
                self._step(name, "skipped")
            case "playbook_on_stats":
                self.changed = sum(data.get("changed", {}).values())
            case "runner_on_failed" | "runner_on_unreachable":
                message = _answer(result)
                self.failure = {"step": name, "message": message}
                self._step(name, "failed", message=message)
        return False

    def _keep(self, name: str, result: dict[str, Any]) -> None:
        match name:
            case "Read the certificate":
                self.certificate = result["stdout"]
            case "Try what the kernel can do for the L2 agent":
                self.kernel = json.loads(result["stdout"])
            case "Let libvirt run guests":
                self.hypervisor = json.loads(result["stdout"])

    def _step(self, name: str, status: str, *, changed: bool = False, message: str = "") -> None:
        _emit(
            self._events,
            {
                "event": "step",
                "name": name,
                "status": status,
                "seconds": 0.0 if status == "started" else round(time.monotonic() - self._began, 3),
                "changed": changed,
                "message": message,
            },
        )


def _answer(result: dict[str, Any]) -> str:
    """What the host said, from the places where Ansible's modules put it."""
    if "results" in result:
        failed = [_answer(item) for item in result["results"] if item.get("failed")]
        if failed:
            return "; ".join(failed)
    texts = [result.get(key) for key in ("stderr", "module_stderr", "msg", "censored")]
    said = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    if said and said[0] != result.get("msg") and result.get("msg") == "non-zero return code":
        return said[0][-_MESSAGE_LIMIT:]
    unique = list(dict.fromkeys(reversed(said)))
    return ": ".join(unique)[-_MESSAGE_LIMIT:] or "it failed without a word"


def _tail(output: Any) -> str:
    text = output.read() if output is not None else ""
    return re.sub(r"\x1b\[[0-9;]*m", "", text).strip()[-_MESSAGE_LIMIT:] or "Ansible ended without a word"


def _emit(events: TextIO, event: dict[str, Any]) -> None:
    # An engine that no longer listens is noticed by its end of stdin.
    with contextlib.suppress(BrokenPipeError):
        events.write(json.dumps(event) + "\n")
        events.flush()


@contextlib.contextmanager
def _private_directory() -> Iterator[Path]:
    """In the system's directory for temporary files: the path of SSH's control socket in it must be short."""
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        _remove_if_left(left)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        with open(directory / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_if_left(directory: Path) -> None:
    """Remove what a killed process left: ours, some time old, and its lock held by nobody."""
    try:
        status = directory.lstat()
        if status.st_uid != os.getuid() or time.time() - status.st_mtime < 10:
            return
        with open(directory / ".lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
    except OSError:  # in use, another's, or just removed by another
        return


if __name__ == "__main__":
    main()
