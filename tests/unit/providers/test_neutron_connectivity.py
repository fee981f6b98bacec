"""The Test button: what each other side is called, and that it never takes long."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from isthmus.providers import base
from isthmus.providers.base import Settings
from isthmus.providers.neutron import NeutronProvider, connectivity
from tests.fakes.neutron import FakeNeutron, Kind
from tests.unit.providers import peers

LIMIT = 0.6
"""Seconds that a test which is to run into its limit has."""


def tried(url: str, timeout: float = 5.0, **settings: Any) -> base.TestResult:
    made = NeutronProvider(Settings("", "", url, "d1", timeout=timeout, **settings))
    result = made.test()
    made.close()
    return result


def assert_problem(result: base.TestResult, problem: str, *words: str) -> None:
    assert (result.ok, result.problem) == (False, problem), result
    for word in words:
        assert word in result.message
    assert result.advice, "it must say what to do"


@pytest.mark.parametrize("tail", ["", "/", "/v2.0", "/v2.0/", "  "])
def test_usable(neutron: FakeNeutron, tail: str) -> None:
    result = tried(neutron.url + tail)
    assert (result.ok, result.problem, result.advice) == (True, "", "")
    assert neutron.url in result.message
    assert [request.line for request in neutron.requests] == ["GET /v2.0/networks", "GET /v2.0/extensions"]


def test_a_test_writes_nothing(neutron: FakeNeutron) -> None:
    tried(neutron.url)
    assert {request.method for request in neutron.requests} == {"GET"}


def test_a_stopped_service(neutron: FakeNeutron) -> None:
    neutron.down()
    assert_problem(tried(neutron.url), "refused", neutron.url)


def test_back_again(neutron: FakeNeutron) -> None:
    neutron.down()
    assert not tried(neutron.url).ok
    neutron.up()
    assert tried(neutron.url).ok


def test_dropped_packets() -> None:
    with peers.dropping() as port:
        assert_problem(tried(f"http://127.0.0.1:{port}", LIMIT), "timeout", f"{LIMIT:g} s")


def test_connected_but_silent(neutron: FakeNeutron) -> None:
    neutron.fault("*", Kind.HANG)
    assert_problem(tried(neutron.url, LIMIT), "timeout")


def test_a_trickle(neutron: FakeNeutron) -> None:
    neutron.fault("*", Kind.SLOW)
    began = time.monotonic()
    assert_problem(tried(neutron.url, LIMIT), "timeout")
    assert time.monotonic() - began < LIMIT + 2


def test_both_calls_share_one_limit(neutron: FakeNeutron) -> None:
    first = neutron.hold("GET /v2.0/networks")
    neutron.fault("GET /v2.0/extensions", Kind.HANG)
    began = time.monotonic()
    result: list[base.TestResult] = []
    trying = threading.Thread(target=lambda: result.append(tried(neutron.url, 2 * LIMIT)))
    trying.start()
    first.wait()
    threading.Timer(LIMIT, first.let_go).start()
    trying.join()
    assert_problem(result[0], "timeout")
    assert time.monotonic() - began < 3 * LIMIT


def test_however_patient_the_provider_is_the_test_is_not() -> None:
    assert connectivity.LONGEST <= 10


@pytest.mark.parametrize("tail", ["/1", "/v2.01", "/identity"])
def test_a_wrong_path(neutron: FakeNeutron, tail: str) -> None:
    assert_problem(tried(neutron.url + tail), "not_found", "404")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\r\n<html>hi</html>", "HTTP 200"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{"hello":"world"}', "networks"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "HTTP 200"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n{"networks":"no"}', "HTTP 200"),
        (b"HTTP/1.1 302 Found\r\nlocation: https://elsewhere.test/\r\ncontent-length: 0\r\n\r\n", "redirects"),
        (b"HTTP/1.1 400 Bad Request\r\nserver: nginx\r\ncontent-length: 5\r\n\r\nplain", "nginx"),
        (b"HTTP/1.1 405 Not Allowed\r\ncontent-length: 0\r\n\r\n", "405"),
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", "does not speak HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x50", "does not speak HTTP"),
    ],
    ids=["html", "other JSON", "a list", "wrong type", "redirect", "TLS port", "405", "ssh", "TLS alert"],
)
def test_not_neutron(words: bytes, told: str) -> None:
    with peers.listening(peers.saying(words)) as port:
        assert_problem(tried(f"http://127.0.0.1:{port}"), "not_provider", told)


def test_a_body_without_end(neutron: FakeNeutron, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.providers.neutron.client.LARGEST_BODY", 200_000)
    neutron.fault("*", Kind.HUGE)
    assert_problem(tried(neutron.url), "not_provider", "200000")


def test_hanging_up_without_a_word() -> None:
    with peers.listening(lambda connection: None) as port:
        assert_problem(tried(f"http://127.0.0.1:{port}"), "error", "broke the connection off")


def test_a_reset(neutron: FakeNeutron) -> None:
    neutron.fault("*", Kind.RESET)
    assert_problem(tried(neutron.url), "error")


@pytest.mark.parametrize("status", [401, 403])
def test_it_wants_credentials(neutron: FakeNeutron, status: int) -> None:
    neutron.fault("*", Kind.ANSWER, status=status, error_type="", page="<html>Authentication required</html>")
    assert_problem(tried(neutron.url), "authentication", str(status))


def test_we_cannot_sign_in_yet(neutron: FakeNeutron) -> None:
    assert_problem(tried(neutron.url, requires_authentication=True), "authentication", "Keystone")
    assert neutron.requests == []


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_neutron_that_is_not_well(neutron: FakeNeutron, status: int) -> None:
    neutron.fault("*", Kind.ANSWER, status=status, error_type="Trouble", message="the database is away")
    assert_problem(tried(neutron.url), "error", "the database is away", "Trouble")


def test_a_neutron_that_cannot_bind(neutron: FakeNeutron) -> None:
    neutron.world.extensions.remove("binding")
    assert_problem(tried(neutron.url), "error", "binding")


def test_tls_that_is_not_trusted(tmp_path: Path) -> None:
    context, ca = peers.certificate(tmp_path, "127.0.0.1")
    with FakeNeutron(tls=context) as neutron:
        assert_problem(tried(neutron.url), "tls", "not trusted")
        assert tried(neutron.url, ca_file=str(ca)).ok


def test_tls_for_another_name(tmp_path: Path) -> None:
    context, ca = peers.certificate(tmp_path, "neutron.test")
    with FakeNeutron(tls=context) as neutron:
        assert_problem(tried(neutron.url, ca_file=str(ca)), "tls")


def test_https_where_http_is(neutron: FakeNeutron) -> None:
    assert_problem(tried(neutron.url.replace("http:", "https:")), "tls", "no TLS connection")


def test_a_handshake_that_does_not_end() -> None:
    leave = threading.Event()

    def silent(connection: socket.socket) -> None:
        leave.wait(10)

    with peers.listening(silent) as port:
        began = time.monotonic()
        assert_problem(tried(f"https://127.0.0.1:{port}", LIMIT), "timeout")
        assert time.monotonic() - began < LIMIT + 2
        leave.set()


def test_a_ca_file_that_is_not_there(neutron: FakeNeutron, tmp_path: Path) -> None:
    result = tried("https://127.0.0.1:1", ca_file=str(tmp_path / "none.pem"))
    assert_problem(result, "tls", "none.pem")


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert_problem(tried("http://neutron.test:9696"), "unresolved", "neutron.test")


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = threading.Event()

    def silent(*_: object, **__: object) -> Any:
        leave.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    began = time.monotonic()
    assert_problem(tried("http://neutron.test:9696", LIMIT), "unresolved")
    assert time.monotonic() - began < LIMIT + 2
    leave.set()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "   ",
        "neutron",
        "127.0.0.1:9696",
        "ftp://127.0.0.1:9696",
        "http://",
        "http://:9696",
        "http://127.0.0.1:96961",
        "http://127.0.0.1:0",
        "http://127.0.0.1:port",
        "http://127.0.0.1:9696:1",
        "http://127.0.0.1 :9696",
        "http://127.0.0.1:9696/?q=1",
        "http://127.0.0.1:9696/#here",
        "http://user:secret@127.0.0.1:9696",
        "http://[::1:9696",
        "http://127.0.0.1:9696/\r\nHost: elsewhere",
        "http://a..b:9696",
        f"http://{'x' * 64}.test:9696",
    ],
)
def test_malformed(url: str) -> None:
    result = tried(url)
    assert_problem(result, "address")
    assert "secret" not in result.message
