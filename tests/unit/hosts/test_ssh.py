from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
import pytest

from isthmus.hosts import ssh
from isthmus.hosts.pki import Authority
from isthmus.hosts.ssh import Contact, ContactError, first_contact, see_host_key

DEBIAN = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
PASSWORD = "right horse"


@dataclass
class FakeHost(paramiko.ServerInterface):
    """paramiko's own server: what it is asked to run, it runs here, in a home directory of its own."""

    home: Path
    os_release: str = DEBIAN
    programs: tuple[str, ...] = ("uname", "id", "mkdir", "touch", "grep", "tail", "python3")
    passwords: bool = True
    keys: list[paramiko.PKey] = field(default_factory=lambda: [paramiko.ECDSAKey.generate()])
    port: int = 0
    logins: list[str] = field(default_factory=list)

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey" if self.passwords else "publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        good = self.passwords and password == PASSWORD
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        let_in = self.authorized_keys
        good = any(line.split()[1] == key.get_base64() for line in let_in.splitlines() if line)
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._execute, args=(channel, command.decode()), daemon=True).start()
        return True

    @property
    def authorized_keys(self) -> str:
        path = self.home / ".ssh" / "authorized_keys"
        return path.read_text() if path.exists() else ""

    def _execute(self, channel: paramiko.Channel, command: str) -> None:
        script = channel.makefile("rb").read().decode()
        release = self.home / "os-release"
        release.write_text(self.os_release)
        path = self.home / "bin"
        path.mkdir(exist_ok=True)
        for program in self.programs:
            link = path / program
            if not link.exists():
                found = sys.executable if program == "python3" else shutil.which(program)
                assert found, program
                link.symlink_to(os.path.realpath(found))
        done = subprocess.run(
            command.split(),
            input=script.replace("/etc/os-release", str(release)).encode(),
            capture_output=True,
            env={"HOME": str(self.home), "PATH": str(path)},
            check=False,
        )
        channel.sendall(done.stdout)
        channel.sendall_stderr(done.stderr)
        channel.send_exit_status(done.returncode)
        channel.close()


