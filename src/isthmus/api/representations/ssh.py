"""SSH access to hosts."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from isthmus.api.codec import Identified

if TYPE_CHECKING:
    from isthmus.api.representations.user import User


class SshAuthenticationMethod(StrEnum):
    PASSWORD = "password"  # noqa: S105
    PUBLICKEY = "publickey"


class Ssh(Identified):
    """How the engine gets into a host."""

    authentication_method: SshAuthenticationMethod | None = None
    fingerprint: str | None = None
    port: int | None = None
    public_key: str | None = None
    user: User | None = None
