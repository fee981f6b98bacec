from __future__ import annotations

import os
from pathlib import Path

import ovirtsdk4
import pytest
from ovirtsdk4 import types

from isthmus.model import Vm
from isthmus.reconcile.engine import Engine
from tests.served import Client, statements
from tests.unit.api_routes import rows

GIB = 1 << 30


@pytest.fixture(autouse=True)
def quiet(engine: Engine) -> None:
    for noun in ("vm", "claim", "host", "sweep"):
        engine.loop.register(noun, lambda _row: [])


@pytest.fixture
def vms(sdk: ovirtsdk4.Connection) -> ovirtsdk4.services.VmsService:
    return sdk.system_service().vms_service()


@pytest.fixture
def kernel(engine: Engine) -> str:
    path = engine.data / "files" / "vmlinuz"
    path.write_bytes(b"a kernel")
    return str(path)


def add(vms: ovirtsdk4.services.VmsService, name: str, **fields: object) -> types.Vm:
    return vms.add(
        types.Vm(name=name, cluster=types.Cluster(name="Default"), template=types.Template(name="Blank"), **fields)
    )


def test_a_vm_keeps_what_it_was_given(vms: ovirtsdk4.services.VmsService, engine: Engine, kernel: str) -> None:
    made = add(
        vms,
        "web1",
        description="the first",
        memory=2 * GIB,
        cpu=types.Cpu(topology=types.CpuTopology(sockets=2, cores=3, threads=1)),
        os=types.OperatingSystem(type="other_linux", kernel=kernel, initrd=kernel, cmdline="console=ttyS0"),
        custom_properties=[types.CustomProperty(name="colour", value="red")],
    )
    seen = vms.vm_service(made.id).get()
    assert (seen.name, seen.description, seen.memory, seen.status) == (
        "web1",
        "the first",
        2 * GIB,
        types.VmStatus.DOWN,
    )
    topology = seen.cpu.topology
    assert (topology.sockets, topology.cores, topology.threads) == (2, 3, 1)
    assert (seen.os.kernel, seen.os.initrd, seen.os.cmdline) == (kernel, kernel, "console=ttyS0")
    assert [(p.name, p.value) for p in seen.custom_properties] == [("colour", "red")]
    assert rows.events(engine, 34) == ["VM web1 was added to cluster Default by admin@internal."]


def test_search_and_max(vms: ovirtsdk4.services.VmsService, engine: Engine) -> None:
    for name in ("c", "a", "b"):
        add(vms, name)
    assert [v.name for v in vms.list()] == ["a", "b", "c"]
    assert [v.name for v in vms.list(search='name="b" and cluster=Default and status=down')] == ["b"]
    assert [v.name for v in vms.list(max=2)] == ["a", "b"]
    with pytest.raises(ovirtsdk4.Error, match="may search by"):
        vms.list(search="colour=red")


def test_a_list_costs_the_same_number_of_statements_however_long(
    vms: ovirtsdk4.services.VmsService, engine: Engine, http: Client
) -> None:
    profile = rows.add_network(engine, "lan")
    http("GET", "vms")  # the sign-in is remembered
    for number in range(7):
        vm = add(vms, f"v{number}")
        vms.vm_service(vm.id).nics_service().add(types.Nic(name="n", vnic_profile=types.VnicProfile(id=profile)))
        if number in (0, 6):
            with statements(engine) as plain:
                assert http("GET", "vms").status_code == 200
            with statements(engine) as followed:
                answer = http("GET", "vms?follow=nics,disk_attachments.disk,reported_devices")
                assert answer.status_code == 200
                assert answer.text.count("<nic ") == number + 1
            assert (len([s for s in plain if "FROM vm" in s]), len(_beyond(plain))) == (1, 1)
            assert (
                len(_beyond(followed)) == 1 + 3 + 1 + 2
            )  # VMs; NICs, claims, profiles; attachments; devices (claims, NICs)


def _beyond(seen: list[str]) -> list[str]:
    """Without what signing in costs."""
    return [s for s in seen if "FROM setting" not in s and "FROM token" not in s]