@contextlib.contextmanager
def serving(host: FakeHost) -> Iterator[int]:
    """Accepts any number of connections, one after the other or at once, until the block ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    transports: list[paramiko.Transport] = []

    def accept() -> None:
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transports.append(transport)
            for key in host.keys:
                transport.add_server_key(key)
            with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
                transport.start_server(server=host)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        for transport in transports:
            transport.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


def contact(authority: Authority, port: int, password: str | None = PASSWORD, **more: str) -> Contact:
    return first_contact(
        "127.0.0.1",
        port,
        password=password,
        engine_key=authority.ssh_key_path,
        engine_public_key=authority.ssh_public_key,
        expected_fingerprint=more.get("fingerprint"),
    )


def test_a_password_is_needed_once(authority: Authority, host: FakeHost) -> None:
    with serving(host) as port:
        found = contact(authority, port)
        assert host.authorized_keys == authority.ssh_public_key + "\n"
        again = contact(authority, port, password=None)
    assert found == again
    assert found.fingerprint == host.keys[0].fingerprint  # type: ignore[attr-defined]
    assert (found.os_name, found.user, found.hostname) == ("debian 12", "root", os.uname().nodename)
    assert found.python.startswith("3.")
    assert host.authorized_keys == authority.ssh_public_key + "\n", "not a second time"


def test_keys_that_were_there_stay(authority: Authority, host: FakeHost) -> None:
    (host.home / ".ssh").mkdir()
    (host.home / ".ssh" / "authorized_keys").write_text("ssh-ed25519 AAAA admin")
    with serving(host) as port:
        contact(authority, port)
    assert host.authorized_keys == f"ssh-ed25519 AAAA admin\n{authority.ssh_public_key}\n"


def test_a_wrong_password(authority: Authority, host: FakeHost) -> None:
    with serving(host) as port, pytest.raises(ContactError, match="does not accept the password of root") as caught:
        contact(authority, port, password="wrong")
    assert caught.value.problem == "authentication"
    assert "wrong" not in str(caught.value)
    assert host.authorized_keys == ""


def test_a_key_that_is_not_let_in(authority: Authority, host: FakeHost) -> None:
    with serving(host) as port, pytest.raises(ContactError, match="does not accept the engine's SSH key"):
        contact(authority, port, password=None)


def test_a_server_without_passwords(authority: Authority, host: FakeHost) -> None:
    host.passwords = False
    with serving(host) as port, pytest.raises(ContactError, match="only by publickey") as caught:
        contact(authority, port)
    assert caught.value.problem == "authentication"


def test_the_fingerprint_of_any_of_its_keys_will_do(authority: Authority, host: FakeHost) -> None:
    host.keys = [paramiko.ECDSAKey.generate(), paramiko.RSAKey.generate(2048)]
    with serving(host) as port:
        for key in host.keys:
            sha256 = key.fingerprint  # type: ignore[attr-defined]
            md5 = hashlib.md5(key.asbytes(), usedforsecurity=False).hexdigest()
            colons = ":".join(md5[i : i + 2] for i in range(0, 32, 2))
            for form in (sha256, sha256 + "=", md5, f"MD5:{colons}", colons.upper()):
                assert contact(authority, port, fingerprint=form).fingerprint == sha256


def test_another_fingerprint_is_refused_before_the_password_is_shown(
    authority: Authority, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(host, "check_auth_password", lambda *a: asked.append("password"))
    other = paramiko.ECDSAKey.generate().fingerprint  # type: ignore[attr-defined]
    with serving(host) as port, pytest.raises(ContactError, match="another machine answers") as caught:
        contact(authority, port, fingerprint=other)
    assert caught.value.problem == "fingerprint"
    assert host.keys[0].fingerprint in str(caught.value)  # type: ignore[attr-defined]
    assert asked == []


@pytest.mark.parametrize("nonsense", ["abc", "MD5:12", "zz" * 16, "12:34"])
def test_what_is_no_fingerprint(authority: Authority, host: FakeHost, nonsense: str) -> None:
    with serving(host) as port, pytest.raises(ContactError, match="is no fingerprint"):
        contact(authority, port, fingerprint=nonsense)


def test_the_key_can_be_seen_without_a_password(host: FakeHost) -> None:
    with serving(host) as port:
        key = see_host_key("127.0.0.1", port)
        assert key.known_hosts_line("127.0.0.1", port).startswith(f"[127.0.0.1]:{port} ecdsa-sha2-nistp256 ")
    assert key.known_hosts_line("h", 22) == f"h {key.type} {key.base64}"


def test_another_system(authority: Authority, host: FakeHost) -> None:
    host.os_release = 'ID=fedora\nVERSION_ID=41\nPRETTY_NAME="Fedora Linux 41"\n'
    with serving(host) as port, pytest.raises(ContactError, match="runs Fedora Linux 41, and hosts must run Debian 12"):
        contact(authority, port)
    assert host.authorized_keys == ""


def test_no_python(authority: Authority, host: FakeHost) -> None:
    host.programs = tuple(p for p in host.programs if p != "python3")
    with serving(host) as port, pytest.raises(ContactError, match="has no python3") as caught:
        contact(authority, port)
    assert caught.value.problem == "python"
    assert host.authorized_keys == ""


def test_a_user_without_rights(authority: Authority, host: FakeHost) -> None:
    (host.home / "bin").mkdir()
    (host.home / "bin" / "id").write_text("#!/bin/sh\necho 1000\n")
    (host.home / "bin" / "id").chmod(0o755)
    with serving(host) as port, pytest.raises(ContactError, match="is not root") as caught:
        contact(authority, port)
    assert caught.value.problem == "privilege"


def test_a_home_that_cannot_take_the_key(authority: Authority, host: FakeHost) -> None:
    (host.home / ".ssh").write_text("a file where a directory should be")
    with serving(host) as port, pytest.raises(ContactError, match="cannot be added to authorized_keys") as caught:
        contact(authority, port)
    assert caught.value.problem == "key"


def test_nothing_listens(authority: Authority) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ContactError, match="refuses the connection") as caught:
            contact(authority, taken.getsockname()[1])
    assert caught.value.problem == "refused"


def test_what_is_no_ssh_server(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "TIMEOUT", 0.5)
    words = "does not answer as an SSH server"
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(ContactError, match=words) as caught:
        contact(authority, mute.getsockname()[1])
    assert caught.value.problem == "not_ssh"


def test_no_route(authority: Authority) -> None:
    with pytest.raises(ContactError, match="there is no way to") as caught:
        first_contact(
            "::ffff:255.255.255.255",
            22,
            password="x",
            engine_key=authority.ssh_key_path,
            engine_public_key=authority.ssh_public_key,
        )
    assert caught.value.problem in ("no_route", "lost")


def test_an_unknown_name() -> None:
    with pytest.raises(ContactError, match="is not known") as caught:
        see_host_key("no-such-host.invalid")
    assert caught.value.problem == "unresolved"
