"""What a deployment is told, and the programs that it sends along. Real hosts: tests/integration/test_deploy.py."""

from __future__ import annotations

import importlib.util
import io
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.hosts.deploy import Broker, BrokerType, InstallSpec, L2Agent, SpecError, parse_mappings
from isthmus.hosts.deploy.bundle import agent_bundle
from isthmus.hosts.deploy.runner import _answer
from isthmus.hosts.deploy.variables import inventory, secrets, ssh_arguments
from isthmus.hosts.pki import Authority
from isthmus.hosts.ssh import HostKey

ROLE = Path(str(resources.files("isthmus.hosts.deploy"))) / "roles" / "isthmus_host"

SPEC = InstallSpec(
    host_id="h1",
    address="192.0.2.1",
    host_key=HostKey("ssh-ed25519", "AAAA", "SHA256:x"),
    binding_host="h1",
    l2_agent=L2Agent(Broker(BrokerType.RABBIT_MQ, "192.0.2.9", 5672, "neutron", "se/cr@et"), {"red": "eth1"}),
)


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------------------------------- the spec


def test_mappings_as_they_are_entered() -> None:
    assert parse_mappings(" red:eth1 , blue : bond0.7,") == {"red": "eth1", "blue": "bond0.7"}
    assert parse_mappings("") == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("red", "not of the form"),
        ("red:", "no name of a network interface"),
        (":eth1", "not of the form"),
        ("red:eth1;reboot", "no name of a network interface"),
        ("red:a-name-too-long-for-linux", "no name of a network interface"),
        ("red:..", "no name of a network interface"),
        ("red:eth1,red:eth2", "mapped twice"),
        ("red:eth1,blue:eth1", "mapped to two physical networks"),
        ("{{red}}:eth1", "not of the form"),
    ],
)
def test_mappings_that_cannot_be_meant(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        parse_mappings(text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"address": "-oProxyCommand=x"}, "address"),
        ({"address": "a b"}, "address"),
        ({"binding_host": "{{ x }}"}, "name"),
        ({"binding_host": "h1\nh2"}, "name"),
        ({"user": "root;"}, "user name"),
        ({"engine_addresses": ("10.0.0.300",)}, "IP address"),
        ({"package_source": "http://example/"}, "package source"),
        ({"package_source": "deb http://example/ {{ x }}"}, "package source"),
        ({"package_source": "deb http://example/ ./\ndeb http://other/ ./"}, "package source"),
        ({"proxy": 'http://proxy:3128"; x'}, "proxy"),
    ],
)
def test_a_spec_that_cannot_be_meant(change: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        replace(SPEC, **change).check()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"plugin_type": "OPEN_VSWITCH"}, "LINUX_BRIDGE can"),
        ({"mappings": {"red": "eth 1"}}, "eth 1"),
        ({"tunnel_address": "here"}, "tunnel address"),
        ({"polling_interval": 0}, "at least 1"),
        ({"broker": Broker(BrokerType.QPID, "")}, "broker's host"),
        ({"broker": Broker(BrokerType.QPID, "broker", 70000)}, "port"),
    ],
)
def test_an_l2_agent_that_cannot_be_meant(change: dict[str, object], words: str) -> None:
    assert SPEC.l2_agent is not None
    with pytest.raises(SpecError, match=words):
        replace(SPEC, l2_agent=replace(SPEC.l2_agent, **change)).check()  # type: ignore[arg-type]


def test_a_good_spec_is_good() -> None:
    SPEC.check()
    replace(SPEC, package_source="deb [trusted=yes] http://10.0.0.1/ ./", proxy="http://u:p@proxy:3128/").check()


def test_transport_urls() -> None:
    assert Broker(BrokerType.QPID, "broker").transport_url == "amqp://broker:5672/"
    assert Broker(BrokerType.RABBIT_MQ, "::1", 5671, "u", "p").transport_url == "rabbit://u:p@[::1]:5671/"


@given(user=st.text(min_size=1), password=st.text())
def test_a_login_survives_its_url_and_cannot_be_expanded(user: str, password: str) -> None:
    url = Broker(BrokerType.RABBIT_MQ, "broker", 5672, user, password).transport_url
    parts = urlsplit(url)
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, password)
    assert not {"{", "}", "\n", " "} & set(url)


def test_secrets_are_known_and_not_shown(tmp_path: Path) -> None:
    assert secrets(SPEC) == ["rabbit://neutron:se%2Fcr%40et@192.0.2.9:5672/", "se/cr@et"]
    assert "se/cr@et" not in repr(SPEC)
    told = inventory(SPEC, Authority(tmp_path))["all"]["hosts"]["host"]
    assert told["isthmus_transport_url"] == secrets(SPEC)[0]
    assert "ansible_password" not in told


def test_ssh_uses_nothing_of_the_users_own() -> None:
    arguments = ssh_arguments(SPEC, Path("/tmp/known"))
    assert arguments.startswith("-F /dev/null ")
    for option in ("IdentitiesOnly=yes", "StrictHostKeyChecking=yes", "HostKeyAlgorithms=ssh-ed25519"):
        assert f"-o {option}" in arguments
    rsa = replace(SPEC, host_key=HostKey("ssh-rsa", "AAAA", "SHA256:x"))
    assert "HostKeyAlgorithms=rsa-sha2-512,rsa-sha2-256" in ssh_arguments(rsa, Path("/tmp/known"))


# -------------------------------------------------------------------------------------------------- the bundle


