"""A bare host of the lab is made a host, with everything that can go wrong on the way.

``ISTHMUS_LAB`` names the directory of a lab that is up; without it this checkout's is used (``make lab``). The tests
follow one host's life and run in order: it begins bare, and is bare again at the end.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from isthmus.hosts.client import HostClient
from isthmus.hosts.deploy import (
    Broker,
    BrokerType,
    InstallFailed,
    InstallResult,
    InstallSpec,
    L2Agent,
    Part,
    Step,
    StepStatus,
    install,
)
from isthmus.hosts.dial import see_certificate
from isthmus.hosts.errors import Unreachable
from isthmus.hosts.pki import Authority
from isthmus.hosts.ssh import Contact, ContactError, first_contact
from isthmus.wire import agent_pb2 as pb
from lab import hosts
from lab.lab import CHECKOUT, Lab
from lab.network import CONTROL, inside
from tests.waiting import wait_for

T = TypeVar("T")
NAME = "h2"


@pytest.fixture(scope="module")
def lab() -> Lab:
    return Lab.load(Path(os.environ.get("ISTHMUS_LAB", CHECKOUT)))


def make_bare(lab: Lab, host: hosts.Host) -> None:
    host.power_off()
    shutil.rmtree(host.container.directory)
    host.container.create()
    hosts.furnish(host.container, lab.state)
    host.boot()
    host.set_password(lab.state.host_password)


@pytest.fixture(scope="module")
def host(lab: Lab) -> Iterator[hosts.Host]:
    host = lab.host(NAME)
    make_bare(lab, host)
    yield host
    make_bare(lab, host)


class Engine:
    """The engine's side: what is done here comes from where an engine of the lab would run."""

    def __init__(self, lab: Lab, host: hosts.Host, directory: Path) -> None:
        self.lab, self.host = lab, host
        self.authority = Authority(directory)
        self.steps: list[Step] = []
        self.known: Contact | None = None

    @property
    def namespace(self) -> Path:
        return self.lab.network.path(CONTROL)

    def there(self, work: Callable[[], T]) -> T:
        return inside(self.namespace, work)

    def contact(self, **changes: Any) -> Contact:
        wanted = {"password": self.lab.state.host_password, "engine_key": self.authority.ssh_key_path}
        return self.there(
            lambda: first_contact(
                self.host.address, **{**wanted, "engine_public_key": self.authority.ssh_public_key, **changes}
            )
        )

    def spec(self, **changes: Any) -> InstallSpec:
        self.known = self.known or self.contact()
        variables = self.lab.variables()
        broker = Broker(
            BrokerType.RABBIT_MQ,
            variables["BROKER_HOST"],
            int(variables["BROKER_PORT"]),
            variables["BROKER_USER"],
            variables["BROKER_PASSWORD"],
        )
        spec = InstallSpec(
            host_id="deploy-test",
            address=self.host.address,
            host_key=self.known.host_key,
            binding_host=f"{NAME}.deploy-test",
            package_source=variables["PACKAGE_SOURCE"],
            l2_agent=L2Agent(broker, {"red": "eth1"}),
        )
        return replace(spec, **changes)

    def install(self, spec: InstallSpec) -> InstallResult:
        self.steps = []
        return self.there(lambda: install(spec, self.authority, self.steps.append))

    def ended(self) -> dict[str, Step]:
        return {step.name: step for step in self.steps if step.status is not StepStatus.STARTED}

    def capabilities(self) -> pb.CapabilitiesReply:
        def ask() -> pb.CapabilitiesReply:
            client = HostClient("deploy-test", self.host.address, 54322, self.authority)
            try:
                client.hello()
                return client.capabilities()
            finally:
                client.close()

        return self.there(ask)

    def l2_agents(self) -> list[dict[str, Any]]:
        """As Neutron sees them."""
        answer = requests.get(f"{self.lab.neutron.url}/v2.0/agents", params={"host": f"{NAME}.deploy-test"}, timeout=30)
        answer.raise_for_status()
        return answer.json()["agents"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def engine(lab: Lab, host: hosts.Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Its deployments keep their private files in a place that no other engine's use (short, for SSH's socket)."""
    with tempfile.TemporaryDirectory(prefix="deploy-") as scratch, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", scratch)
        yield Engine(lab, host, tmp_path_factory.mktemp("engine") / "pki")


def private_directories() -> list[Path]:
    return list(Path(os.environ["TMPDIR"]).glob("isthmus-deploy-*"))


def exists(host: hosts.Host, path: str) -> bool:
    return host.run(["test", "-e", path], check=False).returncode == 0


# -------------------------------------------------------------------------------------------- a bare host


def test_a_wrong_password_changes_nothing(engine: Engine, host: hosts.Host) -> None:
    with pytest.raises(ContactError) as caught:
        engine.contact(password="not this one")
    assert caught.value.problem == "authentication"
    assert not exists(host, "/root/.ssh/authorized_keys")


def test_another_fingerprint_changes_nothing(engine: Engine, host: hosts.Host) -> None:
    with pytest.raises(ContactError) as caught:
        engine.contact(expected_fingerprint="SHA256:" + "A" * 43)
    assert caught.value.problem == "fingerprint"
    assert not exists(host, "/root/.ssh/authorized_keys")


def test_a_machine_with_another_key_is_not_deployed(engine: Engine) -> None:
    spec = engine.spec()
    other = replace(spec.host_key, base64=engine.authority.ssh_public_key.split()[1], type="ssh-ed25519")
    with pytest.raises(InstallFailed, match=r"(?i)host key") as caught:
        engine.install(replace(spec, host_key=other))
    assert caught.value.step == "Connect to the host"


def test_killed_in_the_middle_and_run_again(engine: Engine, host: hosts.Host, tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.write_bytes(pickle.dumps((engine.spec(), engine.authority.directory, engine.namespace)))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.deployer", str(job)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "Install packages":
            break
    wait_for(lambda: exists(host, "/usr/bin/openssl"), "the first packages to be unpacked", 300)
    process.kill()
    process.wait()
    wait_for(lambda: not private_directories(), "the orphaned runner to clean up", 60)
    assert not exists(host, "/usr/lib/isthmus-agent"), "killed too late to show anything"

    result = engine.install(engine.spec())
    assert result.changed > 0
    assert not exists(host, "/usr/sbin/policy-rc.d")
    assert host.run(["dpkg", "--audit"]).stdout == ""


def test_it_is_a_host_now(engine: Engine, host: hosts.Host) -> None:
    seen = engine.capabilities()
    assert {unit.name.removesuffix(".service") for unit in seen.units if unit.active} >= {
        "libvirtd",
        "neutron-linuxbridge-agent",
    }
    assert ("before_device_create", "50_openstacknet") in {(hook.point, hook.name) for hook in seen.hooks}
    assert seen.mappings["red"] == "eth1"
    assert {"bridge", "host-bridge"} <= set(seen.wires)
    for unit in ("libvirtd", "neutron-linuxbridge-agent", "isthmus-agent", "isthmus-firewall", "isthmus-links"):
        assert host.run(["systemctl", "is-enabled", unit]).stdout.strip() == "enabled"
    (mode,) = host.run(["stat", "-c", "%a %U", "/etc/isthmus-agent/pki/host.key"]).stdout.splitlines()
    assert mode == "600 root"


def test_its_l2_agent_is_alive_in_neutron_with_the_mapping(engine: Engine) -> None:
    (agent,) = wait_for(lambda: [a for a in engine.l2_agents() if a["alive"]], "the L2 agent to be alive", 60)
    assert agent["binary"] == "neutron-linuxbridge-agent"
    assert agent["configurations"]["interface_mappings"]["red"] == "eth1"


def test_ready_vlan_devices_are_protected_where_the_kernel_has_no_802_1q(engine: Engine, lab: Lab) -> None:
    seen = engine.capabilities()
    assert seen.vlan_8021q == lab.state.vlan_devices
    ready = [interface.name for interface in seen.interfaces if interface.name.startswith("eth1.")]
    protected = {device for network, device in seen.mappings.items() if network.startswith("red-v")}
    assert protected == (set() if seen.vlan_8021q else set(ready))
    if not seen.vlan_8021q:
        assert ready
        for device in ("eth1", *ready):
            assert "tx-checksumming: off" in engine.host.run(["ethtool", "-k", device]).stdout


def test_only_the_engine_may_call_the_agent(engine: Engine, lab: Lab) -> None:
    engine.there(lambda: see_certificate("deploy-test", engine.host.address, 54322, engine.authority, 5))

    def from_elsewhere() -> None:
        see_certificate("deploy-test", engine.host.address, 54322, engine.authority, 2)

    with pytest.raises(Unreachable) as caught:
        inside(lab.network.path("h1"), from_elsewhere)
    assert caught.value.problem == "timeout"


# ----------------------------------------------------------------------------------------------- run again


def test_a_second_run_changes_nothing(engine: Engine) -> None:
    before = engine.capabilities()
    result = engine.install(engine.spec())
    assert result.changed == 0, [step.name for step in engine.steps if step.changed]
    assert engine.capabilities().hooks == before.hooks


def test_steps_are_told_with_their_times_and_no_secret(engine: Engine, lab: Lab) -> None:
    ended = engine.ended()
    assert {"Look at the host", "Let libvirt run guests", "Enable and start the services"} <= set(ended)
    assert all(step.seconds > 0 for step in ended.values() if step.status is StepStatus.FINISHED)
    assert lab.state.broker_password not in repr(engine.steps)
    assert private_directories() == []


def test_what_an_admin_took_away_comes_back(engine: Engine, host: hosts.Host) -> None:
    host.run(["rm", "-r", "/usr/libexec/isthmus/hooks/before_device_create"])
    host.run(["systemctl", "disable", "--now", "neutron-linuxbridge-agent"])
    host.run(["nft", "flush", "ruleset"])
    engine.install(engine.spec())
    changed = {step.name for step in engine.steps if step.changed}
    assert changed == {"Unpack the agent and its hooks", "Enable and start the services"}
    assert host.run(["systemctl", "is-active", "neutron-linuxbridge-agent"]).stdout.strip() == "active"
    assert "54322" in host.run(["nft", "list", "table", "inet", "isthmus"]).stdout


def test_a_changed_mapping_is_deployed_alone(engine: Engine) -> None:
    broker = engine.spec().l2_agent
    assert broker is not None
    engine.install(engine.spec(l2_agent=replace(broker, mappings={"green": "eth1"}), parts=frozenset({Part.NETWORK})))
    assert "Let libvirt run guests" not in engine.ended()
    assert engine.capabilities().mappings["green"] == "eth1"

    def mapped() -> bool:
        mappings = [agent["configurations"]["interface_mappings"] for agent in engine.l2_agents()]
        return any("green" in each and "red" not in each for each in mappings)

    wait_for(mapped, "Neutron to know the new mapping", 60)


def test_a_mapping_to_no_interface_is_refused_by_name(engine: Engine, host: hosts.Host) -> None:
    l2_agent = engine.spec().l2_agent
    assert l2_agent is not None
    before = host.run(["cat", "/etc/neutron/plugins/ml2/linuxbridge_agent.ini"]).stdout
    with pytest.raises(InstallFailed, match="the interface eth9, mapped to physical network red, does not exist"):
        engine.install(engine.spec(l2_agent=replace(l2_agent, mappings={"red": "eth9"})))
    (failed,) = [step for step in engine.steps if step.status is StepStatus.FAILED]
    assert failed.name == "Try what the kernel can do for the L2 agent"
    assert "there are" in failed.message
    assert host.run(["cat", "/etc/neutron/plugins/ml2/linuxbridge_agent.ini"]).stdout == before


def test_a_denied_certificate_is_replaced_with_its_key(engine: Engine, host: hosts.Host) -> None:
    first = engine.install(engine.spec(parts=frozenset({Part.CERTIFICATE})))
    key = host.run(["sha256sum", "/etc/isthmus-agent/pki/host.key"]).stdout
    engine.authority.deny(first.certificate_serial)
    with pytest.raises(Unreachable, match="deny list"):
        engine.capabilities()
    second = engine.install(engine.spec(parts=frozenset({Part.CERTIFICATE})))
    assert second.certificate_serial != first.certificate_serial
    assert host.run(["sha256sum", "/etc/isthmus-agent/pki/host.key"]).stdout != key
    wait_for(lambda: reached(engine), "the agent to show its new certificate", 30)


def reached(engine: Engine) -> bool:
    try:
        engine.capabilities()
    except Unreachable:
        return False
    return True


def test_it_is_a_host_again_after_a_reboot(engine: Engine, host: hosts.Host) -> None:
    host.power_off()
    host.boot()
    wait_for(lambda: reached(engine), "the agent to answer after the reboot", 60)
    wait_for(lambda: any(agent["alive"] for agent in engine.l2_agents()), "the L2 agent to be alive", 60)
    assert "54322" in host.run(["nft", "list", "table", "inet", "isthmus"]).stdout


def test_a_cancelled_deployment_ends_at_once(engine: Engine) -> None:
    cancel = threading.Event()

    def stop(step: Step) -> None:
        cancel.set()

    with pytest.raises(InstallFailed, match="was cancelled"):
        engine.there(lambda: install(engine.spec(), engine.authority, stop, cancel))
    assert private_directories() == []
