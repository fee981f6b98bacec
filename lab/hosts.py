"""Hosts: bare Debian systems that answer SSH, each in a container."""

import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from lab.containers import Container
from lab.network import MANAGEMENT
from lab.state import State
from lab.waiting import wait_until

SSH_PORT = 22


def furnish(container: Container, state: State) -> None:
    """Give a fresh host what makes it this host: its names and SSH keys."""
    name = container.name
    container.write("/etc/hostname", f"{name}\n")
    container.write(
        "/etc/hosts",
        f"127.0.0.1 localhost\n::1 localhost\n{state.address(MANAGEMENT[name])} {name}\n",
    )
    container.write("/etc/machine-id", f"{uuid.uuid4().hex}\n")
    keys: dict[str, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey] = {
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
        "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    }
    for kind, secret in keys.items():
        private = secret.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        public = secret.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        container.write(f"/etc/ssh/ssh_host_{kind}_key", private.decode(), 0o600)
        container.write(f"/etc/ssh/ssh_host_{kind}_key.pub", f"{public.decode()} root@{name}\n")
    container.write("/etc/ssh/sshd_config.d/lab.conf", "PermitRootLogin yes\nPasswordAuthentication yes\nUseDNS no\n")
    # In a container systemd may not see that a user's session is gone, and new logins would wait for it.
    container.write("/etc/systemd/system/user@.service.d/lab.conf", "[Service]\nTimeoutStopSec=1s\n")


@dataclass(frozen=True)
class Host:
    """One host of the lab, treated as an operator treats a machine."""

    container: Container
    address: str

    @property
    def name(self) -> str:
        return self.container.name

    def run(
        self, argv: Sequence[str], *, input: str | None = None, timeout: float = 60, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a program there as root, without SSH: also on a host that is cut off."""
        return self.container.run(argv, input=input, timeout=timeout, check=check)

    @property
    def is_on(self) -> bool:
        return self.container.leader() is not None

    def power_off(self) -> None:
        """Pull the plug; returns when nothing of the host runs any more."""
        self.container.kill()

    def boot(self) -> None:
        """Power on and wait for SSH; the disk is as it was. Fine when it is on."""
        self.start()
        self.wait(60)

    def start(self) -> None:
        if not self.is_on:
            self.container.network.clear_leftovers(self.name)
        self.container.boot()

    def cut_off(self) -> None:
        """Take out the management cable: alive, its guests on their networks, but nobody can talk to it."""
        self.container.network.cut(self.name)

    def restore(self) -> None:
        """Put the management cable back."""
        self.container.network.join(self.name)

    def wait(self, seconds: float) -> None:
        """Return once SSH answers, asked from the control network."""
        wait_until(self._greeted, seconds, f"SSH on {self.name} ({self.address})", hint=f"see {self.container.log}")

    def set_password(self, password: str) -> None:
        """Let root in over SSH with this password."""
        self.run(["chpasswd"], input=f"root:{password}\n")

    def _greeted(self) -> bool:
        with self.container.network.connect(self.address, SSH_PORT, 2) as connection:
            return connection.recv(4) == b"SSH-"
