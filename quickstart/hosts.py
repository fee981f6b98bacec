"""Point 3: two bare hosts, reachable only by SSH, are added and installed before one's eyes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ovirtsdk4 import types

from quickstart.screen import Screen
from quickstart.site import QuickstartError, Site, wait_for

NAMES = ("h1", "h2")
INSTALL_SECONDS = 900
ALIVE_SECONDS = 120

_BROKEN = (types.HostStatus.INSTALL_FAILED, types.HostStatus.NON_OPERATIONAL)


def add(site: Site, screen: Screen, provider: Any) -> None:
    """Add those that are missing; the installation goes on by itself."""
    hosts = site.system.hosts_service()
    there = {host.name: host for host in hosts.list()}
    for number, name in enumerate(NAMES, 1):
        address, password = site.variables[f"HOST{number}"], site.variables["HOST_PASSWORD"]
        if name not in there:
            with screen.step(f"adding host {name} at {address}, by SSH as root with its password"):
                hosts.add(
                    types.Host(
                        name=name,
                        address=address,
                        root_password=password,
                        cluster=types.Cluster(name="Default"),
                        external_network_provider_configurations=[
                            types.ExternalNetworkProviderConfiguration(
                                external_network_provider=types.ExternalProvider(id=provider.id)
                            )
                        ],
                    )
                )
        elif there[name].status in _BROKEN:
            with screen.step(f"installing host {name} again: it is {there[name].status.value}"):
                hosts.host_service(there[name].id).install(root_password=password)
        elif there[name].status == types.HostStatus.MAINTENANCE:
            hosts.host_service(there[name].id).activate()
        else:
            screen.note(f"host {name} is there from an earlier run")


def watch(site: Site, screen: Screen) -> None:
    """Show each step of the installations as it ends, until the hosts are up."""
    hosts = site.system.hosts_service()
    shown: set[str] = set()
    if all(host.status == types.HostStatus.UP for host in hosts.list() if host.name in NAMES):
        return

    def look(now: Callable[[str], None]) -> bool:
        found = [host for host in hosts.list() if host.name in NAMES]
        now("; ".join(_show_steps(site, screen, shown)))
        for host in found:
            if host.status in _BROKEN:
                raise QuickstartError(f"host {host.name} is {host.status.value}: {host.status_detail}")
        return all(host.status == types.HostStatus.UP for host in found)

    with screen.step("installing") as now:
        wait_for(lambda: look(now), "the hosts are up", INSTALL_SECONDS, every=1)


def _show_steps(site: Site, screen: Screen, shown: set[str]) -> list[str]:
    """Those that have ended since the last look, of the newest installation of each host.

    Given are those that go on.
    """
    jobs = site.system.jobs_service()
    listed = jobs.list()
    going_on = []
    for name in NAMES:
        job = next((j for j in listed if (j.description or "").startswith(f"Installing host {name}")), None)
        for step in jobs.job_service(job.id).steps_service().list() if job else ():
            if step.end_time is None:
                going_on.append(f"{name}: {step.description}")
            elif step.id not in shown:
                shown.add(step.id)
                took = (step.end_time - step.start_time).total_seconds()
                word = "" if step.status == types.StepStatus.FINISHED else f"{step.status.value.upper()}: "
                screen.note(f"{name}  {took:5.1f} s  {word}{step.description}")
    return going_on


def show(site: Site, screen: Screen) -> None:
    """What is on each host now, seen there; and its L2 agent as Neutron sees it."""
    rows = []
    for name in NAMES:
        with screen.step(f"waiting until Neutron sees the L2 agent of {name}"):
            agent = wait_for(
                lambda name=name: next(  # type: ignore[misc]
                    (a for a in site.neutron.get("agents", host=name) if a["alive"]), None
                ),
                f"the L2 agent of {name} is alive",
                ALIVE_SECONDS,
            )
        services = site.on(name, "systemctl", "is-active", "libvirtd", "isthmus-agent", "neutron-linuxbridge-agent")
        libvirt, ours, bridge = services.split()
        mappings = agent["configurations"]["interface_mappings"]
        hooks = site.on(name, "find", "/usr/libexec/isthmus/hooks", "-name", "*openstacknet*").split()
        if not hooks:
            raise QuickstartError(f"host {name} has no openstacknet hook")
        rows.append((name, libvirt, ours, bridge, ",".join(f"{k}:{v}" for k, v in mappings.items()), str(len(hooks))))
    screen.table(("host", "libvirt", "our agent", "Linux bridge agent", "mappings", "openstacknet hooks"), *rows)
