"""Gives libvirt what it needs to run guests on this host, and tries it out. JSON on stdout."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid

LIBVIRTD = "/etc/libvirt/libvirtd.conf"
QEMU = "/etc/libvirt/qemu.conf"
BEGIN, END = "# BEGIN Isthmus\n", "# END Isthmus\n"

# Each host its own identity: the machine's would be the same for every container on it.
IDENTITY = 'host_uuid_source = "machine-id"\n'
# In a container there may be no control group to put a guest into, and no right to make device nodes for it, or to run
# it as a user of its own. Tried one after the other, so that a guest is kept apart as far as it can be here.
LADDER = (
    "",
    "cgroup_controllers = []\n",
    "cgroup_controllers = []\nnamespaces = []\n",
    'cgroup_controllers = []\nnamespaces = []\nsecurity_driver = "none"\nuser = "root"\ngroup = "root"\n'
    'stdio_handler = "file"\n',
)

GUEST = """\
<domain type='qemu'>
  <name>isthmus-probe-{id}</name><uuid>{id}</uuid>
  <memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <interface type='ethernet'><target dev='isthmus-probe'/><model type='virtio'/></interface>
    <serial type='file'><source path='/var/log/libvirt/qemu/isthmus-probe.console'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    if check and done.returncode != 0:
        sys.exit(f"{' '.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done


def put(path: str, content: str) -> bool:
    """Our block in a configuration file, at its end; an empty one is taken out. Tells whether it changed."""
    with open(path) as file:
        before = file.read()
    after = re.sub(f"{BEGIN}.*?{END}", "", before, flags=re.DOTALL)
    if content:
        after = after.rstrip("\n") + "\n" + BEGIN + content + END
    if after == before:
        return False
    with open(path + ".isthmus", "w") as file:
        file.write(after)
    os.chmod(path + ".isthmus", 0o644)
    os.replace(path + ".isthmus", path)
    return True


def started() -> float:
    """When libvirtd came up, as the clock of files has it."""
    since = run("systemctl", "show", "--property=ActiveEnterTimestampMonotonic", "--value", "libvirtd.service").stdout
    return time.time() - time.monotonic() + int(since) / 1e6


def ours(path: str) -> list[str]:
    """The settings in our block."""
    with open(path) as file:
        block = re.search(f"{BEGIN}(.*?){END}", file.read(), flags=re.DOTALL)
    return block[1].splitlines() if block else []


def a_guest_starts() -> str:
    """Empty, or what libvirt says against it."""
    guest = str(uuid.uuid4())
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as file:
        file.write(GUEST.format(id=guest))
        file.flush()
        done = run("virsh", "-q", "create", "--paused", file.name, check=False)
    if done.returncode == 0:
        run("virsh", "-q", "destroy", guest)
        return ""
    return done.stderr.strip()


def main() -> None:
    changed = put(LIBVIRTD, IDENTITY)
    run("systemctl", "enable", "--quiet", "libvirtd.service", "libvirtd.socket")
    if started() < max(os.stat(path).st_ctime for path in (LIBVIRTD, QEMU)):
        run("systemctl", "restart", "libvirtd.service")
    error = a_guest_starts()
    steps = iter(LADDER)
    while error:
        step = next(steps, None)
        if step is None:
            sys.exit(f"libvirt cannot run a guest here: {error}")
        if put(QEMU, step):
            changed = True
            run("systemctl", "restart", "libvirtd.service")
            error = a_guest_starts()
    json.dump({"changed": changed, "lacks": ours(QEMU)}, sys.stdout)


main()
