"""What the engine is doing, for people."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.step import Step
    from isthmus.api.representations.user import User


class JobStatus(StrEnum):
    ABORTED = "aborted"
    FAILED = "failed"
    FINISHED = "finished"
    STARTED = "started"
    UNKNOWN = "unknown"


class Job(Identified):
    """A task of the engine, made of steps."""

    paths = ("jobs/{id}",)
    collections = ("steps",)

    auto_cleared: bool | None = None
    end_time: AwareDatetime | None = None
    external: bool | None = None
    last_updated: AwareDatetime | None = None
    owner: User | None = None
    start_time: AwareDatetime | None = None
    status: JobStatus | None = None
    steps: list[Step] | None = None
