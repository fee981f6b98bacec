"""Requests that nobody would send in good faith get a fault, never a failure of the engine."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.codec import JSON, XML
from isthmus.api.negotiation import ROOT, negotiate
from tests.served import Client

NOUNS = (
    "clusters",
    "datacenters",
    "disks",
    "events",
    "hosts",
    "jobs",
    "macpools",
    "networks",
    "openstacknetworkproviders",
    "operatingsystems",
    "templates",
    "vms",
    "vnicprofiles",
)
STRANGE = ("none", "%00", "%ff%fe", "..%2f..", "9" * 40, "x" * 3000, "';--", "%3Cx%3E", "%F0%9F%A6%86", "1e400", "-1")


@pytest.mark.long
def test_strange_ids_are_not_found(http: Client, caplog: pytest.LogCaptureFixture) -> None:
    for noun in NOUNS:
        for strange in STRANGE:
            for method in ("GET", "DELETE"):
                answer = http(method, f"{noun}/{strange}")
                assert answer.status_code in (404, 405), (method, noun, strange, answer.text)
                assert "<fault>" in answer.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_strange_parameters_are_ignored_or_refused(http: Client, caplog: pytest.LogCaptureFixture) -> None:
    for query in (
        "max=999999999999999999",
        "max=999999999999999999&search=page 999999999",
        "max=-999999999999999999",
        "search=page 999999999",
        "search=%00",
        "search=name=%ff",
        "follow=,,,",
        "follow=" + "a." * 500,
        "max=%00",
        "&&&===",
        "%",
        "a=" + "b" * 5000,
        "from=999999999999999999",
    ):
        for noun in ("events", "networks"):
            answer = http("GET", f"{noun}?{query}")
            assert answer.status_code in (200, 400), (noun, query, answer.text)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@given(
    st.binary(max_size=60),
    st.binary(max_size=60),
    st.dictionaries(
        st.sampled_from([b"accept", b"version", b"correlation-id", b"content-length"]), st.binary(max_size=40)
    ),
)
def test_any_request_is_settled(path: bytes, query: bytes, headers: dict[bytes, bytes]) -> None:
    raw = ROOT.encode() + b"/" + path
    scope = {
        "type": "http",
        "path": raw.decode("latin-1"),
        "raw_path": raw,
        "query_string": query,
        "headers": list(headers.items()),
    }
    negotiated, _ = negotiate(scope)
    assert negotiated.media in (XML, JSON)
    assert 1 <= len(negotiated.correlation_id) <= 36
    assert negotiated.correlation_id.isascii()
    assert scope["path"].startswith(ROOT)
    assert negotiated.prefix.startswith(ROOT)
    for name in ("max", "a", ""):
        negotiated.params.number(name)
        negotiated.params.flag(name)


@given(st.sampled_from(["", "/v4"]), st.lists(st.sampled_from(["vms", "a-b", "x y"]), max_size=3), st.booleans())
def test_one_address_has_one_route(version: str, segments: list[str], slash: bool) -> None:
    plain = "/".join([ROOT, *segments])
    given_path = "/".join([ROOT + version, *segments]) + ("/" if slash else "")
    scope = {"type": "http", "path": given_path, "query_string": b"", "headers": []}
    negotiated, problem = negotiate(scope)
    assert problem is None
    assert scope["path"] == plain
    assert negotiated.prefix == ROOT + version
