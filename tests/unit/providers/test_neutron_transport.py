"""Every exchange ends, within its limit; connections are kept, and nothing of the environment is taken."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.providers.base import NetworkProvider, ProviderError, ProviderUnwell
from tests.fakes.neutron import FakeNeutron, Kind
from tests.unit.providers import peers
from tests.unit.providers.conftest import FakeBench

LIMIT = 0.6
SLACK = 2.0
"""Seconds that a busy machine may add."""


def seconds(call: Callable[[], Any]) -> float:
    began = time.monotonic()
    with pytest.raises(ProviderUnwell):
        call()
    return time.monotonic() - began


@pytest.mark.parametrize("kind", [Kind.HANG, Kind.SLOW])
def test_a_peer_that_is_slow_holds_nobody(neutron: FakeNeutron, bench: FakeBench, kind: Kind) -> None:
    provider = bench.provider(timeout=LIMIT)
    neutron.fault("GET *", kind)
    with pytest.raises(ProviderUnwell, match=f"within {LIMIT:g} s"):
        provider.networks()
    neutron.fault("GET *", kind)
    assert LIMIT - 0.1 <= seconds(provider.networks) < LIMIT + SLACK


def trickling(words: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        leave = threading.Event()
        connection.recv(65536)
        for byte in words * 1000:
            connection.sendall(bytes([byte]))
            if leave.wait(0.02):
                return

    return serve


@pytest.mark.parametrize(
    "words",
    [
        b"HTTP/1.1 200 OK\r\n" + b"x" * 60_000,
        b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 60000\r\n\r\n" + b" " * 60_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10_000,
        b"HTTP/1.0 200 OK\r\n\r\n" + b" " * 60_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 1000,
    ],
    ids=["headers", "body", "chunks", "until closed", "continue"],
)
def test_a_byte_now_and_then(bench: FakeBench, words: bytes) -> None:
    """Each read is answered at once; it is the whole that would never end."""
    with peers.listening(trickling(words)) as port:
        provider = bench.provider(url=f"http://127.0.0.1:{port}", timeout=LIMIT)
        assert seconds(provider.networks) < LIMIT + SLACK


def test_a_byte_now_and_then_over_tls(bench: FakeBench, tmp_path: Path) -> None:
    context, ca = peers.certificate(tmp_path, "127.0.0.1")
    inner = trickling(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n" + b" " * 60_000)

    def serve(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            inner(wrapped)

    with peers.listening(serve) as port:
        provider = bench.provider(url=f"https://127.0.0.1:{port}", timeout=LIMIT, ca_file=str(ca))
        assert seconds(provider.networks) < LIMIT + SLACK


def test_after_a_cut_the_next_call_is_well(neutron: FakeNeutron, bench: FakeBench) -> None:
    provider = bench.provider(timeout=LIMIT)
    neutron.fault("GET *", Kind.SLOW)
    with pytest.raises(ProviderUnwell):
        provider.networks()
    assert provider.networks() == []


def test_a_body_that_is_too_large(
    neutron: FakeNeutron, provider: NetworkProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.providers.neutron.client.LARGEST_BODY", 200_000)
    neutron.fault("GET *", Kind.HUGE)
    with pytest.raises(ProviderUnwell, match="more than 200000 bytes"):
        provider.networks()
    neutron.fault("GET *", Kind.GARBAGE, body=b" " * 200_001)
    with pytest.raises(ProviderUnwell, match="200001 bytes"):
        provider.networks()


def test_closing_ends_calls_in_flight(neutron: FakeNeutron, bench: FakeBench) -> None:
    provider = bench.provider(timeout=30)
    fault = neutron.fault("GET *", Kind.HANG)
    errors: list[ProviderError] = []

    def call() -> None:
        try:
            provider.networks()
        except ProviderError as error:
            errors.append(error)

    calling = threading.Thread(target=call)
    calling.start()
    fault.wait()
    began = time.monotonic()
    provider.close()
    calling.join()
    assert time.monotonic() - began < SLACK
    assert isinstance(errors[0], ProviderUnwell)
    assert "removed or changed" in errors[0].message


def test_a_redirect_is_not_followed(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    with FakeNeutron() as elsewhere:
        neutron.fault("GET *", Kind.ANSWER, status=302, headers={"location": elsewhere.url + "/v2.0/networks"})
        with pytest.raises(ProviderUnwell, match="redirects"):
            provider.networks()
        assert elsewhere.requests == []


def test_no_proxy_of_the_environment(
    neutron: FakeNeutron, provider: NetworkProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{peers.free_port()}")
    assert provider.networks() == []


def test_connections_are_kept(neutron: FakeNeutron, provider: NetworkProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = 0
    connect = socket.socket.connect

    def counted(self: socket.socket, address: Any) -> None:
        nonlocal opened
        opened += 1
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", counted)
    for _ in range(5):
        provider.networks()
        with pytest.raises(ProviderError):
            provider.network("no such network")
    assert opened == 1


def test_a_connection_that_was_closed_meanwhile(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    provider.networks()
    neutron.down()
    with pytest.raises(ProviderUnwell, match="refuses connections"):
        provider.networks()
    neutron.up()
    assert provider.networks() == []


def test_nothing_is_tried_twice(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    for kind in (Kind.RESET, Kind.DROP_REPLY, Kind.ANSWER):
        neutron.forget()
        neutron.fault("GET *", kind, status=503)
        with pytest.raises(ProviderUnwell):
            provider.networks()
        assert neutron.count() == 1


def test_many_threads_share_a_client(neutron: FakeNeutron, provider: NetworkProvider) -> None:
    held = neutron.hold("GET /v2.0/networks")
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(provider.networks())) for _ in range(12)]
    for thread in threads:
        thread.start()
    held.wait(12)
    held.let_go()
    for thread in threads:
        thread.join()
    assert found == [[]] * 12


def test_no_thread_or_socket_is_left(neutron: FakeNeutron, bench: FakeBench) -> None:
    before = threading.active_count()
    provider = bench.provider(timeout=LIMIT)
    for kind in (Kind.HANG, Kind.SLOW, Kind.RESET, Kind.GARBAGE):
        neutron.fault("GET *", kind)
        with pytest.raises(ProviderUnwell):
            provider.networks()
    provider.close()
    neutron.down()
    gc.collect()  # an unclosed socket would be an unraisable warning, which is an error here
    ends = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < ends, threading.enumerate()
        threading.Event().wait(0.02)
