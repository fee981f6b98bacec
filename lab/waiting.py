"""Waiting for a condition, with a limit and a reason when it does not come."""

import time
from collections.abc import Callable

from lab.errors import LabError


def wait_until(
    condition: Callable[[], object], seconds: float, what: str, *, interval: float = 0.1, hint: str = ""
) -> None:
    """Return once `condition` holds.

    :raises LabError: after `seconds`, naming `what` was waited for, the last answer when the condition gives
        one by raising OSError or LabError, and `hint`.
    """
    limit = time.monotonic() + seconds
    last = ""
    while True:
        try:
            if condition():
                return
            last = ""
        except (OSError, LabError) as error:
            last = f"; the last answer: {error}"
        if time.monotonic() >= limit:
            raise LabError(f"waited {seconds:.0f} s for {what}{last}{'; ' + hint if hint else ''}")
        time.sleep(interval)
