"""The engine killed with -9 at its named points, on the lab: after a restart the operation is finished or undone."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ovirtsdk4 as sdk
import pytest
from ovirtsdk4 import types

import isthmus
from isthmus.commands import imports, networks, runs
from isthmus.model.points import NAMES
from isthmus.reconcile import work
from tests.e2e.flow import Flow, wait_for

pytestmark = pytest.mark.timeout(600)

DECLARED = (imports, networks, runs, work)
"""The modules whose import makes the points known."""


def points(*operations: str) -> list[str]:
    found = sorted(n for n in NAMES if n.split(".")[0] in operations)
    assert found
    return found


@pytest.fixture(scope="module")
def network(flow: Flow) -> Any:
    found = flow.network("red-500")
    flow.ready_hosts("h1", "h2")
    return found


@pytest.fixture
def stranger(flow: Flow, network: Any) -> Iterator[dict[str, Any]]:
    """Somebody else's port on our network; told our VM's device_id by the tests that have one."""
    outside = flow.outside("red-500")
    port = flow.neutron.call(
        "POST",
        "ports",
        {
            "port": {
                "network_id": outside["id"],
                "tenant_id": outside["project_id"],
                "device_owner": "compute:nova",
                "name": "a stranger's",
            }
        },
    )["port"]
    yield port
    flow.neutron.call("DELETE", f"ports/{port['id']}")


def killed_at(flow: Flow, point: str, operation: Callable[[], object], env: dict[str, str] | None = None) -> None:
    """Restart the engine so that it dies at this point, do it, see it die, and start it again, with ``env``."""
    flow.lab.engine.stop()
    process = flow.lab.engine.start({"ISTHMUS_KILL_AT": point})
    flow.connection = flow.connect()
    wait_for(lambda: flow.host("h1").status == types.HostStatus.UP, "h1 is up")
    with contextlib.suppress(sdk.Error):  # its connection goes with the engine; what became of it is seen afterwards
        operation()
    wait_for(lambda: not process.alive, f"the engine reaches {point} and dies", 90)
    flow.lab.engine.start(env)
    flow.connection = flow.connect()
    wait_for(lambda: flow.host("h1").status == types.HostStatus.UP, "h1 is up")


def settled(flow: Flow, vm: Any) -> Any:
    rest = (types.VmStatus.UP, types.VmStatus.DOWN)
    wait_for(lambda: flow.status(vm) in rest, "the VM is up or down", 120)
    return flow.status(vm)


def exact(flow: Flow, *running: Any) -> None:
    wait_for(
        lambda: sorted(p["device_id"] for p in flow.neutron.ours()) == sorted(vm.id for vm in running),
        "exactly the ports of the running VMs are at the provider",
        120,
    )


@pytest.mark.parametrize("point", points("run"))
def test_run(flow: Flow, network: Any, stranger: dict[str, Any], point: str) -> None:
    with flow.a_vm("crash", [network], "h1") as vm:
        flow.neutron.call("PUT", f"ports/{stranger['id']}", {"port": {"device_id": vm.id}})
        before = flow.neutron.call("GET", f"ports/{stranger['id']}")["port"]
        killed_at(flow, point, lambda: flow.vm(vm).start())
        if settled(flow, vm) == types.VmStatus.UP:
            exact(flow, vm)
            flow.stop(vm)
        exact(flow)
        assert flow.neutron.call("GET", f"ports/{stranger['id']}")["port"] == before


@pytest.mark.parametrize("point", points("stop"))
def test_stop(flow: Flow, network: Any, stranger: dict[str, Any], point: str) -> None:
    with flow.a_vm("crash", [network], "h1") as vm:
        flow.run(vm)
        before = flow.neutron.call("GET", f"ports/{stranger['id']}")["port"]
        killed_at(flow, point, lambda: flow.vm(vm).stop())
        if settled(flow, vm) == types.VmStatus.UP:
            exact(flow, vm)
            flow.stop(vm)
        exact(flow)
        assert flow.neutron.call("GET", f"ports/{stranger['id']}")["port"] == before


@pytest.mark.parametrize("point", points("add-network"))
def test_add_network(flow: Flow, network: Any, point: str) -> None:
    name = f"crash-{point.split('.')[1]}"
    killed_at(
        flow,
        point,
        lambda: flow.system.networks_service().add(
            types.Network(
                name=name,
                data_center=types.DataCenter(id=flow.data_center().id),
                vlan=types.Vlan(id=600),
                network_labels=[types.NetworkLabel(id="red")],
                external_provider=types.OpenStackNetworkProvider(id=flow.provider().id),
            )
        ),
    )

    def same_on_both_sides() -> bool:
        ours = [n for n in flow.system.networks_service().list() if n.name == name]
        theirs = flow.neutron.call("GET", f"networks?name={name}")["networks"]
        return len(ours) == len(theirs) and len(theirs) <= 1

    wait_for(same_on_both_sides, "the network is on both sides, once, or on none", 60)
    for made in flow.system.networks_service().list():
        if made.name == name:
            flow.system.networks_service().network_service(made.id).remove()
    for outside in flow.neutron.call("GET", f"networks?name={name}")["networks"]:
        flow.neutron.call("DELETE", f"networks/{outside['id']}")


@pytest.mark.parametrize("point", points("import"))
def test_import(flow: Flow, network: Any, point: str) -> None:
    name = f"import-{point.split('.')[1]}"
    outside = flow.neutron.call("POST", "networks", {"network": {"name": name, "tenant_id": "lab"}})["network"]
    service = flow.providers.provider_service(flow.provider().id).networks_service().network_service(outside["id"])
    killed_at(flow, point, lambda: service.import_(data_center=types.DataCenter(id=flow.data_center().id)))
    found = [n for n in flow.system.networks_service().list() if n.name == name]
    assert len(found) == (1 if point.endswith("after-commit") else 0), "whole, or not at all"
    for made in found:
        flow.system.networks_service().network_service(made.id).remove()
    flow.neutron.call("DELETE", f"networks/{outside['id']}")


def test_a_changed_build_goes_on(flow: Flow, network: Any, tmp_path: Path) -> None:
    """Killed in the middle of a run, started again as another version of the program."""
    source = Path(isthmus.__file__).parent
    shutil.copytree(source, tmp_path / "isthmus", ignore=shutil.ignore_patterns("__pycache__"))
    init = tmp_path / "isthmus" / "__init__.py"
    init.write_text(init.read_text().replace(isthmus.__version__, "99.0.0"))
    with flow.a_vm("crash", [network], "h1") as vm:
        killed_at(flow, "run.ports-recorded", lambda: flow.vm(vm).start(), {"PYTHONPATH": str(tmp_path)})
        assert settled(flow, vm) == types.VmStatus.UP
        exact(flow, vm)
    exact(flow)
    flow.lab.engine.stop()
    flow.lab.engine.start()
    flow.connection = flow.connect()
