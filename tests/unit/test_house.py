"""Facts of the house: what a checkout, its locks and what is built from it must be."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

import isthmus
from isthmus.cli import main
from isthmus.model import points

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
LINES = 500
MIB = 1 << 20


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel, built as a release is."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    assert built.name == f"isthmus-{isthmus.__version__}-py3-none-any.whl"
    return set(zipfile.ZipFile(built).namelist())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_name_no_registry_and_no_path(lock: Path) -> None:
    """Each package by version and hash, so that any index will do, and none gets known."""
    for line in lock.read_text().splitlines():
        text = line.strip()
        assert not re.match(r"--(?!hash=sha256:)|-\w|\w+ @ |[./]", text), line
        assert not re.search(r"[a-z]+://|file:[./]", text), line


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_pin_each_package_with_its_hashes(lock: Path) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", "\n" + "".join(lock.read_text().replace("\\\n", " ")))
    pinned = [entry for entry in entries if re.match(r"[a-z0-9]", entry)]
    assert pinned
    for entry in pinned:
        assert re.match(r"[a-z0-9._-]+==\S+ +.*--hash=sha256:[0-9a-f]{64}", entry, re.S), entry


def test_locks_agree() -> None:
    def versions(name: str) -> dict[str, str]:
        found = re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements" / name).read_text(), re.M)
        return dict(found)

    tested = versions("dev.txt")
    assert {name: tested.get(name) for name in versions("engine.txt")} == versions("engine.txt")


def test_every_dependency_is_locked() -> None:
    """pyproject.toml was not changed without `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for lock, wanted in (
        ("engine.txt", project["dependencies"]),
        ("dev.txt", [*project["dependencies"], *project["optional-dependencies"]["dev"]]),
    ):
        text = (ROOT / "requirements" / lock).read_text()
        for requirement in wanted:
            name = re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")
            assert re.search(rf"^{re.escape(name)}==", text, re.M), f"{name} is not in {lock}: run `make lock`"


def test_no_tracked_file_is_large() -> None:
    assert [str(path) for path in tracked() if path.stat().st_size > MIB] == []


def test_modules_stay_readable() -> None:
    """What is generated, and a migration, which is written once and never changed, are let off."""
    modules = [p for p in tracked("*.py") if "_pb2" not in p.name and "versions" not in p.parts]
    assert {str(p): n for p in modules if (n := len(p.read_text().splitlines())) > LINES} == {}


def test_help_helps() -> None:
    for arguments in (["--help"], ["engine", "--help"]):
        said = CliRunner().invoke(main, arguments)
        assert said.exit_code == 0
        assert "Usage: " in said.output
    assert "--listen" in said.output
    assert isthmus.__version__ in CliRunner().invoke(main, ["--version"]).output


def test_entry_points_load() -> None:
    ours = importlib.metadata.distribution("isthmus").entry_points
    assert {point.name for point in ours} >= {"isthmus", "isthmus-agent", "neutron", "unmanaged"}
    for point in ours:
        assert callable(point.load()), point


def test_wheel_has_whatever_the_package_has(wheel: set[str]) -> None:
    """Roles, hooks and the protocol are data: they would be missed only where somebody installs the wheel."""
    source = ROOT / "src"
    there = {str(path.relative_to(source)) for path in tracked("src")}
    assert there - wheel == set()
    for kind in ("hosts/deploy/roles/", "agent/openstacknet/", "agent/hook/", "wire/agent.proto"):
        assert any(name.startswith(f"isthmus/{kind}") for name in wheel), kind


def test_wheel_has_nothing_of_the_workshop(wheel: set[str]) -> None:
    assert {name.split("/")[0] for name in wheel} == {"isthmus", f"isthmus-{isthmus.__version__}.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


def test_changelog_has_a_place_for_what_comes() -> None:
    heads = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert heads[0] == "Unreleased"


def test_links_between_documents_lead_somewhere() -> None:
    for page in tracked("*.md"):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_make_targets_of_the_documents_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.M))
    for page in tracked("*.md", ".ci/run"):
        assert set(re.findall(r"`?\bmake ([a-z]+(?:-[a-z0-9]+)*)`", page.read_text())) <= targets, page


def test_each_kill_point_is_reached_by_a_test() -> None:
    """A point that no test goes through says nothing; tests name them, or go through ``points.NAMES``."""
    assert points.NAMES
    texts = [path.read_text() for path in tracked("tests") if path != Path(__file__) and path.suffix == ".py"]
    if not any(re.search(r"\bpoints\.NAMES\b", text) for text in texts):
        assert {name for name in points.NAMES if not any(name in text for text in texts)} == set()
