"""The schema's life: made and brought up to date by Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from isthmus.model.database import Base, Database


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def upgrade(database: Database) -> None:
    """Bring the database to the newest schema; idempotent. A failing migration changes nothing."""
    with database.engine.execution_options(isthmus_write=True).begin() as connection:
        command.upgrade(_config(connection), "head")


def differences(database: Database) -> list[object]:
    """What the migrations make otherwise than the entities say: must be empty."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def write_migration(database: Database, message: str) -> None:
    """For developers: write the migration from the database's schema to the entities'."""
    with database.engine.connect() as connection:
        command.revision(_config(connection), message=message, autogenerate=True)
