"""In place of a ``World``: a real Neutron, so that ``FakeNeutron`` becomes a proxy that can be told to misbehave."""

from __future__ import annotations

from typing import Any

import requests

from tests.fakes.neutron_world import Query, Reply, World


class Upstream(World):
    """Requests are carried out there. Its tables stay empty: look at the real one."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url.rstrip("/")

    def handle(self, method: str, path: str, query: Query = (), body: Any = None, if_match: str = "") -> Reply:
        answer = requests.request(
            method,
            self._url + path,
            params=list(query),
            json=body,
            headers={"If-Match": if_match} if if_match else {},
            timeout=60,
        )
        try:
            content = answer.json() if answer.content else None
        except ValueError:
            content = answer.text
        return Reply(answer.status_code, content)
