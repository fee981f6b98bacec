"""Secrets at rest: encrypted from the first row on, each bound to the column it stands in.

The key lives in the data directory, outside the database. A value is ``key id : nonce : ciphertext``; the key id
leaves room for a change of key. Losing the key loses the secrets, nothing else.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator


class Keyring:
    """The keys that secrets are encrypted with; the newest encrypts, each decrypts its own."""

    def __init__(self) -> None:
        self._keys: dict[str, AESGCM] = {}
        self._newest = ""

    def load(self, path: Path) -> None:
        """Read the key file, making it (mode 0600) if there is none."""
        if not path.exists():
            fresh = path.with_suffix(".new")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                key = AESGCM.generate_key(256)
                file.write(b"k1 " + base64.b64encode(key) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(path)
        for line in path.read_text().split("\n"):
            if line.strip():
                name, value = line.split()
                self.add(name, base64.b64decode(value))

    def add(self, name: str, key: bytes) -> None:
        self._keys[name] = AESGCM(key)
        self._newest = name

    def encrypt(self, text: str, context: str) -> str:
        if not self._newest:
            raise RuntimeError("No key for secrets was loaded: call keyring.load() first")
        nonce = os.urandom(12)
        sealed = self._keys[self._newest].encrypt(nonce, text.encode(), context.encode())
        return f"{self._newest}:{base64.b64encode(nonce).decode()}:{base64.b64encode(sealed).decode()}"

    def decrypt(self, value: str, context: str) -> str:
        """:raises cryptography.exceptions.InvalidTag: another key, another column, or a changed value."""
        name, nonce, sealed = value.split(":")
        if name not in self._keys:
            raise RuntimeError(f"A secret was encrypted with key {name}, which the key file does not hold")
        return self._keys[name].decrypt(base64.b64decode(nonce), base64.b64decode(sealed), context.encode()).decode()


keyring = Keyring()
"""The process has one: column types are made before any data directory is known."""


class Secret(TypeDecorator[str]):
    """A text column that only its key can read. ``context`` binds a value to its column."""

    impl = Text
    cache_ok = True

    def __init__(self, context: str) -> None:
        super().__init__()
        self.context = context

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return keyring.encrypt(value, self.context) if value else value

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return keyring.decrypt(value, self.context) if value else value
