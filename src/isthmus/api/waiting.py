"""Waiting, for a while, for what an outside party says: of a job, or of a question put to a provider.

Nothing here holds a thread: a route that waits is a coroutine, and what it waits for runs in the party's own lane.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from isthmus.commands.caller import InConflict, NotNow, Refused, refusal_of
from isthmus.model import Job, Provider
from isthmus.providers.base import NetworkProvider, ProviderError
from isthmus.reconcile.engine import Engine

T = TypeVar("T")

JOB_SECONDS = 15.0
"""After so long a job that has not ended is answered with 202."""
ANSWER_SECONDS = 20.0
TEST_SECONDS = 15.0


async def job_outcome(engine: Engine, job_id: str, seconds: float | None = None) -> Job:
    """The job as it ended, or as it stands when time is up. Read again and again: any engine may end it."""
    end = time.monotonic() + (JOB_SECONDS if seconds is None else seconds)
    pause = 0.01
    while True:
        job = await run_in_threadpool(_read, engine, job_id)
        if job.ended_at is not None or time.monotonic() >= end:
            return job
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.25)


def _read(engine: Engine, job_id: str) -> Job:
    with engine.db.read() as session:
        return session.get_one(Job, job_id)


def refusal_of_job(job: Job) -> Refused:
    kinds: dict[str, type[Refused]] = {"conflict": InConflict, "unwell": NotNow}
    return kinds.get(job.fault_kind, Refused)(job.fault)


async def ask(
    engine: Engine,
    provider: Provider,
    what: str,
    question: Callable[[NetworkProvider], T],
    seconds: float | None = None,
) -> T:
    """A saved provider's answer. ``what`` says what was asked for: "list its networks".

    :raises Refused: as the provider refused, or (``NotNow``) gave no answer in time.
    """
    limit = ANSWER_SECONDS if seconds is None else seconds
    try:
        return await within(asyncio.wrap_future(engine.ask(provider, question)), limit)
    except TimeoutError:
        raise NotNow(
            f"Provider {provider.name} was asked to {what} and has not answered within {limit:g} s. Test its "
            "connection; what it was asked to change may still be changed."
        ) from None
    except ProviderError as error:
        raise refusal_of(error) from error


async def within(answer: Awaitable[T], seconds: float) -> T:
    """:raises TimeoutError:"""
    return await asyncio.wait_for(answer, seconds)
