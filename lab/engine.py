"""The engine under test: runs from the checkout's own environment, inside the control network."""

import os
import pwd
import ssl
import sys
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.control import PACKAGES_PORT
from lab.errors import LabError
from lab.network import CONTROL, MANAGEMENT, Network
from lab.process import Process, start
from lab.state import Place, State, owner
from lab.waiting import wait_until

PORT = 8443
_NAME = "engine"


@dataclass(frozen=True)
class Engine:
    place: Place
    state: State
    network: Network

    @property
    def url(self) -> str:
        """The API's address on the loopback interface."""
        return f"https://localhost:{self.state.ports[_NAME]}/ovirt-engine/api"

    @property
    def ca(self) -> Path:
        return self.place.engine_data / "pki" / "ca.pem"

    @property
    def log(self) -> Path:
        return self.place.logs / "engine.log"

    @property
    def process(self) -> Process | None:
        """The running engine; None when it is stopped."""
        known = self.state.processes.get(_NAME)
        return known if known is not None and known.alive else None

    def start(self, env: Mapping[str, str] | None = None, wait: float = 60) -> Process:
        """Start the engine and wait until it is healthy; fine when it runs.

        :param env: further environment variables, such as failure points.
        :param wait: seconds to wait for its health; 0 not to wait, for an engine that is meant to die early.
        :raises LabError: when it ends at once or does not become healthy.
        """
        process = self.process
        if process is None:
            program = Path(sys.executable).parent / "isthmus"
            if not program.exists():
                raise LabError(f"{program} is not there; 'make venv' installs it")
            user, group = owner()
            self.place.engine_data.mkdir(mode=0o700, exist_ok=True)
            os.chown(self.place.engine_data, user, group)
            person = pwd.getpwuid(user)
            become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups"] if user != 0 else []
            address = self.state.address(MANAGEMENT[CONTROL])
            process = start(
                [
                    *("nsenter", f"--net={self.network.path(CONTROL)}", "--", *become),
                    *(str(program), "engine", "--data", str(self.place.engine_data)),
                    *("--listen", f"{address}:{PORT}"),
                ],
                tag=self.place.id,
                log=self.log,
                env={
                    "HOME": person.pw_dir,
                    "USER": person.pw_name,
                    "ISTHMUS_ADMIN_PASSWORD": self.state.engine_password,
                    "ISTHMUS_FILES": self.state.guest,
                    "ISTHMUS_PACKAGE_SOURCE": f"deb [trusted=yes] http://{address}:{PACKAGES_PORT}/ ./",
                    **(env or {}),
                },
                cwd=self.place.checkout,
            )
            self.state.processes[_NAME] = process
            self.state.save(self.place)
        if wait:
            self.wait(wait)
        return process

    def wait(self, seconds: float) -> None:
        """Return once the engine says that it is healthy."""
        wait_until(self.healthy, seconds, "the engine", interval=0.1, hint=f"see {self.log}")

    def healthy(self) -> bool:
        """Whether the engine answers over its own CA's TLS.

        :raises LabError: when its process has ended.
        :raises OSError: when it does not answer.
        """
        if self.process is None:
            raise LabError(f"the engine has ended; see {self.log}")
        if not self.ca.exists():
            return False
        context = ssl.create_default_context(cafile=str(self.ca))
        url = self.url.removesuffix("/api") + "/services/health"
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:  # noqa: S310 - our own https URL
            return bool(answer.status == 200)

    def stop(self, patience: float = 30) -> bool:
        """Ask the engine to end; False when it did not within `patience` seconds and was killed."""
        process = self.process
        ended = process is None or process.end(patience)
        self._forget()
        return ended

    def kill(self) -> None:
        """Kill the engine as a crash does; what it left running is left running."""
        if (process := self.process) is not None:
            process.kill()
        self._forget()

    def _forget(self) -> None:
        if self.state.processes.pop(_NAME, None) is not None:
            self.state.save(self.place)
