"""How long a VM takes to start, with 1, 3 and 10 NICs, on the lab that is up (``make bench``).

Three ways, in turn in one run so that the machine's moods meet them alike:

- *Isthmus*: start by the API to resumed (the guest's status is up), and to the guest's first answered ping;
- the *floor*: the same bulk POST, libvirt and resume by a script on the host, without any engine;
- the *port calls alone*: ours, and oVirt's way (for each NIC: list every port, show the network, create one port).

Figures are medians in seconds; ratios are to the floor.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ovirtsdk4 import types
from rich.console import Console
from rich.table import Table

from lab.lab import CHECKOUT, Lab
from tests.e2e.flow import Flow, wait_for

ROUNDS = int(os.environ.get("ISTHMUS_BENCH_ROUNDS", "5"))
NICS = (1, 3, 10)
NETWORK, VLAN = "red-500", 500
SCRIPT = "/run/isthmus-bench.py"


class Bench:
    def __init__(self, flow: Flow, console: Console) -> None:
        self.flow = flow
        self.console = console
        self.network = flow.network(NETWORK, VLAN)
        flow.ready_hosts("h1")
        self.outside = flow.outside(NETWORK)
        self.target = wait_for(self._dhcp, "the DHCP agent's port on the network")
        flow.lab.run("h1", ["tee", SCRIPT], input=(Path(__file__).parent / "on_host.py").read_text())

    def _dhcp(self) -> str:
        ports = self.flow.neutron.ports(network_id=self.outside["id"], device_owner="network:dhcp")
        return str(ports[0]["fixed_ips"][0]["ip_address"]) if ports else ""

    def isthmus(self, nics: int) -> dict[str, float]:
        flow = self.flow
        with flow.a_vm("bench", [self.network] * nics, "h1", ping=self.target, more="g.iv=0.05") as vm:
            seen: list[str] = []
            console = f"/var/log/isthmus-agent/console/{vm.id}.log"
            watch = threading.Thread(
                target=lambda: seen.append(flow.lab.run("h1", ["python3", SCRIPT, "ping", console], timeout=180).stdout)
            )
            watch.start()
            began = time.time()
            flow.vm(vm).start()
            wait_for(lambda: flow.status(vm) == types.VmStatus.UP, "the VM is up", 120, every=0.02)
            resumed = time.time() - began
            watch.join()
            result = {"resumed": resumed, "ping": float(seen[0]) - began}
            flow.stop(vm)
            wait_for(lambda: not flow.neutron.ports(device_id=vm.id), "its ports are gone", 60)
        return result

    def floor(self, nics: int) -> dict[str, float]:
        files = self.flow.on("h1", "sh", "-c", "ls -S /var/lib/isthmus-agent/files | head -2").split()
        kernel, initrd = (f"/var/lib/isthmus-agent/files/{name}" for name in self._kernel_first(files))
        job = {
            "neutron": self.flow.variables["NEUTRON_INTERNAL_URL"],
            "network": self.outside["id"],
            "project": self.outside["project_id"],
            "host": "h1",
            "nics": nics,
            "kind": "qemu",
            "kernel": kernel,
            "initrd": initrd,
            "cmdline": f"console=ttyS0 panic=1 quiet g.dhcp=1 g.ping={self.target} g.iv=0.05",
        }
        done = self.flow.lab.run("h1", ["python3", SCRIPT, "floor", json.dumps(job)], timeout=300)
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def _kernel_first(self, files: list[str]) -> tuple[str, str]:
        """The agent keeps files by checksum: which of the two is the kernel?"""
        from isthmus.hosts.client import file_sum

        kernel = file_sum(Path(self.flow.variables["GUEST_KERNEL"]))[0]
        initrd = file_sum(Path(self.flow.variables["GUEST_INITRD"]))[0]
        assert {kernel, initrd} <= set(files), "the host has the guest's files after a first start"
        return kernel, initrd

    def calls(self, nics: int, *, ovirt: bool) -> float:
        """The port calls alone, timed on this machine."""
        neutron = self.flow.neutron
        wish: dict[str, Any] = {
            "network_id": self.outside["id"],
            "tenant_id": self.outside["project_id"],
            "device_owner": "compute:bench",
            "binding:host_id": "h1",
        }
        began, made = time.time(), []
        if ovirt:
            for _ in range(nics):
                neutron.ports()
                neutron.call("GET", f"networks/{self.outside['id']}")
                made.append(neutron.call("POST", "ports", {"port": wish})["port"]["id"])
        else:
            neutron.call("GET", f"networks?id={self.outside['id']}&fields=id&fields=project_id")
            for start in range(0, nics, 8):
                some = [wish] * min(8, nics - start)
                made += [p["id"] for p in neutron.call("POST", "ports", {"ports": some})["ports"]]
            neutron.call("GET", "ports?" + "&".join(f"id={i}" for i in made))
        took = time.time() - began
        for port in made:
            neutron.call("DELETE", f"ports/{port}")
        return took


def median(rows: list[dict[str, float]], name: str) -> float:
    return statistics.median(row[name] for row in rows)


def main() -> int:
    console = Console(width=150)
    bench = Bench(Flow(Lab.load(CHECKOUT)), console)
    console.print(f"{ROUNDS} rounds; guests are emulated; one warm-up")
    bench.isthmus(1)
    table = Table(title="VM start on Linux bridge, VLAN 500 (medians, seconds; ratio to the floor)")
    for head in (
        "NICs",
        "Isthmus: resumed",
        "Isthmus: first ping",
        "floor: resumed",
        "floor: first ping",
        "port calls: ours",
        "port calls: oVirt's way",
    ):
        table.add_column(head, justify="right")
    for nics in NICS:
        ours, floors, mine, theirs = [], [], [], []
        for number in range(ROUNDS):
            console.print(f"{nics} NICs, round {number + 1}", style="dim")
            ours.append(bench.isthmus(nics))
            floors.append(bench.floor(nics))
            mine.append(bench.calls(nics, ovirt=False))
            theirs.append(bench.calls(nics, ovirt=True))
        resumed, ping = median(floors, "resumed"), median(floors, "ping")
        calls = statistics.median(mine)
        table.add_row(
            str(nics),
            f"{median(ours, 'resumed'):.2f} ({median(ours, 'resumed') / resumed:.2f}x)",
            f"{median(ours, 'ping'):.2f} ({median(ours, 'ping') / ping:.2f}x)",
            f"{resumed:.2f}",
            f"{ping:.2f}",
            f"{calls:.2f} ({calls / resumed:.2f}x)",
            f"{statistics.median(theirs):.2f} ({statistics.median(theirs) / resumed:.2f}x)",
        )
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
