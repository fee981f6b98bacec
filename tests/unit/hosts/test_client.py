from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from isthmus.hosts import client as client_module
from isthmus.hosts import dial
from isthmus.hosts.client import HostClient
from isthmus.hosts.errors import (
    HostError,
    Refused,
    SessionChanged,
    StaleEpoch,
    Unreachable,
    VersionMismatch,
)
from isthmus.hosts.pki import Authority, serial_text
from isthmus.wire import agent_pb2 as pb
from tests.unit.hosts.agents import ScriptedAgent, host_credentials, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def agent() -> ScriptedAgent:
    return ScriptedAgent()


@pytest.fixture
def client(authority: Authority, agent: ScriptedAgent) -> Iterator[HostClient]:
    with serving(agent, host_credentials(authority, "h1"), authority.ca_pem) as port:
        client = HostClient("h1", "127.0.0.1", port, authority)
        yield client
        client.close()


def test_hello_tells_the_session(client: HostClient) -> None:
    assert client.hello().session == "session-1"


def test_many_calls_share_one_channel(client: HostClient, monkeypatch: pytest.MonkeyPatch) -> None:
    dials: list[int] = []
    see = client_module.see_certificate
    monkeypatch.setattr(client_module, "see_certificate", lambda *a: dials.append(1) or see(*a))
    threads = [threading.Thread(target=client.hello) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dials) == 1


def test_another_protocol_is_a_version_mismatch(client: HostClient, agent: ScriptedAgent) -> None:
    agent.protocol = 99
    with pytest.raises(VersionMismatch, match="speaks protocol 99"):
        client.hello()


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "session: another", SessionChanged),
        (grpc.StatusCode.FAILED_PRECONDITION, "epoch: 3 was obeyed", StaleEpoch),
        (grpc.StatusCode.FAILED_PRECONDITION, "no such file", Refused),
        (grpc.StatusCode.INVALID_ARGUMENT, "no memory given", Refused),
        (grpc.StatusCode.UNIMPLEMENTED, "what?", VersionMismatch),
        (grpc.StatusCode.INTERNAL, "libvirt said no", HostError),
    ],
)
def test_what_the_agent_says_decides_the_error(
    client: HostClient, agent: ScriptedAgent, code: grpc.StatusCode, said: str, kind: type[HostError]
) -> None:
    agent.failures["Start"] = (code, said)
    with pytest.raises(HostError, match=said.replace("?", r"\?")) as caught:
        client.start(pb.StartOrder(order=pb.Order(vm="v", epoch=3)))
    assert type(caught.value) is kind
    assert (caught.value.host, caught.value.call) == ("h1", "start")


def test_nothing_listens(authority: Authority) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = HostClient("h1", "127.0.0.1", taken.getsockname()[1], authority)
        with pytest.raises(Unreachable, match="is isthmus-agent running") as caught:
            client.hello()
    assert caught.value.problem == "refused"
    assert not caught.value.sent


