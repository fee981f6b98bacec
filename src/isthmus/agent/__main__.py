"""``python3 -m isthmus.agent --config FILE``"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from isthmus import __version__

from . import log
from .agent import Agent
from .config import DEFAULT_PATH, ConfigError, load
from .server import ServeError

logger = logging.getLogger("isthmus.agent")


def main() -> None:
    parser = argparse.ArgumentParser(prog="isthmus-agent", description="The Isthmus agent of a host.")
    parser.add_argument("--config", type=Path, default=DEFAULT_PATH, help=f"settings (default: {DEFAULT_PATH})")
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    try:
        config = load(arguments.config)
        log.set_up(config.log_dir, config.log_level)
        agent = Agent(config)
        ended = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: ended.set())
        agent.start()
    except (ConfigError, ServeError, OSError, ValueError) as error:
        sys.exit(f"isthmus-agent: {error}")
    _tell_systemd("READY=1")
    ended.wait()
    logger.info("ending")
    _tell_systemd("STOPPING=1")
    agent.stop()
    logging.shutdown()
    # A thread that waits for libvirt or for a script must not hold up the end of the service.
    os._exit(0)


def _tell_systemd(state: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.connect("\0" + address[1:] if address.startswith("@") else address)
        notify.send(state.encode("ascii"))


if __name__ == "__main__":
    main()
