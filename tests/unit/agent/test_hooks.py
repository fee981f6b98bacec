"""VDSM's contract for hooks, held with real scripts."""

from __future__ import annotations

import json
import os
import stat
import threading
from pathlib import Path

import pytest

from isthmus.agent import hooks
from isthmus.agent.hooks import HookCancelled, HookFailed, Hooks, Properties
from tests.waiting import wait_for

SEED = "<domain><name>web</name></domain>"


class Dirs:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.hooks = Hooks((root / "ours", root / "vdsm"), 5.0, root / "scratch")
        self.trace = root / "trace"

    def script(self, point: str, name: str, body: str, where: str = "ours", mode: int = 0o755) -> Path:
        path = self.root / where / point / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body if body.startswith("#!") else f"#!/bin/sh\necho {name} >> {self.trace}\n{body}\n")
        path.chmod(mode)
        return path

    @property
    def ran(self) -> list[str]:
        return self.trace.read_text().split() if self.trace.exists() else []


@pytest.fixture
def dirs(tmp_path: Path) -> Dirs:
    return Dirs(tmp_path)


def test_no_directory_no_change(dirs: Dirs) -> None:
    assert dirs.hooks.run_xml("before_vm_start", SEED, Properties()).data == SEED


def test_executable_regular_files_in_order_of_name_over_all_directories(dirs: Dirs) -> None:
    dirs.script("before_vm_start", "50_b", "")
    dirs.script("before_vm_start", "10_a", "", where="vdsm")
    dirs.script("before_vm_start", "90_c", "", where="vdsm")
    dirs.script("before_vm_start", "20_not_executable", "", mode=0o644)
    (dirs.root / "ours" / "before_vm_start" / "30_directory").mkdir(mode=0o755)
    (dirs.root / "ours" / "before_vm_start" / "40_dangling").symlink_to("/nowhere")
    outcome = dirs.hooks.run_xml("before_vm_start", SEED, Properties())
    assert dirs.ran == ["10_a", "50_b", "90_c"]
    assert [run.script for run in outcome.runs] == dirs.ran


def test_each_script_rewrites_what_the_one_before_left(dirs: Dirs) -> None:
    dirs.script("before_vm_start", "1", 'sed -i s/web/b/ "$_hook_domxml"')
    dirs.script("before_vm_start", "2", 'sed -i "s/>b</>c</" "$_hook_domxml"')
    assert dirs.hooks.run_xml("before_vm_start", SEED, Properties()).data == SEED.replace("web", "c")
    assert list((dirs.root / "scratch").iterdir()) == [], "temporary files are gone"


def test_a_hook_in_python_by_way_of_hooking(dirs: Dirs) -> None:
    dirs.script(
        "before_device_create",
        "50_link",
        """#!/usr/bin/python3
import os, hooking
dom = hooking.read_domxml()
if hooking.tobool(os.environ.get("down")):
    dom.getElementsByTagName("link")[0].setAttribute("state", "down")
hooking.write_domxml(dom)
""",
    )
    device = '<interface><link state="up"/></interface>'
    outcome = dirs.hooks.run_xml("before_device_create", device, Properties(device={"down": "True"}))
    assert 'state="down"' in outcome.data


def test_json_points(dirs: Dirs) -> None:
    dirs.script(
        "after_get_caps",
        "50_more",
        "#!/usr/bin/python3\nimport hooking\nc = hooking.read_json()\nc['more'] = 1\nhooking.write_json(c)\n",
    )
    assert json.loads(dirs.hooks.run_json("after_get_caps", '{"cpus": 2}').data) == {"cpus": 2, "more": 1}


def test_exit_1_fails_and_the_next_script_runs(dirs: Dirs) -> None:
    dirs.script("before_vm_start", "1", "echo no such thing >&2; exit 1")
    dirs.script("before_vm_start", "2", "")
    with pytest.raises(HookFailed) as caught:
        dirs.hooks.run_xml("before_vm_start", SEED, Properties())
    assert str(caught.value) == "before_vm_start script 1 exited with 1: no such thing"
    assert dirs.ran == ["1", "2"]


def test_exit_2_fails_and_ends_the_point(dirs: Dirs) -> None:
    dirs.script("before_device_create", "1", "exit 2")
    dirs.script("before_device_create", "2", "")
    with pytest.raises(HookFailed, match="exited with 2"):
        dirs.hooks.run_xml("before_device_create", SEED, Properties())
    assert dirs.ran == ["1"]


