"""Where everything is: the lab's variables, the engine's API by oVirt's SDK, Neutron's own API, and the hosts."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ovirtsdk4 as sdk
import requests

T = TypeVar("T")


class QuickstartError(Exception):
    """Something did not come out as it should; the text says what."""


def wait_for(look: Callable[[], T | None], what: str, seconds: float, every: float = 0.3) -> T:
    """The first true value of ``look``. :raises QuickstartError: when there is none in time."""
    until = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > until:
            raise QuickstartError(f"{what}: not within {seconds:g} s")
        time.sleep(every)


class Neutron:
    """Neutron's API as its administrator uses it, past the engine. The lab's has no authentication."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/v2.0"
        self._session = requests.Session()

    def get(self, kind: str, **where: str) -> list[dict[str, Any]]:
        answer = self._session.get(f"{self._url}/{kind}", params=where, timeout=30)
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()[kind.replace("-", "_")]
        return found

    def add(self, kind: str, **fields: Any) -> dict[str, Any]:
        name = kind.replace("-", "_").removesuffix("s")
        answer = self._session.post(f"{self._url}/{kind}", json={name: fields}, timeout=30)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()[name]
        return made


@dataclass(frozen=True)
class Site:
    """A lab that is up, and its engine."""

    directory: Path
    variables: dict[str, str]
    neutron: Neutron
    connection: sdk.Connection

    @classmethod
    def at(cls, directory: Path) -> Site:
        """From ``env`` in the lab's directory: lines ``export NAME=VALUE``, quoted for a shell."""
        words = shlex.split((directory / "env").read_text())
        variables = dict(word.split("=", 1) for word in words if "=" in word)
        connection = sdk.Connection(
            url=variables["ENGINE_URL"],
            username=variables["ENGINE_USER"],
            password=variables["ENGINE_PASSWORD"],
            ca_file=variables["ENGINE_CA"],
            timeout=120,
        )
        return cls(directory, variables, Neutron(variables["NEUTRON_URL"]), connection)

    @property
    def system(self) -> Any:
        return self.connection.system_service()

    def on(self, place: str, *argv: str, seconds: float = 60) -> str:
        """What a program on a host, or in the container ``control``, prints. :raises QuickstartError:"""
        done = subprocess.run(
            [self.variables["LAB_RUN"], place, *argv], capture_output=True, text=True, timeout=seconds, check=False
        )
        if done.returncode != 0:
            raise QuickstartError(f"{shlex.join(argv)} on {place} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout
