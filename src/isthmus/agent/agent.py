"""The agent put together: what each part is given, started and ended in order."""

from __future__ import annotations

import logging
import threading

import grpc

from isthmus.wire import agent_pb2 as pb

from .capabilities import Host
from .config import Config
from .files import Files
from .hooks import Hooks
from .hypervisor import Hypervisor
from .orders import Orders
from .runs import Runs
from .server import serve
from .service import Service
from .tools import Tools
from .vms import Vms
from .watch import Feed, Telltale
from .wiring.wirer import Wirer

_GRACE_SECONDS = 2.0

_OURS = logging.getLogger(__package__)

logger = logging.getLogger(__name__)


class Agent:
    def __init__(self, config: Config, hypervisor_type: type[Hypervisor] = Hypervisor) -> None:
        self._config = config
        self.orders = Orders()
        self._hypervisor = hypervisor_type(
            config.libvirt_uri, lambda vm, why: self.vms.changed(vm, why), lambda: self.vms.connected()
        )
        hooks = Hooks(config.hooks_dirs, config.hook_seconds, config.state_dir / "hooks")
        self.host = Host(config, self._hypervisor, hooks)
        self._tools = Tools(
            hypervisor=self._hypervisor,
            wirer=Wirer(config.mappings_file),
            hooks=hooks,
            files=Files(config.state_dir),
            runs=Runs(config.state_dir),
            console_dir=config.log_dir / "console",
            domain_type=self.host.domain_type,
        )
        self.vms = Vms(self._tools, self.orders, self._publish)
        self.feed = Feed(self.orders.session, self.vms.reports)
        self._telltale = Telltale(self.feed)
        self._server: grpc.Server | None = None
        self.port = 0

    def start(self) -> None:
        """Serves once this returns; libvirt may still be away. :raises ServeError: :raises OSError:"""
        self._config.state_dir.mkdir(parents=True, exist_ok=True)
        self._config.state_dir.chmod(0o711)
        _OURS.addHandler(self._telltale)
        self._hypervisor.open()
        threading.Thread(target=self.host.probe, name="probe", daemon=True).start()
        service = Service(self.orders, self._tools, self.vms, self.host, self.feed)
        self._server, self.port = serve(self._config, service)
        logger.info("serving on %s port %d, session %s", self._config.listen, self.port, self.orders.session)

    def stop(self) -> None:
        """Guests run on. Starts that are under way are undone."""
        _OURS.removeHandler(self._telltale)
        self.vms.close()
        self.feed.close()
        if self._server is not None:
            self._server.stop(_GRACE_SECONDS).wait()
        self._hypervisor.close()

    def _publish(self, report: pb.VmReport) -> None:
        self.feed.vm(report)
