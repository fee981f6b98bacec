"""Sees that services are enabled, run, and were started after the last change of what they read. JSON in
and out.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any


def run(*argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def holds(argv: list[str]) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def state(unit: str) -> dict[str, str]:
    names = "ActiveState,SubState,ActiveEnterTimestampMonotonic,FragmentPath,DropInPaths,Result,NRestarts"
    return dict(line.split("=", 1) for line in run("systemctl", "show", f"--property={names}", unit).splitlines())


def started(seen: dict[str, str]) -> float:
    """When it came up, as the clock of files has it; 0 when it does not run."""
    if seen["ActiveState"] != "active":
        return 0.0
    return time.time() - time.monotonic() + int(seen["ActiveEnterTimestampMonotonic"]) / 1e6


def newest(files: list[str]) -> float:
    return max((os.stat(path).st_ctime for path in files if os.path.exists(path)), default=0.0)


def listens(port: int) -> bool:
    return run("ss", "-Hltn", f"sport = :{port}") != ""


def fail(unit: str, problem: str) -> None:
    log = run("journalctl", "--unit", unit, "--lines=12", "--no-pager", "--output=cat", check=False)
    sys.exit(f"{unit} {problem}. Its log ends with:\n{log}")


def settle(service: dict[str, Any]) -> None:
    """Wait until the service runs, and has not just failed and been started again."""
    unit, port = service["unit"], service.get("port")
    end = time.monotonic() + 30
    first = state(unit)
    while True:
        seen = state(unit)
        if seen["ActiveState"] == "failed" or seen["NRestarts"] != first["NRestarts"]:
            fail(unit, f"does not stay up ({seen['Result']})")
        if seen["ActiveState"] == "active" and (port is None or listens(port)):
            return
        if time.monotonic() > end:
            waited = f"does not listen on port {port}" if seen["ActiveState"] == "active" else "does not come up"
            fail(unit, waited)
        time.sleep(0.1)


def main() -> None:
    services = json.loads(sys.argv[1])
    changed: list[str] = []
    run("systemctl", "daemon-reload")
    for service in services:
        unit = service["unit"]
        if run("systemctl", "is-enabled", unit, check=False) != "enabled":
            run("systemctl", "enable", "--quiet", unit)
            changed.append(f"{unit} enabled")
        seen = state(unit)
        files = [*service["files"], seen["FragmentPath"], *seen["DropInPaths"].split()]
        gone = "check" in service and not holds(service["check"])
        if gone or started(seen) < newest(files):
            run("systemctl", "reset-failed", unit, check=False)
            if not holds(["systemctl", "restart", unit]):
                fail(unit, "does not start")
            changed.append(f"{unit} started")
    for service in services:
        settle(service)
    json.dump({"changed": changed}, sys.stdout)


main()
