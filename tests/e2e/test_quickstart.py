"""The quick start as a visitor runs it, in a lab of its own: when something is wrong, when all is well, and again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from lab.lab import CHECKOUT, Lab
from lab.progress import Progress


@dataclass
class Run:
    code: int
    text: str
    seconds: float


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("visitor")
    yield directory
    Lab.down(Progress(), directory)


def quickstart(place: Path) -> Run:
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "quickstart"],
        cwd=CHECKOUT,
        env={**os.environ, "ISTHMUS_LAB": str(place)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=580,
        check=False,
    )
    return Run(done.returncode, done.stdout, time.monotonic() - began)


def test_wrong_step_stops_it_and_is_named(place: Path) -> None:
    lab = Lab.up(Progress(), place)
    vlan = {"network_type": "vlan", "physical_network": "red", "segmentation_id": 500}
    fields = {
        "name": "in-the-way",
        "tenant_id": "somebody",
        **{f"provider:{key}": value for key, value in vlan.items()},
    }
    networks = f"{lab.neutron.url}/v2.0/networks"
    made = requests.post(networks, json={"network": fields}, timeout=30)
    made.raise_for_status()
    run = quickstart(place)
    requests.delete(f"{networks}/{made.json()['network']['id']}", timeout=30).raise_for_status()
    assert run.code == 1, run.text
    assert "Failed: 2. Network red-500" in run.text
    assert "VlanIdInUse" in run.text
    assert "engine.log, its last lines" in run.text
    assert "3. Two bare hosts" not in run.text


def test_six_points_and_again_faster(place: Path) -> None:
    first = quickstart(place)
    assert first.code == 0, first.text
    second = quickstart(place)
    assert second.code == 0, second.text
    for run in (first, second):
        assert [f"\n{number}. " in run.text for number in range(1, 7)] == [True] * 6
        assert run.text.count("GUEST-NET ip=10.50.0.") == 2
        assert run.text.count("GUEST-PING-OK 10.50.0.") == 2
        assert "vlan 500" in run.text
        assert Lab.load(place).engine.url in run.text
    assert "Installing" not in second.text
    assert second.seconds < first.seconds
    assert Lab.load(place).engine.healthy(), "the lab is left running"
