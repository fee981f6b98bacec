"""``python -m tests.in_a_lab DIRECTORY COMMAND...``: run a command with a lab of its own, which then goes again.

However the command ends, and also when it is interrupted, the lab is taken down; what a killed run left behind is
taken down before. The command finds the lab's variables (``.lab/env``) in its environment, and the directory whose
lab it is in ``ISTHMUS_LAB``. If it fails, the lab's logs stay in ``build/test-logs``.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

LOGS = Path("build/test-logs")


class Ended(Exception):
    """Somebody asked this program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def end(number: int, _frame: FrameType | None) -> None:
    raise Ended(number)


def lab(directory: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "lab", "--checkout", str(directory), *arguments], check=True)


def variables(directory: Path) -> dict[str, str]:
    """What the lab's ``env`` exports; it is made of lines ``export NAME=VALUE`` quoted for a shell."""
    words = shlex.split((directory / ".lab" / "env").read_text())
    return dict(word.split("=", 1) for word in words if "=" in word)


def run(directory: Path, command: list[str]) -> int:
    """The command's exit code. A signal is passed on to it, and waited for."""
    environment = {**os.environ, **variables(directory), "ISTHMUS_LAB": str(directory)}
    process = subprocess.Popen(command, env=environment)
    try:
        return process.wait()
    except Ended as ended:
        process.send_signal(ended.number)
        process.wait()
        raise


def keep_logs(directory: Path) -> None:
    shutil.rmtree(LOGS, ignore_errors=True)
    shutil.copytree(directory / ".lab" / "logs", LOGS)
    print(f"The lab's logs are in {LOGS}.", file=sys.stderr)


def main() -> int:
    directory, command = Path(sys.argv[1]).resolve(), sys.argv[2:]
    directory.mkdir(exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    code = 1
    try:
        lab(directory, "down")
        lab(directory, "up")
        code = run(directory, command)
        if code != 0:
            keep_logs(directory)
    except subprocess.CalledProcessError as error:
        print(f"{shlex.join(error.cmd)}: exit code {error.returncode}", file=sys.stderr)
        if (directory / ".lab" / "logs").exists():
            keep_logs(directory)
    except Ended as ended:
        code = 128 + ended.number
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        lab(directory, "down")
    return code


if __name__ == "__main__":
    sys.exit(main())
