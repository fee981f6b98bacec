"""A host's certificate is renewed while it is still good, and a renewal that fails is told and tried again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from isthmus.hosts.deploy import InstallFailed, InstallResult, InstallSpec, Part, Step
from isthmus.hosts.pki import HOST_LIFE, Authority
from isthmus.model import Host, now
from isthmus.reconcile import installations
from tests.fakes.agents import wait_for
from tests.unit.reconcile.world import World


def ends_in(world: World, name: str, left: timedelta) -> None:
    with world.engine.db.write() as session:
        host = session.get_one(Host, world.hosts[name].id)
        host.certificate_serial, host.certificate_until = "old", now() + left
        host.ssh_host_key = "ssh-ed25519 AAAA"
    world.engine.wake("host", world.hosts[name].id)


def test_it_is_renewed_alone_and_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    specs: list[InstallSpec] = []

    def deploy(spec: InstallSpec, _authority: Authority, _on_step: Callable[[Step], None]) -> InstallResult:
        specs.append(spec)
        return InstallResult("new", now() + HOST_LIFE, changed=2, seconds=1.0, mappings={})

    monkeypatch.setattr(installations, "deploy", deploy)
    ends_in(world, "h1", HOST_LIFE / 2)
    ends_in(world, "h2", HOST_LIFE / 4)
    wait_for(lambda: world.rows_host("h2").certificate_serial == "new")
    assert [(spec.host_id, spec.parts) for spec in specs] == [(world.hosts["h2"].id, frozenset({Part.CERTIFICATE}))]
    assert world.rows_host("h1").certificate_serial == "old"
    assert world.rows_host("h2").status == "up"
    assert any("h2" in text and "renewed" in text for text in world.events(509))


def test_a_failure_is_told_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    def deploy(spec: InstallSpec, _authority: Authority, _on_step: Callable[[Step], None]) -> InstallResult:
        tries.append(spec.host_id)
        if len(tries) == 1:
            raise InstallFailed("Make a key", "no space left on device")
        return InstallResult("new", now() + HOST_LIFE, changed=2, seconds=1.0, mappings={})

    monkeypatch.setattr(installations, "deploy", deploy)
    monkeypatch.setattr(installations, "RENEW_AGAIN", 0.1)
    ends_in(world, "h1", timedelta(days=1))
    wait_for(lambda: world.rows_host("h1").certificate_serial == "new")
    (text,) = world.events(510)
    assert "no space left" in text
    assert "h1" in text