def test_what_is_not_allowed_is_refused_in_words_and_changes_nothing(
    vms: ovirtsdk4.services.VmsService, engine: Engine
) -> None:
    add(vms, "taken")
    before = rows.counts(engine)
    too_many = types.Cpu(topology=types.CpuTopology(sockets=100, cores=100, threads=1))
    for fields, words in (
        ({"name": ""}, "needs a name"),
        ({"name": "has blank"}, "letters, digits"),
        ({"name": "n" * 256}, "at most 255"),
        ({"name": "taken"}, "already"),
        ({"memory": GIB + 1}, "whole MiB"),
        ({"memory": 1 << 20}, "between"),
        ({"cpu": too_many}, "CPUs"),
        ({"os": types.OperatingSystem(cmdline="quiet")}, "no kernel"),
        ({"stateless": True}, "not offered"),
        ({"template": types.Template(name="other")}, "Blank"),
        ({"cluster": types.Cluster(name="nowhere")}, "no cluster named"),
        ({"cluster": types.Cluster(id="nowhere")}, "no cluster nowhere"),
        ({"cluster": types.Cluster()}, "cluster.id or cluster.name is missing"),
        ({"custom_properties": [types.CustomProperty(name="a b", value="c")]}, "custom property"),
        ({"custom_properties": [types.CustomProperty(name="a", value="b\nc")]}, "one line"),
        ({"nics": [types.Nic(name="nic1")]}, "add each by POST"),
    ):
        with pytest.raises(ovirtsdk4.Error, match=words) as refused:
            vms.add(types.Vm(**{"name": "x", "cluster": types.Cluster(name="Default"), **fields}))
        assert refused.value.code in (400, 404, 409)
    assert rows.counts(engine) == before


