"""Ansible module: writes several files at once, each whole or not at all, and only those that differ.

One connection and one interpreter on the host for all of them, where ``copy`` needs several for each.
"""

from __future__ import annotations

import base64
import grp
import os
import pwd
import stat
import tempfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "path": {"type": "str", "required": True},
                    "content": {"type": "str", "no_log": True},
                    "base64": {"type": "str", "no_log": True},
                    "mode": {"type": "str", "default": "0644"},
                    "group": {"type": "str", "default": "root"},
                    "directory_mode": {"type": "str", "default": "0755"},
                    "keep": {"type": "bool", "default": False},
                },
            }
        }
    )
    changed: list[str] = []
    for file in module.params["files"]:
        try:
            if write(file):
                changed.append(file["path"])
        except (OSError, KeyError, ValueError) as error:
            module.fail_json(msg=f"{file['path']} cannot be written: {error}", written=changed)
    module.exit_json(changed=bool(changed), written=changed)


def write(file: dict[str, Any]) -> bool:
    """Tells whether it changed anything. ``keep``: a file that is there stays as it is."""
    path = file["path"]
    content = base64.b64decode(file["base64"]) if file["base64"] is not None else (file["content"] or "").encode()
    mode, group = int(file["mode"], 8), grp.getgrnam(file["group"]).gr_gid
    try:
        status = os.lstat(path)
        if file["keep"]:
            return False
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as present:
                same = present.read() == content
            if same and (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (mode, 0, group):
                return False
    except FileNotFoundError:
        make_directories(os.path.dirname(path), int(file["directory_mode"], 8))
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".isthmus.")
    try:
        with os.fdopen(handle, "wb") as new:
            os.fchown(new.fileno(), pwd.getpwnam("root").pw_uid, group)
            os.fchmod(new.fileno(), mode)
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return True


def make_directories(path: str, mode: int) -> None:
    if not os.path.isdir(path):
        make_directories(os.path.dirname(path), 0o755)
        os.mkdir(path)
        os.chmod(path, mode)


if __name__ == "__main__":
    main()
