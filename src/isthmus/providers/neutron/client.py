"""One pooled client for one Neutron: calls that end, answers that are what they say, errors of three kinds."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
import requests
from keystoneauth1 import exceptions as keystone_errors
from keystoneauth1.adapter import Adapter
from keystoneauth1.noauth import NoAuth
from keystoneauth1.session import Session

from isthmus.providers.base import Call, CredentialsWrong, NotFound, ProviderUnwell, Settings
from isthmus.providers.neutron import errors, transport
from isthmus.providers.neutron.address import VERSION, root_of

T = TypeVar("T")

Query = Sequence[tuple[str, str]]

PAGE = 1000
"""Objects asked for at a time where a list may be long."""
MOST_PAGES = 1000
LARGEST_BODY = 32 * 1024 * 1024
"""Bytes; a page of a thousand ports is about two million."""
CONNECTIONS = 8


class Page(msgspec.Struct, Generic[T]):
    """One page of a list: the objects, and where to go on, if there is more."""

    items: list[T]
    marker: str | None


class _Link(msgspec.Struct):
    rel: str
    href: str


class NeutronClient:
    """Made for one provider, used from its executor's threads. Redirects are not followed, nothing is retried.

    :raises RequestWrong: the provider's address is malformed.
    :raises ProviderUnwell: its CA certificate is not there.
    """

    def __init__(self, settings: Settings) -> None:
        self.root = root_of(settings.url)
        self.who = f"provider {settings.name!r}" if settings.name else "the provider"
        if settings.ca_file and not os.path.isfile(settings.ca_file):
            raise errors.NoAnswer(
                f"the file with the CA certificate of {self.who}, {settings.ca_file}, is not there",
                "tls",
                "Give the CA certificate again.",
            )
        self._settings = settings
        self._closed = False
        self._lock = threading.Lock()
        self._exchanges: set[transport.Exchange] = set()
        self._http = transport.session(CONNECTIONS)
        session = Session(session=self._http, verify=settings.ca_file or _trusted(), redirect=False)
        self._adapter = Adapter(
            session,
            auth=NoAuth(endpoint=self.root + VERSION),
            endpoint_override=self.root + VERSION,
            user_agent="isthmus",
            connect_retries=0,
            status_code_retries=0,
            raise_exc=False,
        )

    # ------------------------------------------------------------------------------------------------ calls

    def get(self, kind: type[T], path: str, query: Query, what: str, calls: list[Call] | None = None) -> T:
        """The answer's body, checked to be of that kind. ``what`` completes "could not ..." in messages.

        :raises ProviderError: of the kind that the answer, or its absence, makes it.
        """
        return self.read(kind, self.send("GET", path, query, what=what, calls=calls), what)

    def post(self, kind: type[T], path: str, body: Any, what: str, calls: list[Call] | None = None) -> T:
        """As ``get``. After a ``ProviderUnwell`` the object may have been made, or may be made yet."""
        return self.read(kind, self.send("POST", path, body=body, what=what, calls=calls), what)

    def delete(self, path: str, what: str, calls: list[Call] | None = None) -> None:
        """Idempotent: Neutron's own word that the object is not there is success. :raises ProviderError:"""
        try:
            self.send("DELETE", path, what=what, calls=calls)
        except NotFound:
            return

    def collect(
        self, kind: type[T], collection: str, query: Query, what: str, calls: list[Call] | None = None
    ) -> list[T]:
        """Every object of a collection that the query lets through, page by page. :raises ProviderError:"""
        found: list[T] = []
        page_query: Query = query
        for _ in range(MOST_PAGES):
            try:
                answer = self.send("GET", f"/{collection}", page_query, what=what, calls=calls)
            except NotFound as error:
                if page_query is query:
                    raise
                # The last object of the page before was deleted, and with it the place to go on from.
                raise ProviderUnwell(
                    f"the list that {self.who} gives to {what} changed while it was read",
                    request_id=error.request_id,
                    advice="It is read again later.",
                ) from error
            page = self.page(kind, collection, answer, what)
            found += page.items
            if page.marker is None:
                return found
            page_query = [*query, ("marker", page.marker)]
        raise errors.NotNeutron(f"{self.who} gives no end of pages to {what}", "not_provider")

    def send(
        self,
        method: str,
        path: str,
        query: Query = (),
        *,
        what: str,
        body: Any = None,
        calls: list[Call] | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """One exchange, within ``seconds`` (the provider's time limit unless given). :raises ProviderError:"""
        if self._settings.requires_authentication:
            raise CredentialsWrong(
                f"{self.who} is set to require authentication, and signing in to Keystone is not supported yet",
                advice="Switch authentication off at the provider, for a Neutron without Keystone.",
            )
        limit = self._settings.timeout if seconds is None else seconds
        began = time.monotonic()
        answer: Answer | None = None
        try:
            answer = self._exchange(method, path, query, body, limit, what)
        finally:
            if calls is not None:
                status, request_id = (answer.status, answer.request_id) if answer else (None, None)
                calls.append(Call(f"{method} {path}", status, request_id, time.monotonic() - began))
        if not 200 <= answer.status < 300:
            raise errors.refusal(self.who, what, answer.status, answer.request_id, answer.body, server=answer.server)
        return answer

    def read(self, kind: type[T], answer: Answer, what: str) -> T:
        """The body, checked. :raises ProviderUnwell: it is not what Neutron sends."""
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise errors.garbage(self.who, what, answer.status, answer.request_id, error) from error

    def page(self, kind: type[T], collection: str, answer: Answer, what: str) -> Page[T]:
        """A page of a list, checked. :raises ProviderUnwell: it is not what Neutron sends."""
        whole = self.read(dict[str, msgspec.Raw], answer, what)
        try:
            if collection not in whole:
                raise ValueError(f"no {collection!r} in it")
            items = msgspec.json.decode(whole[collection], type=list[kind])  # type: ignore[valid-type]
            links = msgspec.json.decode(whole.get(f"{collection}_links", b"[]"), type=list[_Link])
            return Page(items, _marker(links) if items else None)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise errors.garbage(self.who, what, answer.status, answer.request_id, error) from error

    def close(self) -> None:
        """Calls in flight end at once with a ``ProviderUnwell``; later ones too."""
        with self._lock:
            self._closed = True
            cut = list(self._exchanges)
        for exchange in cut:
            exchange.cut()
        self._http.close()

    # ---------------------------------------------------------------------------------------------- inside

    def _exchange(self, method: str, path: str, query: Query, body: Any, limit: float, what: str) -> Answer:
        url = path + (f"?{urlencode(query)}" if query else "")
        sent: dict[str, Any] = {} if body is None else {"json": body}
        exchange = transport.Exchange(limit)
        with self._lock:
            if self._closed:
                raise self._gone(what)
            self._exchanges.add(exchange)
        try:
            with exchange:
                response = self._adapter.request(
                    url,
                    method,
                    headers={"Accept": "application/json", "Accept-Encoding": "identity"},
                    timeout=limit,
                    stream=True,
                    log=False,
                    **sent,
                )
                try:
                    content = transport.body(response, LARGEST_BODY)
                finally:
                    response.close()
                exchange.left()  # headers that were cut off look like few headers
                return Answer(
                    response.status_code,
                    content,
                    response.headers.get("x-openstack-request-id"),
                    response.headers.get("server", ""),
                )
        except transport.TooLarge as error:
            raise errors.NotNeutron(
                f"{self.who} did not answer as Neutron does when asked to {what}: {error}",
                "not_provider",
                "Check that the address is Neutron's.",
            ) from error
        except (requests.RequestException, keystone_errors.ClientException, OSError) as error:
            if self._closed:
                raise self._gone(what) from error
            trouble = errors.no_answer(error, self.root, limit, expired=exchange.expired)
            trouble.message = f"{self.who} could not be asked to {what}: {trouble.message}"
            raise trouble from error
        finally:
            with self._lock:
                self._exchanges.discard(exchange)

    def _gone(self, what: str) -> errors.NoAnswer:
        return errors.NoAnswer(f"{self.who} was removed or changed before it could be asked to {what}", "error")


class Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    request_id: str | None
    server: str


def _marker(links: Sequence[_Link]) -> str | None:
    """Where the next page begins.

    Of the link's address nothing else is used: behind a proxy Neutron names itself as only it knows itself, and a
    link must not be able to send us elsewhere.
    """
    for link in links:
        if link.rel == "next" and (marks := parse_qs(urlsplit(link.href).query).get("marker")):
            return marks[-1]
    return None


def _trusted() -> str | bool:
    """The machine's own store of CA certificates, where it has one, before the one that comes with requests."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile or (paths.capath if paths.capath and os.listdir(paths.capath) else None) or True
