"""What holds for every request, whatever it is about."""

from __future__ import annotations

import json
import logging
import re
import shutil
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import ovirtsdk4
import pytest
import requests
from fastapi import APIRouter

from isthmus.api import app as app_module
from isthmus.api.codec import MAX_BODY
from isthmus.model import Event
from isthmus.reconcile.engine import Engine
from isthmus.start import prepare
from tests.served import PASSWORD, USER, Client, serve, sign_in

XML_LIST = "<data_centers>"


@pytest.fixture(scope="module")
def engine(first_start: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One for all of these: what they make has a name of its own."""
    path = tmp_path_factory.mktemp("platform") / "data"
    shutil.copytree(first_start, path)
    made = prepare(path).engine
    yield made
    made.close()
    made.db.close()


def fault_of(answer: requests.Response) -> tuple[str, str]:
    assert answer.headers["Content-Type"].startswith("application/xml"), answer.text
    found = re.search(r"<detail>(.*)</detail>\s*<reason>(.*)</reason>", answer.text, re.DOTALL)
    assert found, answer.text
    return found[2], found[1]


# ------------------------------------------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "path",
    [
        "/ovirt-engine/api/datacenters",
        "/ovirt-engine/api/datacenters/",
        "/ovirt-engine/api/v4/datacenters",
        "/ovirt-engine/api/v4/datacenters/",
        "/ovirt-engine/api/datacenters;max=5",
        "/ovirt-engine/api/datacenters;max=5/",
    ],
)
def test_an_address_is_taken_with_and_without_version_and_slash(http: Client, path: str) -> None:
    answer = http("GET", path)
    assert answer.status_code == 200, answer.text
    assert XML_LIST in answer.text
    prefix = "/ovirt-engine/api/v4" if "/v4" in path else "/ovirt-engine/api"
    assert f'<data_center href="{prefix}/datacenters/' in answer.text


@pytest.mark.parametrize("path", ["/ovirt-engine/api", "/ovirt-engine/api/", "/ovirt-engine/api/v4"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_answers_without_redirecting(http: Client, path: str, method: str) -> None:
    assert http(method, path).status_code == 200


def test_another_version_is_refused(http: Client) -> None:
    assert http("GET", "/ovirt-engine/api/v3/datacenters").status_code == 400
    answer = http("GET", "datacenters", headers={"Version": "3"})
    assert answer.status_code == 400
    assert "only version 4" in fault_of(answer)[1]
    assert http("GET", "datacenters", headers={"Version": "4"}).status_code == 200


def test_query_wins_over_matrix_parameters(http: Client) -> None:
    http("POST", "datacenters", "<data_center><name>second</name></data_center>")
    assert http("GET", "datacenters;max=1").text.count("<data_center ") == 1
    assert http("GET", "datacenters;max=1?max=2").text.count("<data_center ") == 2
    assert http("GET", "datacenters;max=nonsense").text.count("<data_center ") >= 2


def test_unknown_path_and_method_are_faults(http: Client) -> None:
    answer = http("GET", "nothing/here")
    assert answer.status_code == 404
    assert "/nothing/here" in fault_of(answer)[1]
    answer = http("PATCH", "datacenters")
    assert answer.status_code == 405
    assert "PATCH" in fault_of(answer)[1]
    assert http("GET", "/ovirt-engine/other").status_code == 404


# ------------------------------------------------------------------------------------------------------------ form


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("", "application/xml"),
        ("*/*", "application/xml"),
        ("application/xml", "application/xml"),
        ("text/xml", "application/xml"),
        ("application/json", "application/json"),
        ("application/json;detail=a", "application/json"),
        ("application/xml;q=0.5, application/json", "application/json"),
        ("application/json;q=0.5, application/xml", "application/xml"),
        ("text/html, */*;q=0.1", "application/xml"),
    ],
)
def test_the_client_chooses_the_form(http: Client, accept: str, media: str) -> None:
    answer = http("GET", "datacenters", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(media)


def test_the_accept_parameter_wins_over_the_header(http: Client) -> None:
    answer = http("GET", "datacenters?accept=application/json", headers={"Accept": "application/xml"})
    assert "Default" in [center["name"] for center in answer.json()["data_center"]]


def test_a_form_that_is_not_made_is_406(http: Client) -> None:
    answer = http("GET", "datacenters", headers={"Accept": "text/html"})
    assert answer.status_code == 406
    fault_of(answer)


def test_faults_come_in_the_form_that_was_asked_for(http: Client) -> None:
    answer = http("GET", "datacenters/none", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert set(answer.json()) == {"reason", "detail"}


def test_json_in_and_out(http: Client) -> None:
    document = json.dumps({"name": "by-json", "description": "by JSON"})
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    answer = http("POST", "datacenters", document, headers=headers)
    assert answer.status_code == 201
    assert answer.json()["description"] == "by JSON"
    assert answer.headers["Location"] == answer.json()["href"]


# ---------------------------------------------------------------------------------------------------------- bodies

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><data_center><name>&b;</name></data_center>'
FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><data_center><name>&a;</name></data_center>'


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<data_center>",
        "<data_center><nmae>x</nmae></data_center>",
        "<cluster><name>x</name></cluster>",
        BOMB,
        FILE,
        "<data_center>" * 100,
        b"\xff\xfe\x00",
        "<data_center><name>\x01</name></data_center>",
        "<data_center><local>perhaps</local></data_center>",
    ],
    ids=["empty", "cut", "misspelt", "root", "bomb", "file", "deep", "no-text", "control", "boolean"],
)
def test_what_cannot_be_read_is_400_and_changes_nothing(
    http: Client, body: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = http("GET", "datacenters").text
    answer = http("POST", "datacenters", body)
    assert answer.status_code == 400
    fault_of(answer)
    assert http("GET", "datacenters").text == before
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_body_that_is_too_large_is_413(http: Client) -> None:
    body = b"<data_center><name>x</name>" + b" " * MAX_BODY + b"</data_center>"
    answer = http("POST", "datacenters", body)
    assert answer.status_code == 413
    fault_of(answer)


def test_a_chunked_body_that_is_too_large_is_413(http: Client) -> None:
    pieces = (b"x" * 65536 for _ in range(40))
    answer = http("POST", "datacenters", pieces)  # type: ignore[arg-type]
    assert answer.status_code == 413


def test_another_content_type_is_refused(http: Client) -> None:
    answer = http("POST", "datacenters", "<data_center/>", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    fault_of(answer)


def test_a_body_announced_with_a_get_ends_the_connection(url: str, engine: Engine) -> None:
    """libgovirt announces one and does not send it; the next request on the connection would be misread."""
    host, _, port = url.removeprefix("https://").partition("/")[0].partition(":")
    context = ssl.create_default_context(cafile=str(engine.authority.ca_path))
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=host) as link:
        link.sendall(b"GET /ovirt-engine/api HTTP/1.1\r\nHost: x\r\nContent-Length: 17\r\n\r\n<action></action>")
        received = b""
        while piece := link.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in received.lower()


# ---------------------------------------------------------------------------------------------------------- headers


def test_the_correlation_id_is_echoed_cleaned_and_kept(http: Client, engine: Engine) -> None:
    body = "<data_center><name>north</name></data_center>"
    answer = http("POST", "datacenters", body, headers={"Correlation-Id": "my-id_1 <x>"})
    assert answer.headers["Correlation-Id"] == "my-id_1x"
    with engine.db.read() as session:
        assert session.query(Event).filter_by(correlation_id="my-id_1x").one().text.startswith("Data center north")
    assert http("GET", "datacenters?correlation_id=abc").headers["Correlation-Id"] == "abc"
    assert len(http("GET", "datacenters").headers["Correlation-Id"]) == 36


def test_security_headers_and_no_cookies(http: Client) -> None:
    answer = http("GET", "datacenters", headers={"Prefer": "persistent-auth"})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers
    assert "Server" not in answer.headers


# ------------------------------------------------------------------------------------------------------- signing in


def test_nothing_is_shown_without_credentials(http: Client) -> None:
    http.session.auth = None
    for path in ("", "datacenters", "vms", "openstacknetworkproviders", "events"):
        answer = http("GET", path)
        assert answer.status_code == 401, path
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="RESTAPI"'
        fault_of(answer)
    answer = http("POST", "datacenters", "<data_center><name>x</name></data_center>")
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer nonsense", "Bearer", "Basic !!!", "Basic YWRtaW4=", "Basic YWRtaW46eA==", "Digest x", "Basic w4M="],
)
def test_bad_credentials_are_401(http: Client, header: str) -> None:
    http.session.auth = None
    assert http("GET", "datacenters", headers={"Authorization": header}).status_code == 401


def test_sign_in_by_the_sdk_and_out(engine: Engine, url: str) -> None:
    with sign_in(engine, url) as connection:
        assert connection.test(raise_exception=True)
        token = connection.authenticate()
    answer = requests.get(
        url,
        headers={"Authorization": f"Bearer {token}"},
        verify=str(engine.authority.ca_path),
        timeout=30,
        proxies={"https": ""},
    )
    assert answer.status_code == 401, "signing out ends the token"


def test_a_wrong_password_is_said_by_the_sdk_and_as_an_event(engine: Engine, url: str) -> None:
    connection = ovirtsdk4.Connection(
        url=url, username=USER, password="wrong", ca_file=str(engine.authority.ca_path), timeout=30
    )
    with pytest.raises(ovirtsdk4.AuthError, match=r"access_denied.*do not go together"):
        connection.test(raise_exception=True)
    with engine.db.read() as session:
        assert session.query(Event).filter_by(code=114).order_by(Event.id.desc()).first().severity == "error"


def sso(http: Client, accept: str = "application/json", **form: str) -> requests.Response:
    fields = {"grant_type": "password", "scope": "ovirt-app-api", "username": USER, "password": PASSWORD, **form}
    headers = {"Accept": accept, "Content-Type": "application/x-www-form-urlencoded"}
    http.session.auth = None
    return http(
        "POST",
        "/ovirt-engine/sso/oauth/token",
        requests.models.RequestEncodingMixin._encode_params(fields),
        headers=headers,
    )


def test_the_token_answer_has_what_clients_read(http: Client) -> None:
    answer = sso(http).json()
    assert answer["token_type"] == "bearer"
    assert answer["scope"] == "ovirt-app-api"
    assert isinstance(answer["exp"], str)
    shown = http("GET", "datacenters", headers={"Authorization": f"Bearer {answer['access_token']}"})
    assert shown.status_code == 200


@pytest.mark.parametrize(
    "form",
    [
        {"grant_type": "client_credentials"},
        {"scope": "other"},
        {"password": ""},
        {"username": "somebody@internal"},
        {"accept": "application/xml"},
    ],
)
def test_a_refused_sign_in_is_json_with_an_error(http: Client, form: dict[str, str]) -> None:
    answer = sso(http, **form)
    assert answer.status_code in (400, 401)
    assert answer.json()["error"]
    assert "access_token" not in answer.json()


def test_wrong_passwords_are_bounded(http: Client) -> None:
    for _ in range(10):
        assert sso(http, password="guess").status_code == 401
    answer = sso(http)
    assert answer.status_code == 429
    assert "Try again in" in answer.json()["error"]
    http.session.auth = (USER, PASSWORD)
    assert http("GET", "datacenters").status_code == 429


def test_a_token_is_kept_as_a_hash_only(http: Client, engine: Engine) -> None:
    token = sso(http).json()["access_token"]
    for path in engine.data.glob("engine.db*"):
        assert token.encode() not in path.read_bytes()


# ------------------------------------------------------------------------------------------------------------- root


def test_the_root_by_the_sdk(sdk: ovirtsdk4.Connection) -> None:
    api = sdk.system_service().get()
    assert api.product_info.name == "Isthmus"
    assert (api.product_info.version.major, api.product_info.version.minor) == (4, 5)
    assert api.summary.vms.total == 0


def test_everything_the_root_links_to_is_served(http: Client) -> None:
    root = http("GET", "").text
    links = re.findall(r'<link href="/ovirt-engine/api/([a-z]+)" rel="([a-z]+)"/>', root)
    assert {rel for _, rel in links} >= {"datacenters", "clusters", "networks", "vms", "hosts", "events", "jobs"}
    for href, rel in links:
        assert href == rel
        assert http("GET", href).status_code == 200, href
    for href, rel in re.findall(
        r'<link href="/ovirt-engine/api/([a-z]+)\?search={query}" rel="([a-z]+)/search"/>', root
    ):
        assert href == rel
        assert http("GET", f"{href}?search=").status_code == 200, href


def test_what_is_answered_to_everybody(http: Client, engine: Engine) -> None:
    http.session.auth = None
    assert http("GET", "/ovirt-engine/services/health").text.startswith("DB Up!")
    ca = engine.authority.ca_pem.decode()
    pki = "/ovirt-engine/services/pki-resource?resource="
    assert http("GET", f"{pki}ca-certificate&format=X509-PEM-CA").text == ca
    assert http("GET", f"{pki}engine-certificate&format=OPENSSH-PUBKEY").text.startswith("ssh-ed25519 ")
    assert http("GET", f"{pki}ca-certificate&format=OPENSSH-PUBKEY").text.startswith("ecdsa-")
    assert http("GET", "/ca.crt").text == ca
    assert http("GET", "/ovirt-engine/api/ca.crt").text == ca
    assert http("GET", f"{pki}other&format=X509-PEM").status_code == 400
    assert http("GET", f"{pki}ca-certificate&format=DER").status_code == 400


# ------------------------------------------------------------------------------------------------------- the unforeseen


def test_an_unexpected_failure_is_a_fault_without_a_trace(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    router = APIRouter()

    @router.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("a secret of the engine")

    monkeypatch.setattr(app_module, "NOUNS", (router,))
    with serve(engine) as address:
        answer = Client(address, engine.authority.ca_path)("GET", "broken", headers={"Correlation-Id": "abc"})
    assert answer.status_code == 500
    assert "abc" in fault_of(answer)[1]
    assert "ZeroDivision" not in answer.text
    assert "a secret" not in answer.text
    logged = [r for r in caplog.records if r.exc_info]
    assert len(logged) == 1
    assert "abc" in logged[0].getMessage()
