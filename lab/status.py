"""What runs of a lab and what does not."""

from dataclasses import dataclass

from lab.errors import LabError
from lab.lab import Lab
from lab.network import CONTROL


@dataclass(frozen=True)
class Part:
    name: str
    up: bool
    detail: str


def parts(lab: Lab) -> list[Part]:
    """Every part of the lab, asked now."""
    return [_control(lab), _neutron(lab), *(_host(lab, host.name) for host in lab.hosts), _relay(lab), _engine(lab)]


def _control(lab: Lab) -> Part:
    leader = lab.control.leader()
    return Part(CONTROL, leader is not None, f"process {leader.pid}" if leader else "its container does not run")


def _neutron(lab: Lab) -> Part:
    try:
        alive = lab.neutron.agents_alive()
    except OSError as error:
        return Part("neutron", False, f"{lab.neutron.url}: {error}")
    agents = ", ".join(f"{binary} on {host}" for binary, host in sorted(alive))
    return Part("neutron", True, f"{lab.neutron.url}; alive: {agents or 'no agent'}")


def _host(lab: Lab, name: str) -> Part:
    host = lab.host(name)
    if not host.is_on:
        return Part(name, False, "powered off")
    try:
        host.wait(0)
    except LabError as error:
        return Part(name, False, str(error))
    return Part(name, True, f"{host.address}, SSH answers")


def _relay(lab: Lab) -> Part:
    process = lab.state.processes.get("relay")
    up = process is not None and process.alive
    ports = ", ".join(f"{name} on {port}" for name, port in lab.state.ports.items())
    return Part("relay", up, f"127.0.0.1: {ports}")


def _engine(lab: Lab) -> Part:
    if lab.engine.process is None:
        return Part("engine", False, "stopped; 'python -m lab engine start'")
    try:
        healthy = lab.engine.healthy()
    except (OSError, LabError) as error:
        return Part("engine", False, f"{lab.engine.url}: {error}")
    return Part("engine", healthy, lab.engine.url)
