"""Runs on a lab host, under its own Python: the floor of a VM start, and the moment of a guest's first ping.

    on_host.py ping CONSOLE             prints the moment (seconds since 1970) at which the console says GUEST-PING-OK
    on_host.py floor JOB                starts a guest without any engine; JOB is JSON; prints what it took as JSON

The floor is the same work by a script: one bulk POST, the guest started paused by libvirt, its taps put on their
bridge, resumed when Neutron says that every port is ACTIVE.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from typing import Any
from xml.sax.saxutils import escape

import libvirt

PATIENCE = 120.0
Job = dict[str, Any]


def wait_ping(console: str) -> float:
    end = time.time() + PATIENCE
    while time.time() < end:
        try:
            with open(console, errors="replace") as file:
                if "GUEST-PING-OK" in file.read():
                    return time.time()
        except FileNotFoundError:
            pass
        time.sleep(0.01)
    raise SystemExit(f"no ping within {PATIENCE:g} s; the console is {console}")


def call(job: Job, method: str, path: str, body: Job | None = None) -> Any:
    request = urllib.request.Request(
        job["neutron"] + "/v2.0/" + path,
        method=method,
        data=json.dumps(body).encode() if body is not None else None,
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def domain(job: Job, ports: list[Job], console: str) -> str:
    nics = "".join(
        f"<interface type='ethernet'><mac address='{port['mac_address']}'/><target dev='{tap_of(port)}'/>"
        "<model type='virtio'/><rom enabled='no'/></interface>"
        for port in ports
    )
    return (
        f"<domain type='{job['kind']}'><name>floor</name><memory unit='MiB'>192</memory><vcpu>1</vcpu>"
        f"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{job['kernel']}</kernel>"
        f"<initrd>{job['initrd']}</initrd><cmdline>{escape(job['cmdline'])}</cmdline></os><features><acpi/></features>"
        f"<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{nics}"
        f"<serial type='file'><source path='{console}'/><target port='0'/></serial>"
        "<memballoon model='none'/></devices></domain>"
    )


def tap_of(port: Job) -> str:
    return f"tap{port['id']}"[:14]


def on_bridge(tap: str, bridge: str) -> None:
    """The L2 agent makes the bridge; its tap is put there as Isthmus' agent does it."""
    end = time.time() + PATIENCE
    while not os.path.exists(f"/sys/class/net/{bridge}/bridge"):
        if time.time() > end:
            raise SystemExit(f"no bridge {bridge}")
        time.sleep(0.01)
    subprocess.run(["ip", "link", "set", tap, "master", bridge, "up"], check=True)


def floor(job: Job) -> dict[str, float]:
    console = "/var/log/isthmus-agent/console/floor.log"
    if os.path.exists(console):
        os.unlink(console)
    connection = libvirt.open("qemu:///system")
    began = time.time()
    wish = {
        "network_id": job["network"],
        "tenant_id": job["project"],
        "device_owner": "compute:floor",
        "device_id": "floor",
        "binding:host_id": job["host"],
    }
    ports = call(job, "POST", "ports", {"ports": [wish] * job["nics"]})["ports"]
    made = time.time()
    guest = connection.createXML(domain(job, ports, console), libvirt.VIR_DOMAIN_START_PAUSED)
    try:
        for port in ports:
            on_bridge(tap_of(port), "brq" + job["network"][:11])
        query = "ports?fields=id&fields=status&" + "&".join("id=" + port["id"] for port in ports)
        while any(port["status"] != "ACTIVE" for port in call(job, "GET", query)["ports"]):
            if time.time() > made + PATIENCE:
                raise SystemExit("the ports are not ACTIVE")
            time.sleep(0.05)
        guest.resume()
        resumed = time.time()
        pinged = wait_ping(console)
    finally:
        guest.destroy()
        for port in ports:
            call(job, "DELETE", "ports/" + port["id"])
    return {"ports": made - began, "resumed": resumed - began, "ping": pinged - began}


if sys.argv[1] == "ping":
    print(wait_ping(sys.argv[2]))
else:
    print(json.dumps(floor(json.loads(sys.argv[2]))))
