"""One lab: brought up, looked at, used and taken down."""

import concurrent.futures
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import control, guest, hosts, nic, packages, probes, relay, roots
from lab.cache import Cache, directory
from lab.containers import Container
from lab.control import Neutron
from lab.engine import PORT as ENGINE_PORT
from lab.engine import Engine
from lab.errors import LabError
from lab.hosts import Host
from lab.network import CONTROL, HOSTS, MANAGEMENT, Network, choose_subnet
from lab.process import Process, find, tagged
from lab.progress import Progress
from lab.state import Place, State, registry, write
from lab.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[1]
BOOT_SECONDS = 300


@dataclass(frozen=True)
class Lab:
    """A lab that was brought up; `Lab.load` finds it, `Lab.up` makes it."""

    place: Place
    state: State

    @classmethod
    def load(cls, checkout: Path = CHECKOUT) -> "Lab":
        """The lab of a checkout.

        :raises LabError: when it has none, or one whose `up` was cut short.
        """
        place = Place(checkout)
        state = State.load(place)
        if state is None or not state.complete:
            raise LabError(f"{checkout} has no lab that is up; 'python -m lab up' makes one")
        return cls(place, state)

    @property
    def network(self) -> Network:
        return Network(self.place, self.state)

    @property
    def control(self) -> Container:
        repository = self.state.repository
        return Container(
            self.place,
            self.network,
            CONTROL,
            Path(self.state.control_root),
            (f"--bind-ro={repository}:/srv/packages",),
        )

    def host(self, name: str) -> Host:
        if name not in HOSTS:
            raise LabError(f"there is no host {name}; the lab has {', '.join(HOSTS)}")
        binds = ("--bind=/dev/kvm",) if self.state.kvm else ()
        container = Container(self.place, self.network, name, Path(self.state.host_root), binds)
        return Host(container, self.state.address(MANAGEMENT[name]))

    @property
    def hosts(self) -> list[Host]:
        return [self.host(name) for name in HOSTS]

    @property
    def neutron(self) -> Neutron:
        return Neutron(self.control, f"http://127.0.0.1:{self.state.ports['neutron']}")

    @property
    def engine(self) -> Engine:
        return Engine(self.place, self.state, self.network)

    @property
    def guest_kernel(self) -> Path:
        return Path(self.state.guest) / "vmlinuz"

    @property
    def guest_initrd(self) -> Path:
        return Path(self.state.guest) / "initrd.gz"

    def container(self, name: str) -> Container:
        return self.control if name == CONTROL else self.host(name).container

    def run(
        self,
        name: str,
        argv: Sequence[str],
        *,
        input: str | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on a host, or in the control container, as root.

        :raises CommandFailed: on a non-zero exit code, unless `check` is off.
        """
        return self.container(name).run(argv, input=input, timeout=timeout, check=check)

    def variables(self) -> dict[str, str]:
        """What `.lab/env` tells: where everything is, and how to get in."""
        address = self.state.address(MANAGEMENT[CONTROL])
        return {
            "ENGINE_URL": self.engine.url,
            "ENGINE_USER": "admin@internal",
            "ENGINE_PASSWORD": self.state.engine_password,
            "ENGINE_CA": str(self.engine.ca),
            "NEUTRON_URL": self.neutron.url,
            "NEUTRON_INTERNAL_URL": f"http://{address}:{control.NEUTRON_PORT}",
            "BROKER_HOST": address,
            "BROKER_PORT": str(control.BROKER_PORT),
            "BROKER_USER": control.BROKER_USER,
            "BROKER_PASSWORD": self.state.broker_password,
            "PACKAGE_SOURCE": f"deb [trusted=yes] http://{address}:{control.PACKAGES_PORT}/ ./",
            **{f"HOST{i}": host.address for i, host in enumerate(self.hosts, 1)},
            "HOST_PASSWORD": self.state.host_password,
            "HOST_MAPPINGS": nic.mappings(self.state.vlan_devices),
            "GUEST_KERNEL": str(self.guest_kernel),
            "GUEST_INITRD": str(self.guest_initrd),
            "LAB_RUN": str(self.place.home / "run"),
        }

    def write_env(self) -> None:
        command = [sys.executable, "-m", "lab", "--checkout", str(self.place.checkout), "shell"]
        script = f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(CHECKOUT))} exec {shlex.join(command)} "$@"\n'
        write(self.place.home / "run", script, mode=0o755)
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.variables().items()]
        write(self.place.env, "\n".join(lines) + "\n", mode=0o600)

    @classmethod
    def up(cls, progress: Progress, checkout: Path = CHECKOUT, *, engine: bool = True) -> "Lab":
        """Make the lab, or mend and complete the one there is.

        :raises LabError: when the machine has no room for it, or a part does not come up.
        """
        place = Place(checkout)
        with place.locked():
            state = State.load(place)
            if state is not None and not (state.complete and Network(place, state).exists()):
                with progress.step("removing what an earlier lab left"):
                    _remove(place)
                state = None
            probes.install_programs(progress)
            lab = cls._make(progress, place) if state is None else cls(place, state)
            lab._mend(progress, fresh=state is None)
            if engine:
                with progress.step("starting the engine"):
                    lab.engine.start()
        return lab

    @classmethod
    def _make(cls, progress: Progress, place: Place) -> "Lab":
        _remove(place)
        cache = Cache(directory())
        control_root, host_root, guest_files = _fill(cache, progress, place)
        state = State(
            id=place.id,
            subnet="",
            host_password=secrets.token_urlsafe(12),
            broker_password=secrets.token_hex(12),
            engine_password=secrets.token_urlsafe(12),
            vlan_devices=probes.has_vlan_devices(),
            kvm=False,
            repository=str(packages.repository(cache)),
            guest=str(guest_files),
            control_root=str(control_root),
            host_root=str(host_root),
        )
        with progress.step("trying out KVM"):
            state.kvm = probes.kvm_works(cache, control_root, guest_files)
        probes.load_bridge_filter()
        place.create()
        lab = cls(place, state)
        with registry() as labs:
            state.subnet = choose_subnet({entry["subnet"] for name, entry in labs.items() if name != place.id})
            lab._register(labs)
            state.save(place)
            with progress.step(f"networks on {state.subnet}.0/24"):
                lab.network.create()
            in_use = {Path(path) for entry in labs.values() for path in entry["roots"].split(":")}
        with cache.locked(progress):
            for kind in ("control", "host", "guest"):
                cache.drop_others(kind, in_use)
        for container in (lab.control, *(host.container for host in lab.hosts)):
            container.create()
        control.furnish(lab.control, state)
        for host in lab.hosts:
            hosts.furnish(host.container, state)
        return lab

    def _register(self, labs: dict[str, dict[str, str]]) -> None:
        labs[self.place.id] = {
            "checkout": str(self.place.checkout),
            "subnet": self.state.subnet,
            "roots": ":".join((self.state.control_root, self.state.host_root, self.state.guest)),
        }

    def _mend(self, progress: Progress, fresh: bool) -> None:
        """Boot and start whatever does not run, and wait for it."""
        if not fresh:
            cache = Cache(Path(self.state.repository).parent)
            with cache.locked(progress), progress.step("packages and guest"):
                packages.ensure(cache, Path(self.state.host_root))
                self.state.guest = str(guest.ensure(cache))
            with registry() as labs:
                self._register(labs)
        starts: list[Callable[[], None]] = [self.control.boot, *(host.start for host in self.hosts)]
        with progress.step("booting the control container and the hosts"):
            _side_by_side(starts)
        self._publish()
        waits: list[Callable[[], None]] = [
            lambda: self.neutron.wait(BOOT_SECONDS),
            *(self._waits_for(host) for host in self.hosts),
        ]
        with progress.step("waiting for Neutron, its agents and SSH on the hosts"):
            _side_by_side(waits)
        self.state.complete = True
        self.write_env()
        self.state.save(self.place)

    def _waits_for(self, host: Host) -> Callable[[], None]:
        def wait() -> None:
            host.wait(BOOT_SECONDS)
            host.set_password(self.state.host_password)

        return wait

    def _publish(self) -> None:
        """Start the relay if it does not run."""
        known = self.state.processes.get("relay")
        if known is not None and known.alive:
            return
        address = self.state.address(MANAGEMENT[CONTROL])
        targets = {"engine": (address, ENGINE_PORT), "neutron": (address, control.NEUTRON_PORT)}
        preferred = {name: self.state.ports.get(name, port) for name, (_, port) in targets.items()}
        process, ports = relay.start(
            self.network.path(CONTROL),
            targets,
            preferred,
            tag=self.place.id,
            log=self.place.logs / "relay.log",
        )
        self.state.processes["relay"] = process
        self.state.ports = ports
        self.state.save(self.place)

    @staticmethod
    def down(progress: Progress, checkout: Path = CHECKOUT) -> None:
        """Remove every trace of the checkout's lab but the cache, however it ended; fine when there is none."""
        place = Place(checkout)
        with place.locked(), progress.step("removing the lab"):
            _remove(place)


def _remove(place: Place) -> None:
    """End every process of the lab, then remove its namespaces, files and its entry in the registry.

    Needs no saved state: everything is found by the lab's identifier.
    """
    state = State("", "", "", "", "", vlan_devices=False, kvm=False)
    network = Network(place, state)
    namespaces = network.identities()

    def belongs(pid: int) -> bool:
        return tagged(pid, place.id) or os.readlink(f"/proc/{pid}/ns/net") in namespaces

    for _ in range(20):
        processes = find(belongs)
        if not processes:
            break
        for process in processes:
            process.send(signal.SIGKILL)
        _gone(processes)
    else:
        raise LabError(f"processes of the lab come back: {[process.pid for process in processes]}")
    if place.home.exists():
        shutil.rmtree(place.home)
    with registry() as labs:
        network.remove()
        labs.pop(place.id, None)


def _gone(processes: Sequence[Process]) -> None:
    wait_until(lambda: not any(process.alive for process in processes), 60, "killed processes to go")


def _fill(cache: Cache, progress: Progress, place: Place) -> tuple[Path, Path, Path]:
    """Build what the cache lacks: the two root file systems, the packages and the guest."""
    control_root, host_root = roots.control(), roots.host()
    full = all(cache.place(root.kind, root.version).exists() for root in (control_root, host_root))
    probes.check_room(cache.path, full, place.home)
    if not full:
        progress.say(
            f"First run: the lab's file systems and packages are made in {cache.path}.\n"
            "That takes about 5 minutes, 700 MB of downloads and 3 GB of disk; later runs take half a minute."
        )
    with cache.locked(progress), concurrent.futures.ThreadPoolExecutor(2) as pool:

        def build_control() -> Path:
            if cache.place(control_root.kind, control_root.version).exists():
                return control_root.ensure(cache)
            with progress.step("building the control container: Neutron, its database and broker (about 4 min)"):
                return control_root.ensure(cache)

        building = pool.submit(build_control)
        if cache.place(host_root.kind, host_root.version).exists():
            bare = host_root.ensure(cache)
        else:
            with progress.step("building the bare host (about 1 min)"):
                bare = host_root.ensure(cache)
        with progress.step("filling the package repository"):
            packages.ensure(cache, bare)
        with progress.step("guest kernel and initramfs"):
            guest_files = guest.ensure(cache)
        return building.result(), bare, guest_files


def _side_by_side(works: Sequence[Callable[[], None]]) -> None:
    """Do several things at once; the first error is raised after all have ended."""
    with concurrent.futures.ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()
