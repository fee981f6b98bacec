"""Files on the engine's machine that users name: kernels, initial RAM disks, disk images.

A user of the API is not a user of that machine: a path is taken only under the directories that the administrator
allowed (``Options.files``; the data directory's ``files`` where none is named), with every symbolic link resolved
first. Otherwise anybody who may add a VM could boot from, and so read, any file that the engine can read.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from isthmus.commands.caller import Refused
from isthmus.reconcile.engine import Engine


def allowed_directories(engine: Engine) -> tuple[Path, ...]:
    return tuple(d.resolve() for d in engine.options.files or (engine.data / "files",))


def check_file(engine: Engine, path: str, what: str) -> str:
    """The file's real path. ``what`` names its use: "kernel of VM web1".

    :raises Refused: not absolute, outside the allowed directories, missing, no regular file, or not readable. Whether
        a file outside exists is not told.
    """
    allowed = allowed_directories(engine)
    named = ", ".join(map(str, allowed))
    if "\0" in path or not path.startswith("/"):
        raise Refused(f"The {what} must be the absolute path of a file under {named}, not {path!r}.")
    real = Path(os.path.realpath(path))
    if not any(real.is_relative_to(directory) for directory in allowed):
        raise Refused(f"The {what}, {path}, is not under a directory that the administrator allowed: {named}.")
    try:
        mode = real.stat().st_mode
    except OSError as error:
        raise Refused(f"The {what}, {path}, cannot be used: {error.strerror}.") from None
    if not stat.S_ISREG(mode):
        raise Refused(f"The {what}, {path}, is not a regular file.")
    if not os.access(real, os.R_OK):
        raise Refused(f"The {what}, {path}, cannot be read by the engine.")
    return str(real)
