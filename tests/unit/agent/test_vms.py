"""A VM's life on a host: paused and wired, resumed only with evidence, stopped whatever is under way."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import pytest

from isthmus.agent.clean import clean
from isthmus.agent.hypervisor import LibvirtAway, State
from isthmus.agent.orders import Refused
from isthmus.wire import agent_pb2 as pb
from tests.waiting import wait_for

from .bench import Bench, destroy_all
from .orders import NIC, VM, bridge_nic, order, port_nic, start


def begun(bench: Bench, epoch: int = 1, **changes: Any) -> pb.VmReport:
    changes.setdefault("nics", [port_nic(), bridge_nic()])
    return bench.vms.start(start(epoch, bench.session, **changes))


def resume(bench: Bench, epoch: int = 1) -> pb.VmReport:
    return bench.vms.resume(order(epoch, bench.session))


def stop(bench: Bench, epoch: int, graceful: bool = False) -> pb.VmReport:
    return bench.vms.stop(pb.StopOrder(order=order(epoch, bench.session), graceful=graceful))


def test_started_paused_and_wired_then_resumed_then_gone(bench: Bench) -> None:
    report = begun(bench, custom_properties={"sndbuf": "100"})
    assert (report.state, report.epoch, report.floor, report.session) == (pb.PAUSED, 1, 1, bench.session)
    assert [(nic.wired, nic.missing) for nic in report.nics] == [(True, ""), (True, "")]
    assert report.nics[0].tap == "tap2eea7d77-78"
    assert report.nics[0].bridge == "brqa2702f22-48"
    assert "<domain" in report.domain_xml
    whats = [moment.what for moment in report.nics[0].moments]
    assert whats == ["hook before_device_create 50_openstacknet", "plugged", "wired"]

    assert resume(bench).state == pb.RUNNING
    assert resume(bench).state == pb.RUNNING, "a resume may come twice"

    report = stop(bench, 2)
    assert (report.state, report.floor, report.reason) == (pb.ABSENT, 2, "stopped by order")
    assert stop(bench, 2).state == pb.ABSENT
    assert list(bench.tools.runs.all()) == []
    assert not [name for name in bench.kernel.links if name.startswith(("tap", "nic"))]


def test_points_run_in_order_and_devices_before_the_resume(bench: Bench) -> None:
    for point in ("before_vm_start", "after_vm_start", "after_device_create", "before_vm_cont", "after_vm_cont"):
        bench.script(point, "x", "")
    for point in ("before_vm_destroy", "after_vm_destroy", "before_device_destroy", "after_device_destroy"):
        bench.script(point, "x", "exit 1")
    begun(bench, nics=[port_nic()])
    assert bench.trace == ["before_device_create/50_openstacknet", "before_vm_start/x", "after_device_create/x"]
    resume(bench)
    assert bench.trace[3:] == ["after_vm_start/x"]
    stop(bench, 2)
    assert bench.trace[4:] == [
        "before_vm_destroy/x",
        "before_device_destroy/x",
        "after_device_destroy/x",
        "after_vm_destroy/x",
    ], "and no failure of theirs holds up a stop"


def test_a_later_resume_is_a_continuation(bench: Bench) -> None:
    for point in ("after_vm_start", "before_vm_cont", "after_vm_cont"):
        bench.script(point, "x", "")
    begun(bench, nics=[bridge_nic()])
    resume(bench)
    bench.hypervisor._lookup(VM).suspend()
    resume(bench)
    assert bench.trace[1:] == ["after_vm_start/x", "before_vm_cont/x", "after_vm_cont/x"]


class TestWhatIsRefused:
    def test_a_start_of_another_session(self, bench: Bench) -> None:
        with pytest.raises(Refused, match=r"^session: "):
            bench.vms.start(start(1, "of an earlier process"))
        assert bench.vms.report(VM).floor == 0

    def test_a_start_twice(self, bench: Bench) -> None:
        begun(bench)
        with pytest.raises(Refused, match=r"^epoch: "):
            begun(bench)

    def test_a_start_while_a_guest_is_here(self, bench: Bench) -> None:
        begun(bench)
        with pytest.raises(Refused, match=r"^here: VM .* under epoch 1; stop it first"):
            begun(bench, 2)
        assert bench.vms.report(VM).floor == 1, "nothing changed"

    def test_a_start_that_a_stop_overtook(self, bench: Bench) -> None:
        assert stop(bench, 3).floor == 3
        with pytest.raises(Refused, match=r"^epoch: "):
            begun(bench, 2)

    def test_a_duplicate_start_after_the_guest_shut_down_by_itself(self, bench: Bench) -> None:
        """Scenario 19."""
        begun(bench)
        resume(bench)
        bench.hypervisor.destroy(VM)
        wait_for(lambda: not list(bench.tools.runs.all()), "the run was finished")
        with pytest.raises(Refused, match=r"^epoch: "):
            begun(bench)
        assert bench.hypervisor.find(VM) is None

    def test_a_stop_for_an_earlier_run(self, bench: Bench) -> None:
        begun(bench, 5)
        with pytest.raises(Refused, match=r"^epoch: a stop of epoch 4"):
            stop(bench, 4)
        assert bench.hypervisor.find(VM) is not None

    def test_a_resume_of_another_epoch_or_of_nothing(self, bench: Bench) -> None:
        with pytest.raises(Refused, match="is not here"):
            resume(bench)
        begun(bench, 5)
        for epoch in (4, 6):
            with pytest.raises(Refused, match="is of epoch 5"):
                resume(bench, epoch)

    def test_a_domain_of_somebody_elses(self, bench: Bench) -> None:
        rest = "<memory>1024</memory><os><type>hvm</type></os></domain>"
        foreign = f"<domain type='test'><name>foreign</name><uuid>{VM}</uuid>{rest}"
        bench.hypervisor._connected().createXML(foreign, 0)
        with pytest.raises(Refused, match="left alone"):
            begun(bench)
        with pytest.raises(Refused, match="left alone"):
            stop(bench, 9)
        assert bench.vms.reports() == []


class TestDeafness:
    """Scenario: whatever the provider says, no guest runs whose NIC is not wired (rule 14)."""

    def test_a_start_that_is_not_wired_in_time_leaves_nothing(self, bench: Bench) -> None:
        bench.kernel.plugs = False
        report = begun(bench, wire_seconds=1)
        assert (report.state, report.floor) == (pb.ABSENT, 1)
        assert report.reason.startswith("wiring: not done within 1 s: NIC nic1: tap tap2eea7d77-78 is in no bridge")
        assert report.nics[0].missing == "tap tap2eea7d77-78 is in no bridge, not in brqa2702f22-48"
        assert not report.nics[0].wired
        assert bench.hypervisor.find(VM) is None
        assert list(bench.tools.runs.all()) == []

    def test_a_tap_off_its_bridge_is_not_resumed(self, bench: Bench) -> None:
        begun(bench)
        link = bench.kernel.links["tap2eea7d77-78"]
        bench.kernel.links[link.name] = type(link)(link.name, link.index, kind="tun", up=True)
        with pytest.raises(Refused, match=r"^wiring: NIC nic1: tap .* is in no bridge"):
            resume(bench)
        guest = bench.hypervisor.find(VM)
        assert guest is not None
        assert guest.state is State.PAUSED
        report = bench.vms.report(VM)
        assert [nic.wired for nic in report.nics] == [False, True]

    def test_what_this_host_cannot_carry_fails_at_once(self, bench: Bench) -> None:
        bench.kernel.unwirable = "this kernel has no 802.1q"
        report = begun(bench)
        assert (report.state, report.reason) == (pb.ABSENT, "this kernel has no 802.1q")

    @pytest.mark.parametrize(
        ("vif_type", "says"),
        [("ovs", "wants vif_type ovs; this agent wires: bridge"), ("binding_failed", "has not bound port")],
    )
    def test_a_kind_of_port_that_it_does_not_wire(self, bench: Bench, vif_type: str, says: str) -> None:
        report = begun(bench, nics=[port_nic(vif_type=vif_type)])
        assert report.state == pb.ABSENT
        assert says in report.reason


class TestFailedStarts:
    def test_without_the_openstacknet_hook(self, bench: Bench) -> None:
        (bench.root / "hooks" / "before_device_create" / "50_openstacknet").unlink()
        report = begun(bench)
        assert report.state == pb.ABSENT
        assert report.reason.startswith("the openstacknet hook is not installed on this host")

    def test_a_network_of_the_hosts_own_needs_no_hook(self, bench: Bench) -> None:
        (bench.root / "hooks" / "before_device_create" / "50_openstacknet").unlink()
        assert begun(bench, nics=[bridge_nic()]).state == pb.PAUSED

    def test_a_hook_that_fails(self, bench: Bench) -> None:
        bench.script("before_vm_start", "10_check", "echo not on a Tuesday >&2; exit 2")
        bench.script("after_vm_destroy", "x", "")
        report = begun(bench)
        assert report.reason == "before_vm_start script 10_check exited with 2: not on a Tuesday"
        assert bench.trace[-1] == "after_vm_destroy/x", "what hooks began they can end"

    def test_a_file_that_is_not_here(self, bench: Bench) -> None:
        report = begun(bench, initrd_sha256="b" * 64)
        assert report.reason == f"the initrd {'b' * 64} is not on this host (of it are here: 0 bytes)"

    def test_libvirts_own_words(self, bench: Bench) -> None:
        bench.hypervisor.refuses = "libvirt: no such machine type"
        report = begun(bench)
        assert (report.state, report.reason) == (pb.ABSENT, "libvirt: no such machine type")
        assert list(bench.tools.runs.all()) == []

    def test_the_next_epoch_starts(self, bench: Bench) -> None:
        bench.hypervisor.refuses = "no"
        begun(bench)
        bench.hypervisor.refuses = ""
        assert begun(bench, 2).state == pb.PAUSED
        assert bench.vms.report(VM).reason == ""

    def test_two_vms_of_one_name(self, bench: Bench) -> None:
        other = "6a1f0c3e-0000-4000-8000-0000000000bb"
        begun(bench, nics=[])
        assert begun(bench, nics=[], vm=other).state == pb.PAUSED
        assert bench.hypervisor.named("web") == VM
        assert bench.hypervisor.named(f"web-{other}") == other


class TestStopOvertakes:
    def test_a_start_that_waits_for_its_wiring(self, bench: Bench) -> None:
        bench.kernel.plugs = False
        thread, answers = bench.in_thread(lambda: begun(bench, wire_seconds=60))
        wait_for(lambda: bench.hypervisor.find(VM), "the guest is made")
        at = time.monotonic()
        report = stop(bench, 2)
        assert time.monotonic() - at < 2
        assert (report.state, report.floor) == (pb.ABSENT, 2)
        thread.join()
        assert answers[0].state == pb.ABSENT
        assert answers[0].reason == "stopped before it was wired"

    def test_a_start_whose_hook_runs(self, bench: Bench) -> None:
        bench.script("before_vm_start", "slow", "sleep 600")
        thread, answers = bench.in_thread(lambda: begun(bench))
        wait_for(lambda: "before_vm_start/slow" in bench.trace, "the hook runs")
        at = time.monotonic()
        stop(bench, 2)
        assert time.monotonic() - at < 2
        thread.join()
        assert answers[0].reason == "stopped while a hook of its start ran"

    def test_a_resume_after_a_stop_is_refused(self, bench: Bench) -> None:
        begun(bench)
        stop(bench, 2, graceful=True)
        with pytest.raises(Refused):
            resume(bench)

    def test_a_stop_of_the_same_epoch(self, bench: Bench) -> None:
        begun(bench)
        assert stop(bench, 1).state == pb.ABSENT

    def test_graceful_asks_the_guest(self, bench: Bench) -> None:
        begun(bench)
        resume(bench)
        asked = threading.Event()
        bench.hypervisor.shutdown = lambda vm: asked.set()  # type: ignore[method-assign]
        report = stop(bench, 2, graceful=True)
        assert asked.is_set()
        assert (report.state, report.epoch, report.floor) == (pb.SHUTTING_DOWN, 1, 2)
        assert stop(bench, 3).state == pb.ABSENT


class TestAfterARestart:
    def test_it_knows_its_vms_and_floors_from_libvirt(self, bench: Bench) -> None:
        """Scenario 17."""
        begun(bench, 7)
        resume(bench, 7)
        old = bench.session
        bench.restart()
        [report] = bench.vms.reports()
        assert (report.vm, report.state, report.epoch, report.floor) == (VM, pb.RUNNING, 7, 7)
        assert [nic.wired for nic in report.nics] == [True, True]
        assert report.nics[0].port_id.startswith("2eea7d77")
        with pytest.raises(Refused, match=r"^session: "):
            bench.vms.stop(pb.StopOrder(order=order(8, old)))
        with pytest.raises(Refused, match=r"^epoch: "):
            begun(bench, 7)
        assert stop(bench, 8).state == pb.ABSENT

    def test_a_guest_that_ended_meanwhile_is_finished(self, bench: Bench) -> None:
        bench.script("after_vm_destroy", "x", 'test "$sndbuf" = 5 && echo told >> ' + str(bench.root / "trace"))
        begun(bench, nics=[bridge_nic()], custom_properties={"sndbuf": "5"})
        bench.close()
        destroy_all()
        bench.restart()
        wait_for(lambda: not list(bench.tools.runs.all()), "the run was finished")
        assert bench.trace[-1] == "told"


def test_a_guest_that_ends_by_itself_is_told_and_finished(bench: Bench) -> None:
    bench.script("after_vm_destroy", "x", "")
    begun(bench, nics=[bridge_nic()])
    resume(bench)
    bench.published.clear()
    bench.hypervisor._lookup(VM).shutdown()
    wait_for(lambda: [report for report in bench.published if report.state == pb.ABSENT], "it was told")
    report = bench.published[-1]
    assert (report.vm, report.floor, report.reason) == (VM, 1, "the guest shut down")
    wait_for(lambda: "after_vm_destroy/x" in bench.trace, "the hooks ran")
    wait_for(lambda: not list(bench.tools.runs.all()), "the run was finished")


def test_while_libvirt_is_away_nothing_is_obeyed(bench: Bench) -> None:
    bench.hypervisor.close()
    for call in (lambda: begun(bench), lambda: stop(bench, 5), lambda: bench.vms.report(VM), bench.vms.reports):
        with pytest.raises(LibvirtAway):
            call()
    assert bench.orders.floor(VM) == 0
    bench.hypervisor._closing.clear()
    bench.hypervisor.open()
    wait_for(bench._connected, "libvirt is back")
    assert begun(bench).state == pb.PAUSED


def test_ids_of_nics_in_a_report_are_the_engines(bench: Bench) -> None:
    assert begun(bench, nics=[port_nic()]).nics[0].nic == NIC


def test_while_a_start_is_under_way_the_report_is_no_word_under_its_epoch(bench: Bench) -> None:
    bench.script("before_vm_start", "slow", "sleep 600")
    thread, answers = bench.in_thread(lambda: begun(bench, 4))
    wait_for(lambda: "before_vm_start/slow" in bench.trace, "the start is under way")
    report = bench.vms.report(VM)
    assert (report.state, report.floor) == (pb.ABSENT, 3)
    assert stop(bench, 5).floor == 5
    thread.join()
    assert answers[0].floor == 5


def test_what_nobody_finished_is_cleaned(bench: Bench) -> None:
    begun(bench, nics=[port_nic()])
    assert clean(bench.tools, bench.vms, dry_run=True) == [], "a guest that is here is nobody's leftover"
    bench.vms.changed = lambda vm, why: None  # type: ignore[method-assign]
    destroy_all()
    assert [item.split(" of VM ")[0] for item in clean(bench.tools, bench.vms, dry_run=True)] == [
        "tap tap2eea7d77-78",
        "files",
    ]
    assert clean(bench.tools, bench.vms, dry_run=False)
    assert clean(bench.tools, bench.vms, dry_run=True) == []
    stale = bench.hooks.scratch / "hook-old"
    fresh = bench.hooks.scratch / "hook-new"
    for path in (stale, fresh):
        path.touch()
    os.utime(stale, (0, 0))
    assert clean(bench.tools, bench.vms, dry_run=False) == [f"hook file {stale}"]
    assert not stale.exists()
    assert fresh.exists()
