"""The lab itself: it comes up, is what it says, and leaves nothing behind. It is a spare one, beside any other lab."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest

from lab import packages, probes
from lab.cache import VARIABLE, Cache
from lab.errors import LabError
from lab.lab import CHECKOUT, Lab
from lab.network import CONTROL, HOSTS
from lab.process import find, tagged
from lab.progress import Progress
from lab.state import REGISTRY, Place, State
from lab.waiting import wait_until

UP = ("up", "--no-engine")


def command(checkout: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "lab", "--checkout", str(checkout), *arguments]


def call(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(checkout, *arguments), cwd=CHECKOUT, capture_output=True, text=True, timeout=600, check=False
    )


def traces(checkout: Path) -> list[str]:
    """What is left of a checkout's lab on the machine."""
    place = Place(checkout)
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(checkout) in line]
    return [
        *(f"process {process.pid}" for process in find(lambda pid: tagged(pid, place.id))),
        *(f"namespace {path}" for path in Path("/run/netns").glob(f"{place.id}-*")),
        *(f"mount {line}" for line in mounts),
        *(f"file {path}" for path in checkout.iterdir()),
        *(f"entry {path}" for path in REGISTRY.glob(f"*{place.id}*")),
        *(f"container file {path}" for path in Path("/run/systemd/nspawn").rglob(f"*{place.id}*")),
    ]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    checkout = tmp_path_factory.mktemp("lab")
    done = call(checkout, *UP)
    try:
        assert done.returncode == 0, done.stderr
        yield Lab.load(checkout)
    finally:
        Lab.down(Progress(), checkout)


def test_env_file_leads_a_shell_to_every_part(lab: Lab) -> None:
    script = (
        f". {shlex.quote(str(lab.place.env))}; $LAB_RUN h1 cat /etc/hostname; $LAB_RUN h2 hostname -I; "
        "python3 -c \"import os, urllib.request as u; print(u.urlopen(os.environ['NEUTRON_URL']).status)\"; "
        'echo "$HOST1 $HOST2 $ENGINE_USER $ENGINE_URL"; ls "$GUEST_KERNEL" "$GUEST_INITRD" >/dev/null'
    )
    said = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60, check=True).stdout
    subnet = lab.state.subnet
    port = lab.state.ports["engine"]
    assert said.split() == [
        *("h1", f"{subnet}.12", "200"),
        *(f"{subnet}.11", f"{subnet}.12", "admin@internal", f"https://localhost:{port}/ovirt-engine/api"),
    ]


def test_status_names_each_part_and_what_is_down(lab: Lab) -> None:
    said = call(lab.place.checkout, "status")
    states = {line.split()[0]: line.split()[1] for line in said.stdout.splitlines()}
    assert states == {"control": "up", "neutron": "up", "h1": "up", "h2": "up", "relay": "up", "engine": "DOWN"}
    assert said.returncode == 3


def test_up_on_a_lab_that_is_up_changes_nothing(lab: Lab) -> None:
    leaders = [lab.container(name).leader() for name in (CONTROL, *HOSTS)]
    assert call(lab.place.checkout, *UP).returncode == 0
    again = Lab.load(lab.place.checkout)
    assert [again.container(name).leader() for name in (CONTROL, *HOSTS)] == leaders
    assert again.variables() == lab.variables()


def test_up_mends_what_died(lab: Lab) -> None:
    lab.host("h2").power_off()
    relay = lab.state.processes["relay"]
    relay.kill()
    assert call(lab.place.checkout, *UP).returncode == 0
    mended = Lab.load(lab.place.checkout)
    assert mended.host("h2").is_on
    assert mended.state.ports == lab.state.ports
    assert mended.neutron.get("/v2.0/networks") == {"networks": []}


def login(lab: Lab, name: str, password: str) -> paramiko.Transport:
    transport = paramiko.Transport(lab.network.connect(lab.host(name).address, 22, 10))
    try:
        transport.connect(username="root", password=password)
    except paramiko.SSHException:
        transport.close()
        raise
    return transport


def test_hosts_are_bare_and_let_root_in_by_password(lab: Lab) -> None:
    fingerprints = set()
    for name in HOSTS:
        with contextlib.closing(login(lab, name, lab.state.host_password)) as transport:
            fingerprints.add(transport.get_remote_server_key().get_fingerprint())
        with pytest.raises(paramiko.AuthenticationException):
            login(lab, name, "not the password")
        assert lab.run(name, ["sh", "-c", "command -v qemu-system-x86_64 virsh"], check=False).stdout == ""
        assert lab.run(name, ["systemctl", "is-system-running", "--wait"]).stdout == "running\n"
    assert len(fingerprints) == len(HOSTS)


def test_hosts_install_from_the_labs_repository_alone(lab: Lab) -> None:
    source = lab.variables()["PACKAGE_SOURCE"]
    lab.run("h1", ["sh", "-ec", f"echo '{source}' > /etc/apt/sources.list.d/lab.list"])
    updated = lab.run("h1", ["apt-get", "update"])
    assert "W:" not in updated.stdout + updated.stderr
    lab.run("h1", ["apt-get", "install", "--simulate", "--no-install-recommends", *packages.PACKAGES])
    lab.run("h1", ["apt-get", "install", "-y", "--no-install-recommends", "bridge-utils"])
    assert "bridge-utils" in lab.run("h1", ["brctl", "--version"]).stdout


def test_no_device_of_the_lab_is_on_the_users_machine(lab: Lab) -> None:
    assert lab.state.complete
    assert not set(os.listdir("/sys/class/net")) & {"mgmt", "wire", "m1", "eth1", "eth1.500", "nic1"}


