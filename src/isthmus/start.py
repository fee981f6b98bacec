"""Making an engine's data directory, and an engine from it.

First start makes the database, the certificate authority, the key for secrets and the administrator's password; every
later start finds them. Each step is idempotent and can be cut off at any moment: the next start goes on.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from isthmus.hosts.pki import Authority
from isthmus.model import Change, Cluster, Database, DataCenter, MacPool, new_id, schema
from isthmus.model.secrets import keyring
from isthmus.model.settings import get, hash_password, put
from isthmus.reconcile.engine import Engine, Options

ADMINISTRATOR = "admin@internal"


@dataclass(frozen=True)
class Prepared:
    engine: Engine
    new_password: str = ""
    """The administrator's, if this start made one; to be shown once."""


def prepare(data: Path, *, password: str | None = None, options: Options | None = None) -> Prepared:
    """An engine on this data directory, made ready if it is new. Starts no thread and makes no connection.

    ``password`` is the administrator's, from the environment; it replaces the one that is set.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    keyring.load(data / "key")
    authority = Authority(data / "pki")
    (data / "files").mkdir(exist_ok=True)
    database = Database.at(data / "engine.db")
    schema.upgrade(database)
    made = ""
    with database.write() as session:
        if session.get(Change, 1) is None:
            session.add(Change(id=1, last=0))
            session.flush()
        deployment = get(session, "deployment")
        if not deployment:
            deployment = new_id()
            put(session, "deployment", deployment)
            pool = MacPool(
                name="Default",
                description="Addresses for vNICs whose user names none",
                is_default=True,
                ranges=[_mac_range()],
            )
            center = DataCenter(name="Default", description="The first data center")
            session.add_all([pool, center])
            session.flush()
            session.add(Cluster(name="Default", description="The first cluster", data_center_id=center.id))
        if password:
            put(session, "admin_password", hash_password(password))
        elif not get(session, "admin_password"):
            made = secrets.token_urlsafe(12)
            put(session, "admin_password", hash_password(made))
    engine = Engine(db=database, data=data, deployment=deployment, authority=authority, options=options or Options())
    return Prepared(engine, made)


def _mac_range() -> dict[str, str]:
    """Locally administered addresses, the middle of them random, so that two installations seldom meet."""
    head = f"56:6f:{secrets.randbelow(256):02x}:{secrets.randbelow(256):02x}"
    return {"from": f"{head}:00:00", "to": f"{head}:ff:ff"}
