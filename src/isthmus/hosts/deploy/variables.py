"""What the role is told: its variables, made from the spec. ``roles/isthmus_host`` uses these names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import pki
from .spec import InstallSpec


def inventory(spec: InstallSpec, authority: pki.Authority) -> dict[str, Any]:
    """The inventory of one host. Every text in it was checked to hold nothing that Ansible would expand."""
    connection = {
        "ansible_host": spec.address,
        "ansible_port": spec.ssh_port,
        "ansible_user": spec.user,
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_ssh_private_key_file": str(authority.ssh_key_path.resolve()),
    }
    variables = {
        "isthmus_host_id": spec.host_id,
        "isthmus_authority": str(authority.directory.resolve()),
        "isthmus_ca": authority.ca_pem.decode(),
        "isthmus_certificate_name": pki.host_name(spec.host_id),
        "isthmus_certificate_seconds": int(pki.HOST_LIFE.total_seconds() / 3),
        "isthmus_denied": sorted(authority.denied()),
        "isthmus_agent_port": spec.agent_port,
        "isthmus_engine_addresses": list(spec.engine_addresses),
        "isthmus_package_source": spec.package_source,
        "isthmus_proxy": spec.proxy,
        "isthmus_l2": spec.l2_agent is not None,
        "isthmus_binding_host": spec.binding_host,
    }
    if spec.l2_agent is not None:
        variables |= {
            "isthmus_transport_url": spec.l2_agent.broker.transport_url,
            "isthmus_mappings": dict(spec.l2_agent.mappings),
            "isthmus_polling_interval": spec.l2_agent.polling_interval,
            "isthmus_report_interval": spec.l2_agent.report_interval,
            "isthmus_tunnel_address": spec.l2_agent.tunnel_address,
        }
    return {"all": {"hosts": {"host": connection | variables}}}


def ssh_arguments(spec: InstallSpec, known_hosts: Path) -> str:
    """Nothing of the engine user's own SSH configuration, agent or keys, and no host but the one that was
    seen.
    """
    key_type = spec.host_key.type
    algorithms = "rsa-sha2-512,rsa-sha2-256" if key_type == "ssh-rsa" else key_type
    options = {
        "ControlMaster": "auto",
        "ControlPersist": "60s",
        "BatchMode": "yes",
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(known_hosts),
        "GlobalKnownHostsFile": "/dev/null",
        "HostKeyAlgorithms": algorithms,
        "PreferredAuthentications": "publickey",
        "ServerAliveInterval": "10",
        "ServerAliveCountMax": "3",
    }
    return "-F /dev/null " + " ".join(f"-o {name}={value}" for name, value in options.items())


def known_hosts(spec: InstallSpec) -> str:
    return spec.host_key.known_hosts_line(spec.address, spec.ssh_port) + "\n"


def secrets(spec: InstallSpec) -> list[str]:
    """What must not be seen in a step, longest first."""
    if spec.l2_agent is None:
        return []
    broker = spec.l2_agent.broker
    return [text for text in (broker.transport_url, broker.password) if text] if broker.password else []