def test_files_outside_the_allowed_directories_are_refused(
    vms: ovirtsdk4.services.VmsService, engine: Engine, tmp_path: Path, kernel: str
) -> None:
    """Else anybody who may add a VM could read any file that the engine can."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    files = engine.data / "files"
    (files / "way-out").symlink_to(secret)
    (files / "directory").mkdir()
    os.mkfifo(files / "pipe")
    for path, words in [
        (str(secret), "is not under a directory"),
        (str(tmp_path / "no-such-file"), "is not under a directory"),
        (str(files / "way-out"), "is not under a directory"),
        (f"{files}/../key", "is not under a directory"),
        (f"{files}-elsewhere", "is not under a directory"),
        ("/proc/self/environ", "is not under a directory"),
        ("vmlinuz", "absolute path"),
        ("file:///etc/passwd", "absolute path"),
        (str(files / "missing"), "No such file"),
        (str(files / "directory"), "not a regular file"),
        (str(files / "pipe"), "not a regular file"),
    ]:
        with pytest.raises(ovirtsdk4.Error, match=words):
            add(vms, "x", os=types.OperatingSystem(kernel=path))
        with pytest.raises(ovirtsdk4.Error, match=words):
            add(vms, "x", os=types.OperatingSystem(kernel=kernel, initrd=path))
    assert rows.counts(engine)["vm"] == 0
    assert len(rows.events(engine, 57)) == 22


def test_while_it_runs_only_its_names_change(vms: ovirtsdk4.services.VmsService, engine: Engine) -> None:
    vm = add(vms, "web1")
    service = vms.vm_service(vm.id)
    rows.run(engine, vm.id, rows.add_host(engine))
    assert service.update(types.Vm(name="web2", comment="moved")).name == "web2"
    with pytest.raises(ovirtsdk4.Error, match="memory can be changed only while it is down") as refused:
        service.update(types.Vm(name="web3", memory=2 * GIB))
    assert refused.value.code == 409
    assert (service.get().name, service.get().memory) == ("web2", GIB)
    same = service.get()
    same.description = "sent back as a client does"
    assert service.update(same).description == "sent back as a client does"
    rows.end(engine, vm.id)
    assert service.update(types.Vm(memory=2 * GIB)).memory == 2 * GIB


def test_it_is_removed_only_when_it_is_down_everywhere(vms: ovirtsdk4.services.VmsService, engine: Engine) -> None:
    profile = rows.add_network(engine, "red", rows.add_provider(engine))
    vm = add(vms, "web1")
    service = vms.vm_service(vm.id)
    service.nics_service().add(types.Nic(name="nic1", vnic_profile=types.VnicProfile(id=profile)))
    rows.run(engine, vm.id, rows.add_host(engine))
    with pytest.raises(ovirtsdk4.Error, match="VM web1 is up on host h1: it can be removed only while it is down"):
        service.remove()
    rows.end(engine, vm.id)
    (before,) = rows.claims(engine)
    assert (before.wanted, before.port_id is not None) == ("absent", True)
    service.remove()
    with pytest.raises(ovirtsdk4.NotFoundError):
        service.get()
    (claim,) = rows.claims(engine)
    assert (claim.wanted, claim.port_id, claim.owed_since) == ("absent", before.port_id, before.owed_since)
    assert rows.counts(engine)["nic"] == 0


def test_a_vm_that_may_still_run_somewhere_is_not_removed(vms: ovirtsdk4.services.VmsService, engine: Engine) -> None:
    vm = add(vms, "web1")
    rows.run(engine, vm.id, rows.add_host(engine))
    with engine.db.write() as session:
        row = session.get_one(Vm, vm.id)
        row.wanted = row.status = "down"
    with pytest.raises(ovirtsdk4.Error, match="may still run on host h1"):
        vms.vm_service(vm.id).remove()


def test_start_and_stop(vms: ovirtsdk4.services.VmsService, engine: Engine) -> None:
    first, second = rows.add_host(engine, "h1"), rows.add_host(engine, "h2")
    vm = add(vms, "web1")
    service = vms.vm_service(vm.id)
    service.start(
        vm=types.Vm(placement_policy=types.VmPlacementPolicy(hosts=[types.Host(name="h2")])),
    )
    seen = service.get()
    assert (seen.status, seen.host.id) == (types.VmStatus.WAIT_FOR_LAUNCH, second)
    with pytest.raises(ovirtsdk4.Error, match="already running"):
        service.start()
    service.stop()
    assert service.get().status == types.VmStatus.POWERING_DOWN
    rows.end(engine, vm.id)
    assert service.get().status == types.VmStatus.DOWN
    service.update(types.Vm(placement_policy=types.VmPlacementPolicy(hosts=[types.Host(id=first)])))
    service.start()
    assert service.get().host.id == first
    service.shutdown()
    assert service.get().status == types.VmStatus.POWERING_DOWN


def test_a_start_that_no_host_can_do_says_why(vms: ovirtsdk4.services.VmsService, engine: Engine, http: Client) -> None:
    rows.add_host(engine, "h1", status="non_responsive")
    vm = add(vms, "web1")
    with pytest.raises(ovirtsdk4.Error, match="No host can run VM web1: h1: the host is non responsive"):
        vms.vm_service(vm.id).start()
    with pytest.raises(ovirtsdk4.Error, match="cannot be started paused"):
        vms.vm_service(vm.id).start(pause=True)
    with pytest.raises(ovirtsdk4.Error, match=r"settings of its own \(memory\)"):
        vms.vm_service(vm.id).start(vm=types.Vm(memory=GIB))
    assert http("POST", f"vms/{vm.id}/reboot", "<action/>").status_code in (404, 405)


def test_json_and_text_scraping_clients(vms: ovirtsdk4.services.VmsService, http: Client) -> None:
    vm = add(vms, "web1", custom_properties=[types.CustomProperty(name="first", value="x")])
    answer = http("GET", "vms?search=name%3Dweb1", headers={"Accept": "application/json"}).json()
    assert [(v["id"], v["name"], v["status"]) for v in answer["vm"]] == [(vm.id, "web1", "down")]
    text = http("GET", "vms?search=name%3Dweb1").text
    assert text.index("<name>web1</name>") < text.index("<name>first</name>")


def test_templates_and_operating_systems(sdk: ovirtsdk4.Connection) -> None:
    templates = sdk.system_service().templates_service()
    assert [t.name for t in templates.list(search="name=Blank")] == ["Blank"]
    assert templates.list(search="name=other") == []
    assert templates.template_service("00000000-0000-0000-0000-000000000000").get().name == "Blank"
    assert "other_linux" in [o.name for o in sdk.system_service().operating_systems_service().list()]
