"""The README's example does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isthmus.reconcile.engine import Engine
from tests.fakes.neutron import FakeNeutron
from tests.served import PASSWORD, USER

README = Path(__file__).resolve().parents[3] / "README.md"


def test_example_of_the_readme_runs(
    working: Engine, url: str, neutron: FakeNeutron, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENGINE_URL", url)
    monkeypatch.setenv("ENGINE_USER", USER)
    monkeypatch.setenv("ENGINE_PASSWORD", PASSWORD)
    monkeypatch.setenv("ENGINE_CA", str(working.authority.ca_path))
    monkeypatch.setenv("NEUTRON_INTERNAL_URL", neutron.url)
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    exec(compile(example, str(README), "exec"), {})  # noqa: S102 - what our own README tells people to run
    (made,) = neutron.networks.values()
    assert made["name"] == "red-501"
    assert made["provider:segmentation_id"] == 501
    said = capsys.readouterr().out
    assert "web1" in said
    assert "our-neutron" in said or "red-501" in said
