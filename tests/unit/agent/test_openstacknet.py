"""Our own openstacknet hook, run as the agent runs it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import isthmus.agent
from isthmus.agent.domain import interface, settle_interface
from isthmus.agent.hooks import HookFailed, Hooks, Properties
from isthmus.agent.launch import hook_facts

from .orders import PORT, port_nic
from .test_domain import RECORD

TREE = Path(isthmus.agent.__file__).parent / "openstacknet"
DEVICE = ET.tostring(interface(port_nic(), RECORD), encoding="unicode")


@pytest.fixture
def hooks(tmp_path: Path) -> Hooks:
    return Hooks((TREE,), 10.0, tmp_path)


def test_a_linux_bridge_port_is_left_to_be_plugged(hooks: Hooks) -> None:
    facts = hook_facts(port_nic(security_groups="a,b"))
    assert facts == {
        "vnic_id": PORT,
        "provider_type": "OPENSTACK_NETWORK",
        "plugin_type": "LINUX_BRIDGE",
        "security_groups": "a,b",
    }
    outcome = hooks.run_xml("before_device_create", DEVICE, Properties(vm="v", fixed=facts))
    root = settle_interface(outcome.data, RECORD)
    assert root.get("type") == "ethernet"
    assert root.find("source") is None
    assert root.find("target").get("dev") == f"tap{PORT}"[:14]  # type: ignore[union-attr]
    assert root.find("model").get("type") == "virtio"  # type: ignore[union-attr]


def test_other_devices_are_left_alone(hooks: Hooks) -> None:
    assert hooks.run_xml("before_device_create", DEVICE, Properties(vm="v")).data == DEVICE


def test_another_plug_in_type_is_refused_by_name(hooks: Hooks) -> None:
    facts = hook_facts(port_nic(plugin_type="MIDONET"))
    with pytest.raises(HookFailed, match="plug-in type 'MIDONET' is not known"):
        hooks.run_xml("before_device_create", DEVICE, Properties(vm="v", fixed=facts))


def test_test_mode() -> None:
    script = TREE / "before_device_create" / "50_openstacknet"
    done = subprocess.run([str(script), "--test"], capture_output=True, text=True, check=True)
    assert 'type="ethernet"' in done.stdout
    assert 'dev="tap6f4a5ab4-1a"' in done.stdout