def test_one_who_accepts_but_never_answers(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "DIAL_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        client = HostClient("h1", "127.0.0.1", mute.getsockname()[1], authority)
        with pytest.raises(Unreachable, match="did not shake hands") as caught:
            client.hello()
    assert caught.value.problem == "timeout"


def test_another_hosts_certificate_is_refused(authority: Authority, agent: ScriptedAgent) -> None:
    with serving(agent, host_credentials(authority, "h2"), authority.ca_pem) as port:
        client = HostClient("h1", "127.0.0.1", port, authority)
        with pytest.raises(Unreachable, match="not that of this host") as caught:
            client.hello()
    assert caught.value.problem == "tls"
    assert agent.hellos == 0


def test_the_engines_own_certificate_does_not_make_a_host(authority: Authority, agent: ScriptedAgent) -> None:
    with serving(agent, authority.engine(), authority.ca_pem) as port, pytest.raises(Unreachable) as caught:
        HostClient("h1", "127.0.0.1", port, authority).hello()
    assert caught.value.problem == "tls"


def test_an_unknown_authority_is_refused(authority: Authority, agent: ScriptedAgent, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    with (
        serving(agent, host_credentials(other, "h1"), authority.ca_pem) as port,
        pytest.raises(Unreachable, match="not that of this host") as caught,
    ):
        HostClient("h1", "127.0.0.1", port, authority).hello()
    assert caught.value.problem == "tls"


def test_a_host_that_does_not_know_the_engine_says_so(
    authority: Authority, agent: ScriptedAgent, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    with serving(agent, host_credentials(authority, "h1"), other.ca_pem) as port, pytest.raises(Unreachable) as caught:
        HostClient("h1", "127.0.0.1", port, authority).hello()
    assert caught.value.problem == "identity"
    assert "engine's certificate" in str(caught.value)


def test_a_denied_serial_is_refused(authority: Authority, agent: ScriptedAgent) -> None:
    credentials = host_credentials(authority, "h1")
    serial = serial_text(x509.load_pem_x509_certificate(credentials.certificate).serial_number)
    with serving(agent, credentials, authority.ca_pem) as port:
        client = HostClient("h1", "127.0.0.1", port, authority)
        client.hello()
        authority.deny(serial)
        with pytest.raises(Unreachable, match="deny list"):
            client.hello()
    assert agent.hellos == 1


def test_the_channel_takes_only_the_certificate_that_was_seen(
    authority: Authority, agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who answers the second connection with another certificate, valid though it is, is not the one looked at."""
    first, second = host_credentials(authority, "h1"), host_credentials(authority, "h1")

    def see_first(*_args: object) -> dial.Seen:
        return dial.Seen(first.certificate.decode(), "1")

    monkeypatch.setattr(client_module, "see_certificate", see_first)
    with serving(agent, second, authority.ca_pem) as port, pytest.raises(Unreachable):
        HostClient("h1", "127.0.0.1", port, authority).hello()
    assert agent.hellos == 0


def test_a_host_that_comes_back_with_a_new_certificate_is_dialled_again(authority: Authority) -> None:
    first = ScriptedAgent()
    with serving(first, host_credentials(authority, "h1"), authority.ca_pem) as port:
        client = HostClient("h1", "127.0.0.1", port, authority)
        client.hello()
    with pytest.raises(Unreachable):
        client.hello()
    second = ScriptedAgent()
    second.session = "session-2"
    with serving(second, host_credentials(authority, "h1"), authority.ca_pem, port) as port:
        assert client.hello().session == "session-2"


def test_after_close_nothing_is_dialled(client: HostClient) -> None:
    client.hello()
    client.close()
    with pytest.raises(Unreachable) as caught:
        client.hello()
    assert caught.value.problem == "closed"


# ----------------------------------------------------------------------------------------------------- files


def test_a_file_is_sent_in_chunks_once(
    client: HostClient, agent: ScriptedAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CHUNK", 1000)
    content = os.urandom(2500)
    path = tmp_path / "kernel"
    path.write_bytes(content)
    told: list[tuple[int, int]] = []
    sha256 = client.send_file(path, lambda present, size: told.append((present, size)))
    assert sha256 == hashlib.sha256(content).hexdigest()
    assert agent.files[sha256] == content
    assert agent.puts == [0, 1000, 2000]
    assert told[-1] == (2500, 2500)
    assert client.send_file(path) == sha256
    assert agent.puts == [0, 1000, 2000]


def test_a_file_goes_on_where_it_ended(
    client: HostClient, agent: ScriptedAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CHUNK", 1000)
    content = os.urandom(2500)
    path = tmp_path / "kernel"
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    agent.files[sha256] = content[:1500]
    client.send_file(path)
    assert agent.files[sha256] == content
    assert agent.puts == [1500]


def test_an_empty_file_is_sent(client: HostClient, agent: ScriptedAgent, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    sha256 = client.send_file(path)
    assert agent.files[sha256] == b""


def test_a_chunk_refused_for_good_is_the_hosts_word(client: HostClient, agent: ScriptedAgent, tmp_path: Path) -> None:
    agent.failures["PutFile"] = (grpc.StatusCode.FAILED_PRECONDITION, "no space left on device")
    path = tmp_path / "disk"
    path.write_bytes(b"x")
    with pytest.raises(Refused, match="no space left"):
        client.send_file(path)


def test_a_changed_file_has_another_sum(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"one")
    first = client_module.file_sum(path)
    path.write_bytes(b"another")
    assert client_module.file_sum(path) != first


# -------------------------------------------------------------------------------------------------- watching


def test_events_come_as_they_happen_and_cancel_ends_it(client: HostClient, agent: ScriptedAgent) -> None:
    watch = client.watch("t0")
    agent.events.put(pb.WatchEvent(token="t1", snapshot_done=True))
    agent.events.put(pb.WatchEvent(token="t2", vm=pb.VmReport(vm="v", state=pb.RUNNING)))
    seen: list[str] = []

    def follow() -> None:
        for event in watch:
            seen.append(event.token)
            if event.token == "t2":
                watch.cancel()

    with pytest.raises(Unreachable) as caught:
        follow()
    assert seen == ["t1", "t2"]
    assert caught.value.problem == "closed"
    assert agent.tokens == ["t0"]


def test_a_silent_agent_is_lost(client: HostClient, agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "SILENCE_SECONDS", 0.3)
    with pytest.raises(Unreachable, match="said nothing") as caught:
        list(client.watch())
    assert caught.value.problem == "timeout"


def test_a_stream_that_the_agent_ends_is_lost(client: HostClient, agent: ScriptedAgent) -> None:
    agent.events.put(None)
    with pytest.raises(Unreachable) as caught:
        list(client.watch())
    assert caught.value.problem == "lost"


def test_a_name_nobody_knows(authority: Authority) -> None:
    with pytest.raises(Unreachable) as caught:
        dial.see_certificate("h1", "no-such-host.invalid", 1, authority, 5.0)
    assert caught.value.problem == "unresolved"
