"""Bodies that are refused: what a client got wrong is named, and what is hostile costs nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api.codec import JSON, MAX_BODY, XML, BadRequest, decode
from isthmus.api.codec.xml_reader import MAX_DEPTH, MAX_ELEMENTS
from isthmus.api.representations import Action, Event, Host, Nic, Ticket, Vm

SYNTAX = "Request syntactically incorrect."
VALUE = "Invalid value"


def refused(body: str | bytes, cls: type = Vm, content_type: str | None = XML) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(cls, body if isinstance(body, bytes) else body.encode(), content_type)
    assert len(caught.value.detail) < 500
    return caught.value


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("<vm><nmae>x</nmae></vm>", "'nmae' in 'vm'"),
        ("<vm><cpu><topology><core>1</core></topology></cpu></vm>", "'core' in 'topology'"),
        ("<vm><nics><vm/></nics></vm>", "'vm' in 'nics'"),
        ("<vm><id>1</id></vm>", "'id' in 'vm'"),
        ("<nic/>", "'nic'"),
        ("<vm>text</vm>", "'vm'"),
        ("<vm><nics>text</nics></vm>", "'nics'"),
        ("<vm><name><b>x</b></name></vm>", "'b' inside 'name'"),
        ("<vm><links/></vm>", "'links'"),
        ("<vm><expanded>true</expanded></vm>", "'expanded'"),
        ("<vm", "well formed"),
        ("<vm/><vm/>", "well formed"),
        ("", "empty"),
        ("  \n", "empty"),
        ("<vm><name>\x00</name></vm>", "well formed"),
        (b"<vm><name>\xff\xfe</name></vm>", "well formed"),
        ("<vm><name>&nbsp;</name></vm>", "well formed"),
        ('<vm id="1" id="2"/>', "well formed"),
    ],
)
def test_unreadable_xml(body: str | bytes, named: str) -> None:
    error = refused(body)
    assert (error.status, error.reason) == (400, SYNTAX)
    assert named in error.detail


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"nmae": "x"}', "'nmae' in 'vm'"),
        ('{"nics": [{"name": "x"}]}', "'nics'"),
        ('{"nics": {"nic": {"name": "x"}}}', "'nics'"),
        ('{"nics": {"vm": []}}', "'nics'"),
        ('{"cpu": "x"}', "'cpu'"),
        ('{"name": {"a": 1}}', "'name'"),
        ('{"name": ["a"]}', "'name'"),
        ("[]", "'vm'"),
        ("null", "'vm'"),
        ('{"name": "x"', "well formed"),
        ('{"name": "\\ud800"}', ""),
        ("<vm/>", "well formed"),
        (b'{"name": "\xff"}', "well formed"),
    ],
)
def test_unreadable_json(body: str | bytes, named: str) -> None:
    error = refused(body, content_type=JSON)
    assert (error.status, error.reason) == (400, SYNTAX)
    assert named in error.detail


@pytest.mark.parametrize(
    ("cls", "xml", "json", "named"),
    [
        (Vm, "<vm><memory>1 GB</memory></vm>", '{"memory": "1 GB"}', "'memory' of 'vm'"),
        (Vm, "<vm><memory></memory></vm>", '{"memory": ""}', "'memory' of 'vm'"),
        (Vm, "<vm><memory>1.0</memory></vm>", '{"memory": 1.0}', "'memory' of 'vm'"),
        (Vm, "<vm><memory>1_0</memory></vm>", '{"memory": true}', "'memory' of 'vm'"),
        (Vm, "<vm><memory>9223372036854775808</memory></vm>", '{"memory": 9223372036854775808}', "'memory' of 'vm'"),
        (Host, "<host><port>2147483648</port></host>", '{"port": 2147483648}', "'port' of 'host'"),
        (Host, f"<host><port>{'9' * 5000}</port></host>", '{"port": 1e400}', ""),
        (Ticket, "<ticket><expiry>-1</expiry></ticket>", '{"expiry": -1}', "'expiry' of 'ticket'"),
        (Nic, "<nic><linked>yes</linked></nic>", '{"linked": "yes"}', "'linked' of 'nic'"),
        (Nic, "<nic><linked/></nic>", '{"linked": 2}', "'linked' of 'nic'"),
        (Action, "<action><async>2</async></action>", '{"async": "2"}', "'async' of 'action'"),
        (Event, "<event><time>today</time></event>", '{"time": "today"}', "'time' of 'event'"),
        (Event, "<event><time>99999999999999999999</time></event>", '{"time": 1e30}', "'time' of 'event'"),
        (Nic, "<nic><interface>warp</interface></nic>", '{"interface": "warp"}', "one of e1000, "),
        (Host, "<host><cpu><speed>NaN</speed></cpu></host>", '{"cpu": {"speed": "nan"}}', "'speed' of 'cpu'"),
    ],
)
def test_invalid_values(cls: type, xml: str, json: str, named: str) -> None:
    for body, content_type in ((xml, XML), (json, JSON)):
        error = refused(body, cls, content_type)
        assert error.status == 400
        assert error.reason in (VALUE, SYNTAX if "1e400" in body else VALUE)
        assert named in error.detail


def test_content_types() -> None:
    assert decode(Vm, b"<vm/>", None) == Vm()
    assert decode(Vm, b"<vm/>", "text/xml;charset=UTF-8") == Vm()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "xml"):
        assert refused("<vm/>", content_type=content_type).status == 415


BILLION_LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{i} "{f"&lol{i - 1};" * 10}">' for i in range(1, 10)).replace("&lol0;", "&lol;")
    + "]><vm><name>&lol9;</name></vm>"
)


@pytest.mark.parametrize(
    "body",
    [
        BILLION_LAUGHS,
        '<!DOCTYPE vm [<!ENTITY x SYSTEM "file:///etc/passwd">]><vm><name>&x;</name></vm>',
        '<!DOCTYPE vm SYSTEM "http://127.0.0.1:1/x.dtd"><vm/>',
        '<!DOCTYPE vm [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><vm/>',
        "<!DOCTYPE vm><vm/>",
    ],
)
def test_document_types_are_refused_unread(body: str) -> None:
    error = refused(body)
    assert error.reason == SYNTAX
    assert "document type" in error.detail


@pytest.mark.parametrize("passed_over", ["", "<link>", "<actions>"])
def test_deep_xml(passed_over: str) -> None:
    nested = "<vm>" + passed_over + "<template><vm>" * 3000
    assert f"more than {MAX_DEPTH} deep" in refused(nested).detail


def test_deep_json() -> None:
    assert (
        f"more than {MAX_DEPTH} deep"
        in refused('{"template": {"vm": ' * 100 + "1" + "}}" * 100, content_type=JSON).detail
    )
    refused("[" * 200_000, content_type=JSON)
    refused('{"template": ' * 50_000, content_type=JSON)


def test_many_elements() -> None:
    assert f"More than {MAX_ELEMENTS}" in refused("<vm><nics>" + "<nic/>" * (MAX_ELEMENTS + 1) + "</nics></vm>").detail
    assert f"More than {MAX_ELEMENTS}" in refused("<vm><actions>" + "<x/>" * (MAX_ELEMENTS + 1)).detail


def test_huge_bodies() -> None:
    for content_type in (XML, JSON):
        error = refused(b" " * (MAX_BODY + 1), content_type=content_type)
        assert error.status == 413
        assert str(MAX_BODY) in error.detail


@pytest.mark.parametrize("content_type", [XML, JSON])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_noise_is_refused_or_read_but_never_breaks(content_type: str, data: st.DataObject) -> None:
    pieces = [
        "<vm>",
        "</vm>",
        "<nics>",
        "<nic/>",
        "<name>",
        "</name>",
        "x",
        "<",
        "&",
        "&#0;",
        "{",
        "}",
        '"name"',
        ":",
        "[]",
    ]
    body = "".join(data.draw(st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=12)))
    try:
        decode(Vm, body.encode("utf-8", "surrogatepass"), content_type)
    except BadRequest as error:
        assert error.reason in (SYNTAX, VALUE)  # noqa: PT017
