"""Parts of jobs."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import AwareDatetime

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.host import Host
    from isthmus.api.representations.job import Job


class ExternalSystemType(StrEnum):
    GLUSTER = "gluster"
    VDSM = "vdsm"


class StepEnum(StrEnum):
    EXECUTING = "executing"
    FINALIZING = "finalizing"
    REBALANCING_VOLUME = "rebalancing_volume"
    REMOVING_BRICKS = "removing_bricks"
    UNKNOWN = "unknown"
    VALIDATING = "validating"


class StepStatus(StrEnum):
    ABORTED = "aborted"
    FAILED = "failed"
    FINISHED = "finished"
    STARTED = "started"
    UNKNOWN = "unknown"


class Step(Identified):
    """A part of a job, with its own time and outcome."""

    paths = ("jobs/{job.id}/steps/{id}",)

    end_time: AwareDatetime | None = None
    execution_host: Host | None = None
    external: bool | None = None
    external_type: ExternalSystemType | None = None
    job: Job | None = None
    number: int | None = None
    parent_step: Step | None = None
    progress: int | None = None
    start_time: AwareDatetime | None = None
    status: StepStatus | None = None
    type: StepEnum | None = None