@pytest.mark.parametrize("point", ["after_vm_start", "before_vm_destroy", "before_vm_set_ticket", "after_vm_destroy"])
def test_where_a_failure_does_not_fail_the_operation(dirs: Dirs, point: str) -> None:
    dirs.script(point, "1", "exit 1")
    outcome = dirs.hooks.run_xml(point, SEED, Properties())
    assert [run.code for run in outcome.runs] == [1]


def test_what_cannot_be_executed_is_a_failure_with_a_reason(dirs: Dirs) -> None:
    dirs.script("before_vm_start", "1", "#!/no/such/interpreter\n")
    with pytest.raises(HookFailed, match="cannot be run: No such file"):
        dirs.hooks.run_xml("before_vm_start", SEED, Properties())


def test_the_environment(dirs: Dirs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_AGENT", "x")
    seen = dirs.root / "environment"
    dirs.script("before_device_create", "1", f"env > {seen}")
    properties = Properties(
        vm="the-vm",
        device={"a": "device", "b": "device", "vnic_id": "forged", "PATH": "/evil", "two words": "x"},
        custom={"b": "vm", "vmId": "forged", "LD_PRELOAD": "/evil.so", "PYTHONPATH": "/evil", "_hook_domxml": "/evil"},
        fixed={"vnic_id": "port-1"},
    )
    dirs.hooks.run_xml("before_device_create", SEED, properties)
    environment = dict(line.split("=", 1) for line in seen.read_text().splitlines())
    assert environment["a"] == "device"
    assert environment["b"] == "vm", "the VM's come after the device's"
    assert environment["vmId"] == "the-vm"
    assert environment["vnic_id"] == "port-1"
    assert environment["_hook_domxml"].startswith(str(dirs.root / "scratch"))
    assert "evil" not in seen.read_text()
    assert "SECRET_OF_THE_AGENT" not in environment


@pytest.mark.parametrize(
    "name", ["PATH", "path", "LD_PRELOAD", "PYTHONSTARTUP", "BASH_ENV", "a-b", "", "1a", "_hook_json"]
)
def test_denied_names(name: str) -> None:
    assert hooks.denied(name)


@pytest.mark.parametrize("name", ["vnic_id", "SecurityGroups", "sndbuf", "PATHS", "OLD_PATH"])
def test_allowed_names(name: str) -> None:
    assert not hooks.denied(name)


def test_a_script_that_takes_too_long_is_killed_with_its_children(dirs: Dirs) -> None:
    child = dirs.root / "child"
    slow = Hooks((dirs.root / "ours",), 0.3, dirs.root / "scratch")
    dirs.script("before_vm_start", "1", f"sleep 600 & echo $! > {child}; wait")
    dirs.script("before_vm_start", "2", "")
    with pytest.raises(HookFailed, match=r"took longer than 0.3 s and was killed"):
        slow.run_xml("before_vm_start", SEED, Properties())
    assert dirs.ran == ["1"], "no further script runs"
    wait_for(lambda: _ended(int(child.read_text())), "the script's child has ended")


def test_a_point_can_be_cancelled(dirs: Dirs) -> None:
    cancel = threading.Event()
    started = dirs.root / "started"
    dirs.script("before_vm_start", "1", f"touch {started}; sleep 600")

    def when_started() -> None:
        wait_for(started.exists, "the script runs")
        cancel.set()

    thread = threading.Thread(target=when_started)
    thread.start()
    patient = Hooks((dirs.root / "ours",), 60.0, dirs.root / "scratch")
    with pytest.raises(HookCancelled):
        patient.run_xml("before_vm_start", SEED, Properties(), cancel)
    thread.join()


def test_temporary_files_are_private(dirs: Dirs) -> None:
    seen = dirs.root / "mode"
    dirs.script("before_vm_start", "1", f'stat -c %a "$_hook_domxml" > {seen}')
    dirs.hooks.run_xml("before_vm_start", SEED, Properties())
    assert seen.read_text().strip() == "600"
    assert stat.S_IMODE((dirs.root / "scratch").stat().st_mode) == 0o700


def test_what_is_installed(dirs: Dirs) -> None:
    dirs.script("before_vm_start", "1", "")
    dirs.script("after_vm_start", "2", "", where="vdsm")
    assert [(path.parent.name, path.name) for path in dirs.hooks.installed()] == [
        ("after_vm_start", "2"),
        ("before_vm_start", "1"),
    ]


def _ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "Z"
