"""Jobs and their steps: the record, for people, of work that goes on after a command was accepted."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from isthmus.model.database import Base, Row, now


class Job(Row, Base):
    __tablename__ = "job"
    description: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(12), default="started", index=True)
    """started, finished, failed, aborted."""
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    user: Mapped[str] = mapped_column(String(255), default="")
    correlation_id: Mapped[str] = mapped_column(String(64), default="")
    fault: Mapped[str] = mapped_column(Text, default="")
    """Why it failed, as the user is told."""
    fault_kind: Mapped[str] = mapped_column(String(16), default="")
    """wrong, conflict, credentials, unwell: what the fault's HTTP status is made from."""
    steps: Mapped[list[Step]] = relationship(order_by="Step.number", cascade="all, delete-orphan")


class Step(Row, Base):
    __tablename__ = "step"
    job_id: Mapped[str] = mapped_column(ForeignKey("job.id", ondelete="CASCADE"), index=True)
    number: Mapped[int]
    description: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(String(16), default="executing")
    status: Mapped[str] = mapped_column(String(12), default="started")
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    message: Mapped[str] = mapped_column(Text, default="")


def start_job(session: Session, description: str, *, user: str = "", correlation_id: str = "") -> Job:
    job = Job(description=description, started_at=now(), user=user, correlation_id=correlation_id)
    session.add(job)
    session.flush()
    return job


def end_job(session: Session, job_id: str | None, *, fault: str = "", kind: str = "wrong") -> None:
    """Idempotent: a job that has ended stays as it ended."""
    job = session.get(Job, job_id) if job_id else None
    if job is None or job.ended_at is not None:
        return
    job.status, job.ended_at = ("failed" if fault else "finished"), now()
    job.fault, job.fault_kind = fault, kind if fault else ""
    for step in job.steps:
        if step.ended_at is None:
            step.status, step.ended_at = job.status, job.ended_at


def add_step(
    session: Session,
    job_id: str | None,
    description: str,
    *,
    status: str = "finished",
    seconds: float = 0.0,
    message: str = "",
) -> None:
    job = session.get(Job, job_id) if job_id else None
    if job is None:
        return
    ended = now()
    job.steps.append(
        Step(
            number=len(job.steps) + 1,
            description=description,
            status=status,
            started_at=ended - timedelta(seconds=seconds),
            ended_at=ended,
            message=message,
        )
    )
