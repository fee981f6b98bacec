"""Moving running VMs."""

from __future__ import annotations

from enum import StrEnum

from isthmus.api.codec import Representation


class InheritableBoolean(StrEnum):
    FALSE = "false"
    INHERIT = "inherit"
    TRUE = "true"


class ParallelMigrationsPolicy(StrEnum):
    AUTO = "auto"
    AUTO_PARALLEL = "auto_parallel"
    CUSTOM = "custom"
    DISABLED = "disabled"
    INHERIT = "inherit"


class MigrationOptions(Representation):
    """How a running VM is moved."""

    tag = "migration"
    plural = "migration_optionss"

    auto_converge: InheritableBoolean | None = None
    compressed: InheritableBoolean | None = None
    custom_parallel_migrations: int | None = None
    encrypted: InheritableBoolean | None = None
    parallel_migrations_policy: ParallelMigrationsPolicy | None = None
