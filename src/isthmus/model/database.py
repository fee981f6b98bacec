"""The database: sessions, the change sequence, and what every row has.

Nothing here is only SQLite's: one writer at a time is a property we ask for (``BEGIN IMMEDIATE`` there, a row lock on
``change`` elsewhere), so that the change sequence grows in the order in which transactions commit.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    DateTime,
    Dialect,
    Engine,
    Integer,
    MetaData,
    String,
    create_engine,
    event,
    select,
    update,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """An aware UTC time on every database (SQLite forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=UTC) if value and value.tzinfo is None else value


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid.uuid4())


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime: UtcTime,
        dict[str, Any]: JSON,
        dict[str, str]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


class Row:
    """What every entity has: an id, and the number of the change that last touched it."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    change: Mapped[int] = mapped_column(Integer, default=0, index=True)


class Named(Row):
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str] = mapped_column(default="")
    comment: Mapped[str] = mapped_column(default="")


class Change(Base):
    """One row: the number of the last change. Taken inside the transaction that makes the change."""

    __tablename__ = "change"
    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    last: Mapped[int] = mapped_column(default=0)


class Removal(Base):
    """What was removed, so that a page that knows change N can be told what is gone since."""

    __tablename__ = "removal"
    change: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    row_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    noun: Mapped[str] = mapped_column(String(40))


ONE_WRITER = select(Change.last).where(Change.id == 1).with_for_update()
"""Where BEGIN does not hold off other writers, this does; only then are a transaction's other rows read."""


def next_change(session: Session) -> int:
    """The number for what this transaction changes; one number a transaction. Holds off other writers until commit."""
    known: int | None = session.info.get("change")
    if known is None:
        known = session.execute(
            update(Change).where(Change.id == 1).values(last=Change.last + 1).returning(Change.last)
        ).scalar_one()
        session.info["change"] = known
    return known


def _stamp(session: Session, *_: object) -> None:
    touched = [o for o in session.new if isinstance(o, Row)]
    touched += [o for o in session.dirty if isinstance(o, Row) and session.is_modified(o)]
    gone = [o for o in session.deleted if isinstance(o, Row)]
    if not touched and not gone:
        return
    number = next_change(session)
    for row in touched:
        row.change = number
    for row in gone:
        if not row.id:
            continue
        session.add(Removal(change=number, noun=type(row).__name__, row_id=row.id))


class Database:
    """One database. ``read()`` and ``write()`` are short transactions; nothing else is waited for in one."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = create_engine(url, pool_size=20, max_overflow=20)
        readers = self.engine
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine)
        else:
            readers = self.engine.execution_options(isolation_level="REPEATABLE READ")
        self._readers = sessionmaker(readers, expire_on_commit=False)
        self._writers = sessionmaker(self.engine.execution_options(isthmus_write=True), expire_on_commit=False)
        event.listen(self._writers, "before_flush", _stamp)

    @classmethod
    def at(cls, path: Path) -> Database:
        return cls(f"sqlite:///{path}")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees the database as it was at one moment. Changes nothing."""
        with self._readers() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that commits when the block ends well, and changes nothing when it raises.

        One at a time, from its first statement on: what is read in it is still so when it commits.
        """
        with self._writers() as session, session.begin():
            if self.engine.dialect.name != "sqlite":
                session.execute(ONE_WRITER)
            yield session

    def close(self) -> None:
        self.engine.dispose()


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None  # BEGIN is ours: the driver would begin too late for a consistent read
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=20000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        write = connection.get_execution_options().get("isthmus_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@event.listens_for(Session, "after_begin")
def _after_begin(session: Session, _transaction: object, _connection: object) -> None:
    session.info.pop("change", None)
