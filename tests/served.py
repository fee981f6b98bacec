"""An engine served by uvicorn over HTTPS, and oVirt's own SDK as its client."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ovirtsdk4
import requests
import uvicorn
from sqlalchemy import event

from isthmus.api.app import make_app
from isthmus.reconcile.engine import Engine
from tests.waiting import wait_for

USER, PASSWORD = "admin@internal", "a good password"


@contextmanager
def serve(engine: Engine) -> Iterator[str]:
    """The API's address, while the engine is served there."""
    listening = socket.create_server(("127.0.0.1", 0))
    address = f"https://127.0.0.1:{listening.getsockname()[1]}"
    certificate = str(engine.authority.https(["127.0.0.1"]))
    config = uvicorn.Config(
        make_app(engine),
        log_level="warning",
        ssl_certfile=certificate,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        wait_for(lambda: server.started, "uvicorn has started")
        yield f"{address}/ovirt-engine/api"
    finally:
        server.should_exit = True
        thread.join()


class Client:
    """Plain HTTP, for what the SDK cannot ask."""

    def __init__(self, url: str, ca: Path) -> None:
        self.url, self.ca = url, str(ca)
        self.host = url.removesuffix("/ovirt-engine/api")
        self.session = requests.Session()
        self.session.auth = (USER, PASSWORD)
        self.session.verify = self.ca
        self.session.trust_env = False  # no proxy, and no other CA, of the machine the tests run on

    def __call__(self, method: str, path: str, body: str | bytes | None = None, **kwargs: Any) -> requests.Response:
        url = self.host + path if path.startswith("/") else f"{self.url}/{path}".rstrip("/")
        headers = {"Content-Type": "application/xml", **kwargs.pop("headers", {})}
        return self.session.request(method, url, data=body, headers=headers, allow_redirects=False, **kwargs)


@contextmanager
def sign_in(engine: Engine, url: str) -> Iterator[ovirtsdk4.Connection]:
    connection = ovirtsdk4.Connection(
        url=url, username=USER, password=PASSWORD, ca_file=str(engine.authority.ca_path), timeout=60
    )
    try:
        yield connection
    finally:
        connection.close()


class Statements(list[str]):
    """The SQL that the engine sends, while this is watched."""


@contextmanager
def statements(engine: Engine) -> Iterator[Statements]:
    seen = Statements()

    def record(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            seen.append(statement)

    event.listen(engine.db.engine, "before_cursor_execute", record)
    try:
        yield seen
    finally:
        event.remove(engine.db.engine, "before_cursor_execute", record)