def test_the_bundle_is_the_same_each_time_and_holds_what_a_host_needs() -> None:
    first, second = agent_bundle(), agent_bundle()
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first.data)) as archive:
        members = archive.getmembers()
    names = {member.name for member in members}
    assert {"isthmus/__init__.py", "isthmus/wire/agent_pb2.py", "isthmus/agent/__main__.py"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("isthmus/hosts", "isthmus/api"))]
    assert {(member.mtime, member.uid, member.gid) for member in members} == {(0, 0, 0)}
    hooks = [member for member in members if member.name.endswith("50_openstacknet")]
    assert hooks
    assert all(member.mode == 0o755 for member in hooks)


def test_the_bundle_runs_alone(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(agent_bundle().data)) as archive:
        archive.extractall(tmp_path, filter="data")
    done = subprocess.run(
        [sys.executable, "-c", "import isthmus, isthmus.wire.agent_pb2; print(isthmus.__file__)"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path))


# ---------------------------------------------------------------------------------------------- what hosts answer


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"msg": "non-zero return code", "stderr": "no such interface", "rc": 1}, "no such interface"),
        ({"msg": "No package matching 'x'", "stderr": ""}, "No package matching 'x'"),
        ({"msg": "MODULE FAILURE", "module_stderr": "Traceback"}, "MODULE FAILURE: Traceback"),
        ({"results": [{"failed": True, "msg": "a"}, {"msg": "b"}, {"failed": True, "msg": "c"}], "msg": "x"}, "a; c"),
        ({}, "it failed without a word"),
    ],
)
def test_a_failure_is_told_in_the_hosts_words(result: dict[str, object], said: str) -> None:
    assert _answer(result) == said


# --------------------------------------------------------------------------------- the programs that go along


def test_the_playbook_and_its_role_can_be_read() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "--syntax-check", "-i", "host,", "host.yml"],
        cwd=ROLE.parent.parent,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ANSIBLE_LOCAL_TEMP": "/tmp", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr


def test_files_are_written_whole_only_where_they_differ(tmp_path: Path) -> None:
    write = load(ROLE / "library" / "isthmus_files.py").write
    path = tmp_path / "deep" / "er" / "file"
    file = {
        "path": str(path),
        "content": "one\n",
        "base64": None,
        "mode": "0640",
        "group": "root",
        "directory_mode": "0700",
        "keep": False,
    }
    assert write(file)
    assert path.read_text() == "one\n"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o640, 0o700)
    inode = path.stat().st_ino
    assert not write(file)
    assert path.stat().st_ino == inode
    assert not write({**file, "content": "other", "keep": True})
    assert write({**file, "mode": "0600"})
    assert write({**file, "content": None, "base64": "dHdv", "mode": "0600"})
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


@pytest.fixture
def ebtables(tmp_path: Path) -> Path:
    """The wrapper, on top of one that keeps its rules in a file and will not delete by --among-src."""
    real = tmp_path / "real"
    real.write_text(
        f"#!/bin/sh\n"
        f'case "$*" in\n'
        f'*"-L A --Ln") cat {tmp_path}/rules;;\n'
        f"*-D*--among-src*) echo 'Invalid argument' >&2; exit 1;;\n"
        f'*) echo "$*" >> {tmp_path}/calls;;\n'
        f"esac\n"
    )
    real.chmod(0o755)
    wrapper = tmp_path / "ebtables"
    source = (ROLE / "files" / "ebtables").read_text()
    wrapper.write_text(source.replace("/usr/sbin/ebtables", str(real)).replace("/usr/bin/python3", sys.executable))
    wrapper.chmod(0o755)
    (tmp_path / "rules").write_text(
        "Bridge table: nat\n\nBridge chain: A, entries: 3, policy: DROP\n"
        "1 -i tap1 --among-src fa:16:3e:0:0:2 -j RETURN\n"
        "2 -i tap1 --among-src fa:16:3e:0:0:1=192.0.2.1,fa:16:3e:a:b:c -j RETURN\n"
        "3 -j DROP\n"
    )
    return wrapper


@pytest.mark.parametrize(
    "rule",
    [
        "-i tap1 --among-src fa:16:3e:0:0:1=192.0.2.1,fa:16:3e:a:b:c -j RETURN",
        "-i tap1 --among-src fa:16:3e:0a:0b:0c,FA:16:3E:00:00:01=192.0.2.1, -j RETURN",
        "-j RETURN -i tap1 --among-src fa:16:3e:0:0:1=192.0.2.1,fa:16:3e:a:b:c",
    ],
)
def test_a_rule_that_ebtables_cannot_delete_is_deleted_by_number(ebtables: Path, rule: str) -> None:
    subprocess.run([str(ebtables), *["-t", "nat", "--concurrent", "-D", "A"], *rule.split()], check=True)
    assert (ebtables.parent / "calls").read_text() == "-t nat --concurrent -D A 2\n"


def test_a_rule_that_is_not_there_is_not_deleted(ebtables: Path) -> None:
    rule = "-D A -i tap2 --among-src fa:16:3e:0:0:2 -j RETURN"
    done = subprocess.run([str(ebtables), *rule.split()], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "no such rule in A" in done.stderr
    assert not (ebtables.parent / "calls").exists()


def test_everything_else_is_passed_on(ebtables: Path) -> None:
    for line in ("-t nat -D A -j DROP", "-t nat -A A --among-src fa:16:3e:0:0:2 -j RETURN", "-t nat -L"):
        subprocess.run([str(ebtables), *line.split()], check=True)
        assert (ebtables.parent / "calls").read_text().splitlines()[-1] == line
