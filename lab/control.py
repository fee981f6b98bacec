"""The control container: Neutron, its database and broker, a DHCP agent, the hosts' NICs, the packages."""

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from lab import nic
from lab.containers import Container
from lab.errors import LabError
from lab.network import CONTROL, HOSTS, MANAGEMENT
from lab.nic import Member
from lab.state import State
from lab.waiting import wait_until

FILES = Path(__file__).parent / "files" / "control"
NEUTRON_PORT = 9696
BROKER_PORT = 5672
PACKAGES_PORT = 8080
BROKER_USER = "neutron"
UNITS = ("lab-neutron-server", "lab-linuxbridge-agent", "lab-dhcp-agent", "lab-packages")
NIC_UNITS = ("lab-ovsdb", "lab-vswitchd", "lab-nics", "lab-vlans")


def furnish(container: Container, state: State) -> None:
    """Write the configuration into a fresh control container. Files under `files/control` are its /etc, /usr, ..."""
    values = {
        "address": state.address(MANAGEMENT[CONTROL]),
        "broker_user": BROKER_USER,
        "broker_password": state.broker_password,
        "mappings": nic.mappings(state.vlan_devices),
        "name": CONTROL,
    }
    for path in sorted(FILES.rglob("*")):
        if path.is_file():
            mode = 0o755 if path.read_bytes().startswith(b"#!") else 0o644
            text = path.read_text()
            if mode == 0o644:
                text = Template(text).substitute(values)
            container.write(str(path.relative_to(FILES)), text, mode)
    members = [Member(CONTROL, 0), *(Member(name, i + 1) for i, name in enumerate(HOSTS))]
    container.write("/usr/local/lib/lab/nics", "#!/bin/sh\n" + nic.switch_script(members), 0o755)
    container.write("/etc/hostname", f"{CONTROL}\n")
    units = UNITS if state.vlan_devices else (*UNITS, *NIC_UNITS)
    for unit in units:
        container.link(
            f"/etc/systemd/system/multi-user.target.wants/{unit}.service", f"/etc/systemd/system/{unit}.service"
        )


@dataclass(frozen=True)
class Neutron:
    """The lab's Neutron, as its users see it and as its operator treats it."""

    container: Container
    url: str
    """Published on the loopback interface."""

    def get(self, path: str, timeout: float = 10) -> dict[str, Any]:
        """The answer to a GET, such as `/v2.0/agents`.

        :raises OSError: when Neutron does not answer, or answers with an error.
        """
        return self._call("GET", path, None, timeout)

    def post(self, path: str, body: dict[str, Any], timeout: float = 60) -> dict[str, Any]:
        """The answer to a POST. Neutron without authentication wants a `tenant_id` in what is created.

        :raises OSError: when Neutron does not answer, or answers with an error.
        """
        return self._call("POST", path, body, timeout)

    def delete(self, path: str, timeout: float = 60) -> None:
        """Delete, such as `/v2.0/ports/ID`.

        :raises OSError: when Neutron does not answer, or answers with an error.
        """
        self._call("DELETE", path, None, timeout)

    def _call(self, method: str, path: str, body: dict[str, Any] | None, timeout: float) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - our own http URL
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
            content = answer.read()
        decoded: dict[str, Any] = json.loads(content) if content else {}
        return decoded

    def agents_alive(self) -> set[tuple[str, str]]:
        """(binary, host) of every agent that Neutron hears from."""
        return {
            (agent["binary"], agent["host"])
            for agent in self.get("/v2.0/agents?fields=binary&fields=host&fields=alive")["agents"]
            if agent["alive"]
        }

    def wait(self, seconds: float) -> None:
        """Return once the API answers and the control container's own agents are alive."""
        ours = {("neutron-linuxbridge-agent", CONTROL), ("neutron-dhcp-agent", CONTROL)}

        def ready() -> bool:
            if missing := ours - self.agents_alive():
                raise LabError(f"not alive yet: {', '.join(sorted(binary for binary, _ in missing))}")
            return True

        wait_until(
            ready,
            seconds,
            "Neutron and its DHCP agent",
            interval=0.3,
            hint="see 'python -m lab shell control journalctl -u lab-neutron-server'",
        )

    def stop(self) -> None:
        self.container.run(["systemctl", "stop", "lab-neutron-server"], timeout=120)

    def start(self) -> None:
        """Start the server; returns once it answers."""
        self.container.run(["systemctl", "start", "lab-neutron-server"])
        wait_until(lambda: self.get("/v2.0/networks?limit=1"), 120, "Neutron to answer", interval=0.3)

    def drop_packets(self) -> None:
        """Let packets to the API vanish, as a firewall does; connections that exist go silent too."""
        self.restore()
        self.container.run(["iptables", "-w", "-I", "INPUT", *_TO_API, "-j", "DROP"])

    def restore(self) -> None:
        """Undo `drop_packets`; fine when there is nothing to undo."""
        while (
            self.container.run(["iptables", "-w", "-D", "INPUT", *_TO_API, "-j", "DROP"], check=False).returncode == 0
        ):
            pass


_TO_API = ("-p", "tcp", "--dport", str(NEUTRON_PORT))
