"""The end of a run: the guest destroyed, its hooks run, its taps and files taken away.

A VM can always be stopped: no hook's failure holds it up.
"""

from __future__ import annotations

import logging

from .hooks import HookFailed, Properties
from .runs import Run
from .tools import Tools, nic_properties, vm_properties

logger = logging.getLogger(__name__)


def kill(tools: Tools, run: Run) -> None:
    """Destroy the guest, its hooks first. Idempotent. :raises LibvirtAway: :raises LibvirtRefused:"""
    xml = tools.hypervisor.xml(run.vm)
    if xml:
        _hooks(tools, "before_vm_destroy", xml, vm_properties(run))
        for nic, device in run.interfaces.items():
            _hooks(tools, "before_device_destroy", device, nic_properties(run, nic))
    tools.hypervisor.destroy(run.vm)


def finish(tools: Tools, run: Run) -> None:
    """After the guest is gone, however it went. Idempotent."""
    for nic, device in run.interfaces.items():
        _hooks(tools, "after_device_destroy", device, nic_properties(run, nic))
    if run.domain_xml:
        _hooks(tools, "after_vm_destroy", run.domain_xml, vm_properties(run))
    tools.wirer.remove(run.taps)
    tools.runs.remove(run.vm, run.epoch)


def _hooks(tools: Tools, point: str, xml: str, properties: Properties) -> None:
    try:
        tools.hooks.run_xml(point, xml, properties)
    except HookFailed as error:
        vm = {"vm": properties.vm}
        logger.warning("VM %s is stopped although a hook failed: %s", properties.vm, error, extra=vm)
