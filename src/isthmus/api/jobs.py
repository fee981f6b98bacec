"""Jobs and their steps, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from isthmus.api import follow, lists
from isthmus.api import representations as rep
from isthmus.api.calls import Call
from isthmus.commands.caller import Missing
from isthmus.model import Job, Step

router = APIRouter()
FIELDS: lists.Fields = {
    "id": Job.id,
    "status": Job.status,
    "description": Job.description,
    "correlation_id": Job.correlation_id,
}


def representation(row: Job) -> rep.Job:
    return rep.Job(
        id=row.id,
        description=f"{row.description}: {row.fault}" if row.fault else row.description,
        status=rep.JobStatus(row.status),
        start_time=row.started_at,
        end_time=row.ended_at,
        last_updated=row.ended_at or row.started_at,
        owner=rep.User(user_name=row.user) if row.user else None,
        external=False,
        auto_cleared=False,
    )


def _step(row: Step) -> rep.Step:
    return rep.Step(
        id=row.id,
        description=f"{row.description}: {row.message}" if row.message else row.description,
        job=rep.Job(id=row.job_id),
        number=row.number,
        type=rep.StepEnum(row.type),
        status=rep.StepStatus(row.status),
        start_time=row.started_at,
        end_time=row.ended_at,
        external=False,
    )


@router.get("/jobs")
def list_jobs(call: Call) -> Response:
    with call.engine.db.read() as session:
        rows = session.scalars(lists.page(call, select(Job), FIELDS, order=Job.started_at.desc())).all()
        items = follow.expand(call, session, [representation(row) for row in rows])
    return lists.answer(call, rep.Job, items)


@router.get("/jobs/{job_id}")
def get_one(call: Call, job_id: str) -> Response:
    with call.engine.db.read() as session:
        return call.answer(follow.expand(call, session, [representation(_job(session, job_id))])[0])


@router.get("/jobs/{job_id}/steps")
def list_steps(call: Call, job_id: str) -> Response:
    with call.engine.db.read() as session:
        _job(session, job_id)
        rows = session.scalars(
            lists.limited(call, select(Step).where(Step.job_id == job_id).order_by(Step.number))
        ).all()
    return lists.answer(call, rep.Step, (_step(row) for row in rows))


@router.get("/jobs/{job_id}/steps/{step_id}")
def get_step(call: Call, job_id: str, step_id: str) -> Response:
    with call.engine.db.read() as session:
        row = session.get(Step, step_id)
    if row is None or row.job_id != job_id:
        raise Missing(f"Job {job_id} has no step {step_id}.")
    return call.answer(_step(row))


@follow.collection(rep.Job, "steps")
def _steps(session: Session, ids: Sequence[str]) -> Mapping[str, Sequence[rep.Step]]:
    found: dict[str, list[rep.Step]] = {}
    for row in session.scalars(select(Step).where(Step.job_id.in_(ids)).order_by(Step.job_id, Step.number)):
        found.setdefault(row.job_id, []).append(_step(row))
    return found


def _job(session: Session, job_id: str) -> Job:
    job = session.get(Job, job_id)
    if job is None:
        raise Missing(f"There is no job {job_id}.")
    return job
