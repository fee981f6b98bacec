"""Says what the deployment must know of the host before it begins: JSON in the argument and on stdout."""

import json
import os
import subprocess
import sys


def missing(packages: list[str]) -> list[str]:
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,  # fails when it does not know a package, which is what we want to learn
    ).stdout
    there = {line.split()[0].partition(":")[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in there]


def main() -> None:
    wanted = json.loads(sys.argv[1])
    # The two ends of the connection that this comes through: where the engine is, and by which address it
    # knows us.
    engine, _port, address, _port = os.environ.get("SSH_CONNECTION", "0.0.0.0 0 0.0.0.0 0").split()
    try:
        with open("/usr/sbin/policy-rc.d") as file:
            our_policy = "deployment of Isthmus" in file.read()
    except OSError:
        our_policy = False
    json.dump(
        {
            "engine": engine,
            "address": address,
            "missing_packages": missing(wanted["packages"]),
            "packages_half_installed": bool(os.listdir("/var/lib/dpkg/updates"))
            or subprocess.run(["dpkg", "--audit"], capture_output=True, check=True).stdout != b"",
            "our_policy": our_policy,
        },
        sys.stdout,
    )


main()
