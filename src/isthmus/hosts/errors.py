"""What can go wrong between the engine and a host: the whole tree, at one place.

::

    HostError
     ├─ Unreachable       no answer, or none that may be trusted; ``problem`` is one word
     ├─ Refused           the agent understood the call and says no, in its own words
     │   ├─ SessionChanged    the order was written for another agent process or boot (rule 12)
     │   └─ StaleEpoch        a start whose epoch is not above all that the agent has seen (rule 13)
     └─ VersionMismatch   engine and agent speak different protocols
"""

from __future__ import annotations


class HostError(Exception):
    """A call to a host's agent that failed. ``host`` is the host's id, ``call`` the method."""

    def __init__(self, message: str, *, host: str = "", call: str = "") -> None:
        super().__init__(message)
        self.host = host
        self.call = call


class Unreachable(HostError):
    """No answer came, or not from whom it should.

    ``problem``: ``refused`` (nothing listens), ``timeout``, ``no_route``, ``unresolved``, ``tls`` (the host's
    certificate is not accepted by the engine), ``identity`` (the host does not accept the engine's),
    ``lost`` (the connection ended), ``closed`` (we ended it).

    ``sent``: the call may have reached the agent, so what it orders may have been done, or may still be.
    """

    def __init__(self, message: str, *, problem: str, sent: bool = False, host: str = "", call: str = "") -> None:
        super().__init__(message, host=host, call=call)
        self.problem = problem
        self.sent = sent


class Refused(HostError):
    """The agent refuses; the message is its own. The same call will be refused again."""


class SessionChanged(Refused):
    """Write a new order, with a new epoch, for the session that ``hello`` tells (rule 12)."""


class StaleEpoch(Refused):
    """A start epoch is obeyed once (rule 13): this one was, or a later one is known."""


class VersionMismatch(HostError):
    """Engine and agent do not understand each other: deploy the host again with this engine."""
