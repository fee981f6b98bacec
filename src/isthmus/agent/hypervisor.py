"""libvirt on this host: the connection, which outlives libvirt's restarts, and the few things asked of a domain."""

from __future__ import annotations

import dataclasses
import enum
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import libvirt

from . import metadata
from .metadata import NAMESPACE, PREFIX, VmRecord

RETRY_SECONDS = 1.0

logger = logging.getLogger(__name__)


class LibvirtAway(Exception):
    """libvirt does not answer; guests run on. Nothing was done; try again."""


class LibvirtRefused(Exception):
    """libvirt does not do it: its own words."""


class State(enum.Enum):
    PAUSED = "paused"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting down"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Guest:
    """A domain as just seen. ``record`` is None for a domain that is not ours, which is left alone."""

    vm: str
    state: State
    record: VmRecord | None
    reason: str
    """Why it is paused, where that is not the usual."""


_STATES = {
    libvirt.VIR_DOMAIN_PAUSED: State.PAUSED,
    libvirt.VIR_DOMAIN_PMSUSPENDED: State.PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: State.SHUTTING_DOWN,
    libvirt.VIR_DOMAIN_CRASHED: State.CRASHED,
}
_PAUSES = {
    libvirt.VIR_DOMAIN_PAUSED_IOERROR: "paused by an I/O error on one of its disks",
    libvirt.VIR_DOMAIN_PAUSED_WATCHDOG: "paused by its watchdog",
    libvirt.VIR_DOMAIN_PAUSED_CRASHED: "paused because the guest crashed",
}
_ENDS = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "the guest shut down",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "the guest was destroyed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: "the guest crashed",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: "QEMU ended with an error",
    libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: "the guest moved to another host",
}


