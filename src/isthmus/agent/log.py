"""Where the agent's log goes: stderr, which systemd keeps in the journal, and a file on the host."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up(log_dir: Path, level: str) -> None:
    """:raises OSError: the directory cannot be made or written."""
    log_dir.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(log_dir / "agent.log", maxBytes=16 << 20, backupCount=5)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), file]
    logging.basicConfig(level=level, format=_FORMAT, handlers=handlers, force=True)
