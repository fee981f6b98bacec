"""The installation's own facts: deployment id, the administrator's password (hashed), and a few settings."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, Session, mapped_column

from isthmus.model.database import Base


class Setting(Base):
    __tablename__ = "setting"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Token(Base):
    """A signed-in session. Only the token's hash is kept: whoever reads the database cannot sign in with it."""

    __tablename__ = "token"
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(String(255))
    expires_at: Mapped[datetime]


def get(session: Session, name: str, default: str = "") -> str:
    row = session.get(Setting, name)
    return row.value if row else default


def put(session: Session, name: str, value: str) -> None:
    session.merge(Setting(name=name, value=value))


def hash_password(password: str) -> str:
    salt = os.urandom(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=1)
    return f"scrypt:{base64.b64encode(salt).decode()}:{base64.b64encode(digest).decode()}"


def check_password(password: str, kept: str) -> bool:
    _, salt, digest = kept.split(":")
    found = hashlib.scrypt(password.encode(), salt=base64.b64decode(salt), n=1 << 14, r=8, p=1)
    return hmac.compare_digest(found, base64.b64decode(digest))
