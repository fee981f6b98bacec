"""The event of a command that was refused: what a user tried, and why it was not done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from isthmus.commands.caller import Caller, Refused
from isthmus.model import Code, Severity, note
from isthmus.reconcile.engine import Engine


@contextmanager
def audited(
    engine: Engine,
    caller: Caller,
    code: Code,
    text: str,
    *,
    data_center: str | None = None,
    cluster: str | None = None,
    host: str | None = None,
    vm: str | None = None,
    network: str | None = None,
    provider: str | None = None,
) -> Iterator[None]:
    """Around a command's transaction: a refusal inside is written as an event, in a transaction apart, and goes on.

    ``text`` says what was tried, on which object ("VM web1 could not be added"); the refusal's detail and the user are
    put behind it.
    """
    try:
        yield
    except Refused as refusal:
        with engine.db.write() as session:
            note(
                session,
                code,
                f"{text} by {caller.user}: {refusal.detail}",
                severity=Severity.ERROR,
                user=caller.user,
                correlation_id=caller.correlation_id,
                data_center=data_center,
                cluster=cluster,
                host=host,
                vm=vm,
                network=network,
                provider=provider,
            )
        raise
