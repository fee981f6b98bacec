"""Making a host out of a bare Debian that answers SSH: packages, certificate, firewall, our agent, the L2
agent.

The work is an Ansible role that an admin can read, ``roles/isthmus_host``. It runs in a process of its own,
which ends, and removes what it wrote on the engine's disk, when the engine ends. A second run changes
nothing; a run that was cut short, or failed, is simply run again: what is done already is left alone.
"""

from .install import install
from .spec import (
    Broker,
    BrokerType,
    InstallFailed,
    InstallResult,
    InstallSpec,
    L2Agent,
    Part,
    SpecError,
    Step,
    StepStatus,
    parse_mappings,
)

__all__ = [
    "Broker",
    "BrokerType",
    "InstallFailed",
    "InstallResult",
    "InstallSpec",
    "L2Agent",
    "Part",
    "SpecError",
    "Step",
    "StepStatus",
    "install",
    "parse_mappings",
]