class Hypervisor:
    """Safe to use from many threads.

    ``on_change(vm, why)`` is told of each lifecycle event, ``why`` filled when the guest ended; ``on_connected()`` each
    time a connection was made, since events were missed before. Both are called on libvirt's own threads and must
    not block.
    """

    def __init__(
        self,
        uri: str,
        on_change: Callable[[str, str], None],
        on_connected: Callable[[], None],
    ) -> None:
        self._uri = uri
        self._on_change = on_change
        self._on_connected = on_connected
        self._mutex = threading.Lock()
        self._connection: Any = None
        self._lost = threading.Event()
        self._closing = threading.Event()
        self._keeper: threading.Thread | None = None

    def open(self) -> None:
        """Connect, and keep connected from now on. Returns at once, connected or not."""
        _run_events()
        self._lost.set()
        self._keeper = threading.Thread(target=self._keep, name="libvirt-keeper", daemon=True)
        self._keeper.start()

    def close(self) -> None:
        self._closing.set()
        self._lost.set()
        if self._keeper is not None:
            self._keeper.join(5)
        with self._mutex:
            connection, self._connection = self._connection, None
        if connection is not None:
            _quietly(connection.close)

    # ----------------------------------------------------------------------------------------------- questions

    def find(self, vm: str) -> Guest | None:
        """:raises LibvirtAway:"""
        domain = self._lookup(vm)
        if domain is None:
            return None
        return cast("Guest | None", self._ask(lambda: self._guest(domain)))

    def all(self) -> list[Guest]:
        """Ours, running or paused. :raises LibvirtAway:"""
        domains = self._ask(lambda: self._connected().listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE))
        guests = [cast("Guest | None", self._ask(partial(self._guest, domain))) for domain in domains]
        return [guest for guest in guests if guest is not None and guest.record is not None]

    def named(self, name: str) -> str:
        """The id of the domain of that name, or empty. :raises LibvirtAway:"""

        def look() -> str:
            try:
                return str(self._connected().lookupByName(name).UUIDString())
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return ""
                raise

        return str(self._ask(look))

    def xml(self, vm: str) -> str:
        """The running domain's document; empty when it is gone. :raises LibvirtAway:"""
        domain = self._lookup(vm)
        try:
            return "" if domain is None else str(self._ask(lambda: domain.XMLDesc(0)))
        except LibvirtRefused:
            return ""  # ended between the two calls

    def versions(self) -> tuple[str, str]:
        """libvirt's and QEMU's. Makes libvirt ask QEMU what it can, which takes long once. :raises LibvirtAway:"""

        def look() -> tuple[str, str]:
            connection = self._connected()
            connection.getCapabilities()
            return _version(connection.getLibVersion()), _version(connection.getVersion())

        try:
            return cast("tuple[str, str]", self._ask(look))
        except LibvirtRefused as error:
            logger.warning("libvirt does not tell QEMU's version: %s", error)
            return _version(self._ask(lambda: self._connected().getLibVersion())), ""

    # ------------------------------------------------------------------------------------------------- changes

    def create_paused(self, xml: str) -> None:
        """:raises LibvirtRefused: :raises LibvirtAway: it may have been made nevertheless."""
        self._ask(lambda: self._connected().createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED))

    def resume(self, vm: str) -> None:
        self._do(vm, lambda domain: domain.resume())

    def shutdown(self, vm: str) -> None:
        """Ask the guest by ACPI. It may not listen."""
        self._do(vm, lambda domain: domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN))

    def destroy(self, vm: str) -> None:
        """Gone when it returns; fine when it was gone before. :raises LibvirtRefused: :raises LibvirtAway:"""
        try:
            self._do(vm, lambda domain: domain.destroy())
        except LibvirtRefused:
            if self.find(vm) is not None:
                raise

    def mark(self, vm: str, record: VmRecord) -> None:
        """Write the metadata of a running domain."""
        self._do(
            vm,
            lambda domain: domain.setMetadata(
                libvirt.VIR_DOMAIN_METADATA_ELEMENT,
                metadata.text(record),
                PREFIX,
                NAMESPACE,
                libvirt.VIR_DOMAIN_AFFECT_LIVE,
            ),
        )

    # ---------------------------------------------------------------------------------------------- the inside

    def _do(self, vm: str, action: Callable[[Any], Any]) -> None:
        domain = self._lookup(vm)
        if domain is None:
            raise LibvirtRefused(f"VM {vm} is not here")
        self._ask(lambda: action(domain))

    def _lookup(self, vm: str) -> Any:
        def look() -> Any:
            try:
                return self._connected().lookupByUUIDString(vm)
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise

        return self._ask(look)

    def _guest(self, domain: Any) -> Guest | None:
        try:
            state, why = domain.state()
            if state in (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_NOSTATE):
                return None
            record = _record(domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise
        seen = _STATES.get(state, State.RUNNING)
        return Guest(domain.UUIDString(), seen, record, _PAUSES.get(why, "") if seen is State.PAUSED else "")

    def _connected(self) -> Any:
        with self._mutex:
            connection = self._connection
        if connection is None:
            raise LibvirtAway(f"libvirt: {self._uri} does not answer; the agent keeps trying")
        return connection

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except libvirt.libvirtError as error:
            with self._mutex:
                connection = self._connection
            if connection is None or not _alive(connection):
                self._gone(connection)
                raise LibvirtAway(f"libvirt: {self._uri} went away: {error}") from error
            raise LibvirtRefused(f"libvirt: {error}") from error

    def _keep(self) -> None:
        while not self._closing.is_set():
            self._lost.wait()
            if self._closing.is_set():
                return
            with self._mutex:
                old, self._connection = self._connection, None
            if old is not None:
                logger.warning("libvirt at %s went away", self._uri)
                _quietly(old.close)
            self._lost.clear()
            try:
                connection = self._connect()
            except libvirt.libvirtError as error:
                logger.warning("libvirt at %s does not answer: %s", self._uri, error)
                self._lost.set()
                self._closing.wait(RETRY_SECONDS)
                continue
            with self._mutex:
                self._connection = connection
            logger.info("connected to libvirt at %s", self._uri)
            self._on_connected()

    def _connect(self) -> Any:
        connection = libvirt.open(self._uri)
        connection.registerCloseCallback(lambda *_: self._gone(connection), None)
        if connection.getType() == "QEMU":
            connection.setKeepAlive(5, 3)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None)
        return connection

    def _gone(self, connection: Any) -> None:
        with self._mutex:
            if connection is not None and self._connection is connection:
                self._lost.set()

    def _lifecycle(self, _connection: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
        why = _ENDS.get(detail, "the guest ended") if event == libvirt.VIR_DOMAIN_EVENT_STOPPED else ""
        self._on_change(domain.UUIDString(), why)


def resumed(record: VmRecord) -> VmRecord:
    return dataclasses.replace(record, resumed=True)


def _record(domain: Any) -> VmRecord | None:
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return None
        raise
    return metadata.read(text)


def _alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:
        return False


def _quietly(call: Callable[[], Any]) -> None:
    try:
        call()
    except libvirt.libvirtError as error:
        logger.debug("closing a connection that is lost: %s", error)


def _version(number: int) -> str:
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


_events_started = threading.Lock()


def _run_events() -> None:
    """libvirt's event loop, once a process and before the first connection."""
    if not _events_started.acquire(blocking=False):
        return
    libvirt.registerErrorHandler(lambda *_: None, None)  # errors are raised; it would print them too
    libvirt.virEventRegisterDefaultImpl()

    def loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=loop, name="libvirt-events", daemon=True).start()
