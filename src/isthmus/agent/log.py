"""Where the agent's log goes: stderr, which systemd keeps in the journal, and a file on the host."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from pathlib import Path
from typing import Any

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Private(logging.handlers.RotatingFileHandler):
    """A guest's command line may carry a secret, and its domain is in the log."""

    def _open(self) -> Any:
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT, 0o640))
        return super()._open()


def set_up(log_dir: Path, level: str) -> None:
    """:raises OSError: the directory cannot be made or written."""
    log_dir.mkdir(parents=True, exist_ok=True)
    file = _Private(log_dir / "agent.log", maxBytes=16 << 20, backupCount=5)
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr), file]
    logging.basicConfig(level=level, format=_FORMAT, handlers=handlers, force=True)
