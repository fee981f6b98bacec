"""A deployment in a process of its own, for tests that kill it: ``python -m tests.integration.deployer PICKLE``.

Writes one line for each step that starts. The pickle holds what ``install`` takes, and a network namespace.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from isthmus.hosts.deploy import Step, StepStatus, install
from isthmus.hosts.pki import Authority
from lab.network import enter


def main() -> None:
    spec, directory, namespace = pickle.loads(Path(sys.argv[1]).read_bytes())  # noqa: S301 - the test's own
    enter(namespace)

    def tell(step: Step) -> None:
        if step.status is StepStatus.STARTED:
            print(step.name, flush=True)

    install(spec, Authority(directory), tell)


if __name__ == "__main__":
    main()
