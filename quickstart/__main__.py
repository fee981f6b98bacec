"""``python -m quickstart``: see the package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ovirtsdk4 as sdk
import requests

from quickstart import hosts, network, provider, vms
from quickstart.screen import Screen
from quickstart.site import QuickstartError, Site

CHECKOUT = Path(__file__).resolve().parents[1]
PLACE = Path(os.environ.get("ISTHMUS_LAB", CHECKOUT)).resolve()
"""Whose lab: this checkout's, or that of the directory named."""
LAB = PLACE / ".lab"
TAIL = 25
"""Lines of a log that are shown when a step fails."""


def story(screen: Screen) -> Site:
    subprocess.run([sys.executable, "-m", "lab", "--checkout", PLACE, "up"], cwd=CHECKOUT, check=True)
    site = Site.at(LAB)

    screen.point(1, "A provider is added and tested, its networks are discovered, one is imported")
    neutron = provider.add(site, screen)
    provider.test(site, screen, neutron)
    provider.discover(site, screen, neutron)

    screen.point(2, f"Network {network.NAME} is made on Neutron through us: VLAN {network.VLAN}, label {network.LABEL}")
    network.add(site, screen, neutron)
    network.add_subnet(site, screen, neutron)
    network.let_ping_in(site, screen, network.show(site, screen))

    screen.point(3, "Two bare hosts are added and installed")
    hosts.add(site, screen, neutron)
    hosts.watch(site, screen)
    hosts.show(site, screen)

    screen.point(4, "Two VMs start, one on each host")
    first = vms.add(site, screen, "quick1", "h1", ping="neighbours")
    vms.start(site, screen, first)
    second = vms.add(site, screen, "quick2", "h2", ping=first.address)
    vms.start(site, screen, second)
    guests = [first, second]
    vms.show_wiring(site, screen, guests)

    screen.point(5, f"The guests get addresses and ping each other over VLAN {network.VLAN}")
    vms.show_pings(site, screen, guests)
    vms.show_tag(site, screen, guests)

    screen.point(6, "The VMs stop, and the ports are gone")
    vms.stop(site, screen, guests)
    return site


def show_way_on(screen: Screen, site: Site) -> None:
    given = site.variables
    lines = (
        f"\n[bold green]All of it worked[/], in {screen.seconds:.0f} s. The lab is still up.\n",
        "The API is oVirt's:",
        f"    {given['ENGINE_URL']}",
        f"    user {given['ENGINE_USER']}, password {given['ENGINE_PASSWORD']}, CA {given['ENGINE_CA']}",
        f"    Neutron's own: {given['NEUTRON_URL']}\n",
        "From a shell:",
        f"    . {LAB / 'env'}",
        '    curl --cacert "$ENGINE_CA" --user "$ENGINE_USER:$ENGINE_PASSWORD" "$ENGINE_URL/vms"',
        '    "$LAB_RUN" h1 ip -br link\n',
        "In Python: read quickstart/, it is the example. 'make lab-down' ends the lab.",
    )
    for line in lines:
        screen.console.print(line)


def show_failure(screen: Screen, what: str) -> None:
    """Which step it was, and the ends of the logs that may say why."""
    where = " - ".join(part for part in (screen.point_at, screen.step_at) if part) or "bringing the lab up"
    screen.console.print(f"\n[bold red]Failed[/]: {where}")
    screen.console.print(what, markup=False)
    engine = LAB / "logs" / "engine.log"
    if engine.exists():
        _show_log(screen, str(engine), engine.read_text(errors="replace"))
    for name in hosts.NAMES if (LAB / "run").exists() else ():
        journal = ["journalctl", "--no-pager", "--unit=isthmus-agent", f"--lines={TAIL}"]
        said = subprocess.run([LAB / "run", name, *journal], capture_output=True, text=True, timeout=60, check=False)
        _show_log(screen, f"isthmus-agent on {name}", said.stdout or said.stderr)
    screen.console.print("\nThe lab is as it was left: look at it, run 'make quickstart' again, or 'make lab-down'.")


def _show_log(screen: Screen, name: str, text: str) -> None:
    screen.console.print(f"\n[dim]--- {name}, its last lines[/]")
    screen.console.print("\n".join(text.splitlines()[-TAIL:]), markup=False)


def main() -> int:
    screen = Screen()
    try:
        site = story(screen)
    except subprocess.CalledProcessError as error:
        show_failure(screen, f"'{' '.join(map(str, error.cmd))}' ended with {error.returncode}.")
        return 1
    except (QuickstartError, sdk.Error, requests.RequestException, subprocess.TimeoutExpired) as error:
        show_failure(screen, str(error))
        return 1
    except KeyboardInterrupt:
        screen.console.print("\nInterrupted. 'make quickstart' goes on from here; 'make lab-down' ends the lab.")
        return 130
    show_way_on(screen, site)
    site.connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
