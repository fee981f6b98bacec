"""Run by Alembic, on the connection that ``isthmus.model.schema`` hands it."""

from typing import Any, Literal

from alembic import context

from isthmus.model import Base
from isthmus.model.database import UtcTime
from isthmus.model.secrets import Secret


def plain_type(kind: str, item: Any, _: Any) -> str | Literal[False]:
    """Migrations name the database's own types: what they do must not change when our types do."""
    if kind == "type" and isinstance(item, Secret):
        return "sa.Text()"
    if kind == "type" and isinstance(item, UtcTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    render_item=plain_type,
)
with context.begin_transaction():
    context.run_migrations()
