"""Says what the deployment must know of the host before it begins: JSON in the argument and on stdout."""

import fcntl
import json
import os
import subprocess
import sys
import time

LOCK = "/var/lib/dpkg/lock-frontend"
LOCK_SECONDS = 600.0


def wait_for_packages() -> None:
    """Until no other program installs packages: perhaps a deployment that was cut short, whose apt goes on here."""
    end = time.monotonic() + LOCK_SECONDS
    with open(LOCK, "a") as lock:
        while True:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > end:
                    sys.exit(f"another program has held {LOCK} for {LOCK_SECONDS:g} s: see what installs packages here")
                time.sleep(0.5)
            else:
                return


def missing(packages: list[str]) -> list[str]:
    shown = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Status}\n", *packages],
        capture_output=True,
        text=True,
        check=False,  # fails when it does not know a package, which is what we want to learn
    ).stdout
    there = {line.split()[0].partition(":")[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in there]


def connection() -> list[str]:
    """The two ends of the SSH connection that this comes through: engine, its port, this host, our port."""
    process = os.getpid()
    while process > 1:  # sudo may have taken it out of our own environment
        with open(f"/proc/{process}/environ", "rb") as file:
            for variable in file.read().split(b"\0"):
                if variable.startswith(b"SSH_CONNECTION="):
                    return variable.partition(b"=")[2].decode().split()
        with open(f"/proc/{process}/stat") as file:
            process = int(file.read().rpartition(")")[2].split()[1])
    sys.exit("this does not run over SSH")


def interrupted() -> bool:
    """Was a deployment cut short while it installed packages? What it put down for that time is still there."""
    try:
        with open("/usr/sbin/policy-rc.d") as file:
            return "deployment of Isthmus" in file.read()
    except FileNotFoundError:
        return os.path.exists("/etc/apt/apt.conf.d/81isthmus-install")


def main() -> None:
    wanted = json.loads(sys.argv[1])
    wait_for_packages()
    engine, _port, address, _port = connection()
    half_installed = bool(os.listdir("/var/lib/dpkg/updates")) or bool(
        subprocess.run(["dpkg", "--audit"], capture_output=True, check=True).stdout
    )
    json.dump(
        {
            "engine": engine,
            "address": address,
            "missing_packages": missing(wanted["packages"]),
            "packages_half_installed": half_installed,
            "interrupted": interrupted(),
        },
        sys.stdout,
    )


main()
