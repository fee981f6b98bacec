"""What scripts written for VDSM's hooks import: the domain's or device's XML, or JSON, read and written in place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from xml.dom import minidom

_DOMXML, _JSON = "_hook_domxml", "_hook_json"


def read_domxml() -> minidom.Document:
    """The domain, or at a device's point that device."""
    with open(os.environ[_DOMXML], encoding="utf-8") as file:
        return minidom.parseString(file.read())  # noqa: S318 - given by the agent


def write_domxml(document: minidom.Document) -> None:
    with open(os.environ[_DOMXML], "w", encoding="utf-8") as file:
        file.write(document.toxml())


def read_json() -> Any:
    with open(os.environ[_JSON], encoding="utf-8") as file:
        return json.load(file)


def write_json(data: Any) -> None:
    with open(os.environ[_JSON], "w", encoding="utf-8") as file:
        json.dump(data, file)


def log(message: object) -> None:
    """What a script says on stderr is in the agent's log, and in the fault when the script fails."""
    print(message, file=sys.stderr)


def exit_hook(message: object, return_code: int = 2) -> NoReturn:
    """End as failed: 2 stops the scripts that would follow, 1 lets them run."""
    log(message)
    sys.exit(return_code)


def tobool(value: object) -> bool:
    """As custom properties are meant: ``True``, ``true``, ``yes``, ``1``, ``on``."""
    if value is None:
        return False
    if isinstance(value, str):
        return value.strip().lower() in ("true", "yes", "1", "on")
    return bool(value)


def execCmd(
    command: Sequence[str],
    sudo: bool = False,  # noqa: ARG001 - the agent's hooks run as root already
    data: bytes | None = None,
    raw: bool = False,
    env: Mapping[str, str] | None = None,
    **_ignored: Any,
) -> tuple[int, Any, Any]:
    """Exit code, output, errors: as lists of lines, or as bytes when ``raw``."""
    done = subprocess.run(list(command), input=data, capture_output=True, env=env and dict(env), check=False)
    if raw:
        return done.returncode, done.stdout, done.stderr
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()