def test_vlan_500_reaches_the_dhcp_server_tagged(lab: Lab) -> None:
    provider = {"network_type": "vlan", "physical_network": "red", "segmentation_id": 500}
    wanted = {"tenant_id": "t", **{f"provider:{name}": value for name, value in provider.items()}}
    network = lab.neutron.post("/v2.0/networks", {"network": wanted})["network"]["id"]
    subnet = {"tenant_id": "t", "network_id": network, "cidr": "10.5.0.0/24", "ip_version": 4}
    lab.neutron.post("/v2.0/subnets", {"subnet": subnet})
    query = f"/v2.0/ports?network_id={network}&device_owner=network:dhcp&status=ACTIVE"
    wait_until(lambda: lab.neutron.get(query)["ports"], 180, "the DHCP agent's port")
    server = lab.neutron.get(query)["ports"][0]["fixed_ips"][0]["ip_address"]

    if lab.state.vlan_devices:
        lab.run("h1", ["ip", "link", "add", "link", "eth1", "name", "eth1.500", "type", "vlan", "id", "500"])
    lab.run("h1", ["ip", "address", "add", "10.5.0.250/24", "dev", "eth1.500"])
    lab.run("h1", ["ip", "link", "set", "eth1.500", "up"])
    capture = subprocess.Popen(
        lab.control.enter(["timeout", "30", "tcpdump", "-l", "-nei", "wire", "-c", "1", "vlan 500 and arp"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    noise = capture.stderr
    assert noise is not None
    wait_until(lambda: "listening" in noise.readline(), 10, "tcpdump to listen")
    wait_until(lambda: has_neighbour(lab, server), 30, f"{server} to answer on VLAN 500")
    assert "vlan 500" in capture.communicate(timeout=60)[0]

    lab.neutron.delete(f"/v2.0/networks/{network}")


def has_neighbour(lab: Lab, address: str) -> bool:
    """Whether h1, a bare host without `ping`, learns the hardware address of that one."""
    poke = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('{address}', 9))"
    lab.run("h1", ["python3", "-c", poke])
    return "lladdr" in lab.run("h1", ["ip", "neighbour", "show", address]).stdout


def test_a_host_can_be_powered_off_and_keeps_its_disk(lab: Lab) -> None:
    host = lab.host("h1")
    host.run(["sh", "-c", "echo kept > /root/note; ip link add brqleft type bridge"])
    host.power_off()
    assert not host.is_on
    with pytest.raises(LabError, match="h1 is not running"):
        host.run(["true"])
    host.boot()
    assert host.run(["cat", "/root/note"]).stdout == "kept\n"
    assert "brqleft" not in host.run(["ip", "link"]).stdout


def test_a_host_can_be_cut_off_and_joined_again(lab: Lab) -> None:
    host = lab.host("h1")
    host.cut_off()
    with pytest.raises(LabError, match="SSH on h1"):
        host.wait(1)
    assert host.run(["hostname"]).stdout == "h1\n"
    host.restore()
    host.wait(20)


def test_neutron_can_be_stopped_and_made_silent(lab: Lab) -> None:
    lab.neutron.drop_packets()
    with pytest.raises(TimeoutError):
        lab.neutron.get("/", timeout=1)
    lab.neutron.restore()
    assert lab.neutron.get("/")["versions"]
    lab.neutron.stop()
    with pytest.raises(OSError, match=r"closed|reset|refused"):
        lab.neutron.get("/")
    lab.neutron.start()
    assert lab.neutron.get("/")["versions"]


def test_the_guest_boots_and_reports(lab: Lab) -> None:
    said = probes.boot_guest(Path(lab.state.control_root), Path(lab.state.guest), "tcg", seconds=60)
    assert "GUEST-UP" in said
    assert "GUEST-PING-OK 127.0.0.1" in said
    assert "insmod" not in said


@pytest.mark.parametrize("step", ["networks on", "booting the control container", "waiting for Neutron"])
def test_down_removes_a_lab_whose_up_was_killed_and_no_other(lab: Lab, tmp_path: Path, step: str) -> None:
    up = subprocess.Popen(command(tmp_path, *UP), cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)
    try:
        assert up.stderr is not None
        for line in up.stderr:
            if step in line:
                break
        up.send_signal(signal.SIGKILL)
        up.wait()
        assert call(tmp_path, "status").returncode == 1
        other = State.load(Place(tmp_path))
        assert other is not None
        assert other.subnet != lab.state.subnet
        assert not set(other.ports.values()) & set(lab.state.ports.values())
    finally:
        done = call(tmp_path, "down")
    assert done.returncode == 0, done.stderr
    assert traces(tmp_path) == []
    assert call(tmp_path, "down").returncode == 0
    assert lab.neutron.get("/v2.0/networks")["networks"] == []
    assert lab.run("h2", ["hostname"]).stdout == "h2\n"


def test_a_first_run_that_is_killed_leaves_no_process_and_no_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(cache))
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    up = subprocess.Popen(command(checkout, *UP), cwd=CHECKOUT, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: list(cache.glob("*/var")), 60, "a root file system to begin")
    up.send_signal(signal.SIGKILL)
    up.communicate()
    assert call(checkout, "down").returncode == 0
    assert traces(checkout) == []

    def uses_cache(pid: int) -> bool:
        return str(cache).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()

    wait_until(lambda: find(uses_cache) == [], 10, "what built the cache to end")
    assert str(cache) not in Path("/proc/self/mounts").read_text()
    with Cache(cache).locked(Progress()):
        assert list(cache.glob("*/var")) == []


def test_two_commands_do_not_change_one_lab_at_once(lab: Lab) -> None:
    with lab.place.locked():
        refused = call(lab.place.checkout, "down")
    assert refused.returncode == 1
    assert "another command is changing the lab" in refused.stderr
